/* Tables: making, growing and the bulk operations on them. Element access is the tiers'. */
#include "runtime/table.h"

#include <string.h>

#include "runtime/instance.h"

/* Bulk operations look for interruptions after this many elements. */
#define BULK_ELEMS ((uint64_t)1 << 17)

/* Elements that an index can name and that fit the address space. */
static uint64_t address_elems(const struct sv_table_type *t)
{
    return t->limits.is64 ? SIZE_MAX / sizeof(sv_ref) / 2 : UINT32_MAX;
}

static void fill(sv_ref *p, sv_ref value, uint64_t n)
{
    if (n == 0)
        return; /* the elements of an empty table may be NULL */
    if (value == SV_REF_NULL) {
        memset(p, 0, n * sizeof *p);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        p[i] = value;
}

int sv_table_new(struct sv_err *err, struct sv_store *s, const struct sv_table_type *type,
                 sv_ref init, struct sv_table **ret)
{
    uint64_t min = type->limits.min;
    struct sv_table *t;

    if (s->ntables >= s->limits.tables)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %u tables in a store",
                       s->limits.tables);
    if (min > address_elems(type) || !sv_store_take_table(s, min))
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                       "table of %llu elements exceeds the store's limit of %llu",
                       (unsigned long long)min, (unsigned long long)s->limits.table_elems);
    t = sv_arena_zero(&s->arena, sizeof *t);
    if (!t)
        goto fail;
    t->type = *type;
    t->max = type->limits.has_max ? type->limits.max : UINT64_MAX;
    if (t->max > address_elems(type))
        t->max = address_elems(type);
    if (t->max > s->limits.table_elems)
        t->max = s->limits.table_elems;
    if (min) {
        t->elems = sv_alloc_array_zero(min, sizeof *t->elems);
        if (!t->elems)
            goto fail;
        if (init != SV_REF_NULL)
            fill(t->elems, init, min);
    }
    t->size = t->cap = min;
    t->store = s;
    t->next = s->tables;
    s->tables = t;
    s->ntables++;
    *ret = t;
    return 0;
fail:
    sv_store_give_table(s, min);
    return sv_fail_nomem(err, "a table");
}

static bool may_grow(const struct sv_table *t, uint64_t delta)
{
    const struct sv_store *s = t->store;
    uint64_t used = __atomic_load_n(&s->first->table_used, __ATOMIC_RELAXED);

    return t->size <= t->max && delta <= t->max - t->size && used <= s->limits.table_elems &&
           delta <= s->limits.table_elems - used;
}

int64_t sv_table_grow(struct sv_table *t, uint64_t delta, sv_ref init)
{
    uint64_t old = t->size, size, cap;
    sv_ref *p;

    if (!may_grow(t, delta) || !sv_store_take_table(t->store, delta))
        return -1;
    size = old + delta;
    if (size > t->cap) {
        cap = t->cap < t->max / 2 ? t->cap * 2 : t->max;
        cap = cap < size ? size : cap;
        p = cap <= SIZE_MAX / sizeof *p ? sv_realloc(t->elems, cap * sizeof *p) : NULL;
        if (!p) {
            sv_store_give_table(t->store, delta);
            return -1;
        }
        t->elems = p;
        t->cap = cap;
    }
    fill(t->elems + old, init, delta);
    t->size = size;
    return (int64_t)old;
}

int sv_table_grow_op(struct sv_thread *th, struct sv_table *t, uint64_t delta, sv_ref init,
                     int64_t *ret)
{
    *ret = -1;
    if (!may_grow(t, delta))
        return 0;
    if (!sv_gas_charge(th, delta))
        return SV_TRAP_GAS;
    *ret = sv_table_grow(t, delta, init);
    if (*ret < 0 && th->store->metered)
        th->gas += (int64_t)delta;
    return 0;
}

static bool in_bounds(const struct sv_table *t, uint64_t at, uint64_t len)
{
    return at <= t->size && len <= t->size - at;
}

int sv_table_fill(struct sv_thread *th, struct sv_table *t, uint64_t dst, sv_ref value,
                  uint64_t len)
{
    int code = 0;

    if (!in_bounds(t, dst, len))
        return SV_TRAP_TABLE_BOUNDS;
    if (!sv_gas_charge(th, len))
        return SV_TRAP_GAS;
    while (len && !code) {
        uint64_t n = len < BULK_ELEMS ? len : BULK_ELEMS;

        fill(t->elems + dst, value, n);
        dst += n;
        len -= n;
        if (len)
            code = sv_thread_interrupt_code(th);
    }
    return code;
}

int sv_table_copy(struct sv_thread *th, struct sv_table *dst_table, uint64_t dst,
                  struct sv_table *src_table, uint64_t src, uint64_t len)
{
    if (!in_bounds(dst_table, dst, len) || !in_bounds(src_table, src, len))
        return SV_TRAP_TABLE_BOUNDS;
    if (!sv_gas_charge(th, len))
        return SV_TRAP_GAS;
    return sv_memory_move(th, dst_table->elems + dst, src_table->elems + src, len * sizeof(sv_ref),
                          BULK_ELEMS * sizeof(sv_ref));
}

int sv_table_init(struct sv_thread *th, struct sv_instance *inst, uint32_t table, uint32_t elem,
                  uint64_t dst, uint32_t src, uint32_t len)
{
    const struct sv_elem_decl *e = &inst->module->elems[elem];
    uint32_t have = inst->elem_dropped[elem] ? 0 : e->len;
    struct sv_table *t = inst->tables[table];
    int code = 0;

    if (src > have || len > have - src || !in_bounds(t, dst, len))
        return SV_TRAP_TABLE_BOUNDS;
    if (!sv_gas_charge(th, len))
        return SV_TRAP_GAS;
    for (uint32_t i = 0; i < len && !code; i++) {
        sv_ref r;

        code = sv_elem_ref(inst, elem, src + i, &r);
        if (code)
            break;
        t->elems[dst + i] = r;
        if (i % BULK_ELEMS == BULK_ELEMS - 1)
            code = sv_thread_interrupt_code(th);
    }
    return code;
}

int sv_elem_ref(struct sv_instance *inst, uint32_t elem, uint32_t i, sv_ref *ret)
{
    const struct sv_elem_decl *e = &inst->module->elems[elem];
    struct sv_func *f;

    if (!e->funcs) {
        *ret = inst->elem_refs[elem][i];
        return 0;
    }
    f = sv_instance_func(inst, e->funcs[i]);
    if (!f)
        return SV_TRAP_ALLOCATION_SIZE;
    *ret = (sv_ref)(uintptr_t)f;
    return 0;
}

void sv_elem_drop(struct sv_instance *inst, uint32_t elem)
{
    inst->elem_dropped[elem] = 1;
    inst->elem_refs[elem] = NULL; /* no roots any more */
}

int sv_table_func(const struct sv_table *t, uint64_t i, const struct sv_type *type,
                  struct sv_func **ret)
{
    struct sv_func *f;

    if (i >= t->size)
        return SV_TRAP_UNDEFINED_ELEMENT;
    f = (struct sv_func *)(uintptr_t)t->elems[i];
    if (!f)
        return SV_TRAP_UNINITIALIZED_ELEMENT;
    if (!sv_type_matches(f->type, type))
        return SV_TRAP_INDIRECT_TYPE;
    *ret = f;
    return 0;
}
