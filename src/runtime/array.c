/* Bulk operations on GC arrays. Allocation is gc.c's; single elements are the tiers'. */
#include <string.h>

#include "runtime/gc.h"
#include "runtime/instance.h"

#define BULK_CHUNK ((uint64_t)1 << 20)
#define BULK_GAS_SHIFT 6

static unsigned char *element(sv_ref array, uint32_t i, const struct sv_type *t)
{
    return ((struct sv_array *)(uintptr_t)array)->data + (uint64_t)i * t->array.field.size;
}

static bool in_bounds(sv_ref array, uint32_t at, uint32_t len)
{
    uint32_t have = ((struct sv_array *)(uintptr_t)array)->len;

    return at <= have && len <= have - at;
}

static int charge(struct sv_thread *th, const struct sv_type *t, uint32_t len)
{
    uint64_t bytes = (uint64_t)len * t->array.field.size;

    return sv_gas_charge(th, (bytes + (1u << BULK_GAS_SHIFT) - 1) >> BULK_GAS_SHIFT) ? 0
                                                                                     : SV_TRAP_GAS;
}

/* Write `len` equal elements. */
static int fill(struct sv_thread *th, const struct sv_type *t, sv_ref array, uint32_t dst,
                const union sv_slot *value, uint32_t len)
{
    const struct sv_field *f = &t->array.field;
    unsigned char *p = element(array, dst, t);
    int code = 0;

    for (uint32_t i = 0; i < len && !code; i++, p += f->size) {
        sv_field_write(p, f, value);
        if (i % (BULK_CHUNK / 16) == BULK_CHUNK / 16 - 1)
            code = sv_thread_interrupt_code(th);
    }
    return code;
}

static int allocate(struct sv_thread *th, const struct sv_type *t, uint32_t len, sv_ref *ret)
{
    struct sv_array *a;
    int code = charge(th, t, len);

    if (code)
        return code;
    a = sv_gc_new_array(th, t, len);
    if (!a)
        return SV_TRAP_GC_HEAP;
    *ret = (sv_ref)(uintptr_t)a;
    return 0;
}

int sv_array_new(struct sv_thread *th, const struct sv_type *t, uint32_t len,
                 const union sv_slot *init, sv_ref *ret)
{
    sv_ref array;
    int code = allocate(th, t, len, &array);

    if (code)
        return code;
    /* `init` may hold a reference: it lies in the caller's frame, below th->sp, so the collector
     * has seen it. */
    if (init)
        code = fill(th, t, array, 0, init, len);
    *ret = array;
    return code;
}

static int check_data(const struct sv_instance *inst, const struct sv_type *t, uint32_t data,
                      uint32_t src, uint32_t len)
{
    uint64_t have = inst->data_dropped[data] ? 0 : inst->module->datas[data].len;
    uint64_t bytes = (uint64_t)len * t->array.field.size;

    return src <= have && bytes <= have - src ? 0 : SV_TRAP_MEMORY_BOUNDS;
}

static int copy_data(struct sv_thread *th, struct sv_instance *inst, const struct sv_type *t,
                     sv_ref array, uint32_t dst, uint32_t data, uint32_t src, uint32_t len)
{
    const uint8_t *from = inst->module->bytes + inst->module->datas[data].bytes_offset + src;

    return sv_memory_move(th, element(array, dst, t), from, (uint64_t)len * t->array.field.size,
                          BULK_CHUNK);
}

int sv_array_new_data(struct sv_thread *th, struct sv_instance *inst, const struct sv_type *t,
                      uint32_t data, uint32_t src, uint32_t len, sv_ref *ret)
{
    int code = check_data(inst, t, data, src, len);
    sv_ref array;

    if (!code)
        code = allocate(th, t, len, &array);
    if (!code)
        code = copy_data(th, inst, t, array, 0, data, src, len);
    if (!code)
        *ret = array;
    return code;
}

int sv_array_init_data(struct sv_thread *th, struct sv_instance *inst, const struct sv_type *t,
                       sv_ref array, uint32_t dst, uint32_t data, uint32_t src, uint32_t len)
{
    int code;

    if (array == SV_REF_NULL)
        return SV_TRAP_NULL_ARRAY;
    if (!in_bounds(array, dst, len))
        return SV_TRAP_ARRAY_BOUNDS;
    code = check_data(inst, t, data, src, len);
    if (!code)
        code = charge(th, t, len);
    return code ? code : copy_data(th, inst, t, array, dst, data, src, len);
}

static int check_elem(const struct sv_instance *inst, uint32_t elem, uint32_t src, uint32_t len)
{
    uint32_t have = inst->elem_dropped[elem] ? 0 : inst->module->elems[elem].len;

    return src <= have && len <= have - src ? 0 : SV_TRAP_TABLE_BOUNDS;
}

static int copy_elems(struct sv_instance *inst, sv_ref array, uint32_t dst, uint32_t elem,
                      uint32_t src, uint32_t len)
{
    sv_ref *p = (sv_ref *)(void *)((struct sv_array *)(uintptr_t)array)->data + dst;
    int code = 0;

    for (uint32_t i = 0; i < len && !code; i++)
        code = sv_elem_ref(inst, elem, src + i, &p[i]);
    return code;
}

int sv_array_new_elem(struct sv_thread *th, struct sv_instance *inst, const struct sv_type *t,
                      uint32_t elem, uint32_t src, uint32_t len, sv_ref *ret)
{
    int code = check_elem(inst, elem, src, len);
    sv_ref array;

    if (!code)
        code = allocate(th, t, len, &array);
    if (!code)
        code = copy_elems(inst, array, 0, elem, src, len);
    if (!code)
        *ret = array;
    return code;
}

int sv_array_init_elem(struct sv_thread *th, struct sv_instance *inst, const struct sv_type *t,
                       sv_ref array, uint32_t dst, uint32_t elem, uint32_t src, uint32_t len)
{
    int code;

    if (array == SV_REF_NULL)
        return SV_TRAP_NULL_ARRAY;
    if (!in_bounds(array, dst, len))
        return SV_TRAP_ARRAY_BOUNDS;
    code = check_elem(inst, elem, src, len);
    if (!code)
        code = charge(th, t, len);
    return code ? code : copy_elems(inst, array, dst, elem, src, len);
}

int sv_array_copy(struct sv_thread *th, const struct sv_type *t, sv_ref dst_array, uint32_t dst,
                  sv_ref src_array, uint32_t src, uint32_t len)
{
    int code;

    if (dst_array == SV_REF_NULL || src_array == SV_REF_NULL)
        return SV_TRAP_NULL_ARRAY;
    if (!in_bounds(dst_array, dst, len) || !in_bounds(src_array, src, len))
        return SV_TRAP_ARRAY_BOUNDS;
    code = charge(th, t, len);
    if (code)
        return code;
    return sv_memory_move(th, element(dst_array, dst, t), element(src_array, src, t),
                          (uint64_t)len * t->array.field.size, BULK_CHUNK);
}

int sv_array_fill(struct sv_thread *th, const struct sv_type *t, sv_ref array, uint32_t dst,
                  const union sv_slot *value, uint32_t len)
{
    int code;

    if (array == SV_REF_NULL)
        return SV_TRAP_NULL_ARRAY;
    if (!in_bounds(array, dst, len))
        return SV_TRAP_ARRAY_BOUNDS;
    code = charge(th, t, len);
    return code ? code : fill(th, t, array, dst, value, len);
}
