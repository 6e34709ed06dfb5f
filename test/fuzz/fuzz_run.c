/* libFuzzer: any bytes become a valid module (smith/), which is instantiated with host-made imports
 * and has every exported function called, under small limits, in two forms of the interpreter that
 * must agree in results, traps, gas and memories. Values that leave the guest must be of their
 * type. What the values should be is for test/diff, which asks another engine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "interp/interp.h"
#include "runtime/gc.h"
#include "runtime/instance.h"
#include "runtime/store.h"
#include "smith/smith.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MODULE_MAX (1u << 20)
#define NOISE_MAX 16384
#define NOISE_MIN 2048
#define SLOTS_MAX 4096
#define GAS 50000
#define DEADLINE_NS UINT64_C(100000000)
#define CALLS_BACK_MAX 8

/* The first byte: how the module is made and run in both forms. */
enum how { HOW_METERED = 1, HOW_NO_TRAPS = 2, HOW_NO_IMPORTS = 4, HOW_TWICE = 8, HOW_QUIET = 16 };
/* The second: a form in each half; only the second collects at every allocation, which is slow. */
enum form { FORM_CHECKED = 1, FORM_PLAIN = 2, FORM_GC_STRESS = 4, FORMS = 8 };

static const struct sv_store_limits limits = {
    .memory_bytes = 4u << 20,
    .table_elems = 1000,
    .stack_bytes = 64u << 10,
    .gc_heap_bytes = 128u << 10,
    .instances = 4,
};

/* One run of a module in one form. */
struct world {
    struct sv_engine *engine;
    struct sv_module *module;
    struct sv_store *store;
    struct sv_instance *instance; /* exports that the host calls back; NULL: none yet */
    struct sv_tag *tag;           /* any imported or exported one: the host throws it */
    unsigned how;
    uint64_t random;
    unsigned calls_back;
    uint64_t sum; /* of everything that must not depend on the form */
    bool limited; /* a limit was met that comes at another time in another form */
};

static struct sv_engine *engines[FORMS];
static uint8_t module_bytes[MODULE_MAX];

static void check(bool good)
{
    if (!good)
        abort();
}

static void note(struct world *w, uint64_t v)
{
    if (!w->limited)
        w->sum = (w->sum ^ v) * UINT64_C(0x100000001b3);
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static unsigned pick(struct world *w, unsigned n)
{
    return (unsigned)(next_random(&w->random) % n);
}

/* ---- Values ---- */

static int host_function(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret);

/* The store keeps what the host has made. */
static bool keep(struct world *w, sv_ref r)
{
    return r == SV_REF_NULL || sv_store_handle_new(w->store, r) != 0;
}

static struct sv_func *make_func(struct world *w, const struct sv_type *t)
{
    return sv_func_new_host(w->store, t, host_function, w, "fuzz.made", 10);
}

static sv_ref make_object(struct world *w, const struct sv_type *t)
{
    struct sv_thread *th = &w->store->thread;

    if (t->form == SV_FORM_STRUCT && t->strct.defaultable)
        return (uintptr_t)sv_gc_new_struct(th, t);
    if (t->form == SV_FORM_ARRAY && sv_valtype_defaultable(t->array.field.type))
        return (uintptr_t)sv_gc_new_array(th, t, 3);
    return SV_REF_NULL;
}

/* A reference to something of the heap type; null when the host has no such thing. */
static sv_ref make_something(struct world *w, uint32_t heap)
{
    const struct sv_types *types = w->engine->types;
    const struct sv_type *t =
        heap >= SV_HEAP_CONCRETE ? sv_types_get(types, heap - SV_HEAP_CONCRETE) : NULL;

    switch (sv_heap_top(types, heap)) {
    case SV_HEAP_FUNC:
        if (heap == SV_HEAP_FUNC)
            t = sv_types_func(w->engine->types, NULL, 0, NULL, 0);
        return t ? (uintptr_t)make_func(w, t) : SV_REF_NULL;
    case SV_HEAP_EXTERN:
        return heap == SV_HEAP_EXTERN ? sv_ref_host(7) : SV_REF_NULL;
    case SV_HEAP_ANY:
        if (t)
            return make_object(w, t);
        if (heap == SV_HEAP_ANY && pick(w, 2))
            return sv_ref_host(8);
        return heap == SV_HEAP_ANY || heap == SV_HEAP_EQ || heap == SV_HEAP_I31 ? sv_ref_i31(9)
                                                                                : SV_REF_NULL;
    default:
        return heap == SV_HEAP_EXN && w->tag ? (uintptr_t)sv_gc_new_exn(&w->store->thread, w->tag)
                                             : SV_REF_NULL;
    }
}

/* A value of the type into ret[0..1]; false when there is none to be had. */
static bool make_value(struct world *w, sv_valtype t, union sv_slot *ret)
{
    static const uint64_t ints[] = {0,
                                    0,
                                    1,
                                    2,
                                    7,
                                    65535,
                                    65536,
                                    0x7fffffff,
                                    0x80000000,
                                    UINT32_MAX,
                                    UINT64_C(1) << 32,
                                    INT64_MAX,
                                    UINT64_C(1) << 63,
                                    UINT64_MAX};
    static const double floats[] = {0, -0.0, 1, -1.5, 0.5, 1e10, -3e38, 1e300, INFINITY, NAN};
    uint64_t i = ints[pick(w, SV_COUNT(ints))];
    double f = floats[pick(w, SV_COUNT(floats))];

    ret->i64 = i;
    switch (sv_valtype_kind(t)) {
    case SV_VAL_F32:
        ret->f32 = (float)f;
        return true;
    case SV_VAL_F64:
        ret->f64 = f;
        return true;
    case SV_VAL_V128:
        ret[1].i64 = ints[pick(w, SV_COUNT(ints))];
        return true;
    case SV_VAL_REF:
        break;
    default:
        return true;
    }
    ret->ref = SV_REF_NULL;
    if (sv_valtype_nullable(t) && pick(w, 2))
        return true;
    ret->ref = make_something(w, sv_valtype_heap(t));
    return keep(w, ret->ref) && (ret->ref != SV_REF_NULL || sv_valtype_nullable(t));
}

static bool make_values(struct world *w, const sv_valtype *types, uint32_t n, union sv_slot *ret)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!make_value(w, types[i], ret))
            return false;
        ret += sv_valtype_slots(types[i]);
    }
    return true;
}

/* A value came out of the guest: it must be of its type. */
static void take_value(struct world *w, sv_valtype t, const union sv_slot *v)
{
    switch (sv_valtype_kind(t)) {
    case SV_VAL_I32:
    case SV_VAL_F32:
        note(w, v->i32);
        break;
    case SV_VAL_V128:
        note(w, v[0].i64);
        note(w, v[1].i64);
        break;
    case SV_VAL_REF:
        check(sv_ref_matches(w->store, v->ref, t));
        note(w, v->ref != SV_REF_NULL);
        break;
    default:
        note(w, v->i64);
    }
}

static void take_values(struct world *w, const sv_valtype *types, uint32_t n,
                        const union sv_slot *v)
{
    for (uint32_t i = 0; i < n; i++) {
        take_value(w, types[i], v);
        v += sv_valtype_slots(types[i]);
    }
}

/* ---- Calls ---- */

/* Stack frames, heap sizes and time are not the same in every form. */
static bool is_limit(int r, int trap)
{
    if (r == SV_ENOMEM || r == SV_ELIMIT)
        return true;
    return r == SV_ETRAP && (trap == SV_TRAP_STACK || trap == SV_TRAP_GC_HEAP ||
                             trap == SV_TRAP_ALLOCATION_SIZE || trap == SV_TRAP_DEADLINE);
}

static void take_outcome(struct world *w, int r)
{
    int trap = r == SV_ETRAP ? w->store->thread.trap.code : 0;

    check(r != SV_ETRAP || trap != SV_TRAP_NONE);
    w->limited |= is_limit(r, trap);
    note(w, (uint64_t)(unsigned)r << 32 | (unsigned)trap);
    if (w->how & HOW_METERED)
        note(w, sv_store_gas_used(w->store));
}

static void print_trap(struct world *w)
{
    struct sv_buf text;

    sv_buf_init(&text, 1 << 16);
    sv_trap_print(&text, &w->store->thread.trap);
    sv_buf_release(&text);
}

/* 0 or what the call ended with. */
static int call(struct world *w, struct sv_func *f)
{
    const struct sv_type *t = f->type;
    union sv_slot slots[SLOTS_MAX];
    int r;

    if (t->func.param_slots > SLOTS_MAX || t->func.result_slots > SLOTS_MAX ||
        !make_values(w, t->func.params, t->func.nparams, slots))
        return 0;
    r = sv_func_call(&w->store->thread, f, slots);
    take_outcome(w, r);
    if (r == 0)
        take_values(w, t->func.results, t->func.nresults, slots);
    return r;
}

/* The host calls an export of the guest that called it. */
static int call_back(struct world *w)
{
    struct sv_extern e;
    uint32_t n = w->module->nexports;

    if (!w->instance || n == 0 || w->calls_back++ >= CALLS_BACK_MAX)
        return 0;
    return sv_instance_export_at(w->instance, pick(w, n), &e) && e.kind == SV_EXTERN_FUNC
               ? call(w, e.func)
               : 0;
}

static int throw(struct world *w)
{
    struct sv_exn *x = w->tag ? sv_gc_new_exn(&w->store->thread, w->tag) : NULL;

    if (!x)
        return 0;
    w->store->thread.exn = (uintptr_t)x;
    return SV_EEXCEPTION;
}

/* A form may notice it at the next allocation, another when the host function returns. */
static void cancel(struct world *w)
{
    w->limited = true;
    sv_store_cancel(w->store);
}

static int host_function(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct world *w = c->data;
    const struct sv_type *t = c->func->type;
    unsigned what = w->how & HOW_QUIET ? 0 : pick(w, 16);
    int r = 0;

    take_values(w, t->func.params, t->func.nparams, arg);
    if (what == 1)
        r = call_back(w);
    else if (what == 2)
        r = throw(w);
    else if (what == 3)
        sv_gc_collect(w->store);
    else if (what == 4 && c->inst && c->inst->memory0)
        note(w, (uint64_t)sv_memory_grow(c->inst->memory0, 1));
    else if (what == 5)
        r = sv_trap_set(c->th, SV_TRAP_HOST, "as the input says");
    else if (what == 6)
        cancel(w);
    if (r < 0)
        return r;
    if (!make_values(w, t->func.results, t->func.nresults, ret))
        return sv_trap_set(c->th, SV_TRAP_HOST, "no such value");
    return 0;
}

/* ---- Imports ---- */

static bool make_global(struct world *w, struct sv_err *err, const struct sv_global_type *t,
                        struct sv_extern *ret)
{
    union sv_val v = {0};

    (void)err;
    if (!make_value(w, t->type, v.slot))
        return false;
    ret->global = sv_global_new(w->store, *t, &v);
    return ret->global != NULL;
}

static bool make_table(struct world *w, struct sv_err *err, const struct sv_table_type *t,
                       struct sv_extern *ret)
{
    union sv_slot init[2];

    return make_value(w, t->type, init) &&
           sv_table_new(err, w->store, t, init->ref, &ret->table) == 0;
}

static bool make_import(struct world *w, const struct sv_import *i, struct sv_extern *ret)
{
    const struct sv_module *m = w->module;
    struct sv_err err = {0};

    ret->kind = i->kind;
    switch (i->kind) {
    case SV_EXTERN_FUNC:
        ret->func = make_func(w, m->funcs[i->index].type);
        return ret->func != NULL;
    case SV_EXTERN_TABLE:
        return make_table(w, &err, &m->tables[i->index].type, ret);
    case SV_EXTERN_MEMORY:
        return sv_memory_new(&err, w->store, &m->memories[i->index], NULL, NULL, &ret->memory) == 0;
    case SV_EXTERN_GLOBAL:
        return make_global(w, &err, &m->globals[i->index].type, ret);
    default:
        w->tag = ret->tag = sv_tag_new(w->store, m->tags[i->index].type);
        return ret->tag != NULL;
    }
}

/* ---- One world ---- */

static void take_memory(struct world *w, const struct sv_memory *m)
{
    uint64_t size = sv_memory_size(m), word;

    note(w, size);
    for (uint64_t at = 0; at + sizeof word <= size; at += sizeof word) {
        memcpy(&word, m->base + at, sizeof word);
        if (word)
            note(w, word + at);
    }
}

/* Everything that can be seen from outside. */
static void take_state(struct world *w, struct sv_instance *inst)
{
    struct sv_extern e;

    for (uint32_t i = 0; i < w->module->nexports; i++) {
        if (!sv_instance_export_at(inst, i, &e))
            continue;
        if (e.kind == SV_EXTERN_GLOBAL)
            take_value(w, e.global->type.type, e.global->value.slot);
        else if (e.kind == SV_EXTERN_MEMORY)
            take_memory(w, e.memory);
        else if (e.kind == SV_EXTERN_TABLE)
            for (uint64_t k = 0; k < e.table->size; k++)
                take_value(w, e.table->type.type, (union sv_slot *)&e.table->elems[k]);
    }
}

static void call_all(struct world *w, struct sv_instance *inst)
{
    struct sv_extern e;

    for (uint32_t i = 0; i < w->module->nexports; i++) {
        if (!sv_instance_export_at(inst, i, &e))
            continue;
        if (e.kind == SV_EXTERN_TAG)
            w->tag = e.tag;
        if (e.kind != SV_EXTERN_FUNC)
            continue;
        sv_store_clear_interrupt(w->store);
        sv_store_set_deadline(w->store, sv_clock_ns() + DEADLINE_NS);
        w->calls_back = 0;
        if (call(w, e.func) == SV_ETRAP)
            print_trap(w);
    }
}

static void run(struct world *w, const struct sv_extern *imports)
{
    struct sv_err err = {0};
    struct sv_instance *inst = NULL;
    int r;

    sv_store_clear_interrupt(w->store);
    sv_store_set_deadline(w->store, sv_clock_ns() + DEADLINE_NS);
    r = sv_instance_new(&err, w->store, w->module, imports, &inst);
    check(r != SV_ELINK && r != SV_EINTERNAL);
    take_outcome(w, r);
    if (r < 0)
        return;
    w->instance = inst;
    call_all(w, inst);
    take_state(w, inst);
}

static void load(struct world *w, size_t len)
{
    struct sv_decode_options options = {.features = w->engine->features};
    struct sv_err err = {0};
    int r = sv_module_new(&err, w->engine->types, module_bytes, len, NULL, &options, &w->module);

    check(r == 0 || r == SV_ELIMIT || r == SV_ENOMEM); /* the generator makes valid ones only */
}

/* In one form; the sum is 0 when there is nothing to compare. */
static uint64_t run_form(unsigned form, unsigned how, uint64_t seed, size_t len)
{
    struct world w = {.engine = engines[form], .how = how, .random = seed, .sum = 1};
    struct sv_extern *imports;
    struct sv_err err = {0};
    bool made = true;

    load(&w, len);
    if (!w.module)
        return 0;
    imports = calloc(w.module->nimports + 1, sizeof *imports);
    if (!imports || sv_store_new(&err, w.engine, &limits, &w.store) < 0)
        abort();
    if (how & HOW_METERED)
        sv_store_set_gas(w.store, GAS);
    for (uint32_t i = 0; i < w.module->nimports && made; i++)
        made = make_import(&w, &w.module->imports[i], &imports[i]);
    if (made)
        run(&w, imports);
    if (made && how & HOW_TWICE)
        run(&w, imports);
    sv_store_delete(w.store);
    sv_module_unref(w.module);
    free(imports);
    return made && !w.limited ? w.sum : 0;
}

/* ---- The fuzzer's side ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sv_err err = {0};

    (void)argc;
    (void)argv;
    check(sv_trap_init_process(&err) == 0 && sv_trap_init_thread(&err) == 0);
    for (unsigned i = 0; i < FORMS; i++) {
        check(sv_engine_new(&err, &engines[i]) == 0);
        engines[i]->exec = &sv_interp_ops;
        engines[i]->deterministic = true;
        engines[i]->no_guard = i & FORM_CHECKED;
        engines[i]->no_optimise = i & FORM_PLAIN;
        engines[i]->gc_stress = i & FORM_GC_STRESS;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t noise[NOISE_MAX];
    unsigned how, forms, flags;
    uint64_t seed, first, second;
    size_t len;

    if (size < 4 || size - 4 > NOISE_MAX)
        return 0;
    how = data[0];
    forms = data[1];
    seed = (uint64_t)data[2] << 8 | data[3];
    len = size - 4;
    memcpy(noise, data + 4, len);
    /* Short inputs make rich modules too. */
    for (uint64_t state = seed; len < NOISE_MIN; len++)
        noise[len] = (uint8_t)next_random(&state);
    flags = (how & HOW_NO_TRAPS ? SSVM_SMITH_NO_TRAPS : 0) |
            (how & HOW_NO_IMPORTS ? SSVM_SMITH_NO_IMPORTS : 0) |
            (how & HOW_METERED ? 0 : SSVM_SMITH_FUEL); /* or the deadline would end many */
    len = ssvm_smith(noise, len, flags, module_bytes, sizeof module_bytes);
    if (len == 0)
        return 0;
    first = run_form(forms % FORM_GC_STRESS, how, seed, len);
    second = run_form(forms >> 4 & (FORMS - 1), how, seed, len);
    check(first == second || first == 0 || second == 0);
    return 0;
}
