/* Entering guests from C: depth, small stacks, swallowed traps, faults that are not ours,
 * backtraces as text. */
#include "fake.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Host re-entrancy ---- */

struct recursion {
    struct sv_func *self;
    unsigned depth, deepest;
};

static int recurse(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct recursion *r = c->data;
    union sv_slot none[1];
    int result;

    (void)arg;
    (void)ret;
    r->depth++;
    if (r->depth > r->deepest)
        r->deepest = r->depth;
    result = sv_func_call(c->th, r->self, none);
    r->depth--;
    return result;
}

static void *run_recursion(void *arg)
{
    struct sv_engine *e = arg;
    struct sv_store *s = fake_store(e, NULL);
    const struct sv_type *t = sv_types_func(e->types, NULL, 0, NULL, 0);
    struct recursion r = {0};
    union sv_slot none[1];

    r.self = sv_func_new_host(s, t, recurse, &r, "test.recurse", 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sv_func_call(&s->thread, r.self, none), SV_ETRAP);
        assert_int_equal(s->thread.trap.code, SV_TRAP_STACK);
        assert_int_equal(s->thread.depth, 0);
        assert_ptr_equal(s->thread.sp, s->thread.stack);
    }
    assert_true(r.deepest <= SV_CALL_DEPTH_MAX);
    sv_store_delete(s);
    return (void *)(uintptr_t)r.deepest;
}

static void test_depth(void **state)
{
    struct sv_engine *e = fake_engine();
    pthread_attr_t attr;
    pthread_t t;
    void *deepest;

    (void)state;
    assert_int_equal((uintptr_t)run_recursion(e), SV_CALL_DEPTH_MAX);
    /* On a small stack it is a trap all the same. */
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, 128 << 10), 0);
    assert_int_equal(pthread_create(&t, &attr, run_recursion, e), 0);
    pthread_join(t, &deepest);
    assert_true((uintptr_t)deepest >= 1);
    assert_true((uintptr_t)deepest <= SV_CALL_DEPTH_MAX);
    pthread_attr_destroy(&attr);
    sv_engine_unref(e);
}

/* ---- What calls leave behind ---- */

static int trap_now(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)f;
    (void)args;
    th->sp += 100;
    th->fp = th->sp;
    return sv_trap_raise(th, SV_TRAP_UNREACHABLE);
}

static int swallow(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    assert_int_equal(sv_func_call(c->th, c->data, ret), SV_ETRAP);
    assert_int_equal(c->th->trap.code, SV_TRAP_UNREACHABLE);
    return 0;
}

static int fail_plainly(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    (void)ret;
    return sv_trap_set(c->th, SV_TRAP_HOST, "cannot do %s", "that");
}

static int fail_without_words(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)c;
    (void)arg;
    (void)ret;
    return SV_EIO;
}

static int leave(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    (void)ret;
    c->th->exit_code = 3;
    return SV_EEXIT;
}

static void test_results(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL), *other = fake_store(e, NULL);
    const struct sv_type *t = sv_types_func(e->types, NULL, 0, NULL, 0);
    struct sv_thread *th = &s->thread;
    struct sv_func *bad = fake_func(s, trap_now);
    union sv_slot none[1];

    (void)state;
    assert_int_equal(sv_func_call(th, bad, none), SV_ETRAP);
    assert_string_equal(th->trap.text, "unreachable");
    assert_ptr_equal(th->sp, th->stack);
    assert_null(th->fp);
    assert_int_equal(sv_func_call(th, sv_func_new_host(s, t, swallow, bad, "a.b", 0), none), 0);
    assert_int_equal(th->trap.code, 0);
    assert_int_equal(sv_func_call(th, sv_func_new_host(s, t, fail_plainly, NULL, "a.b", 0), none),
                     SV_ETRAP);
    assert_int_equal(th->trap.code, SV_TRAP_HOST);
    assert_string_equal(th->trap.text, "cannot do that");
    assert_int_equal(
        sv_func_call(th, sv_func_new_host(s, t, fail_without_words, NULL, "a.b", 0), none),
        SV_ETRAP);
    assert_string_equal(th->trap.text, "host function failed");
    assert_int_equal(sv_func_call(th, sv_func_new_host(s, t, leave, NULL, "a.b", 0), none),
                     SV_EEXIT);
    assert_int_equal(th->exit_code, 3);
    /* Gas of a host call: all or nothing. */
    sv_store_set_gas(s, 10);
    assert_int_equal(sv_func_call(th, sv_func_new_host(s, t, leave, NULL, "a.b", 7), none),
                     SV_EEXIT);
    assert_int_equal(sv_store_gas_used(s), 7);
    assert_int_equal(sv_func_call(th, sv_func_new_host(s, t, leave, NULL, "a.b", 7), none),
                     SV_ETRAP);
    assert_int_equal(th->trap.code, SV_TRAP_GAS);
    assert_int_equal(sv_store_gas_used(s), 7);
    /* Stores do not mix. */
    assert_int_equal(sv_func_call(&other->thread, bad, none), SV_ETRAP);
    assert_int_equal(other->thread.trap.code, SV_TRAP_HOST);
    sv_store_delete(other);
    sv_store_delete(s);
    sv_engine_unref(e);
}

/* ---- Faults that are not the guest's ---- */

static uint8_t *volatile fault_at;
static int host_fault(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)c;
    (void)arg;
    ret[0].i64 = *(volatile uint8_t *)fault_at;
    return 0;
}
GUEST int guest_fault(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)th;
    (void)f;
    args[0].i64 = *(volatile uint8_t *)fault_at;
    return 0;
}

static void exit_7(int sig)
{
    _exit(sig == SIGSEGV ? 7 : 8);
}

/* In a child: exit status of fn, which should meet the previous handler (7). */
static int child(void (*fn)(struct sv_store *, struct sv_engine *))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct sv_engine *e = fake_engine();
        struct sv_store *s = fake_store(e, NULL);

        fn(s, e);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void fault_in_host(struct sv_store *s, struct sv_engine *e)
{
    struct sv_memory *m = fake_memory(s, 1, 1, false, false);
    union sv_slot none[1];

    fault_at = m->base + 65536;
    sv_func_call(
        &s->thread,
        sv_func_new_host(s, sv_types_func(e->types, NULL, 0, NULL, 0), host_fault, NULL, "a.b", 0),
        none);
}

static void fault_elsewhere(struct sv_store *s, struct sv_engine *e)
{
    union sv_slot none[1];

    (void)e;
    fault_at = (uint8_t *)16;
    sv_func_call(&s->thread, fake_func(s, guest_fault), none);
}

static void fault_outside_calls(struct sv_store *s, struct sv_engine *e)
{
    (void)e;
    fault_at = fake_memory(s, 1, 1, false, false)->base - 1;
    (void)*(volatile uint8_t *)fault_at;
}

static void fault_of_another_store(struct sv_store *s, struct sv_engine *e)
{
    union sv_slot none[1];

    fault_at = fake_memory(fake_store(e, NULL), 1, 1, false, false)->base - 1;
    sv_func_call(&s->thread, fake_func(s, guest_fault), none);
}

static void sent_signal(struct sv_store *s, struct sv_engine *e)
{
    (void)s;
    (void)e;
    raise(SIGBUS);
}

/* main() put exit_7 in before the first engine. */
static void test_foreign_faults(void **state)
{
    (void)state;
    assert_int_equal(WEXITSTATUS(child(fault_in_host)), 7);
    assert_int_equal(WEXITSTATUS(child(fault_elsewhere)), 7);
    assert_int_equal(WEXITSTATUS(child(fault_outside_calls)), 7);
    assert_int_equal(WEXITSTATUS(child(fault_of_another_store)), 7);
    assert_int_equal(WEXITSTATUS(child(sent_signal)), 8);
}

/* The wasm stack's own guard. */
static void test_stack_guard(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    union sv_slot none[1];

    (void)state;
    fault_at = (uint8_t *)s->thread.stack_end;
    assert_int_equal(sv_func_call(&s->thread, fake_func(s, guest_fault), none), SV_ETRAP);
    assert_int_equal(s->thread.trap.code, SV_TRAP_STACK);
    fault_at = (uint8_t *)s->thread.stack_end - 1;
    assert_int_equal(sv_func_call(&s->thread, fake_func(s, guest_fault), none), 0);
    sv_store_delete(s);
    sv_engine_unref(e);
}

/* ---- Text ---- */

static void test_print(void **state)
{
    struct sv_trap t = {.code = SV_TRAP_HOST};
    struct sv_buf b;

    (void)state;
    sv_buf_init(&b, 100000);
    memcpy(t.text, "bad \033[31m\n\xc2\x9b", 13);
    for (uint32_t i = 0; i < 1000; i++)
        sv_trap_add_frame(&t, NULL, i, 0);
    assert_int_equal(t.nframes, SV_FRAMES_MAX);
    assert_int_equal(t.nskipped, 1000 - SV_FRAMES_MAX);
    assert_int_equal(t.frames[47].func, 47);
    assert_int_equal(t.frames[48].func, 984);
    assert_int_equal(t.frames[63].func, 999);
    sv_trap_print(&b, &t);
    assert_non_null(
        strstr(sv_buf_cstr(&b), "trap: bad \\x1b[31m\\x0a\\xc2\\x9b\n  0: host function\n"));
    assert_non_null(
        strstr(sv_buf_cstr(&b),
               "\n  47: host function\n  ... 936 frames left out\n  984: host function\n"));
    assert_non_null(strstr(sv_buf_cstr(&b), "\n  999: host function"));
    sv_trap_clear(&t);
    assert_int_equal(t.nframes, 0);
    sv_buf_release(&b);
    for (int i = -1; i < SV_TRAP_COUNT + 3; i++)
        assert_non_null(sv_trap_text(i));
    assert_string_equal(sv_trap_text(SV_TRAP_MEMORY_BOUNDS), "out of bounds memory access");
    assert_string_equal(sv_trap_text(12345), "unknown trap");
}

/* ---- Handles ---- */

static void test_handles(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    uint32_t h[100];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        h[i] = sv_store_handle_new(s, sv_ref_i31(i));
        assert_int_not_equal(h[i], 0);
    }
    for (unsigned i = 0; i < 100; i += 2)
        sv_store_handle_delete(s, h[i]);
    for (unsigned i = 1; i < 100; i += 2)
        assert_int_equal(sv_store_handle_get(s, h[i]), sv_ref_i31(i));
    for (unsigned i = 0; i < 100; i += 2)
        h[i] = sv_store_handle_new(s, sv_ref_host(i));
    assert_int_equal(s->nhandles, 100);
    for (unsigned i = 0; i < 100; i += 2)
        assert_int_equal(sv_store_handle_get(s, h[i]), sv_ref_host(i));
    assert_int_equal(sv_store_handle_get(s, 0), 0);
    assert_int_equal(sv_store_handle_get(s, 12345), 0);
    sv_store_handle_delete(s, 12345);
    sv_store_delete(s);
    sv_engine_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth),          cmocka_unit_test(test_results),
        cmocka_unit_test(test_foreign_faults), cmocka_unit_test(test_stack_guard),
        cmocka_unit_test(test_print),          cmocka_unit_test(test_handles),
    };
    struct sigaction sa = {.sa_handler = exit_7};

    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    fake_signals();
    return cmocka_run_group_tests_name("runtime/call", tests, NULL, NULL);
}
