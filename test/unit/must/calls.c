/* The end of the stack, reached in every way; tail calls that need no stack; exceptions thrown at
 * its edge; guests that call hosts that call guests, and what hosts give back. */
#include "guest.h"

#include <pthread.h>

enum { BLOCK = 0x02, IF = 0x04, END = 0x0b, CALL = 0x10, VOID = 0x40, ANSWER = 42 };
#define PARAMS_MAX 1000

/* ---- Recursion without an end ---- */

enum kind { BY_CALL, BY_INDIRECT, BY_REF, BY_TAIL, BY_TAIL_INDIRECT, BY_TAIL_REF, KINDS };
static const char *const kind_names[KINDS] = {
    "call", "call_indirect", "call_ref", "return_call", "return_call_indirect", "return_call_ref"};

/* The call itself; function `func` of type `type` is element `elem` of table 0. */
static void emit_call(struct must *m, enum kind kind, uint32_t func, uint32_t type, uint32_t elem)
{
    switch (kind) {
    case BY_CALL:
    case BY_TAIL:
        emit_u(m, kind == BY_CALL ? CALL : 0x12, func);
        break;
    case BY_INDIRECT:
    case BY_TAIL_INDIRECT:
        emit_i32(m, elem);
        emit_u(m, kind == BY_INDIRECT ? 0x11 : 0x13, type);
        put_byte(&m->body, 0);
        break;
    default:
        emit_u(m, 0xd2, func);
        emit_u(m, kind == BY_REF ? 0x14 : 0x15, type);
        break;
    }
}

/* A table with functions first .. first + n - 1, which thereby may be referred to. */
static void put_table(struct must *m, uint32_t first, uint32_t n)
{
    struct sv_buf *b = must_entry(m, MUST_TABLE);

    put_byte(b, 0x70);
    must_limits(b, 0, n, 0);
    b = must_entry(m, MUST_ELEM);
    put(b, BYTES(0, 0x41, 0, END));
    put_u64(b, n);
    for (uint32_t i = 0; i < n; i++)
        put_u64(b, first + i);
}

static void put_answer(struct must *m)
{
    must_func(m, must_type(m, ":i"), "ok");
    emit_i32(m, ANSWER);
    must_end(m);
}

static const char *params(char *sig, unsigned n, char kind, const char *result)
{
    memset(sig, kind, n);
    strcpy(sig + n, result);
    return sig;
}

/* Exports call, call_indirect, call_ref: functions of n parameters that call themselves with them;
 * `start` (if it is not KINDS) is what the start function does. */
static void make_recursion(struct sv_buf *ret, unsigned n, char kind, enum kind start)
{
    char sig[PARAMS_MAX + 8];
    uint32_t type, func;
    struct must m;

    must_init(&m);
    type = must_type(&m, params(sig, n, kind, ":"));
    for (enum kind k = BY_CALL; k <= BY_REF; k++) {
        func = must_func(&m, type, kind_names[k]);
        for (unsigned i = 0; i < n; i++)
            emit_get(&m, i);
        emit_call(&m, k, func, type, k);
        must_end(&m);
    }
    func = must_func(&m, must_type(&m, ":"), "locals");
    emit_u(&m, CALL, func);
    must_end_locals(&m, 50000, 'v');
    put_table(&m, 0, KINDS / 2);
    put_answer(&m);
    if (start != KINDS)
        put_u64(must_entry(&m, MUST_START), start);
    must_bytes(&m, ret);
}

/* One store's worth of recursions; asserts nothing, as it may run in another thread. */
struct recursion {
    struct guest g;
    unsigned n;
    char kind;
    const char *names[4];
    int traps[4], answer;
};

static void *recurse(void *data)
{
    static const ssvm_kind kinds[] = {SSVM_I32, SSVM_V128};
    struct recursion *r = data;
    ssvm_val args[PARAMS_MAX], out = {.kind = SSVM_I32};
    ssvm_error *e;

    for (unsigned i = 0; i < r->n; i++)
        args[i] = (ssvm_val){.kind = kinds[r->kind == 'v'], .of.i32 = (int)i};
    for (unsigned k = 0; k < 4; k++) {
        ssvm_func *f = ssvm_instance_func(r->g.instance, r->names[k]);

        e = ssvm_func_call(r->g.store, f, args, k == 3 ? 0 : r->n, NULL, 0);
        r->traps[k] = e ? ssvm_error_trap_code(e) : -1;
        if (e && strcmp(ssvm_error_message(e), "call stack exhausted") != 0)
            r->traps[k] = -2;
        ssvm_error_delete(e);
    }
    e = ssvm_func_call(r->g.store, ssvm_instance_func(r->g.instance, "ok"), NULL, 0, &out, 1);
    r->answer = e ? -1 : out.of.i32;
    ssvm_error_delete(e);
    return NULL;
}

static void run_on(struct recursion *r, size_t thread_stack)
{
    pthread_attr_t attr;
    pthread_t thread;

    if (thread_stack == 0) {
        recurse(r);
        return;
    }
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, thread_stack), 0);
    assert_int_equal(pthread_create(&thread, &attr, recurse, r), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

static void check_recursion(unsigned n, char kind, uint64_t stack_bytes, size_t thread_stack,
                            const ssvm_config *config)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    struct recursion r = {
        .n = n, .kind = kind, .names = {"call", "call_indirect", "call_ref", "locals"}};
    struct sv_buf bytes;

    limits.stack_bytes = stack_bytes;
    make_recursion(&bytes, n, kind, KINDS);
    guest_open(&r.g, &bytes, config, &limits);
    guest_start(&r.g);
    run_on(&r, thread_stack);
    for (unsigned k = 0; k < 4; k++) {
        if (r.traps[k] != SSVM_TRAP_STACK)
            fail_msg("%s, %u parameters: %d", r.names[k], n, r.traps[k]);
    }
    assert_int_equal(r.answer, ANSWER);
    guest_close(&r.g);
}

static const unsigned counts[] = {0, 1, 2, 10, 100, 999, 1000};
#define SMALL_STACK (128 << 10)

static void recursion(void **state)
{
    ssvm_config plain = SSVM_CONFIG_INIT;

    (void)state;
    plain.no_optimise = true;
    for (unsigned i = 0; i < SV_COUNT(counts); i++) {
        for (unsigned k = 0; k < 4; k++) {
            check_recursion(counts[i], k % 2 ? 'v' : 'i', k / 2 ? 64 << 10 : 1 << 20, 0, NULL);
            check_recursion(counts[i], k % 2 ? 'v' : 'i', k / 2 ? 64 << 10 : 0, 0, &plain);
        }
    }
}

static void recursion_on_small_threads(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SV_COUNT(counts); i++) {
        check_recursion(counts[i], 'i', 1 << 20, SMALL_STACK, NULL);
        check_recursion(counts[i], 'v', 1 << 20, SMALL_STACK, NULL);
    }
}

static void recursion_in_start(void **state)
{
    (void)state;
    for (enum kind start = BY_CALL; start <= BY_REF; start++) {
        struct sv_buf bytes;
        struct guest g;
        ssvm_error *e;

        make_recursion(&bytes, 0, 'i', start);
        guest_open(&g, &bytes, NULL, NULL);
        e = ssvm_linker_instantiate(g.linker, g.module, &g.instance);
        assert_non_null(e);
        assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_STACK);
        ssvm_error_delete(e);
        guest_close(&g);
    }
}

/* ---- Guest and host in turn, until C's stack ends ---- */

static ssvm_error *call_again(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)args;
    (void)ret;
    return ssvm_func_call(ssvm_caller_store(c), ssvm_instance_func(ssvm_caller_instance(c), data),
                          NULL, 0, NULL, 0);
}

static void make_back(struct sv_buf *ret)
{
    struct must m;

    must_init(&m);
    must_import(&m, "back", must_type(&m, ":"));
    must_func(&m, 0, "down");
    emit_u(&m, CALL, 0);
    must_end(&m);
    put_answer(&m);
    must_bytes(&m, ret);
}

static void *down(void *data)
{
    struct recursion *r = data;
    ssvm_val out = {.kind = SSVM_I32};
    ssvm_error *e = guest_call(&r->g, "down", NULL, 0, NULL);

    r->traps[0] = e ? ssvm_error_trap_code(e) : -1;
    ssvm_error_delete(e);
    e = guest_call(&r->g, "ok", NULL, 0, &out);
    r->answer = e ? -1 : out.of.i32;
    ssvm_error_delete(e);
    return NULL;
}

static void host_reentry(void **state)
{
    pthread_attr_t attr;

    (void)state;
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, SMALL_STACK), 0);
    for (unsigned small = 0; small < 2; small++) {
        struct recursion r = {.n = 0};
        struct sv_buf bytes;
        pthread_t thread;

        make_back(&bytes);
        guest_open(&r.g, &bytes, NULL, NULL);
        guest_import(&r.g, "back", call_again, (void *)(uintptr_t)"down", NULL);
        guest_start(&r.g);
        if (small) {
            assert_int_equal(pthread_create(&thread, &attr, down, &r), 0);
            pthread_join(thread, NULL);
        } else {
            down(&r);
        }
        assert_int_equal(r.traps[0], SSVM_TRAP_STACK);
        assert_int_equal(r.answer, ANSWER);
        guest_close(&r.g);
    }
    pthread_attr_destroy(&attr);
}

/* ---- Tail calls: constant space, and what is left of them after a trap ---- */

/* Export i: count in parameter 0, n more; calls itself by tail until 0, then 42 or a trap. The
 * last export, "swing", changes between one and many parameters. */
static void make_tail(struct sv_buf *ret, unsigned n, char kind, bool trap)
{
    char sig[PARAMS_MAX + 8];
    uint32_t type, one, func;
    struct must m;

    must_init(&m);
    sig[0] = 'i';
    params(sig + 1, n, kind, ":i");
    type = must_type(&m, sig);
    one = must_type(&m, "i:i");
    for (enum kind k = BY_TAIL; k < KINDS; k++) {
        func = must_func(&m, type, NULL);
        emit_get(&m, 0);
        EMIT(&m, 0x45, IF, VOID);
        if (trap)
            EMIT(&m, 0x00);
        emit_i32(&m, ANSWER);
        EMIT(&m, 0x0f, END);
        emit_get(&m, 0);
        EMIT(&m, 0x41, 1, 0x6b);
        for (unsigned i = 1; i <= n; i++)
            emit_get(&m, i);
        emit_call(&m, k, func, type, k - BY_TAIL);
        must_end(&m);
    }
    for (enum kind k = BY_TAIL; k < KINDS; k++) { /* callers with a plain interface */
        must_func(&m, one, kind_names[k]);
        emit_get(&m, 0);
        for (unsigned i = 0; i < n; i++) {
            if (kind == 'v')
                EMIT(&m, 0x41, 1, 0xfd, 0x0f);
            else
                EMIT(&m, 0x41, 1);
        }
        emit_u(&m, CALL, k - BY_TAIL);
        must_end(&m);
    }
    put_table(&m, 0, 3);
    must_bytes(&m, ret);
}

static void tail_calls(void **state)
{
    static const struct {
        unsigned n;
        int32_t count;
    } runs[] = {{0, 10000000}, {1, 1000000}, {10, 1000000}, {100, 10000}, {999, 10000}};

    (void)state;
    for (unsigned i = 0; i < 2 * SV_COUNT(runs); i++) {
        ssvm_limits limits = SSVM_LIMITS_INIT;
        struct sv_buf bytes;
        struct guest g;

        if (i % 2 && runs[i / 2].n == 0)
            continue; /* the same again */
        limits.stack_bytes = 64 << 10;
        make_tail(&bytes, runs[i / 2].n, i % 2 ? 'v' : 'i', false);
        guest_open(&g, &bytes, NULL, &limits);
        guest_start(&g);
        for (enum kind k = BY_TAIL; k < KINDS; k++) {
            ssvm_val out;

            assert_int_equal(guest_trap(&g, kind_names[k], runs[i / 2].count, 1, &out), 0);
            assert_int_equal(out.of.i32, ANSWER);
        }
        guest_close(&g);
    }
}

static unsigned lines(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void trap_in_tail_call_chain(void **state)
{
    ssvm_config plain = SSVM_CONFIG_INIT;

    (void)state;
    plain.no_optimise = true;
    for (unsigned i = 0; i < 4; i++) {
        struct sv_buf bytes;
        struct guest g;

        make_tail(&bytes, i % 2 ? 20 : 0, 'i', true);
        guest_open(&g, &bytes, i / 2 ? &plain : NULL, NULL);
        guest_start(&g);
        for (enum kind k = BY_TAIL; k < KINDS; k++) {
            int32_t count = 100000;
            ssvm_val out;
            ssvm_error *e = guest_call(&g, kind_names[k], &count, 1, &out);
            const char *trace;

            assert_non_null(e);
            assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_UNREACHABLE);
            trace = ssvm_error_backtrace(e);
            if (lines(trace) > 2 || !strstr(trace, kind_names[k])) /* the last, and the caller */
                fail_msg("%s: '%s'", kind_names[k], trace);
            ssvm_error_delete(e);
        }
        guest_close(&g);
    }
}

static void backtrace_of_deep_stack(void **state)
{
    struct sv_buf bytes;
    struct guest g;
    ssvm_error *e;

    (void)state;
    make_recursion(&bytes, 0, 'i', KINDS);
    guest_open(&g, &bytes, NULL, NULL);
    guest_start(&g);
    e = guest_call(&g, "call", NULL, 0, NULL);
    assert_non_null(e);
    assert_in_range(lines(ssvm_error_backtrace(e)), 16, SV_FRAMES_MAX + 1);
    ssvm_error_delete(e);
    guest_close(&g);
}

/* ---- Exceptions at the edge of the stack ---- */

enum { TRY = 0x1f, EXNREF = 0x69, UNREACHABLE = 0, THROW_REF = 0x0a };
enum { PAIR = 0, BY_DEPTH, RESULT_OF_DEPTH, TAG_TYPE };
#define PAYLOAD 16 /* the sum of the two values thrown */

/* throw: (depth) recurses, then throws. again: catches and throws anew at every level. catch,
 * nested, catch_again: (depth) -> the payload's sum. */
static void make_exceptions(struct sv_buf *ret)
{
    uint32_t thrower, again;
    struct must m;

    must_init(&m);
    must_type(&m, ":iI");
    must_type(&m, "i:");
    must_type(&m, "i:i");
    must_type(&m, "iI:");
    put(must_entry(&m, MUST_TAG), BYTES(0, TAG_TYPE));
    thrower = must_func(&m, BY_DEPTH, "throw");
    emit_get(&m, 0);
    EMIT(&m, 0x45, IF, VOID, 0x41, 7, 0x42, 9, 0x08, 0, END, 0x20, 0, 0x41, 1, 0x6b, CALL,
         (uint8_t)thrower);
    must_end(&m);
    again = must_func(&m, BY_DEPTH, "again");
    EMIT(&m, BLOCK, EXNREF, TRY, EXNREF, 1, 3, 0, 0x20, 0, 0x45, IF, VOID, 0x41, 0, CALL,
         (uint8_t)thrower, END, 0x20, 0, 0x41, 1, 0x6b, CALL, (uint8_t)again, UNREACHABLE, END, END,
         THROW_REF);
    must_end(&m);
    must_func(&m, RESULT_OF_DEPTH, "catch");
    EMIT(&m, BLOCK, PAIR, TRY, PAIR, 1, 0, 0, 0, 0x20, 0, CALL, (uint8_t)thrower, UNREACHABLE, END,
         END, 0xa7, 0x6a);
    must_end(&m);
    must_func(&m, RESULT_OF_DEPTH, "nested");
    EMIT(&m, BLOCK, PAIR, TRY, PAIR, 1, 0, 0, 0, BLOCK, EXNREF, TRY, EXNREF, 1, 3, 0, 0x20, 0, CALL,
         (uint8_t)thrower, UNREACHABLE, END, END, THROW_REF, END, END, 0xa7, 0x6a);
    must_end(&m);
    must_func(&m, RESULT_OF_DEPTH, "catch_again");
    EMIT(&m, BLOCK, PAIR, TRY, PAIR, 1, 0, 0, 0, 0x20, 0, CALL, (uint8_t)again, UNREACHABLE, END,
         END, 0xa7, 0x6a);
    must_end(&m);
    must_bytes(&m, ret);
}

/* true: caught, with the whole payload; false: the stack ended. Nothing else may happen. */
static bool caught(struct guest *g, const char *name, int32_t depth)
{
    ssvm_val out = {.of.i32 = 0};
    int trap = guest_trap(g, name, depth, 1, &out);

    if (trap != 0 && trap != SSVM_TRAP_STACK)
        fail_msg("%s at depth %d: trap %d", name, depth, trap);
    if (trap == 0)
        assert_int_equal(out.of.i32, PAYLOAD);
    return trap == 0;
}

static void throw_at_stack_edge(void **state)
{
    static const char *const names[] = {"catch", "nested", "catch_again"};

    (void)state;
    for (unsigned i = 0; i < 2 * SV_COUNT(names); i++) {
        ssvm_limits limits = SSVM_LIMITS_INIT;
        ssvm_config config = SSVM_CONFIG_INIT;
        int32_t low = 0, high = 1 << 20;
        struct sv_buf bytes;
        struct guest g;

        limits.stack_bytes = 64 << 10;
        config.tier = "interp"; /* where the edge lies is the tier's own */
        config.no_optimise = i % 2;
        make_exceptions(&bytes);
        guest_open(&g, &bytes, &config, &limits);
        guest_start(&g);
        while (high - low > 1) { /* low is caught, high is not */
            int32_t middle = low + (high - low) / 2;

            if (caught(&g, names[i / 2], middle))
                low = middle;
            else
                high = middle;
        }
        assert_true(low > 50);
        for (int32_t d = low - 30; d < low + 30; d++)
            assert_int_equal(caught(&g, names[i / 2], d), d <= low);
        guest_close(&g);
    }
}

/* ---- The host changes the guest while the guest waits for it ---- */

enum { PAGE = 65536, NEW_PAGES = 3, NEW_ELEMS = 5, MARK = 11 };

/* outer: stores, calls the host, then needs what the host's nested call made: page 1 and element
 * NEW_ELEMS. spin_after: calls the host, then never ends. */
static void make_nested(struct sv_buf *ret)
{
    struct sv_buf *b;
    struct must m;

    must_init(&m);
    must_import(&m, "back", must_type(&m, ":"));
    must_type(&m, ":i");
    must_limits(must_entry(&m, MUST_MEMORY), 1, 1, 10);
    must_export(&m, "memory", 2, 0);
    b = must_entry(&m, MUST_TABLE);
    put_byte(b, 0x70);
    must_limits(b, 0, 1, 0);
    must_func(&m, 1, "outer");
    EMIT(&m, 0x41, 0, 0x41, 1, 0x36, 2, 0, CALL, 0);
    EMIT(&m, 0x41, 0, 0x28, 2);
    put_u64(&m.body, PAGE);
    EMIT(&m, 0x3f, 0, 0x41, 10, 0x6c, 0x6a, 0x41, NEW_ELEMS, 0x25, 0, 0xd1, 0x6a);
    must_end(&m);
    must_func(&m, 0, "grow");
    EMIT(&m, 0x41, NEW_PAGES, 0x40, 0, 0x1a, 0xd0, 0x70, 0x41, NEW_ELEMS, 0xfc, 15, 0, 0x1a);
    must_end(&m);
    must_func(&m, 0, "boom");
    EMIT(&m, UNREACHABLE);
    must_end(&m);
    must_func(&m, 0, "spin");
    EMIT(&m, 0x03, VOID, 0x0c, 0, END);
    must_end(&m);
    must_func(&m, 0, "spin_after");
    EMIT(&m, CALL, 0, 0x03, VOID, 0x0c, 0, END);
    must_end(&m);
    must_bytes(&m, ret);
}

struct plan {
    const char *nested; /* what the host calls */
    bool cancel;
    int trap; /* that it gets */
};

static ssvm_error *back(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    const struct plan *p = data;
    ssvm_store *s = ssvm_caller_store(c);
    ssvm_instance *inst = ssvm_caller_instance(c);
    int32_t mark = MARK;
    ssvm_error *e;
    void *slice;

    (void)args;
    (void)ret;
    if (p->cancel)
        ssvm_store_cancel(s);
    e = ssvm_func_call(s, ssvm_instance_func(inst, p->nested), NULL, 0, NULL, 0);
    if ((e ? ssvm_error_trap_code(e) : 0) != p->trap) {
        ssvm_error_delete(e);
        return ssvm_error_new("another trap");
    }
    ssvm_error_delete(e); /* swallowed: the guest goes on */
    ssvm_memory_grow(ssvm_instance_memory(inst, "memory"), 1);
    slice = ssvm_caller_slice(c, PAGE, sizeof mark);
    if (!slice)
        return ssvm_error_new("no page 1");
    memcpy(slice, &mark, sizeof mark);
    return NULL;
}

static void open_nested(struct guest *g, const struct plan *p, bool no_guard)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    struct sv_buf bytes;

    config.no_guard = no_guard;
    make_nested(&bytes);
    guest_open(g, &bytes, &config, NULL);
    guest_import(g, "back", back, (void *)(uintptr_t)p, NULL);
    guest_start(g);
}

static void growth_under_a_host_call(void **state)
{
    static const struct plan plan = {.nested = "grow"};

    (void)state;
    for (unsigned no_guard = 0; no_guard < 2; no_guard++) {
        struct guest g;
        ssvm_val out;

        open_nested(&g, &plan, no_guard);
        ok(guest_call(&g, "outer", NULL, 0, &out));
        assert_int_equal(out.of.i32, MARK + 10 * (1 + NEW_PAGES + 1) + 1);
        guest_close(&g);
    }
}

/* The nested trap is the host's to swallow; the outer guest then meets its own. */
static void trap_under_a_host_call(void **state)
{
    static const struct plan plan = {.nested = "boom", .trap = SSVM_TRAP_UNREACHABLE};
    struct guest g;
    ssvm_val out;

    (void)state;
    open_nested(&g, &plan, false);
    assert_int_equal(guest_trap(&g, "outer", 0, 0, &out), SSVM_TRAP_TABLE_BOUNDS);
    assert_int_equal(guest_trap(&g, "outer", 0, 0, &out), SSVM_TRAP_TABLE_BOUNDS);
    guest_close(&g);
}

static void cancel_under_a_host_call(void **state)
{
    static const struct plan plan = {.nested = "spin", .cancel = true, .trap = SSVM_TRAP_CANCELLED};
    struct guest g;

    (void)state;
    open_nested(&g, &plan, false);
    assert_int_equal(guest_trap(&g, "spin_after", 0, 0, NULL), SSVM_TRAP_CANCELLED);
    assert_int_equal(guest_trap(&g, "grow", 0, 0, NULL), SSVM_TRAP_CANCELLED);
    ssvm_store_resume(g.store);
    assert_int_equal(guest_trap(&g, "grow", 0, 0, NULL), 0);
    guest_close(&g);
}

/* ---- Results of hosts ---- */

/* An i32 whose upper half is not clean. */
static ssvm_error *unclean(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)c;
    (void)args;
    ret->kind = SSVM_I32;
    ret->of.i64 = INT64_C(0x5eadbeef00000000) | MARK;
    return NULL;
}

/* The number as an address, extended both ways, and as a parameter: each must be MARK. */
static void unclean_host_results(void **state)
{
    static const ssvm_kind number = SSVM_I32;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        ssvm_config config = SSVM_CONFIG_INIT;
        struct sv_buf bytes;
        struct guest g;
        struct must m;
        ssvm_val out;

        config.no_guard = i % 2;
        config.no_optimise = i / 2;
        must_init(&m);
        must_import(&m, "number", must_type(&m, ":i"));
        must_type(&m, ":I");
        must_limits(must_entry(&m, MUST_MEMORY), 1, 1, 1);
        put(must_entry(&m, MUST_DATA), BYTES(0, 0x41, MARK, END, 1, MARK));
        must_func(&m, 1, "sum");
        EMIT(&m, CALL, 0, 0x31, 0, 0, CALL, 0, 0xac, 0x7c, CALL, 0, 0xad, 0x7c);
        EMIT(&m, CALL, 0, CALL, 0, 0x41, 0, 0x6a, 0x6b, 0xad, 0x7c);
        must_end(&m);
        must_bytes(&m, &bytes);
        guest_open(&g, &bytes, &config, NULL);
        guest_import(&g, "number", unclean, NULL, &number);
        guest_start(&g);
        ok(guest_call(&g, "sum", NULL, 0, &out));
        assert_int_equal(out.of.i64, 3 * MARK);
        guest_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recursion),
        cmocka_unit_test(recursion_on_small_threads),
        cmocka_unit_test(recursion_in_start),
        cmocka_unit_test(host_reentry),
        cmocka_unit_test(tail_calls),
        cmocka_unit_test(trap_in_tail_call_chain),
        cmocka_unit_test(backtrace_of_deep_stack),
        cmocka_unit_test(throw_at_stack_edge),
        cmocka_unit_test(growth_under_a_host_call),
        cmocka_unit_test(trap_under_a_host_call),
        cmocka_unit_test(cancel_under_a_host_call),
        cmocka_unit_test(unclean_host_results),
    };

    return cmocka_run_group_tests_name("must/calls", tests, NULL, NULL);
}
