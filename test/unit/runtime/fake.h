/* A tier made of C functions, for the runtime's tests: function i of every module runs
 * fake_bodies[i]. Functions marked GUEST count as guest code. Not an engine. */
#ifndef SV_TEST_RUNTIME_FAKE_H
#define SV_TEST_RUNTIME_FAKE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "runtime/exec.h"
#include "runtime/gc.h"
#include "runtime/instance.h"
#include "runtime/link.h"

#if defined(__clang__)
#define GUEST_PLAIN no_sanitize("address", "undefined", "thread")
#else
#define GUEST_PLAIN no_sanitize_address, no_sanitize_undefined, no_sanitize_thread
#endif
#define GUEST __attribute__((section("guest_text"), noinline, GUEST_PLAIN)) static

extern const char __start_guest_text[] __attribute__((weak)),
    __stop_guest_text[] __attribute__((weak));

#define FAKE_FUNCS 64
typedef int fake_body(struct sv_thread *, struct sv_func *, union sv_slot *);
static fake_body *fake_bodies[FAKE_FUNCS];

static int fake_enter(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    struct sv_entry *e = (struct sv_entry *)(void *)th->sp;
    int r;

    th->sp += sizeof *e / sizeof *th->sp;
    sv_entry_push(th, e, NULL);
    th->inst = f->inst;
    th->ip = f;
    r = fake_bodies[f->index](th, f, args);
    if (r == 0) {
        sv_entry_pop(th, e);
        th->sp = (union sv_slot *)(void *)e;
    }
    return r;
}

static int fake_attach(struct sv_err *err, struct sv_instance *inst)
{
    (void)err;
    /* A tier chooses its code by the memory's form. */
    assert_ptr_equal(inst->memory0, inst->module->nmemories ? inst->memories[0] : NULL);
    assert_int_equal(inst->memory0 != NULL, inst->module->nmemories != 0);
    return 0;
}

static int fake_bind(struct sv_func *f)
{
    f->entry = fake_enter;
    return 0;
}

static bool fake_in_guest(const void *pc)
{
    return (const char *)pc >= __start_guest_text && (const char *)pc < __stop_guest_text;
}

static void fake_note(struct sv_thread *th, const void *ucontext)
{
    (void)th;
    (void)ucontext;
}

static void fake_frames(struct sv_thread *th, const void *ip, union sv_slot *fp,
                        struct sv_instance *inst, struct sv_backtrace *ret)
{
    const struct sv_func *f = ip;

    (void)th;
    (void)fp;
    (void)inst;
    if (f && f->inst)
        sv_backtrace_add(ret, f->inst->module, f->index, 0x10);
}

static const struct sv_exec_ops fake_ops = {.name = "fake",
                                            .attach = fake_attach,
                                            .bind = fake_bind,
                                            .in_guest = fake_in_guest,
                                            .note = fake_note,
                                            .frames = fake_frames};

/* cmocka puts its own fault handler in before each test, over ours: put ours back. */
__attribute__((unused)) static void fake_signals(void)
{
    static struct sigaction ours[2];
    static bool known;

    if (!known) {
        assert_int_equal(sv_trap_init_process(NULL), 0);
        sigaction(SIGSEGV, NULL, &ours[0]);
        sigaction(SIGBUS, NULL, &ours[1]);
        known = true;
    }
    sigaction(SIGSEGV, &ours[0], NULL);
    sigaction(SIGBUS, &ours[1], NULL);
}

__attribute__((unused)) static struct sv_engine *fake_engine(void)
{
    struct sv_engine *e;
    struct sv_err err = {0};

    fake_signals();
    assert_int_equal(sv_engine_new(&err, &e), 0);
    e->exec = &fake_ops;
    return e;
}

__attribute__((unused)) static struct sv_store *fake_store(struct sv_engine *e,
                                                           const struct sv_store_limits *l)
{
    struct sv_store *s;
    struct sv_err err = {0};

    assert_int_equal(sv_store_new(&err, e, l, &s), 0);
    return s;
}

__attribute__((unused)) static struct sv_memory *fake_memory(struct sv_store *s, uint64_t min,
                                                             uint64_t max, bool is64, bool shared)
{
    struct sv_memory_type t = {.limits = {.min = min,
                                          .max = max,
                                          .has_max = max != UINT64_MAX,
                                          .is64 = is64,
                                          .shared = shared},
                               .page_shift = 16};
    struct sv_memory *m;
    struct sv_err err = {0};

    assert_int_equal(sv_memory_new(&err, s, &t, NULL, NULL, &m), 0);
    return m;
}

/* A function without a module that runs `body`, as a tier's function would. */
__attribute__((unused)) static struct sv_func *fake_func(struct sv_store *s, sv_entry_fn *body)
{
    struct sv_func *f = sv_arena_zero(&s->arena, sizeof *f);

    assert_non_null(f);
    f->entry = body;
    f->store = s;
    f->type = sv_types_func(s->engine->types, NULL, 0, NULL, 0);
    return f;
}

__attribute__((unused)) static struct sv_module *fake_module(struct sv_engine *e,
                                                             const uint8_t *bytes, size_t len)
{
    struct sv_module *m;
    struct sv_err err = {0};
    int r = sv_module_new(&err, e->types, bytes, len, NULL, NULL, &m);

    if (r < 0)
        print_error("%s at 0x%llx\n", err.text, (unsigned long long)err.offset);
    assert_int_equal(r, 0);
    return m;
}

__attribute__((unused)) static struct sv_instance *
fake_instance(struct sv_store *s, struct sv_module *m, const struct sv_extern *imports)
{
    struct sv_instance *inst;
    struct sv_err err = {0};
    int r = sv_instance_new(&err, s, m, imports, &inst);

    if (r < 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
    return inst;
}

#endif
