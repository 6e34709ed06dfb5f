/* The interpreter's loop: all handlers as one program, the table of their offsets, and the entry
 * from C. Slow paths are in slow*.c; how code is made is in lower*.c. */
#include "interp/dispatch.h"
#include "interp/entry.h"
#include "interp/ops_inline.h"
#include "runtime/gc.h"

#if SV_INTERP_TAIL

#include "interp/ops_numeric.h"

#include "interp/ops_memory.h"

#include "interp/ops_control.h"

/* clang-format off */
#define ROW(name) ".long sv_op_" #name " - sv_iop_offsets\n"
#define I(name) ROW(name)
#define IA(name) ROW(name)
#define IC(name) ROW(name)
#define H(name) ROW(BAD)
__asm__(".pushsection .rodata.sv_iop,\"a\"\n"
        ".balign 4\n.hidden sv_iop_offsets\n.globl sv_iop_offsets\nsv_iop_offsets:\n"
#include "interp/iop.def"
        ".popsection\n");
#undef I
#undef IA
#undef IC
#undef H
/* clang-format on */

extern const char __start_sv_ops[] __attribute__((visibility("hidden")));
extern const char __stop_sv_ops[] __attribute__((visibility("hidden")));

bool sv_interp_in_guest(const void *pc)
{
    return (uintptr_t)pc - (uintptr_t)__start_sv_ops < (uintptr_t)(__stop_sv_ops - __start_sv_ops);
}

int sv_interp_run(struct sv_thread *th, struct sv_instance *inst, const uint32_t *ip,
                  union sv_slot *fp, const uint32_t *to, union sv_slot *back)
{
    const char *base = (const char *)sv_iop_offsets;
    const struct sv_flavour *fl = inst->tier;

    return ((sv_op_fn *)(base + IP_WORD))(th, inst, base, fl->entry, ip, fp, (uintptr_t)to,
                                          (uintptr_t)back, inst->mem0, 0, 0, (v128){0, 0});
}

#else

/* regs NULL: return the table of offsets. */
static __attribute__((section("sv_ops"))) const uint32_t *loop(struct sv_regs *regs, int *ret)
{
    static const uint32_t offsets[I_COUNT] = {
#define I(name) [I_##name] = (uint32_t)(&&L_##name - &&L_BAD),
#define IA(name)
#define IC(name) I(name)
#define H(name)
#include "interp/iop.def"
#undef I
#undef IA
#undef IC
#undef H
    };
    const char *base = &&L_BAD;
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
    sv_slow_fn *slow;

    if (!regs)
        return offsets;
resume:
    th = regs->th;
    inst = regs->inst;
    tab = regs->tab;
    ip = regs->ip;
    fp = regs->fp;
    R = regs->R;
    T = regs->T;
    mem = regs->mem;
    F = regs->F;
    G = regs->G;
    V = regs->V;
    if (*ret == SLOW_AS)
        goto *(const void *)(base + (int32_t)regs->word);
    GOTO_IP;
call_slow:
    *regs = (struct sv_regs){th, inst, tab, ip, fp, R, T, mem, F, G, V, 0};
    *ret = slow(regs);
    if (*ret > 0)
        goto resume;
    return NULL;
#define LEAVE                                                                                      \
    do {                                                                                           \
        *ret = 0;                                                                                  \
        return NULL;                                                                               \
    } while (0)
#include "interp/ops_numeric.h"

#include "interp/ops_memory.h"

#include "interp/ops_control.h"
#define I(name)
#define IA(name)
#define H(name)
#define IC(name) L_##name : TAIL(name);
#include "interp/iop.def"
#undef I
#undef IA
#undef IC
#undef H
}

const uint32_t *sv_iop_offsets_get(void)
{
    return loop(NULL, NULL);
}

extern const char __start_sv_ops[] __attribute__((visibility("hidden")));
extern const char __stop_sv_ops[] __attribute__((visibility("hidden")));

bool sv_interp_in_guest(const void *pc)
{
    return (uintptr_t)pc - (uintptr_t)__start_sv_ops < (uintptr_t)(__stop_sv_ops - __start_sv_ops);
}

int sv_interp_run(struct sv_thread *th, struct sv_instance *inst, const uint32_t *ip,
                  union sv_slot *fp, const uint32_t *to, union sv_slot *back)
{
    const struct sv_flavour *fl = inst->tier;
    struct sv_regs regs = {
        th,         inst, fl->entry, ip,           fp, (uintptr_t)to, (uintptr_t)back,
        inst->mem0, 0,    0,         (v128){0, 0}, 0};
    int r = 0;

    loop(&regs, &r);
    return r;
}

#endif
