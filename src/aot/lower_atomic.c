/* Lowering of atomic accesses, all sequentially consistent, and of waiting and waking. */
#include "aot/lower.h"

/* The opcodes are nine groups of seven: i32, i64, i32 of 8 and 16 bits, i64 of 8, 16 and 32. */
enum { ATOMIC_WIDTHS = 7 };
enum group { GROUP_LOAD, GROUP_STORE, GROUP_RMW, GROUP_CMPXCHG = 8 };
static const uint8_t atomic_bytes[ATOMIC_WIDTHS] = {4, 8, 1, 2, 1, 2, 4};
static const bool atomic_wide[ATOMIC_WIDTHS] = {false, true, false, false, true, true, true};
static const uint8_t rmw_ops[] = {
    LLVMAtomicRMWBinOpAdd, LLVMAtomicRMWBinOpSub, LLVMAtomicRMWBinOpAnd,
    LLVMAtomicRMWBinOpOr,  LLVMAtomicRMWBinOpXor, LLVMAtomicRMWBinOpXchg,
};
static const LLVMAtomicOrdering seq_cst = LLVMAtomicOrderingSequentiallyConsistent;

/* An access of this many bytes with a value of this type. */
struct access {
    LLVMTypeRef type, narrow;
    uint32_t bytes;
    struct sv_memarg arg;
};

/* The interpreter looks at the bounds first. Where guard pages are the check, that comes too late:
 * find out here, where it is a trap anyway. */
static void trap_unaligned(struct lower *l, const struct access *a, LLVMValueRef address)
{
    LLVMValueRef base = lower_memory_base(l, a->arg.memory), at, outside;

    at = LLVMBuildSub(l->b, address, LLVMBuildPtrToInt(l->b, base, l->t->i64, ""), "");
    at = LLVMBuildAdd(l->b, at, lower_i64(l, a->bytes), "");
    outside = LLVMBuildICmp(l->b, LLVMIntUGT, at, lower_memory_size(l, a->arg.memory), "");
    lower_trap_value(l, LLVMBuildSelect(l->b, outside, lower_i32(l, SV_TRAP_MEMORY_BOUNDS),
                                        lower_i32(l, SV_TRAP_UNALIGNED_ATOMIC), ""));
}

/* Pop the address. Memories begin at a page, so the pointer tells the alignment. */
static LLVMValueRef pop_address(struct lower *l, const struct access *a)
{
    LLVMValueRef p = lower_address(l, lower_pop_value(l), &a->arg, a->bytes), n, odd;
    LLVMBasicBlockRef bad, good;

    if (a->bytes == 1)
        return p;
    n = LLVMBuildPtrToInt(l->b, p, l->t->i64, "");
    odd = LLVMBuildAnd(l->b, n, lower_i64(l, a->bytes - 1), "");
    bad = lower_block_new(l, "unaligned");
    good = lower_block_new(l, "aligned");
    odd = LLVMBuildICmp(l->b, LLVMIntNE, odd, lower_i64(l, 0), "");
    LLVMBuildCondBr(l->b, odd, bad, good);
    LLVMPositionBuilderAtEnd(l->b, bad);
    trap_unaligned(l, a, n);
    LLVMPositionBuilderAtEnd(l->b, good);
    return p;
}

static LLVMValueRef pop_narrow(struct lower *l, const struct access *a)
{
    LLVMValueRef v = lower_pop(l);

    return a->narrow == a->type ? v : LLVMBuildTrunc(l->b, v, a->narrow, "");
}

static void push_wide(struct lower *l, const struct access *a, LLVMValueRef v)
{
    lower_push(l, a->narrow == a->type ? v : LLVMBuildZExt(l->b, v, a->type, ""));
}

/* Aliasing as for every access, the alignment that was checked. */
static LLVMValueRef mark(struct lower *l, const struct access *a, LLVMValueRef access)
{
    lower_guest_access(l, access);
    LLVMSetAlignment(access, a->bytes);
    return access;
}

static void load(struct lower *l, const struct access *a)
{
    LLVMValueRef v = LLVMBuildLoad2(l->b, a->narrow, pop_address(l, a), "");

    LLVMSetOrdering(v, seq_cst);
    push_wide(l, a, mark(l, a, v));
}

static void store(struct lower *l, const struct access *a)
{
    LLVMValueRef v = pop_narrow(l, a), s = LLVMBuildStore(l->b, v, pop_address(l, a));

    LLVMSetOrdering(s, seq_cst);
    (void)mark(l, a, s);
}

static void rmw(struct lower *l, const struct access *a, LLVMAtomicRMWBinOp op)
{
    LLVMValueRef v = pop_narrow(l, a), p = pop_address(l, a);

    push_wide(l, a, mark(l, a, LLVMBuildAtomicRMW(l->b, op, p, v, seq_cst, false)));
}

static void cmpxchg(struct lower *l, const struct access *a)
{
    LLVMValueRef v = pop_narrow(l, a), expected = pop_narrow(l, a), p = pop_address(l, a);

    v = LLVMBuildAtomicCmpXchg(l->b, p, expected, v, seq_cst, seq_cst, false);
    push_wide(l, a, LLVMBuildExtractValue(l->b, mark(l, a, v), 0, ""));
}

static void atomic_access(struct lower *l, enum sv_op op)
{
    uint32_t n = (uint32_t)op - OP_I32_ATOMIC_LOAD, group = n / ATOMIC_WIDTHS,
             width = n % ATOMIC_WIDTHS;
    struct access a = {.bytes = atomic_bytes[width], .arg = sv_code_memarg(&l->p)};

    a.type = atomic_wide[width] ? l->t->i64 : l->t->i32;
    a.narrow = LLVMIntTypeInContext(l->u->ctx, a.bytes * 8);
    if (group == GROUP_LOAD)
        load(l, &a);
    else if (group == GROUP_STORE)
        store(l, &a);
    else if (group == GROUP_CMPXCHG)
        cmpxchg(l, &a);
    else
        rmw(l, &a, (LLVMAtomicRMWBinOp)rmw_ops[group - GROUP_RMW]);
}

/* The runtime checks the address; only the sum is ours. */
static void wait_or_notify(struct lower *l, enum sv_native_helper h, unsigned nargs)
{
    struct sv_memarg arg = sv_code_memarg(&l->p);
    LLVMValueRef args[4] = {lower_i64(l, arg.memory)}, at, sum, r;

    for (unsigned i = nargs; i > 0; i--)
        args[i] = lower_wide(l, lower_pop(l));
    at = args[1];
    sum = LLVMBuildAdd(l->b, at, lower_i64(l, arg.offset), "");
    if (l->m->memories[arg.memory].limits.is64 && arg.offset)
        lower_trap_if(l, LLVMBuildICmp(l->b, LLVMIntULT, sum, at, ""), SV_TRAP_MEMORY_BOUNDS);
    args[1] = sum;
    r = lower_helper(l, h, args, nargs + 1);
    lower_push_address(l, r, false);
}

bool lower_atomic_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_MEMORY_ATOMIC_NOTIFY:
        wait_or_notify(l, SV_NATIVE_NOTIFY, 2);
        return true;
    case OP_MEMORY_ATOMIC_WAIT32:
        wait_or_notify(l, SV_NATIVE_WAIT32, 3);
        return true;
    case OP_MEMORY_ATOMIC_WAIT64:
        wait_or_notify(l, SV_NATIVE_WAIT64, 3);
        return true;
    case OP_ATOMIC_FENCE:
        l->p++;
        LLVMBuildFence(l->b, seq_cst, false, "");
        return true;
    default:
        if (op < OP_I32_ATOMIC_LOAD || op > OP_I64_ATOMIC_RMW32_CMPXCHG_U)
            return false;
        atomic_access(l, op);
        return true;
    }
}
