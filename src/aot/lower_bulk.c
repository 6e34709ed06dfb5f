/* Lowering of bulk instructions on memories, tables and segments, and of growing: calls of the
 * runtime, but for short copies and fills of constant length. */
#include <stddef.h>

#include "aot/lower.h"

/* Longest copy or fill of constant length that is done in place. */
#define INLINE_BYTES 64
/* What a unit of gas pays for. */
#define UNIT_BYTES 64
/* Widest piece of it, a vector. */
#define PIECE_BYTES 16
#define PIECES (INLINE_BYTES / PIECE_BYTES)

static LLVMValueRef pair(struct lower *l, uint32_t low, uint32_t high)
{
    return lower_i64(l, low | (uint64_t)high << 32);
}

/* What a helper has to say about x, and then its `n` operands from the stack, in order. */
static LLVMValueRef call(struct lower *l, enum sv_native_helper h, LLVMValueRef x, unsigned n)
{
    LLVMValueRef args[5] = {x};

    for (unsigned i = n; i > 0; i--)
        args[i] = lower_wide(l, lower_pop(l));
    return lower_helper(l, h, args, n + 1);
}

/* ---- Short copies and fills of constant length ---- */

/* How `len` bytes are cut: pieces of one size, the last one of them flush with the end, so that it
 * may overlap the one before. */
struct cut {
    uint32_t piece, n, len;
};

static struct cut cut_of(uint32_t len)
{
    struct cut c = {.piece = PIECE_BYTES, .len = len};

    while (c.piece > len && c.piece > 1)
        c.piece /= 2;
    c.n = (len + c.piece - 1) / c.piece;
    return c;
}

static uint32_t cut_at(const struct cut *c, uint32_t i)
{
    return i + 1 == c->n ? c->len - c->piece : i * c->piece;
}

static LLVMTypeRef piece_type(const struct lower *l, const struct cut *c)
{
    return c->piece == PIECE_BYTES ? l->t->v2i64 : LLVMIntTypeInContext(l->u->ctx, c->piece * 8);
}

/* The address of n bytes, inside the memory or else the trap: nothing may be written when the
 * end is outside, so guard pages are not enough. */
static LLVMValueRef checked_address(struct lower *l, uint32_t memory, LLVMValueRef at,
                                    LLVMValueRef n)
{
    LLVMValueRef size = lower_memory_size(l, memory), base, last, outside;

    /* Neither side wraps: addresses of the narrow kind have 32 bits, and so have lengths. */
    if (l->m->memories[memory].limits.is64) {
        last = LLVMBuildSub(l->b, size, n, "");
        outside = LLVMBuildOr(l->b, LLVMBuildICmp(l->b, LLVMIntULT, size, n, ""),
                              LLVMBuildICmp(l->b, LLVMIntUGT, at, last, ""), "");
    } else {
        outside = LLVMBuildICmp(l->b, LLVMIntUGT, LLVMBuildAdd(l->b, at, n, ""), size, "");
    }
    lower_trap_if(l, outside, SV_TRAP_MEMORY_BOUNDS);
    base = lower_memory_base(l, memory);
    return LLVMBuildGEP2(l->b, l->t->i8, base, &at, 1, "");
}

static LLVMValueRef piece_address(struct lower *l, LLVMValueRef base, const struct cut *c,
                                  uint32_t i)
{
    LLVMValueRef at = lower_i64(l, cut_at(c, i));

    return LLVMBuildGEP2(l->b, l->t->i8, base, &at, 1, "");
}

/* Any address may be given. */
static LLVMValueRef unaligned(struct lower *l, LLVMValueRef access)
{
    LLVMSetAlignment(access, 1);
    lower_guest_access(l, access);
    return access;
}

static void store_piece(struct lower *l, LLVMValueRef v, LLVMValueRef base, const struct cut *c,
                        uint32_t i)
{
    (void)unaligned(l, LLVMBuildStore(l->b, v, piece_address(l, base, c, i)));
}

/* All of it is read before anything is written: the two may overlap. */
static void copy_inline(struct lower *l, LLVMValueRef dst, LLVMValueRef src, const struct cut *c)
{
    LLVMValueRef v[PIECES];

    for (uint32_t i = 0; i < c->n; i++)
        v[i] =
            unaligned(l, LLVMBuildLoad2(l->b, piece_type(l, c), piece_address(l, src, c, i), ""));
    for (uint32_t i = 0; i < c->n; i++)
        store_piece(l, v[i], dst, c, i);
}

static void fill_inline(struct lower *l, LLVMValueRef dst, LLVMValueRef byte, const struct cut *c)
{
    LLVMValueRef v = LLVMBuildAnd(l->b, byte, lower_i64(l, 0xff), "");

    v = LLVMBuildMul(l->b, v, lower_i64(l, UINT64_C(0x0101010101010101)), "");
    if (c->piece == PIECE_BYTES) {
        LLVMValueRef both = LLVMGetPoison(l->t->v2i64);

        both = LLVMBuildInsertElement(l->b, both, v, lower_i32(l, 0), "");
        v = LLVMBuildInsertElement(l->b, both, v, lower_i32(l, 1), "");
    } else if (c->piece < sizeof(uint64_t)) {
        v = LLVMBuildTrunc(l->b, v, piece_type(l, c), "");
    }
    for (uint32_t i = 0; i < c->n; i++)
        store_piece(l, v, dst, c, i);
}

/* As the runtime does: after the bounds, a unit for each UNIT_BYTES begun. */
static void charge(struct lower *l, LLVMValueRef len)
{
    LLVMValueRef left, units;

    if (!l->metered)
        return;
    units = LLVMBuildAdd(l->b, len, lower_i64(l, UNIT_BYTES - 1), "");
    units = LLVMBuildUDiv(l->b, units, lower_i64(l, UNIT_BYTES), "");
    left = LLVMBuildLoad2(l->b, l->t->i64, l->gas_slot, "");
    left = LLVMBuildSub(l->b, left, units, "");
    lower_trap_if(l, LLVMBuildICmp(l->b, LLVMIntSLT, left, lower_i64(l, 0), ""), SV_TRAP_GAS);
    LLVMBuildStore(l->b, left, l->gas_slot);
    l->gas_noted = false;
}

/* Is the length on top of the stack a constant to be done in place? */
static bool inline_length(const struct lower *l, uint32_t *ret)
{
    LLVMValueRef v = l->st.len ? l->st.data[l->st.len - 1].v : NULL;
    uint64_t len;

    if (l->nomem || !v || !LLVMIsAConstantInt(v))
        return false;
    len = LLVMConstIntGetZExtValue(v);
    *ret = (uint32_t)len;
    return len <= INLINE_BYTES;
}

/* A copy (of memories x to y) or a fill (y NULL) of any length: few bytes by the image's own
 * function, others by the runtime, which charges for them. */
static void any_length(struct lower *l, enum sv_native_helper h, uint32_t x, const uint32_t *y)
{
    LLVMValueRef n = lower_wide(l, lower_pop(l)), b = lower_wide(l, lower_pop(l)),
                 to = lower_wide(l, lower_pop(l)), args[4], call;
    LLVMBasicBlockRef few = lower_block_new(l, "few"), many = lower_block_new(l, "many"),
                      join = lower_block_new(l, "");

    LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntULE, n, lower_i64(l, LOWER_SMALL_MAX), ""),
                    few, many);
    LLVMPositionBuilderAtEnd(l->b, few);
    args[0] = checked_address(l, x, to, n);
    args[1] = y ? checked_address(l, *y, b, n)
                : LLVMBuildMul(l->b, LLVMBuildAnd(l->b, b, lower_i64(l, 0xff), ""),
                               lower_i64(l, UINT64_C(0x0101010101010101)), "");
    args[2] = n;
    charge(l, n);
    call = y ? l->u->copy : l->u->fill;
    LLVMBuildCall2(l->b, LLVMGlobalGetValueType(call), call, args, 3, "");
    LLVMBuildBr(l->b, join);
    LLVMPositionBuilderAtEnd(l->b, many);
    args[0] = y ? pair(l, x, *y) : lower_i64(l, x);
    args[1] = to;
    args[2] = b;
    args[3] = n;
    lower_helper(l, h, args, 4);
    LLVMBuildBr(l->b, join);
    LLVMPositionBuilderAtEnd(l->b, join);
}

static void memory_copy(struct lower *l, uint32_t dst, uint32_t src)
{
    LLVMValueRef to, from;
    struct cut c;
    uint32_t len;

    if (!inline_length(l, &len)) {
        any_length(l, SV_NATIVE_MEMORY_COPY, dst, &src);
        return;
    }
    (void)lower_pop(l);
    from = lower_wide(l, lower_pop(l));
    to = lower_wide(l, lower_pop(l));
    c = cut_of(len);
    to = checked_address(l, dst, to, lower_i64(l, len));
    from = checked_address(l, src, from, lower_i64(l, len));
    charge(l, lower_i64(l, len));
    copy_inline(l, to, from, &c);
}

static void memory_fill(struct lower *l, uint32_t memory)
{
    LLVMValueRef to, byte;
    struct cut c;
    uint32_t len;

    if (!inline_length(l, &len)) {
        any_length(l, SV_NATIVE_MEMORY_FILL, memory, NULL);
        return;
    }
    (void)lower_pop(l);
    byte = lower_wide(l, lower_pop(l));
    to = lower_wide(l, lower_pop(l));
    c = cut_of(len);
    to = checked_address(l, memory, to, lower_i64(l, len));
    charge(l, lower_i64(l, len));
    fill_inline(l, to, byte, &c);
}

/* ---- By instruction ---- */

static bool memory_op(struct lower *l, enum sv_op op)
{
    uint32_t x, y;

    switch (op) {
    case OP_MEMORY_GROW:
        x = sv_code_u32(&l->p);
        lower_push_address(l, call(l, SV_NATIVE_MEMORY_GROW, lower_i64(l, x), 1),
                           l->m->memories[x].limits.is64);
        return true;
    case OP_MEMORY_FILL:
        memory_fill(l, sv_code_u32(&l->p));
        return true;
    case OP_MEMORY_COPY:
        x = sv_code_u32(&l->p);
        y = sv_code_u32(&l->p);
        memory_copy(l, x, y);
        return true;
    case OP_MEMORY_INIT:
        y = sv_code_u32(&l->p);
        x = sv_code_u32(&l->p);
        (void)call(l, SV_NATIVE_MEMORY_INIT, pair(l, x, y), 3);
        return true;
    case OP_DATA_DROP:
        x = sv_code_u32(&l->p);
        (void)call(l, SV_NATIVE_DATA_DROP, lower_i64(l, x), 0);
        return true;
    default:
        return false;
    }
}

/* The helper wants the number of elements first, the instruction has the value first. */
static void table_grow(struct lower *l, uint32_t x)
{
    LLVMValueRef delta = lower_wide(l, lower_pop(l)), init = lower_pop(l);
    LLVMValueRef args[] = {lower_i64(l, x), delta, init};

    lower_push_address(l, lower_helper(l, SV_NATIVE_TABLE_GROW, args, SV_COUNT(args)),
                       l->m->tables[x].type.limits.is64);
}

bool lower_bulk_op(struct lower *l, enum sv_op op)
{
    uint32_t x, y;

    switch (op) {
    case OP_TABLE_GROW:
        table_grow(l, sv_code_u32(&l->p));
        return true;
    case OP_TABLE_FILL:
        x = sv_code_u32(&l->p);
        (void)call(l, SV_NATIVE_TABLE_FILL, lower_i64(l, x), 3);
        return true;
    case OP_TABLE_COPY:
        x = sv_code_u32(&l->p);
        y = sv_code_u32(&l->p);
        (void)call(l, SV_NATIVE_TABLE_COPY, pair(l, x, y), 3);
        return true;
    case OP_TABLE_INIT:
        y = sv_code_u32(&l->p);
        x = sv_code_u32(&l->p);
        (void)call(l, SV_NATIVE_TABLE_INIT, pair(l, x, y), 3);
        return true;
    case OP_ELEM_DROP:
        x = sv_code_u32(&l->p);
        (void)call(l, SV_NATIVE_ELEM_DROP, lower_i64(l, x), 0);
        return true;
    default:
        return memory_op(l, op);
    }
}
