/* Native frames are found at every instruction: code of the compiler is run step by step, and at
 * each instruction the walk is compared with the calls that were seen happening. */
#include "must.h"

#include "../tsan.h"

#if defined(SV_TEST_NATIVE) && defined(__x86_64__) && !TSAN

#include <ucontext.h>

#include "runtime/profile.h"
#include "runtime/signal.h"

enum { CALL = 0x10, RETURN_CALL = 0x12, I32 = 0x7f, I64 = 0x7e, END = 0x0b, DEPTH_MAX = 200 };
#define TRAP_FLAG 0x100

extern const char sv_native_returned[]; /* native_entry.c: where thunks return to */

/* ---- The calls seen happening ---- */

static struct {
    struct sv_thread *th; /* NULL: nothing is stepped */
    /* Where each return address was pushed, outermost first, and what it was. */
    struct {
        uintptr_t slot;
        const uint8_t *ret;
    } calls[DEPTH_MAX];
    unsigned depth;
    const uint8_t *pc; /* of the step before */
    uintptr_t sp;
    bool in_guest;
    unsigned long guest_steps, stub_steps, different;
    char failure[512];
} steps;

static const struct sv_native *image(void)
{
    return ((const struct sv_native_activation *)steps.th->entry)->inst->native;
}

/* The function that the code is part of, by the entries; UINT32_MAX: of none. */
static uint32_t func_at(const struct sv_native *n, const uint8_t *pc)
{
    uint32_t at = (uint32_t)(pc - n->text), best = 0, found = UINT32_MAX;

    for (uint32_t i = 0; i < n->nfuncs; i++) {
        if (n->entry[i] && n->entry[i] <= at && n->entry[i] > best) {
            best = n->entry[i];
            found = i;
        }
        if (n->thunk[i] <= at && n->thunk[i] > best) {
            best = n->thunk[i];
            found = UINT32_MAX;
        }
    }
    return found;
}

static void note_calls(const uint8_t *pc, uintptr_t sp)
{
    const uint8_t *top = *(const uint8_t *const *)sp;

    while (steps.depth && steps.calls[steps.depth - 1].slot < sp)
        steps.depth--;
    if ((steps.in_guest && sp == steps.sp - 8 && top > steps.pc && top <= steps.pc + 8 &&
         (pc < steps.pc || pc > steps.pc + 15)) ||
        (!steps.in_guest && top == (const uint8_t *)sv_native_returned)) {
        assert_true(steps.depth < DEPTH_MAX);
        steps.calls[steps.depth].slot = sp;
        steps.calls[steps.depth++].ret = top;
    }
}

/* The functions that a handler's walk finds, as the sampler's does. */
static void walk(const ucontext_t *uc, bool in_guest, struct sv_sample *ret)
{
    struct sv_thread *th = steps.th;
    const struct sv_thread before = *th;
    struct sv_backtrace b = {.sample = ret};

    ret->n = 0;
    if (in_guest) {
        th->ip = th->native_leaf = NULL;
        th->fp = NULL;
    }
    sv_native_note(th, uc, 0);
    sv_thread_frames(th, &b);
    th->ip = before.ip;
    th->fp = before.fp;
    th->inst = before.inst;
    th->native_leaf = before.native_leaf;
    th->native_fp = before.native_fp;
    th->native_offset = before.native_offset;
}

static void expect(const struct sv_sample *found, const uint8_t *pc, bool leaf)
{
    const struct sv_native *n = image();
    uint32_t at = 0, func = leaf ? func_at(n, pc) : UINT32_MAX;
    bool same = true;

    for (unsigned i = steps.depth + 1; i-- > 0 && same;) {
        if (func != UINT32_MAX)
            same = at < found->n && found->frames[at++].func == func;
        func = i && steps.calls[i - 1].ret != (const uint8_t *)sv_native_returned
                   ? func_at(n, steps.calls[i - 1].ret - 1)
                   : UINT32_MAX;
    }
    if (same && at == found->n)
        return;
    if (steps.different++ == 0)
        snprintf(steps.failure, sizeof steps.failure,
                 "at 0x%lx of the text (function %d): %u frames, %u calls were seen",
                 (unsigned long)(pc - n->text), (int)func_at(n, pc), found->n, steps.depth);
}

static void on_step(int sig, siginfo_t *info, void *ucontext)
{
    const ucontext_t *uc = ucontext;
    const uint8_t *pc = sv_context_pc(ucontext);
    uintptr_t sp = (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
    struct sv_thread *th = steps.th;
    static struct sv_sample sample;
    bool in_guest;

    (void)sig;
    (void)info;
    if (!th || !th->entry)
        return;
    in_guest = sv_native_in_guest(th, pc);
    if (in_guest || sv_native_in_stub(pc)) {
        note_calls(pc, sp);
        walk(uc, in_guest, &sample);
        expect(&sample, pc, in_guest);
    }
    steps.guest_steps += in_guest;
    steps.stub_steps += !in_guest && sv_native_in_stub(pc);
    steps.pc = pc;
    steps.sp = sp;
    steps.in_guest = in_guest;
}

static void set_trap_flag(bool on)
{
    if (on)
        __asm__ volatile("pushfq\n orq %0, (%%rsp)\n popfq" ::"i"(TRAP_FLAG) : "memory", "cc");
    else
        __asm__ volatile("pushfq\n andq %0, (%%rsp)\n popfq" ::"i"(~TRAP_FLAG) : "memory", "cc");
}

/* ---- Guests ---- */

static void emit_call(struct must *m, uint32_t func)
{
    emit_u(m, CALL, func);
}

static void emit_sub(struct must *m, uint32_t local, uint32_t n)
{
    emit_get(m, local);
    emit_i32(m, n);
    EMIT(m, 0x6b);
}

/* if (local 0 == 0) return n */
static void emit_stop(struct must *m, uint32_t n)
{
    emit_get(m, 0);
    EMIT(m, 0x45, 0x04, 0x40);
    emit_i32(m, n);
    EMIT(m, 0x0f, END);
}

/* `n` vectors that are loaded, live during a call of `func`, and added. */
static void make_wide(struct must *m, uint32_t type, uint32_t n, uint32_t func)
{
    must_func(m, type, NULL);
    emit_stop(m, 3);
    for (uint32_t i = 1; i <= n; i++) {
        emit_i32(m, i * 8);
        EMIT(m, 0xfd, 0, 4, 0);
        emit_u(m, 0x21, i);
    }
    emit_sub(m, 0, 1);
    emit_call(m, func);
    for (uint32_t i = 1; i <= n; i++) {
        emit_get(m, i);
        EMIT(m, 0xfd, 27, 0, 0x6a);
    }
    must_end_locals(m, n, 'v');
}

/* A function of `n` parameters that calls itself with them in another order. */
static uint32_t make_many(struct must *m, uint32_t n, unsigned call)
{
    char sig[32];
    uint32_t type, index;

    memset(sig, 'i', n);
    memcpy(sig + n, ":i", 3);
    type = must_type(m, sig);
    index = must_func(m, type, NULL);
    emit_stop(m, 5);
    emit_sub(m, 0, 1);
    for (uint32_t i = 1; i < n; i++)
        emit_get(m, i + 1 < n ? i + 1 : 1);
    emit_u(m, call, index);
    if (call == CALL) {
        emit_get(m, n - 1);
        EMIT(m, 0x6a);
    }
    must_end(m);
    return index;
}

static void emit_many(struct must *m, uint32_t n, uint32_t func)
{
    emit_get(m, 0);
    for (uint32_t i = 1; i < n; i++)
        emit_i32(m, i);
    emit_call(m, func);
}

enum { BACK, FIB, WIDE, MANY, PUT_OFF, INDIRECT, HELPERS, HOST, ALL };

/* Function ALL calls the others; BACK is the host's, which calls FIB. */
static void make_plain(struct sv_buf *ret)
{
    struct must m;
    struct sv_buf *b;
    uint32_t type;

    must_init(&m);
    type = must_type(&m, "i:i");
    must_import(&m, "back", type);
    must_limits(must_entry(&m, MUST_MEMORY), 1, 1, 4);
    b = must_entry(&m, MUST_TABLE);
    put_byte(b, 0x70);
    must_limits(b, 0, 1, 0);
    put(must_entry(&m, MUST_ELEM), BYTES(0, 0x41, 0, END, 1, FIB));

    must_func(&m, type, "fib");
    emit_get(&m, 0);
    EMIT(&m, 0x41, 2, 0x49, 0x04, I32, 0x20, 0, 0x05);
    emit_sub(&m, 0, 1);
    emit_call(&m, FIB);
    emit_sub(&m, 0, 2);
    emit_call(&m, FIB);
    EMIT(&m, 0x6a, END);
    must_end(&m);
    make_wide(&m, type, 20, FIB);
    make_many(&m, 13, CALL);

    must_func(&m, type, NULL); /* PUT_OFF: a short way that needs no frame */
    emit_get(&m, 0);
    EMIT(&m, 0x41, 1, 0x71, 0x04, 0x40, 0x20, 0, 0x0f, END);
    emit_sub(&m, 0, 1);
    emit_call(&m, FIB);
    emit_get(&m, 0);
    emit_call(&m, FIB);
    EMIT(&m, 0x6a);
    must_end(&m);

    must_func(&m, type, NULL); /* INDIRECT */
    emit_get(&m, 0);
    EMIT(&m, 0x41, 0, 0x11);
    put_u64(&m.body, type);
    EMIT(&m, 0, 0x41, 1, 0x6a);
    must_end(&m);

    must_func(&m, type, NULL); /* HELPERS: grow, fill and copy of any length */
    EMIT(&m, 0x41, 1, 0x40, 0, 0x1a);
    for (unsigned op = 10; op <= 11; op++) {
        EMIT(&m, 0x41, 0, 0x41, 16, 0x20, 0, 0xfc, (uint8_t)op, 0);
        if (op == 10)
            EMIT(&m, 0);
    }
    emit_get(&m, 0);
    must_end(&m);

    must_func(&m, type, NULL); /* HOST */
    emit_get(&m, 0);
    emit_call(&m, BACK);
    EMIT(&m, 0x41, 1, 0x6a);
    must_end(&m);

    must_func(&m, type, NULL);
    EMIT(&m, 0x41, 0);
    for (uint32_t f = FIB; f < ALL; f++) {
        if (f == MANY)
            emit_many(&m, 13, f);
        else
            emit_get(&m, 0);
        if (f != MANY)
            emit_call(&m, f);
        EMIT(&m, 0x6a);
    }
    for (uint32_t k = 0; k < 2; k++) { /* both ways of PUT_OFF, short and long copies */
        emit_i32(&m, 4 + k);
        emit_call(&m, PUT_OFF);
        emit_i32(&m, 200 + 200 * k);
        emit_call(&m, HELPERS);
        EMIT(&m, 0x6a, 0x6a);
    }
    must_end(&m);
    must_bytes(&m, ret);
}

/* Frames of many pages: function 2 makes room in a loop, 1 page by page. */
static void make_large(struct sv_buf *ret)
{
    struct must m;
    uint32_t type;

    must_init(&m);
    must_limits(must_entry(&m, MUST_MEMORY), 1, 1, 1);
    type = must_type(&m, "i:i");
    make_wide(&m, type, 1, 0);
    make_wide(&m, type, 600, 0);
    make_wide(&m, type, 2100, 1);
    must_bytes(&m, ret);
}

/* Function 2 calls 0 and 1, which call themselves for good, with few parameters and with many. */
static void make_tails(struct sv_buf *ret)
{
    struct must m;

    must_init(&m);
    make_many(&m, 2, RETURN_CALL);
    make_many(&m, 13, RETURN_CALL);
    must_func(&m, must_type(&m, "i:i"), NULL);
    emit_many(&m, 2, 0);
    emit_many(&m, 13, 1);
    EMIT(&m, 0x6a);
    must_end(&m);
    must_bytes(&m, ret);
}

/* Function 2 calls 1, which calls 0, which throws. */
static void make_exceptions(struct sv_buf *ret)
{
    struct must m;
    uint32_t type;

    must_init(&m);
    type = must_type(&m, "i:i");
    put(must_entry(&m, MUST_TAG), BYTES(0, 1));
    must_type(&m, "i:");
    must_func(&m, type, NULL);
    EMIT(&m, 0x20, 0, 0x08, 0);
    must_end(&m);
    must_func(&m, type, NULL);
    emit_get(&m, 0);
    emit_call(&m, 0);
    EMIT(&m, 0x41, 1, 0x6a);
    must_end(&m);
    must_func(&m, type, NULL);
    EMIT(&m, 0x02, I32, 0x1f, I32, 1, 0, 0, 0); /* block, try_table with catch 0 to it */
    emit_get(&m, 0);
    emit_call(&m, 1);
    EMIT(&m, END, END);
    must_end(&m);
    must_bytes(&m, ret);
}

/* ---- Running them ---- */

static int back(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    union sv_slot slots[1] = {{.i32 = arg[0].i32}};
    int r = sv_func_call(&c->inst->store->thread, sv_instance_func(c->inst, FIB), slots);

    ret[0].i64 = slots[0].i32;
    return r;
}

static struct sv_engine *open_engine(unsigned opt_level, bool checked)
{
    struct sv_engine *e = must_engine(checked ? MUST_NATIVE_CHECKED : MUST_NATIVE);

    e->deterministic = false;
    e->tier->opt_level = opt_level;
    return e;
}

/* Call the function with SIGTRAP behind each instruction. */
static void run_stepped(const struct sv_buf *bytes, uint32_t func, unsigned opt_level, bool checked,
                        uint32_t arg)
{
    static const sv_valtype i32[1] = {SV_VALTYPE(SV_VAL_I32)};
    struct sv_engine *e = open_engine(opt_level, checked);
    struct sv_decode_options options = {.features = e->features};
    struct sv_extern import = {.kind = SV_EXTERN_FUNC};
    struct must_world w = {.engine = e};
    struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
    union sv_slot slots[1] = {{.i32 = arg}};
    struct sv_err err = {0};
    struct sv_func *f;
    int r;

    if (sv_module_new(&err, e->types, bytes->data, bytes->len, NULL, &options, &w.module) < 0)
        fail_msg("%s at %#llx", err.text, (unsigned long long)err.offset);
    assert_int_equal(sv_store_new(&err, e, NULL, &w.store), 0);
    import.func =
        sv_func_new_host(w.store, sv_types_func(e->types, i32, 1, i32, 1), back, NULL, "h.back", 0);
    if (sv_instance_new(&err, w.store, w.module, &import, &w.inst) < 0)
        fail_msg("%s", err.text);
    assert_non_null(w.inst->native);
    f = sv_instance_func(w.inst, func);
    memset(&steps, 0, sizeof steps);
    steps.th = &w.store->thread;
    sigaction(SIGTRAP, &sa, &old);
    set_trap_flag(true);
    r = sv_func_call(&w.store->thread, f, slots);
    set_trap_flag(false);
    sigaction(SIGTRAP, &old, NULL);
    assert_int_equal(r, 0);
    if (steps.different)
        fail_msg("-O%u%s: %lu of %lu steps; first %s", opt_level, checked ? " checked" : "",
                 steps.different, steps.guest_steps + steps.stub_steps, steps.failure);
    assert_true(steps.guest_steps > 40);
    steps.th = NULL;
    must_close(&w);
    sv_engine_unref(e);
}

/* At levels of optimisation up to `high`. */
static void each_form(void (*make)(struct sv_buf *), uint32_t func, uint32_t arg, unsigned high)
{
    struct sv_buf bytes;

    make(&bytes);
    for (unsigned opt_level = 0; opt_level <= high; opt_level++)
        run_stepped(&bytes, func, opt_level, opt_level == 0, arg);
    sv_buf_release(&bytes);
}

static void test_plain(void **state)
{
    (void)state;
    each_form(make_plain, ALL, 5, 3);
}

static void test_large(void **state)
{
    (void)state;
    each_form(make_large, 2, 5, 0); /* passes are not linear */
}

static void test_tails(void **state)
{
    (void)state;
    each_form(make_tails, 2, 6, 3);
}

static void test_exceptions(void **state)
{
    (void)state;
    each_form(make_exceptions, 2, 6, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_exceptions),
    };

    return cmocka_run_group_tests_name("must/walk", tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* no native code, or no way to run it step by step */
}

#endif
