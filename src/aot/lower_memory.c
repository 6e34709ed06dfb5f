/* Lowering of loads and stores. Guarded memory 0 is accessed without a check: its reservation
 * catches every address (lower_facts.c); all else is checked. Atomics are lower_atomic.c's, bulk
 * operations lower_bulk.c's. */
#include <stddef.h>
#include <string.h>

#include "aot/lower.h"
#include "aot/unit.h"

bool lower_is_guarded(const struct lower *l, uint32_t memory)
{
    return memory == 0 && !l->checked && !l->m->memories[0].limits.is64;
}

static LLVMValueRef checked_address(struct lower *l, struct lower_value a,
                                    const struct sv_memarg *arg, uint32_t bytes)
{
    bool is64 = l->m->memories[arg->memory].limits.is64;
    LLVMValueRef size = lower_memory_size(l, arg->memory), index = a.v, bad;
    uint64_t end;

    if (__builtin_add_overflow(arg->offset, bytes, &end)) {
        lower_trap_if(l, LLVMConstInt(l->t->i1, 1, false), SV_TRAP_MEMORY_BOUNDS);
        end = UINT64_MAX; /* not reached */
    }
    if (!is64) {
        /* Neither sum can wrap. */
        index = LLVMBuildZExt(l->b, a.v, l->t->i64, "");
        bad = LLVMBuildICmp(l->b, LLVMIntUGT, LLVMBuildAdd(l->b, index, lower_i64(l, end), ""),
                            size, "");
    } else {
        LLVMValueRef room = LLVMBuildSub(l->b, size, lower_i64(l, end), "");

        bad = LLVMBuildOr(l->b, LLVMBuildICmp(l->b, LLVMIntULT, size, lower_i64(l, end), ""),
                          LLVMBuildICmp(l->b, LLVMIntUGT, index, room, ""), "");
    }
    lower_trap_if(l, bad, SV_TRAP_MEMORY_BOUNDS);
    index = LLVMBuildAdd(l->b, index, lower_i64(l, arg->offset), "");
    return LLVMBuildGEP2(l->b, l->t->i8, lower_memory_base(l, arg->memory), &index, 1, "");
}

LLVMValueRef lower_address(struct lower *l, struct lower_value a, const struct sv_memarg *arg,
                           uint32_t bytes)
{
    uint64_t offset = arg->offset;
    LLVMValueRef index;

    if (!lower_is_guarded(l, arg->memory))
        return checked_address(l, a, arg, bytes);
    index = lower_fact_address(l, a, &offset);
    if (offset)
        index = LLVMBuildAdd(l->b, index, lower_i64(l, offset), "");
    if (l->metered && !l->gas_noted) {
        /* The access may trap: the total must be known then. */
        lower_gas_note(l);
        l->gas_noted = true;
    }
    return LLVMBuildGEP2(l->b, l->t->i8, l->mem0, &index, 1, "");
}

void lower_guest_access(struct lower *l, LLVMValueRef access)
{
    LLVMSetMetadata(access, l->u->md_scope, l->u->scope_guest);
    LLVMSetMetadata(access, l->u->md_noalias, l->u->scope_host);
    if (l->exact)
        LLVMSetVolatile(access, true);
}

/* ---- Scalars ---- */

enum extend { EXT_NONE, EXT_S, EXT_U };
struct access {
    uint8_t bytes; /* 0: not one of these instructions */
    uint8_t type;  /* enum sv_valkind of the value */
    uint8_t extend;
    bool store;
};
static const struct access accesses[OP_COUNT] = {
    [OP_I32_LOAD] = {4, SV_VAL_I32, EXT_NONE, false},
    [OP_I64_LOAD] = {8, SV_VAL_I64, EXT_NONE, false},
    [OP_F32_LOAD] = {4, SV_VAL_F32, EXT_NONE, false},
    [OP_F64_LOAD] = {8, SV_VAL_F64, EXT_NONE, false},
    [OP_V128_LOAD] = {16, SV_VAL_V128, EXT_NONE, false},
    [OP_I32_LOAD8_S] = {1, SV_VAL_I32, EXT_S, false},
    [OP_I32_LOAD8_U] = {1, SV_VAL_I32, EXT_U, false},
    [OP_I32_LOAD16_S] = {2, SV_VAL_I32, EXT_S, false},
    [OP_I32_LOAD16_U] = {2, SV_VAL_I32, EXT_U, false},
    [OP_I64_LOAD8_S] = {1, SV_VAL_I64, EXT_S, false},
    [OP_I64_LOAD8_U] = {1, SV_VAL_I64, EXT_U, false},
    [OP_I64_LOAD16_S] = {2, SV_VAL_I64, EXT_S, false},
    [OP_I64_LOAD16_U] = {2, SV_VAL_I64, EXT_U, false},
    [OP_I64_LOAD32_S] = {4, SV_VAL_I64, EXT_S, false},
    [OP_I64_LOAD32_U] = {4, SV_VAL_I64, EXT_U, false},
    [OP_I32_STORE] = {4, SV_VAL_I32, EXT_NONE, true},
    [OP_I64_STORE] = {8, SV_VAL_I64, EXT_NONE, true},
    [OP_F32_STORE] = {4, SV_VAL_F32, EXT_NONE, true},
    [OP_F64_STORE] = {8, SV_VAL_F64, EXT_NONE, true},
    [OP_V128_STORE] = {16, SV_VAL_V128, EXT_NONE, true},
    [OP_I32_STORE8] = {1, SV_VAL_I32, EXT_U, true},
    [OP_I32_STORE16] = {2, SV_VAL_I32, EXT_U, true},
    [OP_I64_STORE8] = {1, SV_VAL_I64, EXT_U, true},
    [OP_I64_STORE16] = {2, SV_VAL_I64, EXT_U, true},
    [OP_I64_STORE32] = {4, SV_VAL_I64, EXT_U, true},
};

/* Of the same bits, in one register of the machine. */
static LLVMTypeRef register_type(const struct lower *l, LLVMTypeRef t)
{
    bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;

    return vector && t != l->t->v2i64 ? l->t->i64 : t;
}

/* The value, of which LLVM knows nothing from here on: an operation or a widening that took the
 * load in, or two loads that became one, would have another place in backtraces. */
static LLVMValueRef hide(struct lower *l, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);

    v = LLVMBuildBitCast(l->b, v, register_type(l, type), "");
    return LLVMBuildBitCast(l->b, lower_unit_hidden(l->u, l->b, v), type, "");
}

static LLVMValueRef guest_load(struct lower *l, LLVMTypeRef type, LLVMValueRef address)
{
    LLVMValueRef v = LLVMBuildLoad2(l->b, type, address, "");

    LLVMSetAlignment(v, 1);
    lower_guest_access(l, v);
    /* Dropped at once: it is there for its trap. */
    if (l->p < l->m->bytes + l->m->len && *l->p == 0x1a)
        LLVMSetVolatile(v, true);
    return l->exact && l->canon ? hide(l, v) : v;
}

static void guest_store(struct lower *l, LLVMValueRef value, LLVMValueRef address)
{
    LLVMValueRef v = LLVMBuildStore(l->b, value, address);

    LLVMSetAlignment(v, 1);
    lower_guest_access(l, v);
}

static void scalar(struct lower *l, const struct access *a)
{
    struct sv_memarg arg = sv_code_memarg(&l->p);
    LLVMTypeRef type = lower_type(l->u, SV_VALTYPE(a->type)), narrow = type;
    LLVMValueRef v = NULL, address;
    struct lower_value index;

    if (a->extend != EXT_NONE)
        narrow = LLVMIntTypeInContext(l->u->ctx, a->bytes * 8u);
    if (a->store)
        v = lower_pop(l);
    index = lower_pop_value(l);
    address = lower_address(l, index, &arg, a->bytes);
    if (a->store) {
        guest_store(l, a->extend ? LLVMBuildTrunc(l->b, v, narrow, "") : v, address);
        return;
    }
    v = guest_load(l, narrow, address);
    if (a->extend == EXT_S)
        v = LLVMBuildSExt(l->b, v, type, "");
    else if (a->extend == EXT_U)
        v = LLVMBuildZExt(l->b, v, type, "");
    lower_push(l, v);
}

/* ---- Vectors: half of one widened, one lane everywhere, one lane and zeros ---- */

static void load_widened(struct lower *l, unsigned lane_bytes, bool sign)
{
    struct sv_memarg arg = sv_code_memarg(&l->p);
    LLVMTypeRef narrow = LLVMIntTypeInContext(l->u->ctx, lane_bytes * 8),
                wide = LLVMIntTypeInContext(l->u->ctx, lane_bytes * 16);
    unsigned n = 8 / lane_bytes;
    LLVMValueRef v =
        guest_load(l, LLVMVectorType(narrow, n), lower_address(l, lower_pop_value(l), &arg, 8));

    v = sign ? LLVMBuildSExt(l->b, v, LLVMVectorType(wide, n), "")
             : LLVMBuildZExt(l->b, v, LLVMVectorType(wide, n), "");
    lower_push(l, lower_v128(l, v));
}

/* Lane 0 of a vector of `n`, in all lanes if `splat`. */
static LLVMValueRef from_lane(struct lower *l, LLVMValueRef v, LLVMTypeRef type, unsigned n,
                              bool splat)
{
    LLVMTypeRef shape = LLVMVectorType(type, n);

    v = LLVMBuildInsertElement(l->b, LLVMConstNull(shape), v, lower_i32(l, 0), "");
    if (splat)
        v = LLVMBuildShuffleVector(l->b, v, v, LLVMConstNull(LLVMVectorType(l->t->i32, n)), "");
    return lower_v128(l, v);
}

static void load_lane(struct lower *l, unsigned bytes, bool splat)
{
    struct sv_memarg arg = sv_code_memarg(&l->p);
    LLVMTypeRef type = LLVMIntTypeInContext(l->u->ctx, bytes * 8);
    LLVMValueRef v = guest_load(l, type, lower_address(l, lower_pop_value(l), &arg, bytes));

    lower_push(l, from_lane(l, v, type, 16 / bytes, splat));
}

static void one_lane(struct lower *l, unsigned bytes, bool store)
{
    struct sv_memarg arg = sv_code_memarg(&l->p);
    LLVMTypeRef type = LLVMIntTypeInContext(l->u->ctx, bytes * 8);
    LLVMValueRef lane = lower_i32(l, *l->p++);
    LLVMValueRef v = lower_cast(l, lower_pop(l), LLVMVectorType(type, 16 / bytes)), address;

    address = lower_address(l, lower_pop_value(l), &arg, bytes);
    if (store) {
        guest_store(l, LLVMBuildExtractElement(l->b, v, lane, ""), address);
        return;
    }
    v = LLVMBuildInsertElement(l->b, v, guest_load(l, type, address), lane, "");
    lower_push(l, lower_v128(l, v));
}

static bool vector_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_V128_LOAD8X8_S:
    case OP_V128_LOAD8X8_U:
        load_widened(l, 1, op == OP_V128_LOAD8X8_S);
        return true;
    case OP_V128_LOAD16X4_S:
    case OP_V128_LOAD16X4_U:
        load_widened(l, 2, op == OP_V128_LOAD16X4_S);
        return true;
    case OP_V128_LOAD32X2_S:
    case OP_V128_LOAD32X2_U:
        load_widened(l, 4, op == OP_V128_LOAD32X2_S);
        return true;
#define LANE(bits)                                                                                 \
    case OP_V128_LOAD##bits##_SPLAT:                                                               \
        load_lane(l, (bits) / 8, true);                                                            \
        return true;                                                                               \
    case OP_V128_LOAD##bits##_LANE:                                                                \
    case OP_V128_STORE##bits##_LANE:                                                               \
        one_lane(l, (bits) / 8, op == OP_V128_STORE##bits##_LANE);                                 \
        return true;
        LANE(8)
        LANE(16)
        LANE(32)
        LANE(64)
#undef LANE
    case OP_V128_LOAD32_ZERO:
    case OP_V128_LOAD64_ZERO:
        load_lane(l, op == OP_V128_LOAD32_ZERO ? 4 : 8, false);
        return true;
    default:
        return false;
    }
}

bool lower_memory_op(struct lower *l, enum sv_op op)
{
    if (accesses[op].bytes) {
        scalar(l, &accesses[op]);
        return true;
    }
    return vector_op(l, op);
}

bool lower_is_access(enum sv_op op)
{
    return accesses[op].bytes != 0 || (op >= OP_V128_LOAD && op <= OP_V128_STORE) ||
           (op >= OP_V128_LOAD8_LANE && op <= OP_V128_LOAD64_ZERO);
}
