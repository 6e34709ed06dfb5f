/* Handlers of loads, stores, lanes in memory and atomics. The guarded modes check nothing: a fault
 * is the check (code.h); the modes C and X compare with the memory's size. Bulk operations are in
 * slow_memory.c. */

/* Addresses of the guarded modes; operands as in code.h: a at 6, b at 8, the static offset behind.
 */
#define EA(index, offset) (mem + ((u64)(u32)(index)) + (offset))
#define EA_S EA(S_u32(6), A32(8))
#define EA_R EA(R, A32(8))
#define EA_SS EA(S_u32(6) + S_u32(8), A16(10))
#define EA_SR EA(S_u32(6) + (u32)R, A16(8))
#define EA_SK EA(S_u32(6) + A32(8), A32(12))
#define EA_K (mem + A32(8))
#define EA_LSS(k) EA(S_u32(6) + (S_u32(8) << (k)), A16(10))
#define EA_LRS(k) EA((u32)R + (S_u32(6) << (k)), A16(8))
#define EA_LSR(k) EA(S_u32(6) + ((u32)R << (k)), A16(8))

#define GET(mt, p)                                                                                 \
    mt v_;                                                                                         \
    memcpy(&v_, p, sizeof v_)
/* Load memory type mt, extend to t, write the accumulator. */
#define DO_LOAD(mt, t, p)                                                                          \
    GET(mt, p);                                                                                    \
    t x_ = (t)v_;                                                                                  \
    PIN(x_);                                                                                       \
    W_##t(x_)
#define DO_LOADX(mt, t, p)                                                                         \
    GET(mt, p);                                                                                    \
    PINX(v_);                                                                                      \
    W_##t(v_)

/* Checked addresses: declares p_, or traps. */
#define CHECK_C(index, n)                                                                          \
    u64 ea_ = (u64)(u32)(index) + A32(8);                                                          \
    if (__builtin_expect(ea_ + (n) > sv_memory_size(inst->memory0), 0))                            \
        TRAP_OUT(SV_TRAP_MEMORY_BOUNDS);                                                           \
    u8 *p_ = mem + ea_
/* Memory number at 8, 64-bit flag at 10, offset at 12. */
#define CHECK_X(index, n)                                                                          \
    struct sv_memory *m_ = inst->memories[A16(8)];                                                 \
    u64 i_ = (index);                                                                              \
    u64 ea_, size_ = sv_memory_size(m_);                                                           \
    if (!A16(10))                                                                                  \
        i_ = (u32)i_;                                                                              \
    if (__builtin_expect(                                                                          \
            __builtin_add_overflow(i_, A64(12), &ea_) || ea_ > size_ || size_ - ea_ < (n), 0))     \
        TRAP_OUT(SV_TRAP_MEMORY_BOUNDS);                                                           \
    u8 *p_ = m_->base + ea_

#define LOADS_LEA(n, t, mt, DO, k)                                                                 \
    PRODUCER(CASE, n##_LSS##k, t, 12, DO(mt, t, EA_LSS(k)))                                        \
    PRODUCER(CASE_A, n##_LRS##k, t, 12, DO(mt, t, EA_LRS(k)))                                      \
    PRODUCER(CASE_A, n##_LSR##k, t, 12, DO(mt, t, EA_LSR(k)))
#define LOAD_FORMS(n, mt, t, DO)                                                                   \
    PRODUCER(CASE, n##_S, t, 12, DO(mt, t, EA_S))                                                  \
    PRODUCER(CASE_A, n##_R, t, 12, DO(mt, t, EA_R))                                                \
    PRODUCER(CASE, n##_SS, t, 12, DO(mt, t, EA_SS))                                                \
    PRODUCER(CASE_A, n##_SR, t, 12, DO(mt, t, EA_SR))                                              \
    PRODUCER(CASE, n##_SK, t, 16, DO(mt, t, EA_SK))                                                \
    PRODUCER(CASE, n##_K, t, 12, DO(mt, t, EA_K))                                                  \
    LOADS_LEA(n, t, mt, DO, 1)                                                                     \
    LOADS_LEA(n, t, mt, DO, 2)                                                                     \
    LOADS_LEA(n, t, mt, DO, 3)                                                                     \
    PRODUCER(CASE, n##_C_S, t, 12, CHECK_C(S_u32(6), sizeof(mt)); DO(mt, t, p_))                   \
    PRODUCER(CASE_A, n##_C_R, t, 12, CHECK_C(R, sizeof(mt)); DO(mt, t, p_))                        \
    PRODUCER(CASE, n##_X_S, t, 20, CHECK_X(S_u64(6), sizeof(mt)); DO(mt, t, p_))                   \
    PRODUCER(CASE_A, n##_X_R, t, 20, CHECK_X(R, sizeof(mt)); DO(mt, t, p_))
#define X3(n, mt, t) LOAD_FORMS(n, mt, t, DO_LOAD)
LOADS_INT(X3)
#undef X3
#define X3(n, mt, t) LOAD_FORMS(n, mt, t, DO_LOADX)
LOADS_F32(X3)
LOADS_F64(X3)
#undef X3

/* ---- Stores: value slot at 4, value constant behind the address ---- */
#define DO_STORE(mt, value, p)                                                                     \
    mt v_ = (mt)(value);                                                                           \
    memcpy(p, &v_, sizeof v_);                                                                     \
    PIN_STORE()
#define STORE(C, name, size, mt, value, p)                                                         \
    C(name)                                                                                        \
    {                                                                                              \
        DO_STORE(mt, value, p);                                                                    \
        NEXT(size);                                                                                \
    }
#define STORE_CHECKED(C, name, size, mt, value, check)                                             \
    C(name)                                                                                        \
    {                                                                                              \
        check;                                                                                     \
        DO_STORE(mt, value, p_);                                                                   \
        NEXT(size);                                                                                \
    }
#define STORE_SRK(n, mode, mt, t, ksize, p)                                                        \
    STORE(CASE, n##_##mode##_S, ksize, mt, S_##t(4), p)                                            \
    STORE(CASE_A, n##_##mode##_R, ksize, mt, ACC_##t, p)                                           \
    STORE(CASE, n##_##mode##_K, ksize + 4, mt, K_##t(ksize), p)
#define STORE_SK(n, mode, mt, t, ksize, p)                                                         \
    STORE(CASE_A, n##_##mode##_S, ksize, mt, S_##t(4), p)                                          \
    STORE(CASE_A, n##_##mode##_K, ksize + 4, mt, K_##t(ksize), p)
#define STORE_LEA(n, mt, t, k)                                                                     \
    STORE_SRK(n, LSS##k, mt, t, 12, EA_LSS(k))                                                     \
    STORE_SK(n, LRS##k, mt, t, 12, EA_LRS(k))                                                      \
    STORE_SK(n, LSR##k, mt, t, 12, EA_LSR(k))
/* 64-bit values take the address mode's constant sign-extended. */
#define STORE_CHECKS(n, mt, t)                                                                     \
    STORE_CHECKED(CASE, n##_C_S_S, 12, mt, S_##t(4), CHECK_C(S_u32(6), sizeof(mt)))                \
    STORE_CHECKED(CASE_A, n##_C_S_R, 12, mt, ACC_##t, CHECK_C(S_u32(6), sizeof(mt)))               \
    STORE_CHECKED(CASE_A, n##_C_R_S, 12, mt, S_##t(4), CHECK_C(R, sizeof(mt)))                     \
    STORE_CHECKED(CASE, n##_X_S_S, 20, mt, S_##t(4), CHECK_X(S_u64(6), sizeof(mt)))                \
    STORE_CHECKED(CASE_A, n##_X_S_R, 20, mt, ACC_##t, CHECK_X(S_u64(6), sizeof(mt)))               \
    STORE_CHECKED(CASE_A, n##_X_R_S, 20, mt, S_##t(4), CHECK_X(R, sizeof(mt)))
#define X3(n, mt, t)                                                                               \
    STORE_SRK(n, S, mt, t, 12, EA_S)                                                               \
    STORE_SK(n, R, mt, t, 12, EA_R)                                                                \
    STORE_SRK(n, SS, mt, t, 12, EA_SS)                                                             \
    STORE_SK(n, SR, mt, t, 12, EA_SR)                                                              \
    STORE_SRK(n, SK, mt, t, 16, EA_SK)                                                             \
    STORE_SRK(n, K, mt, t, 12, EA_K)                                                               \
    STORE_LEA(n, mt, t, 1)                                                                         \
    STORE_LEA(n, mt, t, 2)                                                                         \
    STORE_LEA(n, mt, t, 3)                                                                         \
    STORE_CHECKS(n, mt, t)
STORES_INT(X3)
#undef X3
#define STORE_SR(C, n, mode, mt, t, size, p)                                                       \
    STORE(C, n##_##mode##_S, size, mt, S_##t(4), p)                                                \
    STORE(CASE_A, n##_##mode##_R, size, mt, ACC_##t, p)
#define STORE_CHECKS_F(n, mt, t)                                                                   \
    STORE_CHECKS(n, mt, t)                                                                         \
    STORE_CHECKED(CASE_A, n##_C_R_R, 12, mt, ACC_##t, CHECK_C(R, sizeof(mt)))                      \
    STORE_CHECKED(CASE_A, n##_X_R_R, 20, mt, ACC_##t, CHECK_X(R, sizeof(mt)))
#define STORE_LEA_F(n, mt, t, k)                                                                   \
    STORE_SR(CASE, n, LSS##k, mt, t, 12, EA_LSS(k))                                                \
    STORE_SR(CASE_A, n, LRS##k, mt, t, 12, EA_LRS(k))                                              \
    STORE_SR(CASE_A, n, LSR##k, mt, t, 12, EA_LSR(k))
#define X3(n, mt, t)                                                                               \
    STORE_SR(CASE, n, S, mt, t, 12, EA_S)                                                          \
    STORE_SR(CASE_A, n, R, mt, t, 12, EA_R)                                                        \
    STORE_SR(CASE, n, SS, mt, t, 12, EA_SS)                                                        \
    STORE_SR(CASE_A, n, SR, mt, t, 12, EA_SR)                                                      \
    STORE_SR(CASE, n, SK, mt, t, 16, EA_SK)                                                        \
    STORE_SR(CASE, n, K, mt, t, 12, EA_K)                                                          \
    STORE_LEA_F(n, mt, t, 1)                                                                       \
    STORE_LEA_F(n, mt, t, 2)                                                                       \
    STORE_LEA_F(n, mt, t, 3)                                                                       \
    STORE_CHECKS_F(n, mt, t)
STORES_FLT(X3)
#undef X3

/* ---- Vectors ---- */
/* Memory type of each vector load is in its name's row below; LOADV_* say how it becomes a vector.
 */
#define DO_LOADV(n, p)                                                                             \
    mt_##n v_;                                                                                     \
    memcpy(&v_, p, sizeof v_);                                                                     \
    v128 x_ = loadv_##n(v_);                                                                       \
    PINX(x_);                                                                                      \
    V = x_
#define X1(n)                                                                                      \
    PRODUCER(CASE, n##_S, v128, 12, DO_LOADV(n, EA_S))                                             \
    PRODUCER(CASE_A, n##_R, v128, 12, DO_LOADV(n, EA_R))                                           \
    PRODUCER(CASE, n##_SS, v128, 12, DO_LOADV(n, EA_SS))                                           \
    PRODUCER(CASE_A, n##_SR, v128, 12, DO_LOADV(n, EA_SR))                                         \
    PRODUCER(CASE, n##_LSS3, v128, 12, DO_LOADV(n, EA_LSS(3)))                                     \
    PRODUCER(CASE, n##_C_S, v128, 12, CHECK_C(S_u32(6), sizeof(mt_##n)); DO_LOADV(n, p_))          \
    PRODUCER(CASE_A, n##_C_R, v128, 12, CHECK_C(R, sizeof(mt_##n)); DO_LOADV(n, p_))               \
    PRODUCER(CASE, n##_X_S, v128, 20, CHECK_X(S_u64(6), sizeof(mt_##n)); DO_LOADV(n, p_))          \
    PRODUCER(CASE_A, n##_X_R, v128, 20, CHECK_X(R, sizeof(mt_##n)); DO_LOADV(n, p_))
LOADS_V(X1)
#undef X1
STORE_SR(CASE, V128_STORE, S, v128, v128, 12, EA_S)
STORE_SR(CASE_A, V128_STORE, R, v128, v128, 12, EA_R)
STORE_SR(CASE, V128_STORE, SS, v128, v128, 12, EA_SS)
STORE_SR(CASE_A, V128_STORE, SR, v128, v128, 12, EA_SR)
STORE_CHECKS_F(V128_STORE, v128, v128)

/* Lanes: address slot at 6, vector slot (loads; stores: at 4) at ..., see lower_simd.c: guarded:
 * offset at 8, vector at 12, lane at 14; any memory: memory at 8, 64-bit flag at 10, offset at 12,
 * vector at 20, lane at 22. */
#define LANE_PUT(t, vslot, lane, value)                                                            \
    union {                                                                                        \
        v128 v;                                                                                    \
        t lanes[16 / sizeof(t)];                                                                   \
    } u_ = {.v = S_v128(vslot)};                                                                   \
    u_.lanes[A16(lane) & (16 / sizeof(t) - 1)] = value;                                            \
    V = u_.v
#define LANE_GET(t, vslot, lane)                                                                   \
    t x_;                                                                                          \
    memcpy(&x_, (const u8 *)&fp[A16(vslot)] + (A16(lane) & (16 / sizeof(t) - 1)) * sizeof(t),      \
           sizeof x_)
#define X2(b, t)                                                                                   \
    PRODUCER(CASE, V128_LOAD##b##_LANE, v128, 16, GET(t, EA_S); u64 w_ = v_; PIN(w_);              \
             LANE_PUT(t, 12, 14, (t)w_))                                                           \
    PRODUCER(CASE, V128_LOAD##b##_LANE_X, v128, 24, CHECK_X(S_u64(6), sizeof(t)); GET(t, p_);      \
             LANE_PUT(t, 20, 22, v_))                                                              \
    CASE(V128_STORE##b##_LANE)                                                                     \
    {                                                                                              \
        LANE_GET(t, 12, 14);                                                                       \
        DO_STORE(t, x_, EA_S);                                                                     \
        NEXT(16);                                                                                  \
    }                                                                                              \
    CASE(V128_STORE##b##_LANE_X)                                                                   \
    {                                                                                              \
        LANE_GET(t, 20, 22);                                                                       \
        CHECK_X(S_u64(6), sizeof(t));                                                              \
        DO_STORE(t, x_, p_);                                                                       \
        NEXT(24);                                                                                  \
    }
LANES(X2)
#undef X2

/* ---- A load as the second operand of a float operation ---- */
#define DO_LOADOP(op, ga, p)                                                                       \
    GET(f64, p);                                                                                   \
    PINX(v_);                                                                                      \
    F = num_##op(ga, v_)
#define X1(op)                                                                                     \
    PRODUCER(CASE_A, op##_LD_S_S, f64, 12, DO_LOADOP(op, S_f64(6), EA(S_u32(8), A16(10))))         \
    PRODUCER(CASE_A, op##_LD_R_S, f64, 12, DO_LOADOP(op, F, EA(S_u32(6), A16(8))))                 \
    PRODUCER(CASE_A, op##_LD_S_SS, f64, 16,                                                        \
             DO_LOADOP(op, S_f64(6), EA(S_u32(8) + S_u32(10), A16(12))))                           \
    PRODUCER(CASE_A, op##_LD_R_SS, f64, 12, DO_LOADOP(op, F, EA(S_u32(6) + S_u32(8), A16(10))))
LOADOPS(X1)
#undef X1
#define X1(op)                                                                                     \
    PRODUCER(CASE_A, op##_LD_S_SK, f64, 16,                                                        \
             DO_LOADOP(op, S_f64(6), EA(S_u32(8) + A32(12), A16(10))))                             \
    PRODUCER(CASE_A, op##_LD_R_SK, f64, 16, DO_LOADOP(op, F, EA(S_u32(6) + A32(12), A16(8))))
LOADOPS(X1)
#undef X1

/* mem[a + offset] += F, which stays as it is. Address slot at 6, offset at 8. */
CASE_A(ADD_TO_F64)
{
    GET(f64, EA_S);
    PINX(v_);
    f64 x_ = num_F64_ADD(F, v_);
    memcpy(EA_S, &x_, sizeof x_);
    PIN_STORE();
    NEXT(12);
}

/* ---- Memory to memory: destination slot at 4, source slot at 6, their offsets at 8 and 10 ---- */
#define COPY(name, t)                                                                              \
    CASE_A(name)                                                                                   \
    {                                                                                              \
        GET(t, EA(S_u32(6), A16(10)));                                                             \
        u64 x_ = v_;                                                                               \
        PIN(x_);                                                                                   \
        t w_ = (t)x_;                                                                              \
        memcpy(EA(S_u32(4), A16(8)), &w_, sizeof w_);                                              \
        PIN_STORE();                                                                               \
        NEXT(12);                                                                                  \
    }
COPY(COPY8, u8)
COPY(COPY32, u32)
COPY(COPY64, u64)

/* ---- Load, compare, branch: address slot at 8, offset at 10, constant at 12 ---- */
#define LOAD_BRANCH(name, t, e, sense)                                                             \
    CASE_A(name)                                                                                   \
    {                                                                                              \
        GET(t, EA(S_u32(8), A16(10)));                                                             \
        u32 x_ = v_;                                                                               \
        PIN(x_);                                                                                   \
        if ((x_ e A32(12))sense) {                                                                 \
            SKIP(A32S(4));                                                                         \
            GOTO_IP;                                                                               \
        }                                                                                          \
        NEXT(16);                                                                                  \
    }
#define X4(n, t, name, e)                                                                          \
    LOAD_BRANCH(LBR_##n##_##name, t, e, != 0)                                                      \
    LOAD_BRANCH(LBRN_##n##_##name, t, e, == 0)
LOADCMPS(X4)
#undef X4

/* ---- Atomics: address slot at 6 (and result slot at 4), operands in the slots behind it; memory
 * at 8, 64-bit flag at 10, offset at 12; always checked ---- */
#define ATOMIC(name, t, ...)                                                                       \
    CASE(name)                                                                                     \
    {                                                                                              \
        CHECK_X(S_u64(6), sizeof(t));                                                              \
        if (ea_ & (sizeof(t) - 1))                                                                 \
            TRAP_OUT(SV_TRAP_UNALIGNED_ATOMIC);                                                    \
        t *a_ = (t *)(void *)p_;                                                                   \
        t x_ = (t)fp[A16(6) + 1].i64;                                                              \
        (void)x_;                                                                                  \
        __VA_ARGS__;                                                                               \
        NEXT(20);                                                                                  \
    }
#define ATOMIC_RESULT(x)                                                                           \
    R = (x);                                                                                       \
    fp[A16(4)].i64 = R
#define RMW_ADD(a, x) __atomic_fetch_add(a, x, __ATOMIC_SEQ_CST)
#define RMW_SUB(a, x) __atomic_fetch_sub(a, x, __ATOMIC_SEQ_CST)
#define RMW_AND(a, x) __atomic_fetch_and(a, x, __ATOMIC_SEQ_CST)
#define RMW_OR(a, x) __atomic_fetch_or(a, x, __ATOMIC_SEQ_CST)
#define RMW_XOR(a, x) __atomic_fetch_xor(a, x, __ATOMIC_SEQ_CST)
#define RMW_XCHG(a, x) __atomic_exchange_n(a, x, __ATOMIC_SEQ_CST)
#define X3(n, b, t) ATOMIC(ATOMIC_RMW_##n##b, t, ATOMIC_RESULT(RMW_##n(a_, x_)))
#define X2(b, t)                                                                                   \
    ATOMIC(ATOMIC_LOAD##b, t, ATOMIC_RESULT(__atomic_load_n(a_, __ATOMIC_SEQ_CST)))                \
    ATOMIC(ATOMIC_STORE##b, t, __atomic_store_n(a_, x_, __ATOMIC_SEQ_CST))                         \
    ATOMIC_RMWS(X3, b, t)                                                                          \
    ATOMIC(ATOMIC_RMW_CMPXCHG##b, t,                                                               \
           __atomic_compare_exchange_n(a_, &x_, (t)fp[A16(6) + 2].i64, 0, __ATOMIC_SEQ_CST,        \
                                       __ATOMIC_SEQ_CST);                                          \
           ATOMIC_RESULT(x_))
ATOMIC_SIZES(X2)
#undef X2
#undef X3
CASE(ATOMIC_FENCE)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NEXT(4);
}
