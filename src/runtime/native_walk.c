/* Where native code is: for signal handlers, which may interrupt it anywhere, and for backtraces.
 * Nothing of a frame is believed before it is seen to make sense. */
#include <string.h>
#include <ucontext.h>

#include "runtime/native.h"
#include "runtime/signal.h"

/* native_entry.c */
extern const char sv_native_returned[]; /* where thunks return to */
extern const char sv_native_stub[], sv_native_stub_end[];

static bool in_text(const struct sv_native *n, const void *pc)
{
    return (uintptr_t)pc - (uintptr_t)n->text < n->text_len;
}

/* The image whose code pc is in, in the activation: its own or, where that is the image of a loop,
 * the instance's; NULL: none. */
static const struct sv_native *image_at(const struct sv_entry *e, const void *pc)
{
    const struct sv_native *rest;

    if (in_text(e->native, pc))
        return e->native;
    rest = ((const struct sv_native_activation *)e)->inst->native;
    return in_text(rest, pc) ? rest : NULL;
}

bool sv_native_in_guest(const struct sv_thread *th, const void *pc)
{
    return th->entry && th->entry->native && image_at(th->entry, pc);
}

bool sv_native_in_stub(const void *pc)
{
    return (uintptr_t)pc - (uintptr_t)sv_native_stub <
           (uintptr_t)(sv_native_stub_end - sv_native_stub);
}

/* The function whose code begins last before pc; UINT32_MAX: none. */
static uint32_t func_of(const struct sv_native *n, const void *pc)
{
    uint32_t at = (uint32_t)((uintptr_t)pc - (uintptr_t)n->text), found = UINT32_MAX;

    for (uint32_t i = 0; i < n->nfuncs; i++)
        if (n->entry[i] && n->entry[i] <= at &&
            (found == UINT32_MAX || n->entry[i] > n->entry[found]))
            found = i;
    return found;
}

/* ---- Frames: [fp] the caller's fp, [fp + 8] the return address ---- */

struct frame {
    const void *ip; /* return address into the frame's function */
    const void *fp;
};

/* n words at p, on the stack below the activation's record? */
static bool on_stack(const struct sv_thread *th, const struct sv_entry *e, const void *p, size_t n)
{
    uintptr_t low = (uintptr_t)th->store->native_region->base, at = (uintptr_t)p;

    return at % sizeof(void *) == 0 && at >= low && at < (uintptr_t)e &&
           ((uintptr_t)e - at) / sizeof(void *) >= n;
}

/* To the caller; false: there is none that makes sense. */
static bool walk_out(const struct sv_thread *th, const struct sv_entry *e, struct frame *f)
{
    const void *const *p = f->fp;

    if (!on_stack(th, e, p, 2))
        return false;
    f->ip = p[1];
    /* The thunk's caller is on C's stack. */
    if (f->ip != sv_native_returned && (uintptr_t)p[0] <= (uintptr_t)p)
        return false;
    f->fp = p[0];
    return true;
}

/* ---- What the registers of an interrupted context say ---- */

/* Where the function that begins there ends at the latest. */
static const uint8_t *end_of(const struct sv_native *n, const uint8_t *begin)
{
    uint32_t from = (uint32_t)(begin - n->text), end = n->text_len;

    for (uint32_t i = 0; i < n->nfuncs; i++)
        if (n->entry[i] > from && n->entry[i] < end)
            end = n->entry[i];
    return n->text + end;
}

/* The function's own frame may not be there yet, or not any more: what its instructions say.
 * Compilers put off the frame in functions that have a short way that does not need it. */
#if defined(__x86_64__)
#define PUSH_RBP 0x55
#define POP_RBP 0x5d
#define RET 0xc3
#define RET_POP 0xc2

static bool at_bytes(const struct sv_native *n, const uint8_t *p, const char *bytes, size_t len)
{
    return in_text(n, p) && in_text(n, p + len - 1) && memcmp(p, bytes, len) == 0;
}

/* Behind the frame: at the return, or at a jump that a call became. */
static bool frame_gone(const struct sv_native *n, const uint8_t *pc)
{
    const uint8_t *p = at_bytes(n, pc, "\xc5\xf8\x77", 3) ? pc + 3 : pc; /* vzeroupper first */

    if (in_text(n, p) && (*p == RET || *p == RET_POP))
        return true;
    return in_text(n, pc - 1) && pc[-1] == POP_RBP && (*pc == 0xe9 || *pc == 0xeb || *pc == 0xff);
}

/* push %rbp; mov %rsp, %rbp */
#define MAKE_FRAME "\x55\x48\x89\xe5"

/* Before the frame is made: at the push, at the beginning. */
static bool frame_to_come(const struct sv_native *n, const uint8_t *pc)
{
    return *pc == PUSH_RBP || at_bytes(n, pc, "\xf3\x0f\x1e\xfa\x55", 5); /* endbr64 first */
}

/* Is sp where the prologue of the function put it? Read off its pushes and its subtraction. */
static bool sp_fits_frame(const struct sv_native *n, const uint8_t *begin, uintptr_t sp,
                          uintptr_t fp)
{
    const uint8_t *end = end_of(n, begin), *p = memmem(begin, (size_t)(end - begin), MAKE_FRAME, 4);
    uint32_t size = 0, room = 0;

    if (!p)
        return false;
    for (p += 4; p + 8 <= end; size += 8) {
        if (*p == 0x41) /* of r8 to r15 */
            p++;
        if (*p < 0x50 || *p > 0x57)
            break;
        p++;
    }
    if (p + 8 <= end && at_bytes(n, p, "\x48\x83\xec", 3))
        room = p[3];
    else if (p + 8 <= end && at_bytes(n, p, "\x48\x81\xec", 3))
        memcpy(&room, p + 3, sizeof room);
    return fp - sp == size + room;
}

/* How much `ret` looks like the return address of a call of the function at `begin`: 2 of just
 * that one, 1 of any. */
static int returns_from(const struct sv_entry *e, const uint8_t *begin, const uint8_t *ret)
{
    const struct sv_native *n = ret ? image_at(e, ret) : NULL;
    int32_t distance;

    if (!n)
        return ret == (const uint8_t *)sv_native_returned;
    if (in_text(n, ret - 5) && ret[-5] == 0xe8) {
        memcpy(&distance, ret - 4, sizeof distance);
        if (ret + distance == begin)
            return 2;
    }
    for (int k = 2; k <= 7; k++)
        if (in_text(n, ret - k) && ret[-k] == 0xff && (ret[1 - k] >> 3 & 7) == 2)
            return 1;
    return 0;
}

static uintptr_t register_sp(const ucontext_t *uc)
{
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
}

static uintptr_t register_fp(const ucontext_t *uc)
{
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RBP];
}

/* Of the function at pc, if it has no frame: on the top of the stack, or behind a pushed rbp. */
static const void *return_address(const struct sv_thread *th, const ucontext_t *uc,
                                  const uint8_t *pc)
{
    const struct sv_entry *e = th->entry;
    const void *const *sp = (const void *const *)register_sp(uc);
    size_t above = at_bytes(image_at(e, pc), pc - 1, MAKE_FRAME, 4);

    return on_stack(th, e, sp, above + 1) ? sp[above] : NULL;
}

/* Between the push and the move, in front of them, or behind the frame. */
static bool frameless(const struct sv_native *n, const uint8_t *pc)
{
    return at_bytes(n, pc - 1, MAKE_FRAME, 4) || frame_to_come(n, pc) || frame_gone(n, pc);
}

/* Is the frame put off, and not made yet? Of the return address in the frame and the one that holds
 * without a frame, the more likely one is believed. */
static bool frame_put_off(const struct sv_thread *th, const ucontext_t *uc, const uint8_t *pc,
                          const void *const *fp)
{
    const struct sv_entry *e = th->entry;
    const struct sv_native *n = image_at(e, pc);
    uint32_t index = func_of(n, pc);
    const uint8_t *begin = n->text + (index == UINT32_MAX ? 0 : n->entry[index]);
    int with, without;

    if (index == UINT32_MAX || frame_to_come(n, begin))
        return false;
    with = returns_from(e, begin, on_stack(th, e, fp, 2) ? fp[1] : NULL);
    without = returns_from(e, begin, return_address(th, uc, pc));
    return with == without ? !sp_fits_frame(n, begin, register_sp(uc), (uintptr_t)fp)
                           : without > with;
}

static bool at_call(const uint8_t *pc)
{
    const uint8_t *p = *pc == 0x41 ? pc + 1 : pc;

    return *pc == 0xe8 || (*p == 0xff && (p[1] >> 3 & 7) == 2);
}
#else
#define RET 0xd65f03c0u
/* Instructions of a prologue, and of an epilogue. */
#define FRAME_MAX 16
/* Blocks that are looked at in front of a frame. */
#define BLOCKS_MAX 64

/* add x29, sp, #n (with n = 0: mov x29, sp). */
static bool makes_frame(uint32_t insn)
{
    return (insn & 0xffc003ffu) == 0x910003fdu;
}

/* Branches, calls, returns, traps; not hints and barriers, which are of their group. */
static bool branches(uint32_t insn)
{
    return (insn & 0x1c000000u) == 0x14000000u && insn >> 24 != 0xd5;
}

/* Loads x29: the frame is gone behind it. */
static bool drops_frame(uint32_t insn)
{
    return (insn & 0xfe407fffu) == 0xa8407bfdu || (insn & 0xffc07fffu) == 0xa9407bfdu;
}

static const uint32_t *insns(const uint8_t *p)
{
    return (const uint32_t *)(const void *)p;
}

static bool frame_to_come(const struct sv_native *n, const uint8_t *pc)
{
    const uint32_t *p = insns(pc);

    for (int i = 0; i < FRAME_MAX && in_text(n, p) && !branches(*p); i++)
        if (makes_frame(*p++))
            return true;
    return false;
}

static bool frameless(const struct sv_native *n, const uint8_t *pc)
{
    const uint32_t *p = insns(pc);

    if (frame_to_come(n, pc) || *p == RET)
        return true;
    for (int i = 0; i < FRAME_MAX && in_text(n, p) && !branches(*p); i++)
        p++;
    if (!in_text(n, p) || *p != RET)
        return false;
    p = insns(pc);
    for (int i = 0; i < FRAME_MAX && in_text(n, p - 1) && !branches(p[-1]); i++)
        if (drops_frame(*--p))
            return true;
    return false;
}

static uintptr_t register_fp(const ucontext_t *uc)
{
    return (uintptr_t)uc->uc_mcontext.regs[29];
}

static const void *return_address(const struct sv_thread *th, const ucontext_t *uc,
                                  const uint8_t *pc)
{
    (void)th;
    (void)pc;
    return (const void *)(uintptr_t)uc->uc_mcontext.regs[30];
}

/* Where a branch inside a function goes; NULL: it is none, or leads elsewhere. */
static const uint32_t *target_of(const uint32_t *p)
{
    uint32_t insn = *p;

    if (insn >> 26 == 0x05) /* b */
        return p + ((int32_t)(insn << 6) >> 6);
    if ((insn & 0xff000010u) == 0x54000000u || (insn & 0x7e000000u) == 0x34000000u)
        return p + ((int32_t)(insn << 8) >> 13); /* b.cond, cbz, cbnz */
    if ((insn & 0x7e000000u) == 0x36000000u)     /* tbz, tbnz */
        return p + ((int32_t)(insn << 13) >> 18);
    return NULL;
}

/* Is the frame put off, and not made yet? So it is where control gets from the beginning without
 * making it. */
static bool frame_put_off(const struct sv_thread *th, const ucontext_t *uc, const uint8_t *pc,
                          const void *const *fp)
{
    const struct sv_native *n = image_at(th->entry, pc);
    uint32_t index = func_of(n, pc), count = 1, at = 0;
    const uint32_t *blocks[BLOCKS_MAX], *end, *p;

    (void)uc;
    (void)fp;
    if (index == UINT32_MAX)
        return false;
    blocks[0] = insns(n->text + n->entry[index]);
    end = insns(end_of(n, n->text + n->entry[index]));
    while (at < count) {
        for (p = blocks[at++]; p >= blocks[0] && p < end && !makes_frame(*p); p++) {
            const uint32_t *to = target_of(p);
            uint32_t i = 0;

            if (p == insns(pc))
                return true;
            while (to && i < count && blocks[i] != to)
                i++;
            if (to && i == count && count < BLOCKS_MAX)
                blocks[count++] = to;
            if (branches(*p) && (!to || *p >> 26 == 0x05))
                break; /* a return, a jump: nothing behind it */
        }
    }
    return false;
}

/* A call pushes nothing here: only prologues find the guard. */
static bool at_call(const uint8_t *pc)
{
    (void)pc;
    return false;
}
#endif

/* Where the function at pc was called from, and the caller's fp; false: not known. */
static bool called_from(const struct sv_thread *th, const ucontext_t *uc, struct frame *ret)
{
    const uint8_t *pc = sv_context_pc(uc);
    const void *fp = (const void *)register_fp(uc);

    *ret = (struct frame){.ip = return_address(th, uc, pc), .fp = fp};
    if (frameless(image_at(th->entry, pc), pc) || frame_put_off(th, uc, pc, fp))
        return ret->ip != NULL;
    return walk_out(th, th->entry, ret);
}

bool sv_native_note(struct sv_thread *th, const void *ucontext, int code)
{
    const void *pc = sv_context_pc(ucontext);
    struct frame f;

    if (sv_native_in_stub(pc))
        return true; /* the stub noted the place */
    if (!sv_native_in_guest(th, pc))
        return false;
    if (!called_from(th, ucontext, &f))
        f = (struct frame){NULL, NULL};
    th->inst = ((const struct sv_native_activation *)th->entry)->inst;
    th->native_leaf = pc;
    th->native_offset = 0;
    th->ip = f.ip;
    th->fp = (void *)(uintptr_t)f.fp;
    /* The stack ended in a prologue: as in the interpreter, the caller is where it happened. */
    if (code == SV_TRAP_STACK && !at_call(pc))
        th->native_leaf = NULL;
    return true;
}

/* ---- Backtraces ---- */

#define ROWS_BEHIND 8

/* The number of the row behind pc's. */
static uint32_t row_behind(const struct sv_native *n, const void *pc)
{
    uint32_t at = (uint32_t)((uintptr_t)pc - (uintptr_t)n->text), low = 0, high = n->nlines;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (n->lines[middle].code_offset <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Offset in the module of the instruction that pc belongs to; 0: not known. */
static uint32_t line_of(const struct sv_native *n, const void *pc)
{
    uint32_t row = row_behind(n, pc);

    return row ? n->lines[row - 1].wasm_offset : 0;
}

/* Loads and stores, those of vectors and atomic ones. */
static bool accesses(const struct sv_module *m, uint32_t offset)
{
    const uint8_t *p = m->bytes + offset;

    if (offset == 0 || offset >= m->wasm_len - 1)
        return false;
    return (*p >= 0x28 && *p <= 0x3e) || *p == 0xfe ||
           (*p == 0xfd && (p[1] <= 11 || (p[1] >= 84 && p[1] <= 93)));
}

/* The same of a fault of memory: when the compiler forgot the place of the access, it stands right
 * behind. */
static uint32_t access_of(const struct sv_native *n, const struct sv_module *m, const void *pc)
{
    uint32_t row = row_behind(n, pc), here = line_of(n, pc);

    for (uint32_t i = row ? row - 1 : 0; i < n->nlines && i < row + ROWS_BEHIND; i++)
        if (accesses(m, n->lines[i].wasm_offset))
            return n->lines[i].wasm_offset;
    return here;
}

static void add_frame(const struct sv_native_activation *a, const void *pc, uint32_t offset,
                      bool fault, struct sv_backtrace *b)
{
    const struct sv_native *n = image_at(&a->entry, pc);
    const struct sv_module *m = a->inst->module;
    uint32_t func = UINT32_MAX;

    if (!sv_backtrace_names(b)) {
        sv_backtrace_add(b, m, 0, 0);
        return;
    }
    if (!offset)
        offset = fault ? access_of(n, m, pc) : line_of(n, pc);
    if (offset)
        func = sv_module_func_at(m, offset);
    if (func == UINT32_MAX)
        func = func_of(n, pc);
    sv_backtrace_add(b, func == UINT32_MAX ? NULL : m, func, offset);
}

/* Places that were found to be in functions: deep stacks repeat them. */
struct seen {
    const void *pcs[8];
    unsigned next;
};

/* Is the code at pc a function's? Thunks, which return to C, and the stubs through which native
 * code calls interpreted functions are not. */
static bool in_function(const struct sv_native *n, const void *pc, bool returns_to_c,
                        struct seen *seen)
{
    uint32_t index;

    for (unsigned i = 0; i < SV_COUNT(seen->pcs); i++)
        if (seen->pcs[i] == pc)
            return true;
    if (line_of(n, pc) == 0) {
        index = returns_to_c ? UINT32_MAX : func_of(n, pc);
        if (index == UINT32_MAX || !sv_native_has(n, index))
            return false;
    }
    seen->pcs[seen->next] = pc;
    seen->next = (seen->next + 1) % SV_COUNT(seen->pcs);
    return true;
}

void sv_native_frames(struct sv_thread *th, const struct sv_entry *e, const void *ip,
                      const void *fp, struct sv_backtrace *b)
{
    const struct sv_native_activation *a = (const struct sv_native_activation *)e;
    const void *leaf = e == th->entry ? th->native_leaf : NULL;
    uint32_t told = e == th->entry ? th->native_offset : 0;
    struct frame f = {.ip = ip, .fp = fp}; /* the caller's of the function at pc */
    const char *pc = leaf ? leaf : (const char *)((uintptr_t)ip - 1);
    bool more = leaf || walk_out(th, e, &f);
    struct seen seen = {.next = 0};

    for (const struct sv_native *n; !sv_backtrace_full(b) && (n = image_at(e, pc)) != NULL;) {
        bool returns_to_c = f.ip == sv_native_returned;

        if (told || in_function(n, pc, returns_to_c, &seen))
            add_frame(a, pc, told, pc == leaf && th->trap.code == SV_TRAP_MEMORY_BOUNDS, b);
        if (!more || returns_to_c)
            return;
        told = 0;
        pc = (const char *)((uintptr_t)f.ip - 1);
        more = walk_out(th, e, &f);
    }
}
