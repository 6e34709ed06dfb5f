/* References and objects of the GC heap: what allocates or looks at types. Operands begin at the
 * base slot (4), `top` (6) is the first free slot: the collector sees all below it. */
#include "interp/dispatch.h"
#include "interp/ops_inline.h"
#include "runtime/gc.h"

#define BASE (fp + A16(4))
#define TRAP_IF(expr)                                                                              \
    do {                                                                                           \
        int t_ = (expr);                                                                           \
        if (t_)                                                                                    \
            return sv_trap_raise(th, t_);                                                          \
    } while (0)
#define DONE(x, size)                                                                              \
    do {                                                                                           \
        R = (x);                                                                                   \
        BASE->i64 = R;                                                                             \
        SLOW_NEXT(size);                                                                           \
    } while (0)
#define TYPE(n) ((const struct sv_type *)(uintptr_t)A64(n))

/* Function at 8. */
SLOW(REF_FUNC)
{
    SLOW_BEGIN;
    struct sv_func *f = sv_instance_func(inst, A32(8));

    if (!f)
        return SV_ENOMEM;
    DONE((uintptr_t)f, 12);
}
/* Type at 8. */
SLOW(REF_TEST)
{
    SLOW_BEGIN;
    DONE(sv_ref_matches(th->store, BASE->ref, A32(8)), 12);
}
SLOW(REF_CAST)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    if (!sv_ref_matches(th->store, BASE->ref, A32(8)))
        return sv_trap_raise(th, SV_TRAP_CAST);
    DONE(BASE->ref, 12);
}

static unsigned log2_size(const struct sv_field *f)
{
    return (unsigned)__builtin_ctz(f->size);
}

/* Type at 8; default values if the flag at 16 is set. */
SLOW(STRUCT_NEW)
{
    SLOW_BEGIN;
    const struct sv_type *type = TYPE(8);
    const union sv_slot *s = BASE;
    struct sv_object *o;

    SLOW_SAVE;
    o = sv_gc_new_struct(th, type);
    if (!o)
        return sv_trap_raise(th, SV_TRAP_GC_HEAP);
    if (!A32(16)) {
        for (uint32_t i = 0; i < type->strct.nfields; i++) {
            const struct sv_field *f = &type->strct.fields[i];

            object_write((u8 *)o + f->offset, log2_size(f), s);
            s += sv_valtype_slots(f->type);
        }
    }
    DONE((uintptr_t)o, 20);
}
/* Type at 8; flag at 16: default value, the operand is the length alone. */
SLOW(ARRAY_NEW)
{
    SLOW_BEGIN;
    const struct sv_type *type = TYPE(8);
    const struct sv_field *f = &type->array.field;
    bool plain = A32(16) != 0;
    u32 len = plain ? BASE->i32 : BASE[sv_valtype_slots(f->type)].i32;
    sv_ref r;

    SLOW_SAVE;
    TRAP_IF(sv_array_new(th, type, len, plain ? NULL : BASE, &r));
    DONE(r, 20);
}
/* Type at 8, number of elements at 16. */
SLOW(ARRAY_NEW_FIXED)
{
    SLOW_BEGIN;
    const struct sv_type *type = TYPE(8);
    const struct sv_field *f = &type->array.field;
    const union sv_slot *s = BASE;
    u32 len = A32(16);
    sv_ref r;

    SLOW_SAVE;
    TRAP_IF(sv_array_new(th, type, len, NULL, &r));
    for (u32 i = 0; i < len; i++, s += sv_valtype_slots(f->type))
        object_write(((struct sv_array *)(uintptr_t)r)->data + (size_t)i * f->size, log2_size(f),
                     s);
    DONE(r, 20);
}
/* Type at 8, segment at 16. */
SLOW(ARRAY_NEW_DATA)
{
    SLOW_BEGIN;
    sv_ref r = 0;

    SLOW_SAVE;
    TRAP_IF(sv_array_new_data(th, inst, TYPE(8), A32(16), BASE[0].i32, BASE[1].i32, &r));
    DONE(r, 20);
}
SLOW(ARRAY_NEW_ELEM)
{
    SLOW_BEGIN;
    sv_ref r = 0;

    SLOW_SAVE;
    TRAP_IF(sv_array_new_elem(th, inst, TYPE(8), A32(16), BASE[0].i32, BASE[1].i32, &r));
    DONE(r, 20);
}
SLOW(ARRAY_INIT_DATA)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_array_init_data(th, inst, TYPE(8), BASE[0].ref, BASE[1].i32, A32(16), BASE[2].i32,
                               BASE[3].i32));
    SLOW_NEXT(20);
}
SLOW(ARRAY_INIT_ELEM)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_array_init_elem(th, inst, TYPE(8), BASE[0].ref, BASE[1].i32, A32(16), BASE[2].i32,
                               BASE[3].i32));
    SLOW_NEXT(20);
}
SLOW(ARRAY_FILL)
{
    SLOW_BEGIN;
    const struct sv_type *type = TYPE(8);
    u32 len = BASE[2 + sv_valtype_slots(type->array.field.type)].i32;

    SLOW_SAVE;
    TRAP_IF(sv_array_fill(th, type, BASE[0].ref, BASE[1].i32, BASE + 2, len));
    SLOW_NEXT(20);
}
SLOW(ARRAY_COPY)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_array_copy(th, TYPE(8), BASE[0].ref, BASE[1].i32, BASE[2].ref, BASE[3].i32,
                          BASE[4].i32));
    SLOW_NEXT(20);
}
