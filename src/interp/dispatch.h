/* The words in which handlers are written, for two back ends: functions that tail-call each other
 * (clang), and labels in one function (gcc). Holds no handler.
 *
 * State: th the thread, inst the instance, base sv_iop_base, tab the module's entry points, ip, fp,
 * R F G V the accumulators, T scratch (caller's fp between a call and the callee's entry), mem the
 * base of memory 0. In the tail-call back end the first four sit in registers with long encodings;
 * ip and fp in rdi and rsi; rcx (T) holds nothing across handlers, because shifts need it. */
#ifndef SV_INTERP_DISPATCH_H
#define SV_INTERP_DISPATCH_H

#include "interp/code.h"

typedef const uint32_t *sv_ip;

struct sv_exec_state; /* gcc: what slow paths read and write */

#define ALIGNED4 __attribute__((aligned(4), may_alias))
typedef u16 a16 __attribute__((aligned(2), may_alias));
typedef u32 a32 ALIGNED4;
typedef s32 a32s ALIGNED4;
typedef u64 a64 ALIGNED4;
typedef s64 a64s ALIGNED4;
typedef f32 af32 ALIGNED4;
typedef f64 af64 ALIGNED4;

/* The first word of the instruction at ip. Other threads change some (switch.c), whole and to what
 * is right as well: a plain load does, but for tools that want to be told. */
#if defined(SSVM_SANITIZED)
#define IP_WORD __atomic_load_n((const int32_t *)ip, __ATOMIC_RELAXED)
#else
#define IP_WORD (*(const int32_t *)ip)
#endif
#define IPB ((const uint8_t *)ip)
#define A16(n) (*(const a16 *)(IPB + (n)))
#define A32(n) (*(const a32 *)(IPB + (n)))
#define A32S(n) (*(const a32s *)(IPB + (n)))
#define A64(n) (*(const a64 *)(IPB + (n)))

/* Slot, accumulator, constant by C type; constants of 64-bit integers are 32 bits sign-extended. */
#define S_u32(n) (fp[A16(n)].i32)
#define S_s32(n) (fp[A16(n)].s32)
#define S_u64(n) (fp[A16(n)].i64)
#define S_s64(n) (fp[A16(n)].s64)
#define S_f32(n) (fp[A16(n)].f32)
#define S_f64(n) (fp[A16(n)].f64)
#define S_v128(n) sv_v128_load(&fp[A16(n)])
#define ACC_u32 ((u32)R)
#define ACC_s32 ((s32)R)
#define ACC_u64 (R)
#define ACC_s64 ((s64)R)
#define ACC_f32 (G)
#define ACC_f64 (F)
#define ACC_v128 (V)
#define K_u32(n) A32(n)
#define K_s32(n) A32S(n)
#define K_u64(n) ((u64)(s64)A32S(n))
#define K_s64(n) ((s64)A32S(n))
#define K_f32(n) (*(const af32 *)(IPB + (n)))
#define K_f64(n) (*(const af64 *)(IPB + (n)))
#define KSIZE_u32 4
#define KSIZE_s32 4
#define KSIZE_u64 4
#define KSIZE_s64 4
#define KSIZE_f32 4
#define KSIZE_f64 8
/* Write the accumulator; store it to slot d. */
#define W_u32(x) (R = (u32)(x))
#define W_s32(x) (R = (u32)(x))
#define W_u64(x) (R = (u64)(x))
#define W_s64(x) (R = (u64)(x))
#define W_f32(x) (G = (x))
#define W_f64(x) (F = (x))
#define W_v128(x) (V = (x))
#define D_u32 (fp[A16(4)].i64 = R)
#define D_s32 D_u32
#define D_u64 D_u32
#define D_s64 D_u32
#define D_f32 (fp[A16(4)].f32 = G)
#define D_f64 (fp[A16(4)].f64 = F)
#define D_v128 sv_v128_store(&fp[A16(4)], V)

#if SV_INTERP_TAIL

#define SV_OP_ARGS                                                                                 \
    struct sv_thread *th, struct sv_instance *inst, const char *base,                              \
        _Atomic(const uint32_t *) *tab, const uint32_t *ip, union sv_slot *fp, uint64_t R,         \
        uint64_t T, uint8_t *mem, double F, float G, v128 V
#define SV_OP_PASS th, inst, base, tab, ip, fp, R, T, mem, F, G, V
#define SV_PRESERVE __attribute__((preserve_none))
typedef SV_PRESERVE int sv_op_fn(SV_OP_ARGS);
#define SV_MUSTTAIL __attribute__((musttail))

/* Handlers lie in one section, so that "is this guest code" is a comparison. Threads of a guest may
 * read and write the same place as they like (libraries do, on purpose): the thread sanitizer is to
 * look at their atomic accesses alone. */
#define SV_HANDLER                                                                                 \
    SV_PRESERVE                                                                                    \
    __attribute__((section("sv_ops"), used, visibility("hidden"), no_sanitize("thread")))
#define CASE(name)                                                                                 \
    SV_HANDLER int sv_op_##name(SV_OP_ARGS);                                                       \
    SV_HANDLER int sv_op_##name(SV_OP_ARGS)
#define CASE_A(name) CASE(name)
#define GOTO_IP SV_MUSTTAIL return ((sv_op_fn *)(base + IP_WORD))(SV_OP_PASS)
#define SKIP(n) (ip = (const uint32_t *)(IPB + (n)))
#define NEXT(n)                                                                                    \
    do {                                                                                           \
        SKIP(n);                                                                                   \
        GOTO_IP;                                                                                   \
    } while (0)
/* Go on in a function outside the section, which may call C: instructions IC of iop.def, and the
 * rest of others. Its body begins with SLOW_BEGIN and ends with SLOW_GO (the guest goes on at ip)
 * or return. */
#define TAIL(name) SV_MUSTTAIL return sv_op_##name(SV_OP_PASS)
#define SLOW(name)                                                                                 \
    SV_PRESERVE __attribute__((used, visibility("hidden"))) int sv_op_##name(SV_OP_ARGS);          \
    SV_PRESERVE __attribute__((used, visibility("hidden"), noinline)) int sv_op_##name(SV_OP_ARGS)
#define SLOW_BEGIN                                                                                 \
    (void)base, (void)tab, (void)mem, (void)F, (void)G, (void)V, (void)R, (void)T, (void)th,       \
        (void)inst, (void)ip, (void)fp
#define SLOW_GO GOTO_IP
/* Go on with the instruction at ip whose first word is `word`, whatever stands there. */
#define SLOW_GO_AS(word) SV_MUSTTAIL return ((sv_op_fn *)(base + (int32_t)(word)))(SV_OP_PASS)
/* Back to C. */
#define LEAVE                                                                                      \
    do {                                                                                           \
        SLOW_BEGIN;                                                                                \
        return 0;                                                                                  \
    } while (0)
#define SLOW_DECL(name) SV_PRESERVE int sv_op_##name(SV_OP_ARGS);

#if SV_INTERP_GUARD
/* The access before stays before, and ip in its register until it is over. */
#define PIN(v) __asm__ volatile("" : "+D"(ip), "+r"(v))
#define PINX(v) __asm__ volatile("" : "+D"(ip), "+x"(v))
#define PIN_STORE() __asm__ volatile("" : "+D"(ip) : : "memory")
#else
#define PIN(v) ((void)0)
#define PINX(v) ((void)0)
#define PIN_STORE() ((void)0)
#endif

#else /* computed goto */

struct sv_regs {
    struct sv_thread *th;
    struct sv_instance *inst;
    _Atomic(const uint32_t *) *tab;
    const uint32_t *ip;
    union sv_slot *fp;
    uint64_t R, T;
    uint8_t *mem;
    double F;
    float G;
    v128 V;
    uint32_t word; /* SLOW_AS: the first of the instruction at ip */
};
typedef int sv_slow_fn(struct sv_regs *);

#define CASE(name) L_##name:
#define CASE_A(name) if (0)
#define GOTO_IP goto *(const void *)(base + IP_WORD)
#define SKIP(n) (ip = (const uint32_t *)(IPB + (n)))
#define NEXT(n)                                                                                    \
    do {                                                                                           \
        SKIP(n);                                                                                   \
        GOTO_IP;                                                                                   \
    } while (0)
#define TAIL(name)                                                                                 \
    do {                                                                                           \
        slow = sv_op_##name;                                                                       \
        goto call_slow;                                                                            \
    } while (0)
#define SLOW(name)                                                                                 \
    __attribute__((noinline)) int sv_op_##name(struct sv_regs *regs);                              \
    __attribute__((noinline)) int sv_op_##name(struct sv_regs *regs)
/* The state as variables of the same names; 1 = go on. */
#define SLOW_BEGIN                                                                                 \
    struct sv_thread *th = regs->th;                                                               \
    struct sv_instance *inst = regs->inst;                                                         \
    _Atomic(const uint32_t *) *tab = regs->tab;                                                    \
    const uint32_t *ip = regs->ip;                                                                 \
    union sv_slot *fp = regs->fp;                                                                  \
    uint64_t R = regs->R, T = regs->T;                                                             \
    uint8_t *mem = regs->mem;                                                                      \
    double F = regs->F;                                                                            \
    float G = regs->G;                                                                             \
    v128 V = regs->V;                                                                              \
    (void)tab, (void)mem, (void)F, (void)G, (void)V, (void)R, (void)T, (void)th, (void)inst,       \
        (void)ip, (void)fp
#define SLOW_GO                                                                                    \
    do {                                                                                           \
        *regs = (struct sv_regs){th, inst, tab, ip, fp, R, T, mem, F, G, V, 0};                    \
        return 1;                                                                                  \
    } while (0)
#define SLOW_GO_AS(word_)                                                                          \
    do {                                                                                           \
        *regs = (struct sv_regs){th, inst, tab, ip, fp, R, T, mem, F, G, V, (word_)};              \
        return SLOW_AS;                                                                            \
    } while (0)
enum { SLOW_AS = 2 };
#define SLOW_DECL(name) int sv_op_##name(struct sv_regs *);
#define PIN(v) ((void)0)
#define PINX(v) ((void)0)
#define PIN_STORE() ((void)0)

#endif

#define TRAP_OUT(code)                                                                             \
    do {                                                                                           \
        R = (u64)(code);                                                                           \
        TAIL(trap);                                                                                \
    } while (0)

/* Slow rests of fast instructions. */
#define SLOW_RESTS(X) X(trap) X(stack) X(call_indirect) X(call_ref)
SLOW_RESTS(SLOW_DECL)
#define I(name)
#define IA(name)
#define H(name)
#define IC(name) SLOW_DECL(name)
#include "interp/iop.def"
#undef I
#undef IA
#undef H
#undef IC

/* ---- In slow functions ---- */
/* Say where the guest is: operands at the base slot (4), everything live below `top` (6). */
#define SLOW_SAVE                                                                                  \
    do {                                                                                           \
        th->ip = ip;                                                                               \
        th->fp = fp;                                                                               \
        th->inst = inst;                                                                           \
        th->sp = fp + A16(6);                                                                      \
    } while (0)
/* Trap at this instruction. */
#define SLOW_TRAP(code)                                                                            \
    do {                                                                                           \
        th->ip = ip;                                                                               \
        th->fp = fp;                                                                               \
        th->inst = inst;                                                                           \
        return sv_trap_raise(th, code);                                                            \
    } while (0)
/* Back to the guest behind an instruction of n bytes, unless it has been interrupted. */
#define SLOW_NEXT(n)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!sv_thread_ok(th), 0))                                                \
            return sv_thread_interrupted(th);                                                      \
        SKIP(n);                                                                                   \
        SLOW_GO;                                                                                   \
    } while (0)

/* The instructions that frames made by C return to: the table of offsets holds, for each
 * instruction, just its first word. */
#define SV_CODE_EXIT (&sv_iop_offsets[I_EXIT])
#define SV_CODE_XRET (&sv_iop_offsets[I_XRET])

/* Find the handler of th->exn, thrown at ip in the frame fp of inst. True: *ip, *fp, *inst are
 * where to go on. False: none up to the innermost entry from C. */
bool sv_interp_unwind(struct sv_thread *th, const uint32_t **ip, union sv_slot **fp,
                      struct sv_instance **inst);

#endif
