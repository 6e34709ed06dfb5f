/* Where native code is: for signal handlers, which may interrupt it anywhere, and for backtraces.
 * Nothing of a frame is believed before it is seen to make sense. */
#include <string.h>
#include <ucontext.h>

#include "runtime/native.h"
#include "runtime/signal.h"
#include "wasm/forward.h"
#include "wasm/reader.h"

/* native_entry.c */
extern const char sv_native_returned[]; /* where thunks return to */
extern const char sv_native_stub[], sv_native_stub_end[];
#if defined(__x86_64__)
extern const char sv_native_stub_CALL_HOST[], sv_native_pushed_CALL_HOST[];
extern const char sv_native_stub_CALL_DIRECT[], sv_native_pushed_CALL_DIRECT[];
#endif
extern const char sv_native_stubs[], sv_native_stubs_end[]; /* the ways in, one for each helper */

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

static bool within(const void *pc, const char *begin, const char *end)
{
    return (uintptr_t)pc - (uintptr_t)begin < (uintptr_t)(end - begin);
}

bool sv_native_in_stub(const void *pc)
{
#if defined(__x86_64__)
    if (within(pc, sv_native_stub_CALL_HOST, sv_native_pushed_CALL_HOST) ||
        within(pc, sv_native_stub_CALL_DIRECT, sv_native_pushed_CALL_DIRECT))
        return true;
#endif
    return within(pc, sv_native_stub, sv_native_stub_end) ||
           within(pc, sv_native_stubs, sv_native_stubs_end);
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

/* ---- Frames, by the unwind table ---- */

/* Registers by DWARF's numbers, and how the stub of a helper leaves the frame pointer: as a word
 * below the stack pointer that it was called with. */
#if defined(__x86_64__)
enum { FP = 6, SP = 7, STUB_FP = 2, STUB_PUSHES = 6 };
#else
enum { FP = 29, SP = 31, STUB_FP = 12 };
#endif

/* Registers behind a call: at ip, which the function called returns to. */
struct frame {
    const void *ip;
    uintptr_t sp, fp;
};

/* n words at `at`, on the stack below the activation's record? */
static bool on_stack(const struct sv_thread *th, const struct sv_entry *e, uintptr_t at, size_t n)
{
    uintptr_t low = (uintptr_t)th->store->native_region->base;

    return at % sizeof(void *) == 0 && at >= low && at < (uintptr_t)e &&
           ((uintptr_t)e - at) / sizeof(void *) >= n;
}

/* The word so far below the CFA; false: it is not on the stack. */
static bool read_below(const struct sv_thread *th, const struct sv_entry *e, uintptr_t cfa,
                       uint32_t below, uintptr_t *ret)
{
    if (below > cfa || !on_stack(th, e, cfa - below, 1))
        return false;
    *ret = *(const uintptr_t *)(cfa - below);
    return true;
}

/* Of the function whose code is at pc, there; NULL: not known. */
static const struct sv_native_frame *frame_at(const struct sv_native *n, const void *pc)
{
    uint32_t at = (uint32_t)((uintptr_t)pc - (uintptr_t)n->text), low = 0, high = n->nunwind;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (n->unwind[middle].code_offset <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low && n->unwind[low - 1].frame < n->nframes ? &n->frames[n->unwind[low - 1].frame]
                                                        : NULL;
}

/* From the registers `at` in a function with this frame, where the CFA's is `base` and the return
 * address may be in `link` (0: it is not), to its caller; false: there is none that makes sense. */
static bool unwind(const struct sv_thread *th, const struct sv_entry *e,
                   const struct sv_native_frame *f, uintptr_t base, uintptr_t link,
                   struct frame *at)
{
    uintptr_t cfa = base + f->cfa_offset, ip = link, fp = at->fp;

    /* The outermost frame ends at the record. */
    if (cfa < base || cfa < at->sp || cfa > (uintptr_t)e)
        return false;
    if (f->ret_below ? !read_below(th, e, cfa, f->ret_below, &ip) : !link)
        return false;
    if (f->fp_below && !read_below(th, e, cfa, f->fp_below, &fp))
        return false;
    *at = (struct frame){.ip = (const void *)ip, .sp = cfa, .fp = fp};
    return true;
}

/* The place of a call. */
static const void *before(const void *ip)
{
    return (const void *)((uintptr_t)ip - 1);
}

/* To the caller of the function that called, in the image; false: there is none that makes sense.
 */
static bool walk_out(const struct sv_thread *th, const struct sv_entry *e,
                     const struct sv_native *n, struct frame *at)
{
    const struct sv_native_frame *f = frame_at(n, before(at->ip));
    uintptr_t sp = at->sp;

    if (!f || !f->ret_below || (f->cfa_register != SP && f->cfa_register != FP))
        return false;
    return unwind(th, e, f, f->cfa_register == SP ? sp : at->fp, 0, at) && at->sp > sp;
}

/* ---- What the registers of an interrupted context say ---- */

#if defined(__x86_64__)
static uintptr_t register_of(const ucontext_t *uc, uint32_t number)
{
    static const uint8_t registers[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                        REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                        REG_R12, REG_R13, REG_R14, REG_R15};

    return number < SV_COUNT(registers) ? (uintptr_t)uc->uc_mcontext.gregs[registers[number]] : 0;
}

static uintptr_t link_of(const ucontext_t *uc)
{
    (void)uc;
    return 0;
}

/* In a stub rsp is moved by pushes alone, which come behind the note. */
static void find_stub(struct sv_thread *th, const ucontext_t *uc)
{
    uintptr_t sp = register_of(uc, SP), noted = (uintptr_t)th->fp - sizeof(void *);

    if (noted - sp <= STUB_PUSHES * sizeof(void *) && on_stack(th, th->entry, noted, 1) &&
        *(const void **)noted == th->ip)
        return;
    if (on_stack(th, th->entry, sp, 1)) {
        th->ip = *(const void **)sp;
        th->fp = (union sv_slot *)(sp + sizeof(void *));
    }
}
#else
static uintptr_t register_of(const ucontext_t *uc, uint32_t number)
{
    if (number == SP)
        return (uintptr_t)uc->uc_mcontext.sp;
    return number < SP ? (uintptr_t)uc->uc_mcontext.regs[number] : 0;
}

static uintptr_t link_of(const ucontext_t *uc)
{
    return register_of(uc, 30);
}

/* In a stub x30 is what it was; sp, moved at once, only at the end. */
static void find_stub(struct sv_thread *th, const ucontext_t *uc)
{
    uintptr_t sp = register_of(uc, SP);

    th->ip = (const void *)link_of(uc);
    if ((uintptr_t)th->fp != sp + STUB_FP * sizeof(void *))
        th->fp = (union sv_slot *)sp;
}
#endif

/* Where the function at pc was called from. */
static struct frame called_from(const struct sv_thread *th, const ucontext_t *uc, const void *pc)
{
    const struct sv_native_frame *f = frame_at(image_at(th->entry, pc), pc);
    struct frame at = {.sp = register_of(uc, SP), .fp = register_of(uc, FP)};

    if (f && unwind(th, th->entry, f, register_of(uc, f->cfa_register), link_of(uc), &at))
        return at;
    return (struct frame){0};
}

/* The counter is in a register. It was noted before an access that may fault; elsewhere what was
 * noted last is the nearest to it, unless a helper or the host wrote the counter since. */
static void take_gas(struct sv_thread *th, int code)
{
    const struct sv_instance *inst = th->inst;

    if ((inst->native->flags & SV_NATIVE_METERED) &&
        (code == SV_TRAP_MEMORY_BOUNDS || inst->gas < th->gas))
        th->gas = inst->gas;
}

bool sv_native_note(struct sv_thread *th, const void *ucontext, int code)
{
    const void *pc = sv_context_pc(ucontext);
    struct frame at;

    if (sv_native_in_stub(pc)) {
        if (!th->entry || !th->entry->native)
            return true;
        find_stub(th, ucontext);
        at = (struct frame){th->ip, (uintptr_t)th->fp, register_of(ucontext, FP)};
    } else if (sv_native_in_guest(th, pc)) {
        at = called_from(th, ucontext, pc);
    } else {
        return false;
    }
    th->inst = ((const struct sv_native_activation *)th->entry)->inst;
    if (code)
        take_gas(th, code);
    th->native_leaf = pc;
    th->native_offset = 0;
    th->ip = at.ip;
    th->fp = (union sv_slot *)at.sp;
    th->native_fp = at.fp;
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

/* Calls, tail calls among them. */
static bool calls(const struct sv_module *m, uint32_t offset)
{
    return offset && offset < m->wasm_len && m->bytes[offset] >= 0x10 && m->bytes[offset] <= 0x15;
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

/* The function called at this offset in the module; UINT32_MAX: none, or not by number. */
static uint32_t called_at(const struct sv_module *m, uint32_t offset)
{
    const uint8_t *p = m->bytes + offset;

    if (!calls(m, offset) || sv_code_op(&p) != OP_CALL)
        return UINT32_MAX;
    return sv_code_u32(&p);
}

/* What the call that returns behind pc skipped, the innermost first (lower_call.c). */
static void add_skipped(const struct sv_native_activation *a, const void *pc,
                        struct sv_backtrace *b)
{
    const struct sv_module *m = a->inst->module;
    uint32_t skipped[SV_FORWARD_CHAIN], k = 0, f;
    struct sv_forward to[SV_FORWARD_CHAIN];

    f = called_at(m, line_of(image_at(&a->entry, pc), pc));
    while (f != UINT32_MAX && k < SV_FORWARD_CHAIN && sv_forward_of(m, f, &to[k])) {
        skipped[k] = f;
        f = to[k++].to;
    }
    while (k-- > 0 && !sv_backtrace_full(b))
        sv_backtrace_add(b, m, skipped[k], to[k].offset);
}

/* Places that were found to be in functions: deep stacks repeat them. */
struct seen {
    const void *pcs[8];
    unsigned next;
    uint8_t skip; /* by bit: the call there skipped functions */
};

/* Is the code at pc a function's, and did its call skip others? Thunks, which return to C, and the
 * stubs through which native code calls interpreted functions are not. */
static bool in_function(const struct sv_native *n, const struct sv_module *m, const void *pc,
                        bool returns_to_c, struct seen *seen, bool *ret_skips)
{
    uint32_t line, f;
    struct sv_forward to;

    for (unsigned i = 0; i < SV_COUNT(seen->pcs); i++)
        if (seen->pcs[i] == pc) {
            *ret_skips = seen->skip >> i & 1;
            return true;
        }
    line = line_of(n, pc);
    if (line == 0) {
        f = returns_to_c ? UINT32_MAX : func_of(n, pc);
        if (f == UINT32_MAX || !sv_native_has(n, f))
            return false;
    }
    f = n->flags & SV_NATIVE_METERED ? UINT32_MAX : called_at(m, line);
    *ret_skips = f != UINT32_MAX && sv_forward_of(m, f, &to);
    seen->skip = (uint8_t)((seen->skip & ~(1u << seen->next)) | *ret_skips << seen->next);
    seen->pcs[seen->next] = pc;
    seen->next = (seen->next + 1) % SV_COUNT(seen->pcs);
    return true;
}

/* Is the place that a signal handler found a frame of the backtrace? Where the stack ended, it is
 * one at a call: as in the interpreter, a function that has no room for its frame was not entered.
 */
static bool counts(const struct sv_thread *th, const struct sv_native_activation *a,
                   const void *leaf, const struct sv_backtrace *b)
{
    const struct sv_native *n = image_at(&a->entry, leaf);

    return n && (b->sample || th->trap.code != SV_TRAP_STACK ||
                 calls(a->inst->module, line_of(n, leaf)));
}

/* The frame pointer behind the call that left `e` at sp. */
static uintptr_t fp_at(const struct sv_thread *th, const struct sv_entry *e, uintptr_t sp)
{
    uintptr_t fp = 0;

    if (e == th->entry && th->native_leaf)
        return th->native_fp;
    return read_below(th, e, sp, STUB_FP * sizeof(void *), &fp) ? fp : 0;
}

void sv_native_frames(struct sv_thread *th, const struct sv_entry *e, const void *ip,
                      const void *sp, struct sv_backtrace *b)
{
    const struct sv_native_activation *a = (const struct sv_native_activation *)e;
    const void *leaf = e == th->entry ? th->native_leaf : NULL;
    const struct sv_module *m = a->inst->module;
    uint32_t told = e == th->entry ? th->native_offset : 0;
    bool skips;
    struct frame at = {.ip = ip, .sp = (uintptr_t)sp, .fp = fp_at(th, e, (uintptr_t)sp)};
    struct seen seen = {.next = 0};

    if (leaf && counts(th, a, leaf, b) &&
        in_function(image_at(e, leaf), m, leaf, ip == sv_native_returned, &seen, &skips))
        add_frame(a, leaf, 0, th->trap.code == SV_TRAP_MEMORY_BOUNDS, b);
    if (!sp)
        return;
    for (const struct sv_native *n;
         !sv_backtrace_full(b) && (n = image_at(e, before(at.ip))) != NULL; told = 0) {
        const void *pc = before(at.ip);
        bool more = walk_out(th, e, n, &at), returns_to_c = at.ip == sv_native_returned;

        if (told || in_function(n, m, pc, more && returns_to_c, &seen, &skips)) {
            if (!told && skips)
                add_skipped(a, pc, b);
            add_frame(a, pc, told, false, b);
        }
        if (!more || returns_to_c)
            return;
    }
}
