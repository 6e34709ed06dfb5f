/* Native code: the contract between compiled images (made by aot/, mapped by native.c) and the
 * runtime. What is here is part of an image's build id: change it, and older images are refused.
 *
 * The call of a guest function, of the image's convention (C, or tailcc when the image uses tail
 * calls):
 *     result f(struct sv_instance *inst, uint8_t *mem0, [union sv_slot *ret,] params...)
 * with `ret` only for functions of two or more results, which are then written to it (in slots,
 * v128 in two). i32 and i64 are integers of their size, f32 and f64 floats, v128 <2 x i64>,
 * references i64. In images without tail calls inst is `swiftself`: in r13 or x20, which calls
 * preserve. Within an activation (an entry from C) every frame belongs to one instance: calls
 * of imports, of other instances and of the host leave through SV_NATIVE_CALL.
 *
 * Guest code runs on a stack of its own and owns nothing of the host. C is called through
 * `helpers`: each is a stub that notes where the guest is (th->ip, fp, inst), switches to the C
 * stack, and leaves the guest if the C function returns a negative code. Frames are walked by the
 * image's unwind table: it says for each instruction where the caller is.
 *
 * A thrown exception is pending in inst->exn while frames return; code of images with
 * SV_NATIVE_EXCEPTIONS looks at it after each call. Other images are left whole. */
#ifndef SV_RUNTIME_NATIVE_H
#define SV_RUNTIME_NATIVE_H

#include "base/sha256.h"
#include "runtime/instance.h"

/* HELPER(NAME, kind, C function): what guest code calls, by number in inst->helpers. Arguments:
 * inst first, then integers of up to 64 bits in at most five registers; more, and results, go
 * through an array of slots on the guest's stack. `kind`: INT returns 0 or a negative code (the
 * guest is left), VALUE returns a value that is passed on; HOST is INT by a shorter way. */
enum sv_native_helper {
#define HELPER(name, kind, fn) SV_NATIVE_##name,
#include "runtime/native.def"
#undef HELPER
    SV_NATIVE_HELPERS
};
extern const void *const sv_native_helpers[SV_NATIVE_HELPERS];

/* The C side: results go to inst->store->thread.native_ret; 0 or a negative code (SV_ETRAP with the
 * trap set, SV_EEXIT, SV_ENOMEM; SV_EEXCEPTION leaves an image without SV_NATIVE_EXCEPTIONS). */
typedef int sv_native_helper_fn(struct sv_instance *inst, uint64_t a, uint64_t b, uint64_t c,
                                uint64_t d, uint64_t e);
#define HELPER(name, kind, fn) sv_native_helper_fn fn;
#include "runtime/native.def"
#undef HELPER

/* A reference type in code: module type index + SV_HEAP_CONCRETE or an abstract heap type, and the
 * nullable bit. (Canonical ids of the compiler's registry are not the engine's.) */
#define SV_NATIVE_REFTYPE(heap, nullable) ((uint64_t)(heap) << 1 | ((nullable) ? 1 : 0))

/* Entry thunk of a signature: C convention; arguments from slots[0..], results back into them. */
typedef void sv_native_thunk(struct sv_instance *inst, uint8_t *mem0, const void *code,
                             union sv_slot *slots);

/* ---- native_abi.c: what an image has to agree with ---- */
struct sv_image_id;
void sv_native_build_id(uint8_t ret[SV_SHA256_LEN]);
const char *sv_native_build_text(void); /* what it is a digest of: changes with the sources */
void sv_native_cpu(uint8_t ret[SV_SHA256_LEN]);      /* this machine's instructions */
bool sv_native_cpu_fits(const struct sv_image_id *); /* made for this machine, or for less */
/* enum sv_image_flags of a module that uses `features`. */
uint32_t sv_native_image_flags(uint64_t features, bool checked, bool metered, bool deterministic);

/* The code's form, and what else must be known to run it. */
enum sv_native_flags {
    SV_NATIVE_CHECKED = 1 << 0,       /* explicit bounds checks; else memory 0 is guarded */
    SV_NATIVE_METERED = 1 << 1,       /* counts gas */
    SV_NATIVE_DETERMINISTIC = 1 << 2, /* canonical NaNs */
    SV_NATIVE_EXCEPTIONS = 1 << 3     /* looks at inst->exn behind calls */
};
_Static_assert(SV_NATIVE_FORMS == SV_NATIVE_DETERMINISTIC << 1, "a form is the first bits");

/* From `code_offset` on, instructions come from this offset in the module's bytes; 0: not known. */
struct sv_native_line {
    uint32_t code_offset, wasm_offset;
};

/* The frame of a function: where its caller's part of the stack begins (the CFA), and what lies
 * below it. Registers by DWARF's numbers. */
struct sv_native_frame {
    uint32_t cfa_register, cfa_offset;
    uint32_t ret_below; /* the return address, so many bytes below the CFA; 0: it is in x30 */
    uint32_t fp_below;  /* likewise the caller's rbp or x29; 0: the register holds it */
};

/* From `code_offset` on, functions have this frame of the image's; one that it has not: nothing is
 * known. */
struct sv_native_unwind {
    uint32_t code_offset, frame;
};

/* A mapped image. Shared by the instances of its module, immutable. */
struct sv_native {
    const uint8_t *text;
    uint32_t text_len;
    uint32_t nfuncs;       /* imports included; their entries are 0 */
    const uint32_t *entry; /* by function: offset in text; 0: none */
    /* By function: offset of its signature's entry thunk. 0: the function is interpreted, and its
     * entry is a stub for native callers only, which calls f->entry. */
    const uint32_t *thunk;
    const struct sv_native_line *lines; /* sorted */
    uint32_t nlines;
    const struct sv_native_unwind *unwind; /* sorted */
    uint32_t nunwind, nframes;
    const struct sv_native_frame *frames;
    uint32_t flags; /* enum sv_native_flags */
    void *map;      /* what to unmap */
    size_t map_len;
    _Atomic uint32_t refs;
};

/* Where the parts of an image lie, in bytes from its beginning. Text begins a page; constants lie
 * behind it at the distance that the code was linked for; arrays are aligned to 4. */
struct sv_native_layout {
    uint64_t text, text_len;
    uint64_t entries, thunks; /* nfuncs numbers each */
    uint64_t lines, nlines;
    uint64_t unwind, nunwind;
    uint64_t frames, nframes;
    uint32_t nfuncs, flags;
};
/* Map the image of `len` bytes at `at` in the file (copied when that is not a page). The layout
 * must fit `len`; what the bytes are is believed. */
int sv_native_map(struct sv_err *err, int fd, uint64_t at, size_t len,
                  const struct sv_native_layout *, own struct sv_native **ret);
/* The same of bytes in memory, which are copied. */
int sv_native_from_memory(struct sv_err *err, const void *bytes, size_t len,
                          const struct sv_native_layout *, own struct sv_native **ret);
struct sv_native *sv_native_ref(struct sv_native *);
void sv_native_unref(own struct sv_native *); /* NULL is allowed */

/* Give the module native code of the image's form, for the instances made from now on. Any thread.
 * Takes a reference. False: not of this module's shape, or there is code of this form. */
bool sv_module_set_native(struct sv_module *, struct sv_native *);
/* Use the image for the functions of the instance, which is not running, from their next call on.
 * False: there is one, or it does not fit the instance's store and memory. */
bool sv_native_attach(struct sv_instance *, struct sv_native *);
/* The form of code that is asked for; one with checks will do as well. */
unsigned sv_native_form(const struct sv_instance *);
/* Has the instance native code, or does the module have some by now that can be attached to it? On
 * the thread that the instance runs on, in C: its frames go on as they are. */
bool sv_native_attach_late(struct sv_instance *);
/* Attach what the module has or the engine finds, for sv_instance_new: nothing of the instance runs
 * yet. Failing is for engines that want native code. */
int sv_native_attach_module(struct sv_err *err, struct sv_instance *);
/* Code of function `index`, for native callers; NULL: not in the image. */
const void *sv_native_code(const struct sv_native *, uint32_t index);
/* Is that the function itself, and not a stub for an interpreted one? */
bool sv_native_has(const struct sv_native *, uint32_t index);
/* Fill f->entry and f->native; false: C enters the function by the interpreter. */
bool sv_native_bind(struct sv_func *f);
/* sv_func.entry of native functions. */
int sv_native_entry(struct sv_thread *th, struct sv_func *f, union sv_slot *args);
/* sv_host_end, where native code called by the short way, with what came back: an exception goes on
 * in its frames. */
int sv_native_host_end(struct sv_call *, void *r, unsigned pushed_ip);

/* Set th->ip and fp to the place that called the helper which runs; `pushed_ip`: words on the
 * guest's stack below the return address, 0 for what most stubs push. */
void sv_native_note_again(struct sv_thread *th, unsigned pushed_ip);
/* Where most stubs have pushed the register in which metered code without tail calls has its gas.
 */
int64_t *sv_native_pushed_gas(struct sv_thread *th);
/* Enter function `index` in the image of one loop of it: slots[0..] are the locals in order, then
 * the operands below the loop and its parameters; the function's results come back there. The
 * instance has the image of the same form attached. Returns as an entry function. */
int sv_native_enter_loop(struct sv_thread *th, struct sv_instance *inst,
                         const struct sv_native *osr, uint32_t index, union sv_slot *slots);

/* The record of an activation: on its stack, above its frames. Its code is that of entry.native
 * and, where that is the image of a loop, that of the instance's image. */
struct sv_native_activation {
    struct sv_entry entry;
    struct sv_instance *inst;
    void *host_sp, *native_sp; /* of the activation around it */
};

/* ---- For signal handlers and backtraces (native_walk.c) ---- */
bool sv_native_in_guest(const struct sv_thread *, const void *pc);
/* In a helper's stub up to where it has pushed: a fault of the guest's stack there is the guest's.
 */
bool sv_native_in_stub(const void *pc);
/* Note where native code, or a stub of it, was; false: it was not native. Code: of the trap that it
 * ends with, 0 for none. */
bool sv_native_note(struct sv_thread *, const void *ucontext, int code);
struct sv_backtrace;
/* The frames of the activation `e`, left for what returns to ip with the stack pointer sp. */
void sv_native_frames(struct sv_thread *, const struct sv_entry *e, const void *ip, const void *sp,
                      struct sv_backtrace *);

#endif
