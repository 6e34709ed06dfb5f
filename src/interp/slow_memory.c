/* Bulk instructions on memories and tables, growing, waiting: what calls the runtime. Operands
 * begin at the base slot (4); `top` (6) is the first free slot; results go to the base slot and the
 * accumulator. */
#include "interp/dispatch.h"

/* Address operands come as i32 with junk above or as i64: bit `n` of the flags tells. */
static u64 address(const union sv_slot *s, unsigned flags, unsigned n)
{
    return flags >> n & 1 ? s->i64 : s->i32;
}
#define BASE (fp + A16(4))
#define OPERAND(i, n) address(BASE + (i), A32(16), n)
#define TRAP_IF(expr)                                                                              \
    do {                                                                                           \
        int t_ = (expr);                                                                           \
        if (t_)                                                                                    \
            return sv_trap_raise(th, t_);                                                          \
    } while (0)
/* Result to the base slot. */
#define DONE(x, size)                                                                              \
    do {                                                                                           \
        R = (x);                                                                                   \
        BASE->i64 = R;                                                                             \
        SLOW_NEXT(size);                                                                           \
    } while (0)

/* Memory at 8, 64-bit flag at 16. */
SLOW(MEMORY_GROW)
{
    SLOW_BEGIN;
    s64 old;

    SLOW_SAVE;
    TRAP_IF(sv_memory_grow_op(th, inst->memories[A32(8)], OPERAND(0, 0), &old));
    DONE((u64)old, 20);
}
SLOW(MEMORY_FILL)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(
        sv_memory_fill(th, inst->memories[A32(8)], OPERAND(0, 0), (u8)BASE[1].i32, OPERAND(2, 0)));
    SLOW_NEXT(20);
}
/* Destination at 8, source at 12. */
SLOW(MEMORY_COPY)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_memory_copy(th, inst->memories[A32(8)], OPERAND(0, 0), inst->memories[A32(12)],
                           OPERAND(1, 1), OPERAND(2, 2)));
    SLOW_NEXT(20);
}
SLOW(MEMORY_INIT)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_memory_init(th, inst, A32(8), A32(12), OPERAND(0, 0), BASE[1].i32, BASE[2].i32));
    SLOW_NEXT(20);
}
SLOW(DATA_DROP)
{
    SLOW_BEGIN;
    sv_data_drop(inst, A32(8));
    SLOW_NEXT(20);
}

/* Table at 8. */
SLOW(TABLE_SET)
{
    SLOW_BEGIN;
    struct sv_table *t = inst->tables[A32(8)];
    u64 i = OPERAND(0, 0);

    SLOW_SAVE;
    if (i >= t->size)
        return sv_trap_raise(th, SV_TRAP_TABLE_BOUNDS);
    t->elems[i] = BASE[1].ref;
    SLOW_NEXT(20);
}
SLOW(TABLE_GROW)
{
    SLOW_BEGIN;
    s64 old;

    SLOW_SAVE;
    TRAP_IF(sv_table_grow_op(th, inst->tables[A32(8)], OPERAND(1, 0), BASE[0].ref, &old));
    DONE((u64)old, 20);
}
SLOW(TABLE_FILL)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_table_fill(th, inst->tables[A32(8)], OPERAND(0, 0), BASE[1].ref, OPERAND(2, 0)));
    SLOW_NEXT(20);
}
SLOW(TABLE_COPY)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_table_copy(th, inst->tables[A32(8)], OPERAND(0, 0), inst->tables[A32(12)],
                          OPERAND(1, 1), OPERAND(2, 2)));
    SLOW_NEXT(20);
}
SLOW(TABLE_INIT)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    TRAP_IF(sv_table_init(th, inst, A32(8), A32(12), OPERAND(0, 0), BASE[1].i32, BASE[2].i32));
    SLOW_NEXT(20);
}
SLOW(ELEM_DROP)
{
    SLOW_BEGIN;
    sv_elem_drop(inst, A32(8));
    SLOW_NEXT(20);
}

/* Memory at 8, offset at 12 (64 bits), flags at 20: the address operand plus the offset, or a trap
 * when it does not fit. */
#define WAIT_ADDRESS                                                                               \
    u64 ea;                                                                                        \
    u32 result = 0;                                                                                \
    SLOW_SAVE;                                                                                     \
    if (__builtin_add_overflow(address(BASE, A32(20), 0), A64(12), &ea))                           \
    return sv_trap_raise(th, SV_TRAP_MEMORY_BOUNDS)
SLOW(ATOMIC_NOTIFY)
{
    SLOW_BEGIN;
    WAIT_ADDRESS;
    TRAP_IF(sv_memory_notify(th, inst->memories[A32(8)], ea, BASE[1].i32, &result));
    DONE(result, 24);
}
SLOW(ATOMIC_WAIT32)
{
    SLOW_BEGIN;
    WAIT_ADDRESS;
    TRAP_IF(sv_memory_wait32(th, inst->memories[A32(8)], ea, BASE[1].i32, BASE[2].s64, &result));
    DONE(result, 24);
}
SLOW(ATOMIC_WAIT64)
{
    SLOW_BEGIN;
    WAIT_ADDRESS;
    TRAP_IF(sv_memory_wait64(th, inst->memories[A32(8)], ea, BASE[1].i64, BASE[2].s64, &result));
    DONE(result, 24);
}
