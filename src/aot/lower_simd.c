/* Vector instructions of numeric.def, v128.const and i8x16.shuffle. Plain IR that LLVM turns into
 * the machine's instructions; a machine's own intrinsics only where it does not. */
#include "aot/lower_row.h"

/* n lanes of a and b together: from lane `first`, every `step`th. */
static LLVMValueRef lanes(struct lower *l, LLVMValueRef a, LLVMValueRef b, unsigned first,
                          unsigned step, unsigned n)
{
    LLVMValueRef mask[16];

    for (unsigned i = 0; i < n; i++)
        mask[i] = lower_i32(l, first + i * step);
    return LLVMBuildShuffleVector(l->b, a, b ? b : LLVMGetPoison(LLVMTypeOf(a)),
                                  LLVMConstVector(mask, n), "");
}
static unsigned count(LLVMValueRef v)
{
    return LLVMGetVectorSize(LLVMTypeOf(v));
}
static LLVMValueRef half(struct lower *l, LLVMValueRef v, bool high)
{
    unsigned n = count(v) / 2;

    return lanes(l, v, NULL, high ? n : 0, 1, n);
}
/* Two lanes, and two of zero behind them. */
static LLVMValueRef pad(struct lower *l, LLVMValueRef v)
{
    return lanes(l, v, LLVMConstNull(LLVMTypeOf(v)), 0, 1, 4);
}
/* Lanes of twice the size: sign or zero extension. */
static LLVMValueRef widen(struct lower *l, LLVMValueRef v, LLVMOpcode how)
{
    LLVMTypeRef lane = LLVMGetElementType(LLVMTypeOf(v));
    unsigned bits = LLVMGetIntTypeWidth(lane) * 2;

    return LLVMBuildCast(l->b, how, v,
                         LLVMVectorType(LLVMIntTypeInContext(l->u->ctx, bits), count(v)), "");
}

/* The even or the odd lanes, widened. On x86-64 shifts are better than a shuffle where signs are
 * to be kept. */
static LLVMValueRef widen_alternate(struct lower *l, LLVMValueRef v, unsigned first, LLVMOpcode how)
{
    unsigned n = count(v) / 2;
    LLVMTypeRef wide = LLVMVectorType(LLVMIntTypeInContext(l->u->ctx, 128 / n), n);
    LLVMValueRef by = lower_splat(wide, 64 / n);

    if (!lower_is_x86(l) || how != LLVMSExt)
        return widen(l, lanes(l, v, NULL, first, 2, n), how);
    v = lower_cast(l, v, wide);
    return LLVMBuildAShr(l->b, first ? v : LLVMBuildShl(l->b, v, by, ""), by, "");
}

/* ---- Bits ---- */

static LOWER_BUILD(invert)
{
    (void)row;
    return LLVMBuildNot(l->b, v[0], "");
}
static LOWER_BUILD(and_not)
{
    (void)row;
    return LLVMBuildAnd(l->b, v[0], LLVMBuildNot(l->b, v[1], ""), "");
}
static LOWER_BUILD(bitselect)
{
    LLVMValueRef a = LLVMBuildAnd(l->b, v[0], v[2], "");

    (void)row;
    return LLVMBuildOr(l->b, a, LLVMBuildAnd(l->b, v[1], LLVMBuildNot(l->b, v[2], ""), ""), "");
}
static LOWER_BUILD(any_true)
{
    LLVMValueRef bits = lower_intrinsic(l, "llvm.vector.reduce.or", LLVMTypeOf(v[0]), v, 1);

    (void)row;
    bits = LLVMBuildICmp(l->b, LLVMIntNE, bits, LLVMConstNull(LLVMTypeOf(bits)), "");
    return LLVMBuildZExt(l->b, bits, l->t->i32, "");
}
/* One bit of each lane, as an integer of so many bits. */
static LLVMValueRef pack_bits(struct lower *l, LLVMIntPredicate pred, LLVMValueRef v)
{
    LLVMValueRef bits = LLVMBuildICmp(l->b, pred, v, LLVMConstNull(LLVMTypeOf(v)), "");

    return lower_cast(l, bits, LLVMIntTypeInContext(l->u->ctx, count(v)));
}
static LOWER_BUILD(all_true)
{
    LLVMValueRef zeros = pack_bits(l, LLVMIntEQ, v[0]);

    (void)row;
    zeros = LLVMBuildICmp(l->b, LLVMIntEQ, zeros, LLVMConstNull(LLVMTypeOf(zeros)), "");
    return LLVMBuildZExt(l->b, zeros, l->t->i32, "");
}
static LOWER_BUILD(bitmask)
{
    (void)row;
    return LLVMBuildZExt(l->b, pack_bits(l, LLVMIntSLT, v[0]), l->t->i32, "");
}

/* ---- Lanes ---- */

/* A scalar operand as a lane of the row's shape. */
static LLVMValueRef lane_of(struct lower *l, LLVMTypeRef type, LLVMValueRef v)
{
    LLVMTypeRef lane = LLVMGetElementType(type);

    return lane == l->t->i8 || lane == l->t->i16 ? LLVMBuildTrunc(l->b, v, lane, "") : v;
}
static LOWER_BUILD(splat)
{
    LLVMTypeRef type = lower_row_type(l, row->shape);
    LLVMValueRef r = LLVMBuildInsertElement(l->b, LLVMGetPoison(type), lane_of(l, type, v[0]),
                                            lower_i32(l, 0), "");

    return lanes(l, r, NULL, 0, 0, LLVMGetVectorSize(type));
}
static LOWER_BUILD(extract)
{
    LLVMValueRef r = LLVMBuildExtractElement(l->b, v[0], lower_i32(l, *l->p++), "");

    return row->arg ? LLVMBuildCast(l->b, (LLVMOpcode)row->arg, r, l->t->i32, "") : r;
}
static LOWER_BUILD(replace)
{
    LLVMValueRef lane = lane_of(l, lower_row_type(l, row->shape), v[1]);

    return LLVMBuildInsertElement(l->b, v[0], lane, lower_i32(l, *l->p++), "");
}
static LOWER_BUILD(shuffle)
{
    LLVMValueRef mask[16];

    (void)row;
    for (unsigned i = 0; i < 16; i++)
        mask[i] = lower_i32(l, *l->p++);
    return LLVMBuildShuffleVector(l->b, v[0], v[1], LLVMConstVector(mask, 16), "");
}
/* Adding 0x70 with saturation sets bit 7 of every index above 15, which pshufb turns to 0. */
static LOWER_BUILD(swizzle)
{
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    LLVMValueRef index[] = {v[1], lower_splat(type, 0x70)};

    (void)row;
    if (!lower_is_x86(l))
        return lower_intrinsic(l, "llvm.aarch64.neon.tbl1", type, v, 2);
    v[1] = lower_intrinsic(l, "llvm.uadd.sat", type, index, 2);
    return lower_intrinsic(l, "llvm.x86.ssse3.pshuf.b.128", NULL, v, 2);
}
static LOWER_BUILD(constant)
{
    LLVMValueRef words[] = {lower_i64(l, 0), lower_i64(l, 0)};

    (void)row;
    (void)v;
    for (unsigned i = 0; i < 2; i++)
        words[i] = lower_i64(l, sv_code_f64_bits(&l->p));
    return LLVMConstVector(words, 2);
}

/* ---- Integers ---- */

/* Rounded up: the bits of both, less half of those that differ. */
static LOWER_BUILD(average)
{
    LLVMValueRef half_of = LLVMBuildXor(l->b, v[0], v[1], "");

    (void)row;
    half_of = LLVMBuildLShr(l->b, half_of, lower_splat(LLVMTypeOf(v[0]), 1), "");
    return LLVMBuildSub(l->b, LLVMBuildOr(l->b, v[0], v[1], ""), half_of, "");
}
/* Both operands' lanes, as lanes of half the size: clamped to those (arg: signed results). */
static LOWER_BUILD(narrow)
{
    unsigned n = count(v[0]) * 2, bits = 128 / n;
    LLVMValueRef all = lanes(l, v[0], v[1], 0, 1, n), clamp[2];
    LLVMTypeRef type = LLVMTypeOf(all);
    uint64_t max = (UINT64_C(1) << (bits - row->arg)) - 1;

    clamp[0] = all;
    clamp[1] = lower_splat(type, row->arg ? ~max : 0);
    clamp[0] = lower_intrinsic(l, "llvm.smax", type, clamp, 2);
    clamp[1] = lower_splat(type, max);
    all = lower_intrinsic(l, "llvm.smin", type, clamp, 2);
    return LLVMBuildTrunc(l->b, all, LLVMVectorType(LLVMIntTypeInContext(l->u->ctx, bits), n), "");
}
static LOWER_BUILD(extend)
{
    return widen(l, half(l, v[0], row->high), (LLVMOpcode)row->arg);
}
static LOWER_BUILD(extend_multiply)
{
    return LLVMBuildMul(l->b, widen(l, half(l, v[0], row->high), (LLVMOpcode)row->arg),
                        widen(l, half(l, v[1], row->high), (LLVMOpcode)row->arg), "");
}
static LOWER_BUILD(extend_add)
{
    return LLVMBuildAdd(l->b, widen_alternate(l, v[0], 0, (LLVMOpcode)row->arg),
                        widen_alternate(l, v[0], 1, (LLVMOpcode)row->arg), "");
}
/* Products of the lanes, neighbours added. Of 16-bit lanes, plainly written, it is pmaddwd. */
static LOWER_BUILD(dot)
{
    LLVMValueRef product[2];

    (void)row;
    for (unsigned i = 0; i < 2; i++) {
        unsigned n = count(v[0]) / 2;
        LLVMValueRef a = widen(l, lanes(l, v[0], NULL, i, 2, n), LLVMSExt);

        product[i] = LLVMBuildMul(l->b, a, widen(l, lanes(l, v[1], NULL, i, 2, n), LLVMSExt), "");
    }
    return LLVMBuildAdd(l->b, product[0], product[1], "");
}
static LOWER_BUILD(dot_bytes)
{
    LLVMValueRef product[2];

    (void)row;
    for (unsigned i = 0; i < 2; i++)
        product[i] = LLVMBuildMul(l->b, widen_alternate(l, v[0], i, LLVMSExt),
                                  widen_alternate(l, v[1], i, LLVMSExt), "");
    return LLVMBuildAdd(l->b, product[0], product[1], "");
}
static LOWER_BUILD(dot_bytes_add)
{
    const struct lower_row add = {.arg = LLVMSExt};
    LLVMValueRef words = dot_bytes(l, row, v);

    return LLVMBuildAdd(l->b, extend_add(l, &add, &words), lower_cast(l, v[2], l->t->v4i32), "");
}
/* pmulhrsw is it but for -1 * -1, which gives 0x8000 where 0x7fff is wanted. */
static LOWER_BUILD(q15_multiply)
{
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    LLVMValueRef r, wrong;

    (void)row;
    if (!lower_is_x86(l))
        return lower_intrinsic(l, "llvm.aarch64.neon.sqrdmulh", type, v, 2);
    r = lower_intrinsic(l, "llvm.x86.ssse3.pmul.hr.sw.128", NULL, v, 2);
    wrong = LLVMBuildICmp(l->b, LLVMIntEQ, r, lower_splat(type, 0x8000), "");
    return LLVMBuildXor(l->b, r, LLVMBuildSExt(l->b, wrong, type, ""), "");
}

/* ---- Floats ---- */

/* b when the comparison (arg) of b and a holds; not the same as min and max. For aarch64 a choice
 * of integers: LLVM takes that of a float and a constant for fminnm, which is not the same for
 * zeros and signalling NaNs. */
static LOWER_BUILD(pseudo_minmax)
{
    LLVMValueRef cond = LLVMBuildFCmp(l->b, (LLVMRealPredicate)row->arg, v[1], v[0], "");

    for (unsigned i = 0; i < 2 && !lower_is_x86(l); i++)
        v[i] = lower_cast(l, v[i], lower_int_type(l, LLVMTypeOf(v[i])));
    return LLVMBuildSelect(l->b, cond, v[1], v[0], "");
}
/* Two roundings: never fused. */
static LOWER_BUILD(multiply_add)
{
    const struct lower_row mul = {.arg = LLVMFMul}, add = {.arg = LLVMFAdd};
    LLVMValueRef sum[2];

    if (row->arg)
        v[0] = LLVMBuildFNeg(l->b, v[0], "");
    sum[0] = lower_build_float(l, &mul, v);
    sum[1] = v[2];
    return lower_build_float(l, &add, sum);
}
/* The lower two lanes converted to two doubles. */
static LOWER_BUILD(convert_low)
{
    return LLVMBuildCast(l->b, (LLVMOpcode)row->arg, half(l, v[0], false), l->t->v2f64, "");
}
static LOWER_BUILD(demote)
{
    (void)row;
    return pad(l, lower_demote(l, v[0], LLVMVectorType(l->t->f32, 2)));
}

/* Saturating truncation. The plain intrinsic is one lane at a time on x86-64, where the machine
 * gives 0x80000000 for all that is out of range: the ways of numeric_x86.h. arg: of integers with a
 * sign. */
static LLVMValueRef float_splat(LLVMTypeRef type, double k)
{
    LLVMValueRef all[4];

    for (unsigned i = 0; i < LLVMGetVectorSize(type); i++)
        all[i] = LLVMConstReal(LLVMGetElementType(type), k);
    return LLVMConstVector(all, LLVMGetVectorSize(type));
}
/* v where it is greater (or less) than k, else k: for a NaN too. */
static LLVMValueRef limit(struct lower *l, LLVMRealPredicate pred, LLVMValueRef v, double k)
{
    LLVMValueRef bound = float_splat(LLVMTypeOf(v), k);

    return LLVMBuildSelect(l->b, LLVMBuildFCmp(l->b, pred, v, bound, ""), v, bound, "");
}
static LLVMValueRef zero_nans(struct lower *l, LLVMValueRef v)
{
    return LLVMBuildSelect(l->b, LLVMBuildFCmp(l->b, LLVMRealORD, v, v, ""), v,
                           LLVMConstNull(LLVMTypeOf(v)), "");
}
/* All ones where v >= 2^31. */
static LLVMValueRef is_large(struct lower *l, LLVMValueRef v)
{
    LLVMValueRef bound = float_splat(LLVMTypeOf(v), 0x1p31);

    return LLVMBuildSExt(l->b, LLVMBuildFCmp(l->b, LLVMRealOGE, v, bound, ""), l->t->v4i32, "");
}
/* Lanes below 2^31 right, those above 2^31 - 1. */
static LLVMValueRef to_signed(struct lower *l, LLVMValueRef v)
{
    LLVMValueRef r = lower_intrinsic(l, "llvm.x86.sse2.cvttps2dq", NULL, &v, 1);

    return LLVMBuildXor(l->b, r, is_large(l, v), "");
}
static LOWER_BUILD(trunc_sat_f32x4)
{
    LLVMValueRef low, rest, large;

    if (!lower_is_x86(l))
        return lower_intrinsic_to(l, row->arg ? "llvm.fptosi.sat" : "llvm.fptoui.sat", l->t->v4i32,
                                  v[0]);
    if (row->arg)
        return to_signed(l, zero_nans(l, v[0]));
    /* From 2^31 on the low part is 0x80000000, to which the rest is added. */
    low = limit(l, LLVMRealOGT, v[0], 0);
    large = is_large(l, low);
    rest = LLVMBuildFSub(l->b, low, float_splat(l->t->v4f32, 0x1p31), "");
    rest = LLVMBuildAnd(l->b, to_signed(l, rest), large, "");
    low = lower_intrinsic(l, "llvm.x86.sse2.cvttps2dq", NULL, &low, 1);
    return LLVMBuildAdd(l->b, low, rest, "");
}
static LOWER_BUILD(trunc_sat_f64x2)
{
    LLVMValueRef r;

    if (!lower_is_x86(l))
        return pad(l, lower_intrinsic_to(l, row->arg ? "llvm.fptosi.sat" : "llvm.fptoui.sat",
                                         LLVMVectorType(l->t->i32, 2), v[0]));
    if (row->arg) {
        r = limit(l, LLVMRealOLT, zero_nans(l, v[0]), 2147483647);
        return lower_intrinsic(l, "llvm.x86.sse2.cvttpd2dq", NULL, &r, 1);
    }
    /* Whole and in range, 2^52 + x holds x in its low half. */
    r = limit(l, LLVMRealOLT, limit(l, LLVMRealOGT, v[0], 0), 4294967295);
    r = lower_intrinsic(l, "llvm.trunc", LLVMTypeOf(r), &r, 1);
    r = lower_cast(l, LLVMBuildFAdd(l->b, r, float_splat(l->t->v2f64, 0x1p52), ""), l->t->v4i32);
    return lanes(l, r, LLVMConstNull(l->t->v4i32), 0, 2, 4);
}

/* clang-format off */
#define SHAPE(type) .shape = LOWER_TYPE(type)
#define BINARY(opcode, type) {lower_build_binary, .arg = LLVM##opcode, SHAPE(type)}
#define SHIFT(opcode, type) {lower_build_shift, .arg = LLVM##opcode, SHAPE(type)}
#define FLOAT(opcode, type) {lower_build_float, .arg = LLVM##opcode, SHAPE(type)}
#define ICMP(pred, type) {lower_build_icmp, .arg = LLVMInt##pred, SHAPE(type)}
#define FCMP(pred, type) {lower_build_fcmp, .arg = LLVMReal##pred, SHAPE(type)}
#define UNARY(intrinsic, type) {lower_build_unary, .name = "llvm." intrinsic, SHAPE(type)}
#define PAIR(intrinsic, type) {lower_build_pair, .name = "llvm." intrinsic, SHAPE(type)}
#define MINMAX(pred, type) {lower_build_minmax, .arg = LLVMReal##pred, SHAPE(type)}
#define PSEUDO(pred, type) {pseudo_minmax, .arg = LLVMReal##pred, SHAPE(type)}
#define SPECIAL(build, how, type) {build, .arg = how, SHAPE(type)}

/* What all shapes of integers have; all but i64x2; i8x16 and i16x8; all but i8x16. */
#define INTEGERS(X, t) \
    [OP_##X##_SPLAT] = {splat, SHAPE(t)}, [OP_##X##_REPLACE_LANE] = {replace, SHAPE(t)}, \
    [OP_##X##_EQ] = ICMP(EQ, t), [OP_##X##_NE] = ICMP(NE, t), \
    [OP_##X##_LT_S] = ICMP(SLT, t), [OP_##X##_GT_S] = ICMP(SGT, t), \
    [OP_##X##_LE_S] = ICMP(SLE, t), [OP_##X##_GE_S] = ICMP(SGE, t), \
    [OP_##X##_ABS] = {lower_build_unary_flag, .name = "llvm.abs", SHAPE(t)}, \
    [OP_##X##_NEG] = {lower_build_negate, SHAPE(t)}, \
    [OP_##X##_ALL_TRUE] = {all_true, SHAPE(t)}, [OP_##X##_BITMASK] = {bitmask, SHAPE(t)}, \
    [OP_##X##_SHL] = SHIFT(Shl, t), [OP_##X##_SHR_S] = SHIFT(AShr, t), [OP_##X##_SHR_U] = SHIFT(LShr, t), \
    [OP_##X##_ADD] = BINARY(Add, t), [OP_##X##_SUB] = BINARY(Sub, t)
#define ORDERED(X, t) \
    [OP_##X##_LT_U] = ICMP(ULT, t), [OP_##X##_GT_U] = ICMP(UGT, t), \
    [OP_##X##_LE_U] = ICMP(ULE, t), [OP_##X##_GE_U] = ICMP(UGE, t), \
    [OP_##X##_MIN_S] = PAIR("smin", t), [OP_##X##_MIN_U] = PAIR("umin", t), \
    [OP_##X##_MAX_S] = PAIR("smax", t), [OP_##X##_MAX_U] = PAIR("umax", t)
#define SMALL(X, t) \
    [OP_##X##_EXTRACT_LANE_S] = SPECIAL(extract, LLVMSExt, t), \
    [OP_##X##_EXTRACT_LANE_U] = SPECIAL(extract, LLVMZExt, t), \
    [OP_##X##_ADD_SAT_S] = PAIR("sadd.sat", t), [OP_##X##_ADD_SAT_U] = PAIR("uadd.sat", t), \
    [OP_##X##_SUB_SAT_S] = PAIR("ssub.sat", t), [OP_##X##_SUB_SAT_U] = PAIR("usub.sat", t), \
    [OP_##X##_AVGR_U] = {average, SHAPE(t)}
/* From lanes of half the size, `from`. */
#define WIDE(X, FROM, from) \
    [OP_##X##_EXTEND_LOW_##FROM##_S] = {extend, .arg = LLVMSExt, SHAPE(from)}, \
    [OP_##X##_EXTEND_LOW_##FROM##_U] = {extend, .arg = LLVMZExt, SHAPE(from)}, \
    [OP_##X##_EXTEND_HIGH_##FROM##_S] = {extend, .arg = LLVMSExt, .high = 1, SHAPE(from)}, \
    [OP_##X##_EXTEND_HIGH_##FROM##_U] = {extend, .arg = LLVMZExt, .high = 1, SHAPE(from)}, \
    [OP_##X##_EXTMUL_LOW_##FROM##_S] = {extend_multiply, .arg = LLVMSExt, SHAPE(from)}, \
    [OP_##X##_EXTMUL_LOW_##FROM##_U] = {extend_multiply, .arg = LLVMZExt, SHAPE(from)}, \
    [OP_##X##_EXTMUL_HIGH_##FROM##_S] = {extend_multiply, .arg = LLVMSExt, .high = 1, SHAPE(from)}, \
    [OP_##X##_EXTMUL_HIGH_##FROM##_U] = {extend_multiply, .arg = LLVMZExt, .high = 1, SHAPE(from)}
#define PAIRWISE(X, FROM, from) \
    [OP_##X##_EXTADD_PAIRWISE_##FROM##_S] = SPECIAL(extend_add, LLVMSExt, from), \
    [OP_##X##_EXTADD_PAIRWISE_##FROM##_U] = SPECIAL(extend_add, LLVMZExt, from)
#define NARROW(X, FROM, from) \
    [OP_##X##_NARROW_##FROM##_S] = SPECIAL(narrow, 1, from), \
    [OP_##X##_NARROW_##FROM##_U] = SPECIAL(narrow, 0, from)

#define FLOATS(X, t) \
    [OP_##X##_SPLAT] = {splat, SHAPE(t)}, [OP_##X##_REPLACE_LANE] = {replace, SHAPE(t)}, \
    [OP_##X##_EXTRACT_LANE] = {extract, SHAPE(t)}, \
    [OP_##X##_EQ] = FCMP(OEQ, t), [OP_##X##_NE] = FCMP(UNE, t), [OP_##X##_LT] = FCMP(OLT, t), \
    [OP_##X##_GT] = FCMP(OGT, t), [OP_##X##_LE] = FCMP(OLE, t), [OP_##X##_GE] = FCMP(OGE, t), \
    [OP_##X##_ABS] = UNARY("fabs", t), [OP_##X##_NEG] = {lower_build_float_neg, SHAPE(t)}, \
    [OP_##X##_SQRT] = UNARY("sqrt", t), [OP_##X##_CEIL] = UNARY("ceil", t), \
    [OP_##X##_FLOOR] = UNARY("floor", t), [OP_##X##_TRUNC] = UNARY("trunc", t), \
    [OP_##X##_NEAREST] = UNARY("roundeven", t), \
    [OP_##X##_ADD] = FLOAT(FAdd, t), [OP_##X##_SUB] = FLOAT(FSub, t), \
    [OP_##X##_MUL] = FLOAT(FMul, t), [OP_##X##_DIV] = FLOAT(FDiv, t), \
    [OP_##X##_MIN] = MINMAX(OLT, t), [OP_##X##_MAX] = MINMAX(OGT, t), \
    [OP_##X##_RELAXED_MIN] = MINMAX(OLT, t), [OP_##X##_RELAXED_MAX] = MINMAX(OGT, t), \
    [OP_##X##_PMIN] = PSEUDO(OLT, t), [OP_##X##_PMAX] = PSEUDO(OGT, t), \
    [OP_##X##_RELAXED_MADD] = SPECIAL(multiply_add, 0, t), \
    [OP_##X##_RELAXED_NMADD] = SPECIAL(multiply_add, 1, t)

static const struct lower_row rows[OP_COUNT] = {
    [OP_V128_CONST] = {.build = constant},
    [OP_V128_NOT] = {invert, SHAPE(v2i64)},
    [OP_V128_AND] = BINARY(And, v2i64),
    [OP_V128_ANDNOT] = {and_not, SHAPE(v2i64)},
    [OP_V128_OR] = BINARY(Or, v2i64),
    [OP_V128_XOR] = BINARY(Xor, v2i64),
    [OP_V128_BITSELECT] = {bitselect, SHAPE(v2i64)},
    [OP_V128_ANY_TRUE] = {any_true, SHAPE(v2i64)},
    [OP_I8X16_SHUFFLE] = {shuffle, SHAPE(v16i8)},
    [OP_I8X16_SWIZZLE] = {swizzle, SHAPE(v16i8)},
    [OP_I8X16_POPCNT] = UNARY("ctpop", v16i8),
    INTEGERS(I8X16, v16i8), ORDERED(I8X16, v16i8), SMALL(I8X16, v16i8), NARROW(I8X16, I16X8, v8i16),

    INTEGERS(I16X8, v8i16), ORDERED(I16X8, v8i16), SMALL(I16X8, v8i16), NARROW(I16X8, I32X4, v4i32),
    WIDE(I16X8, I8X16, v16i8), PAIRWISE(I16X8, I8X16, v16i8),
    [OP_I16X8_MUL] = BINARY(Mul, v8i16),
    [OP_I16X8_Q15MULR_SAT_S] = {q15_multiply, SHAPE(v8i16)},

    INTEGERS(I32X4, v4i32), ORDERED(I32X4, v4i32),
    WIDE(I32X4, I16X8, v8i16), PAIRWISE(I32X4, I16X8, v8i16),
    [OP_I32X4_EXTRACT_LANE] = {extract, SHAPE(v4i32)},
    [OP_I32X4_MUL] = BINARY(Mul, v4i32),
    [OP_I32X4_DOT_I16X8_S] = {dot, SHAPE(v8i16)},

    INTEGERS(I64X2, v2i64), WIDE(I64X2, I32X4, v4i32),
    [OP_I64X2_EXTRACT_LANE] = {extract, SHAPE(v2i64)},
    [OP_I64X2_MUL] = BINARY(Mul, v2i64),

    FLOATS(F32X4, v4f32),
    FLOATS(F64X2, v2f64),

    [OP_F32X4_CONVERT_I32X4_S] = {lower_build_convert, .arg = LLVMSIToFP, SHAPE(v4i32), .to = LOWER_TYPE(v4f32)},
    [OP_F32X4_CONVERT_I32X4_U] = {lower_build_convert, .arg = LLVMUIToFP, SHAPE(v4i32), .to = LOWER_TYPE(v4f32)},
    [OP_F64X2_CONVERT_LOW_I32X4_S] = SPECIAL(convert_low, LLVMSIToFP, v4i32),
    [OP_F64X2_CONVERT_LOW_I32X4_U] = SPECIAL(convert_low, LLVMUIToFP, v4i32),
    [OP_F64X2_PROMOTE_LOW_F32X4] = SPECIAL(convert_low, LLVMFPExt, v4f32),
    [OP_F32X4_DEMOTE_F64X2_ZERO] = {demote, SHAPE(v2f64)},
    [OP_I32X4_TRUNC_SAT_F32X4_S] = SPECIAL(trunc_sat_f32x4, 1, v4f32),
    [OP_I32X4_TRUNC_SAT_F32X4_U] = SPECIAL(trunc_sat_f32x4, 0, v4f32),
    [OP_I32X4_TRUNC_SAT_F64X2_S_ZERO] = SPECIAL(trunc_sat_f64x2, 1, v2f64),
    [OP_I32X4_TRUNC_SAT_F64X2_U_ZERO] = SPECIAL(trunc_sat_f64x2, 0, v2f64),

    /* The relaxed ones give the results of these (numeric.h). */
    [OP_I32X4_RELAXED_TRUNC_F32X4_S] = SPECIAL(trunc_sat_f32x4, 1, v4f32),
    [OP_I32X4_RELAXED_TRUNC_F32X4_U] = SPECIAL(trunc_sat_f32x4, 0, v4f32),
    [OP_I32X4_RELAXED_TRUNC_F64X2_S_ZERO] = SPECIAL(trunc_sat_f64x2, 1, v2f64),
    [OP_I32X4_RELAXED_TRUNC_F64X2_U_ZERO] = SPECIAL(trunc_sat_f64x2, 0, v2f64),
    [OP_I8X16_RELAXED_SWIZZLE] = {swizzle, SHAPE(v16i8)},
    [OP_I8X16_RELAXED_LANESELECT] = {bitselect, SHAPE(v2i64)},
    [OP_I16X8_RELAXED_LANESELECT] = {bitselect, SHAPE(v2i64)},
    [OP_I32X4_RELAXED_LANESELECT] = {bitselect, SHAPE(v2i64)},
    [OP_I64X2_RELAXED_LANESELECT] = {bitselect, SHAPE(v2i64)},
    [OP_I16X8_RELAXED_Q15MULR_S] = {q15_multiply, SHAPE(v8i16)},
    [OP_I16X8_RELAXED_DOT_I8X16_I7X16_S] = {dot_bytes, SHAPE(v16i8)},
    [OP_I32X4_RELAXED_DOT_I8X16_I7X16_ADD_S] = {dot_bytes_add, SHAPE(v16i8)},
};
/* clang-format on */

bool lower_simd_op(struct lower *l, enum sv_op op)
{
    if (!rows[op].build)
        return false;
    lower_row_emit(l, op, &rows[op]);
    return true;
}
