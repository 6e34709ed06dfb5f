/* Going over to native code where a test wants it: what the background does elsewhere
 * (api/tier_job.c) happens at once, on the guest's thread. For one program; not a part of the
 * library. */
#ifndef TEST_SWITCHER_H
#define TEST_SWITCHER_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/tier.h"
#include "interp/interp.h"
#include "interp/switch.h"
#include "runtime/native.h"

struct switcher_image {
    uint32_t func, offset;
    struct sv_native *native;
};
static struct {
    bool loops;    /* functions stay interpreted, their loops are entered */
    unsigned pass; /* arrivals at loops that are let pass for each that is answered */
    _Atomic unsigned asked, opened, refused;
    /* What was made, for modules of equal bytes and form; NULL: made each time. */
    struct switcher_image *images;
    size_t nimages, max_images;
} switcher;

static struct sv_native *switcher_make(struct sv_engine *e, struct sv_module *m,
                                       const struct sv_tier_code *code)
{
    struct sv_native *native = NULL;
    struct sv_err err = {0};
    int r;

    for (size_t i = 0; i < switcher.nimages; i++) {
        if (switcher.images[i].func == code->func && switcher.images[i].offset == code->offset)
            return sv_native_ref(switcher.images[i].native);
    }
    r = sv_tier_make(&err, e->tier, m, code, e->features, &native);
    if (r < 0) {
        fprintf(stderr, "function %u, loop at 0x%x: %s\n", code->func, code->offset, err.text);
        abort();
    }
    if (switcher.nimages < switcher.max_images)
        switcher.images[switcher.nimages++] =
            (struct switcher_image){code->func, code->offset, sv_native_ref(native)};
    return native;
}

static inline void switcher_forget(void)
{
    while (switcher.nimages > 0)
        sv_native_unref(switcher.images[--switcher.nimages].native);
}

static void switcher_ask(struct sv_engine *e, struct sv_module *m, uint32_t form, uint32_t func)
{
    struct sv_tier_code code = {.form = form, .func = func};
    struct sv_native *native;

    if (atomic_fetch_add(&switcher.asked, 1) % (switcher.pass + 1) == switcher.pass)
        code.offset = sv_switch_pick_loop(m, form, func);
    if (!code.offset) {
        /* All may ask again. */
        sv_switch_loop_ready(m, form, func, UINT32_MAX, NULL);
        return;
    }
    native = switcher_make(e, m, &code);
    sv_switch_loop_ready(m, form, func, code.offset, native);
    sv_native_unref(native);
    atomic_fetch_add(&switcher.opened, 1);
}

/* Engines with a compiler, and no code found at instances' beginning. */
static bool switcher_init(struct sv_engine *e, unsigned opt_level)
{
    ssvm_config c = SSVM_CONFIG_INIT;
    ssvm_error *error;

    c.tier = "aot";
    error = sv_tier_new(&c, &e->tier);
    if (error) {
        fprintf(stderr, "no compiler: %s\n", ssvm_error_message(error));
        ssvm_error_delete(error);
        return false;
    }
    e->tier->verify = true;
    e->tier->opt_level = opt_level;
    e->tier_delete = sv_tier_delete;
    e->ask_loop = switcher_ask;
    return true;
}

/* The next call of the instance's functions begins in the interpreter. */
static inline void switcher_detach(struct sv_instance *inst)
{
    struct sv_native *native = (struct sv_native *)(uintptr_t)inst->native;

    if (!native)
        return;
    inst->native = NULL;
    for (uint32_t i = inst->module->nimports_of[SV_EXTERN_FUNC]; i < inst->module->nfuncs; i++) {
        if (inst->funcs[i]) {
            inst->funcs[i]->native = NULL;
            inst->store->engine->exec->bind(inst->funcs[i]);
        }
    }
    sv_native_unref(native);
}

/* The module of the instance, which has lowered code, gets native code now. */
static void switcher_begin(struct sv_instance *inst)
{
    struct sv_module *m = inst->module;
    struct sv_flavour *fl = (struct sv_flavour *)(uintptr_t)inst->tier;
    struct sv_tier_code code = {.form = sv_native_form(inst)};
    struct sv_err err = {0};

    if (inst->native || m->nfuncs == m->nimports_of[SV_EXTERN_FUNC])
        return;
    if (sv_interp_lower_all(&err, inst) < 0)
        abort();
    if (!m->has_digest)
        sv_sha256(m->bytes, m->wasm_len, m->digest);
    m->has_digest = true;
    if (!atomic_load(&m->natives[code.form]))
        sv_tier_set(inst->store->engine->tier, m, switcher_make(inst->store->engine, m, &code));
    inst->store->engine->exec->native_ready(m, code.form);
    if (!switcher.loops)
        return;
    atomic_store(&fl->ready, false);
    for (uint32_t i = 0; i < m->nfuncs; i++) {
        struct sv_icode *c = atomic_load(&fl->codes[i]);

        if (c)
            c->code[0] = c->enter;
    }
}

#endif
