/* The interpreter as a tier: its table of operations, and the code of a module in its flavours. */
#include "interp/entry.h"
#include "interp/interp.h"
#include "interp/switch.h"
#include "runtime/native.h"

static void flavour_delete(own struct sv_flavour *fl)
{
    if (!fl)
        return;
    for (uint32_t i = 0; fl->codes && i < fl->module->nfuncs; i++) {
        struct sv_icode *code = atomic_load_explicit(&fl->codes[i], memory_order_relaxed);

        if (code)
            sv_loops_delete(code->loops);
        sv_free(code);
    }
    pthread_mutex_destroy(&fl->lock);
    sv_free((void *)fl->codes);
    sv_free((void *)fl->entry);
    sv_free(fl->stubs);
    sv_free(fl);
}

static void module_code_release(void *data)
{
    struct sv_module_code *mc = data;

    for (unsigned i = 0; i < SV_FLAVOUR_COUNT; i++)
        flavour_delete(atomic_load(&mc->flavours[i]));
    sv_free(mc);
}

/* What a function's entry point is at first: a way out of the interpreter, or the lowering. */
static uint32_t stub_of(const struct sv_module *m, const struct sv_native *native, uint32_t i)
{
    bool elsewhere = i < m->nimports_of[SV_EXTERN_FUNC] || (native && sv_native_has(native, i));

    return sv_iop_offsets[elsewhere ? I_IMPORT : I_LOWER];
}

static own struct sv_flavour *flavour_new(const struct sv_module *m, const struct sv_native *native,
                                          unsigned bits)
{
    struct sv_flavour *fl = sv_alloc_zero(sizeof *fl);
    uint32_t n = m->nfuncs;

    if (!fl)
        return NULL;
    fl->bits = bits;
    fl->module = m;
    pthread_mutex_init(&fl->lock, NULL);
    if (n == 0)
        return fl;
    fl->entry = sv_alloc_array(n, sizeof *fl->entry);
    fl->stubs = sv_alloc_array(n, sizeof *fl->stubs);
    fl->codes = sv_alloc_array_zero(n, sizeof *fl->codes);
    if (!fl->entry || !fl->stubs || !fl->codes) {
        flavour_delete(fl);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        fl->stubs[i][0] = stub_of(m, native, i);
        fl->stubs[i][1] = i;
        atomic_init(&fl->entry[i], fl->stubs[i]);
    }
    return fl;
}

static struct sv_module_code *module_code(struct sv_module *m)
{
    void *mc = atomic_load_explicit(&m->tier_data, memory_order_acquire), *none = NULL;

    if (mc)
        return mc;
    mc = sv_alloc_zero(sizeof(struct sv_module_code));
    if (!mc)
        return NULL;
    /* The same value from every thread. */
    __atomic_store_n(&m->tier_release, module_code_release, __ATOMIC_RELAXED);
    if (!atomic_compare_exchange_strong(&m->tier_data, &none, mc)) {
        sv_free(mc);
        return none;
    }
    return mc;
}

static unsigned flavour_bits(const struct sv_instance *inst)
{
    const struct sv_engine *e = inst->store->engine;
    unsigned bits = 0;

    if (!SV_INTERP_GUARD || (inst->memory0 && !inst->memory0->guarded))
        bits |= SV_FLAVOUR_CHECKED;
    if (inst->store->metered)
        bits |= SV_FLAVOUR_METERED;
    if (e->no_optimise)
        bits |= SV_FLAVOUR_PLAIN;
    if (e->deterministic)
        bits |= SV_FLAVOUR_CANON;
    if (inst->native)
        bits |=
            inst->native->flags & SV_NATIVE_CHECKED ? SV_FLAVOUR_NATIVE_CHECKED : SV_FLAVOUR_NATIVE;
    return bits;
}

static int attach(struct sv_err *err, struct sv_instance *inst)
{
    struct sv_module_code *mc = module_code(inst->module);
    unsigned bits = flavour_bits(inst);
    struct sv_flavour *fl, *none = NULL;

    if (!mc)
        return sv_fail_nomem(err, "the interpreter's code");
    fl = atomic_load_explicit(&mc->flavours[bits], memory_order_acquire);
    if (!fl) {
        fl = flavour_new(inst->module, inst->native, bits);
        if (!fl)
            return sv_fail_nomem(err, "the interpreter's code");
        if (!atomic_compare_exchange_strong(&mc->flavours[bits], &none, fl)) {
            flavour_delete(fl);
            fl = none;
        }
    }
    inst->tier = fl;
    return 0;
}

static int bind_func(struct sv_func *f)
{
    const struct sv_flavour *fl = f->inst->tier;

    f->entry = sv_interp_entry;
    f->code = atomic_load_explicit(&fl->entry[f->index], memory_order_acquire);
    return 0;
}

const struct sv_icode *sv_lower(struct sv_flavour *fl, uint32_t index)
{
    struct sv_icode *code = atomic_load_explicit(&fl->codes[index], memory_order_acquire),
                    *none = NULL;

    if (code)
        return code;
    code = sv_lower_function(fl, index, 0, NULL);
    if (!code)
        return NULL;
    if (!atomic_compare_exchange_strong(&fl->codes[index], &none, code)) {
        sv_free(code);
        return none;
    }
    atomic_fetch_add_explicit(&fl->bytes, code->size, memory_order_relaxed);
    /* Either we see that there is native code, or who says so sees this code. */
    if (atomic_load(&fl->ready))
        sv_switch_code(code);
    atomic_store_explicit(&fl->entry[index], code->code, memory_order_release);
    return code;
}

int64_t sv_interp_lower_all(struct sv_err *err, struct sv_instance *inst)
{
    struct sv_flavour *fl = (struct sv_flavour *)inst->tier;

    for (uint32_t i = inst->module->nimports_of[SV_EXTERN_FUNC]; i < inst->module->nfuncs; i++) {
        if (!sv_lower(fl, i))
            return sv_fail_nomem(err, "lowered code");
    }
    return (int64_t)atomic_load(&fl->bytes);
}

const struct sv_exec_ops sv_interp_ops = {
    .name = "interp",
    .attach = attach,
    .bind = bind_func,
    .native_ready = sv_switch_ready,
    .pick_loop = sv_switch_pick_loop,
    .loop_ready = sv_switch_loop_ready,
    .in_guest = sv_interp_in_guest,
    .note = sv_interp_note,
    .frames = sv_interp_frames,
};
