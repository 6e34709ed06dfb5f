/* Handlers of jumps, calls, returns, globals, and the small instructions on tables, references and
 * objects. What may call C is in slow*.c. */

CASE(JMP)
{
    SKIP(A32S(4));
    GOTO_IP;
}
/* n targets at 12 (offsets from this instruction), the default last; n - 1 at 8. */
#define TABLE_JUMP(index, at)                                                                      \
    u32 i_ = (index), n_ = A32(8);                                                                 \
    if (i_ > n_)                                                                                   \
        i_ = n_;                                                                                   \
    SKIP(A32S((at) + 4 * (u64)i_));                                                                \
    GOTO_IP
CASE(BR_TABLE_S)
{
    TABLE_JUMP(S_u32(6), 12);
}
CASE_A(BR_TABLE_R)
{
    TABLE_JUMP((u32)R, 12);
}
CASE(BR_TABLE_ADD_S)
{
    TABLE_JUMP(S_u32(6) + A32(12), 16);
}
CASE_A(BR_TABLE_ADD_R)
{
    TABLE_JUMP((u32)R + A32(12), 16);
}
CASE(UNREACHABLE)
{
    TRAP_OUT(SV_TRAP_UNREACHABLE);
}
CASE(BAD)
{
    TRAP_OUT(SV_TRAP_UNREACHABLE);
}
CASE(GAS)
{
    s64 left_ = th->gas - (s64)A32(4);
    if (__builtin_expect(left_ < 0, 0))
        TRAP_OUT(SV_TRAP_GAS);
    th->gas = left_;
    NEXT(8);
}

/* ---- Entry of a function: R the return ip, T the caller's fp. Saved slots at 4, end of the frame
 * at 6, slots to clear: number at 8, first at 10. The clearing may reach into the saved slots, not
 * further ---- */
#define ENTER_BODY(clear)                                                                          \
    if (__builtin_expect((const char *)(fp + A16(6)) > (const char *)th->stack_end, 0))            \
        TAIL(stack);                                                                               \
    union sv_slot *z_ = fp + A16(10);                                                              \
    (void)z_;                                                                                      \
    clear;                                                                                         \
    fp[A16(4)].i64 = R;                                                                            \
    fp[A16(4) + 1].i64 = T;                                                                        \
    NEXT(12)
#define CLEAR2(n) sv_v128_store(z_ + (n), (v128){0, 0})
CASE(ENTER0)
{
    ENTER_BODY((void)0);
}
CASE(ENTER2)
{
    ENTER_BODY(CLEAR2(0));
}
CASE(ENTER4)
{
    ENTER_BODY(CLEAR2(0); CLEAR2(2));
}
CASE(ENTER6)
{
    ENTER_BODY(CLEAR2(0); CLEAR2(2); CLEAR2(4));
}
CASE(ENTER)
{
    ENTER_BODY(for (unsigned i_ = 0; i_ < A16(8); i_ += 2) CLEAR2(i_));
}

/* ---- Calls: the callee's frame `shift` slots (at 4) above ours ---- */
#define CALL_CODE(size, code)                                                                      \
    T = (u64)(uintptr_t)fp;                                                                        \
    fp += A16(4);                                                                                  \
    R = (u64)(uintptr_t)(IPB + (size));                                                            \
    ip = (code);                                                                                   \
    GOTO_IP
#define ENTRY_CODE(slot) atomic_load_explicit(slot, memory_order_acquire)
CASE(CALL)
{
    const u32 *code_ = ENTRY_CODE(&tab[A32(8)]);
    CALL_CODE(16, code_);
}
/* Index slot at 6, table at 8, upper half of the index's mask at 12, type at 16. Sizes and the
 * rest: slow_call.c. */
#define CALL_TABLE(index)                                                                          \
    struct sv_table *t_ = inst->tables[A32(8)];                                                    \
    u64 i_ = (index) & ((u64)A32(12) << 32 | 0xffffffffu);                                         \
    if (__builtin_expect(i_ >= t_->size, 0))                                                       \
        TRAP_OUT(SV_TRAP_UNDEFINED_ELEMENT);                                                       \
    struct sv_func *f_ = (struct sv_func *)(uintptr_t)t_->elems[i_];                               \
    R = (u64)(uintptr_t)f_;                                                                        \
    if (__builtin_expect(!f_ || f_->type != (const struct sv_type *)(uintptr_t)A64(16) ||          \
                             f_->inst != inst || !f_->code,                                        \
                         0))                                                                       \
        TAIL(call_indirect);                                                                       \
    const u32 *code_ = f_->code;                                                                   \
    CALL_CODE(28, code_)
CASE(CALL_INDIRECT_S)
{
    CALL_TABLE(S_u64(6));
}
CASE_A(CALL_INDIRECT_R)
{
    CALL_TABLE(R);
}
/* Function reference in slot at 6. */
CASE(CALL_REF)
{
    struct sv_func *f_ = (struct sv_func *)(uintptr_t)S_u64(6);
    R = (u64)(uintptr_t)f_;
    if (__builtin_expect(!f_ || f_->inst != inst || !f_->code, 0))
        TAIL(call_ref);
    const u32 *code_ = f_->code;
    CALL_CODE(12, code_);
}
/* Arguments: from slot at 4, number of slots at 6, to the frame's beginning; function at 8, saved
 * slots of this frame at 12. */
CASE(RETURN_CALL)
{
    const u32 *code_ = ENTRY_CODE(&tab[A32(8)]);
    R = fp[A16(12)].i64;
    T = fp[A16(12) + 1].i64;
    for (unsigned i_ = 0; i_ < A16(6); i_++)
        fp[i_].i64 = fp[A16(4) + i_].i64;
    ip = code_;
    GOTO_IP;
}

/* ---- Returns: saved slots at 4, value at 6 or 8 ---- */
#define RETURN(value)                                                                              \
    union sv_slot *back_ = (union sv_slot *)fp[A16(4) + 1].ptr;                                    \
    const u32 *to_ = (const u32 *)fp[A16(4)].ptr;                                                  \
    value;                                                                                         \
    fp = back_;                                                                                    \
    ip = to_;                                                                                      \
    GOTO_IP
CASE(RET)
{
    RETURN((void)0);
}
CASE(RET_S)
{
    RETURN(R = S_u64(6); fp[0].i64 = R);
}
CASE_A(RET_R)
{
    RETURN(fp[0].i64 = R);
}
CASE(RET_K)
{
    RETURN(R = A64(8); fp[0].i64 = R);
}
CASE(RET_F_S)
{
    RETURN(F = S_f64(6); fp[0].f64 = F);
}
CASE_A(RET_F_R)
{
    RETURN(fp[0].f64 = F);
}
CASE(RET_G_S)
{
    RETURN(G = S_f32(6); fp[0].f32 = G);
}
CASE_A(RET_G_R)
{
    RETURN(fp[0].f32 = G);
}
CASE(RET_V_S)
{
    RETURN(V = S_v128(6); sv_v128_store(fp, V));
}
CASE_A(RET_V_R)
{
    RETURN(sv_v128_store(fp, V));
}
CASE(EXIT)
{
    LEAVE;
}

/* ---- Globals: number at 8 ---- */
#define GLOBAL (inst->globals[A32(8)]->value)
PRODUCER(CASE, GLOBAL_GET_R, u64, 12, R = GLOBAL.i64)
PRODUCER(CASE, GLOBAL_GET_F, f64, 12, F = GLOBAL.f64)
PRODUCER(CASE, GLOBAL_GET_G, f32, 12, G = GLOBAL.f32)
PRODUCER(CASE, GLOBAL_GET_V, v128, 12, V = sv_v128_load(&GLOBAL))
#define GLOBAL_SET(C, name, ...)                                                                   \
    C(name)                                                                                        \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
        NEXT(12);                                                                                  \
    }
GLOBAL_SET(CASE, GLOBAL_SET_S, GLOBAL.i64 = S_u64(6))
GLOBAL_SET(CASE_A, GLOBAL_SET_R, GLOBAL.i64 = R)
GLOBAL_SET(CASE, GLOBAL_SET_F_S, GLOBAL.f64 = S_f64(6))
GLOBAL_SET(CASE_A, GLOBAL_SET_F_R, GLOBAL.f64 = F)
GLOBAL_SET(CASE, GLOBAL_SET_G_S, GLOBAL.f32 = S_f32(6))
GLOBAL_SET(CASE_A, GLOBAL_SET_G_R, GLOBAL.f32 = G)
GLOBAL_SET(CASE, GLOBAL_SET_V_S, sv_v128_store(&GLOBAL, S_v128(6)))
GLOBAL_SET(CASE_A, GLOBAL_SET_V_R, sv_v128_store(&GLOBAL, V))

/* global + K, the sum into the global too, and a slot + K into a global: the stack pointer of C
 * programs. K at 12. */
PRODUCER(CASE_A, GLOBAL_ADD, u32, 16, R = (u32)(GLOBAL.i32 + A32(12)))
PRODUCER(CASE_A, GLOBAL_ADD_SET, u32, 16, R = (u32)(GLOBAL.i32 + A32(12)); GLOBAL.i64 = R)
CASE_A(GLOBAL_SET_ADD)
{
    GLOBAL.i64 = S_u32(6) + A32(12);
    NEXT(16);
}

/* ---- Small ones: base slot at 4 (operands in it and behind, result in it and in R) ---- */
#define RESULT(x)                                                                                  \
    R = (x);                                                                                       \
    fp[A16(4)].i64 = R
CASE(MEMORY_SIZE)
{
    RESULT(sv_memory_pages(inst->memories[A32(8)]));
    NEXT(12);
}
CASE(TABLE_SIZE)
{
    RESULT(inst->tables[A32(8)]->size);
    NEXT(12);
}
/* Table at 8, 64-bit flag at 6. */
CASE(TABLE_GET)
{
    struct sv_table *t_ = inst->tables[A32(8)];
    u64 i_ = A16(6) ? fp[A16(4)].i64 : fp[A16(4)].i32;
    if (i_ >= t_->size)
        TRAP_OUT(SV_TRAP_TABLE_BOUNDS);
    RESULT(t_->elems[i_]);
    NEXT(12);
}
/* Trap code at 6. */
CASE(REF_AS_NON_NULL)
{
    if (fp[A16(4)].ref == SV_REF_NULL)
        TRAP_OUT(A16(6));
    RESULT(fp[A16(4)].ref);
    NEXT(8);
}
CASE(REF_I31)
{
    RESULT(sv_ref_i31(fp[A16(4)].i32));
    NEXT(8);
}
CASE(I31_GET_S)
{
    if (fp[A16(4)].ref == SV_REF_NULL)
        TRAP_OUT(SV_TRAP_NULL_I31);
    RESULT((u32)((s32)fp[A16(4)].i32 >> 1));
    NEXT(8);
}
CASE(I31_GET_U)
{
    if (fp[A16(4)].ref == SV_REF_NULL)
        TRAP_OUT(SV_TRAP_NULL_I31);
    RESULT(fp[A16(4)].i32 >> 1);
    NEXT(8);
}
/* Offset at 8, how at 6. */
CASE(STRUCT_GET)
{
    const u8 *o_ = (const u8 *)(uintptr_t)fp[A16(4)].ref;
    if (!o_)
        TRAP_OUT(SV_TRAP_NULL_STRUCTURE);
    object_read(o_ + A32(8), A16(6), &fp[A16(4)]);
    R = fp[A16(4)].i64;
    NEXT(12);
}
CASE(STRUCT_SET)
{
    u8 *o_ = (u8 *)(uintptr_t)fp[A16(4)].ref;
    if (!o_)
        TRAP_OUT(SV_TRAP_NULL_STRUCTURE);
    object_write(o_ + A32(8), A16(6), &fp[A16(4) + 1]);
    NEXT(12);
}
#define ARRAY_AT()                                                                                 \
    struct sv_array *o_ = (struct sv_array *)(uintptr_t)fp[A16(4)].ref;                            \
    if (!o_)                                                                                       \
        TRAP_OUT(SV_TRAP_NULL_ARRAY);                                                              \
    u32 i_ = fp[A16(4) + 1].i32;                                                                   \
    if (i_ >= o_->len)                                                                             \
        TRAP_OUT(SV_TRAP_ARRAY_BOUNDS);                                                            \
    u8 *p_ = o_->data + ((u64)i_ << (A16(6) & 0xf))
CASE(ARRAY_GET)
{
    ARRAY_AT();
    object_read(p_, A16(6), &fp[A16(4)]);
    R = fp[A16(4)].i64;
    NEXT(8);
}
CASE(ARRAY_SET)
{
    ARRAY_AT();
    object_write(p_, A16(6), &fp[A16(4) + 2]);
    NEXT(8);
}
CASE(ARRAY_LEN)
{
    const struct sv_array *o_ = (const struct sv_array *)(uintptr_t)fp[A16(4)].ref;
    if (!o_)
        TRAP_OUT(SV_TRAP_NULL_ARRAY);
    RESULT(o_->len);
    NEXT(8);
}
