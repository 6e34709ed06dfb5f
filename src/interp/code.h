/* The internal code: numbers of its instructions, their encoding, and the lowered code of a module
 * that all its instances share. Knows neither how it is made (lower*.c) nor how it runs (loop.c).
 *
 * An instruction is a 32-bit offset of its handler from sv_iop_base, then operands; its size is a
 * multiple of 4. Slot numbers are 16 bits. Bytes 4-5 are the result slot `d` of a producer (unused
 * in forms without D, so that a form can be patched into the other); 6-7 the first slot operand;
 * 8-9 the second; constants begin at 8. */
#ifndef SV_INTERP_CODE_H
#define SV_INTERP_CODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/instance.h"
#include "wasm/numeric.h"

enum sv_iop {
#define I(name) I_##name,
#define IA(name) I_##name,
#define H(name) I_##name,
#define IC(name) I_##name,
#include "interp/iop.def"
#undef I
#undef IA
#undef H
#undef IC
    I_COUNT
};

/* Kinds of operands, in the arithmetic of forms. */
enum sv_kind { KIND_S, KIND_R, KIND_K };
/* Accumulators. */
enum sv_class { CLASS_R, CLASS_F, CLASS_G, CLASS_V, CLASS_COUNT };

/* Address modes of guarded loads and stores, then of checked ones: C memory 0 with 32-bit
 * addresses, X any. */
enum sv_am {
    AM_S,
    AM_R,
    AM_SS,
    AM_SR,
    AM_SK,
    AM_K,
    AM_LSS1,               /* slot + (slot << 1) */
    AM_LRS1 = AM_LSS1 + 3, /* accumulator + (slot << 1) */
    AM_LSR1 = AM_LRS1 + 3, /* slot + (accumulator << 1) */
    AM_C_S = AM_LSR1 + 3,
    AM_C_R,
    AM_X_S,
    AM_X_R
};

/* Two dispatch back ends (dispatch.h). Tail calls keep the accumulators in registers across
 * handlers. */
#if defined(__clang__) && defined(__has_attribute)
#if __has_attribute(preserve_none) && __has_attribute(musttail) &&                                 \
    (defined(__x86_64__) || defined(__aarch64__))
#define SV_INTERP_TAIL 1
#endif
#endif
#ifndef SV_INTERP_TAIL
#define SV_INTERP_TAIL 0
#endif
/* Loads and stores may fault only where the signal handler can tell the instruction: its address
 * must be in a known register. */
#if SV_INTERP_TAIL && defined(__x86_64__) && !defined(SSVM_SANITIZED)
#define SV_INTERP_GUARD 1
#else
#define SV_INTERP_GUARD 0
#endif

/* Slots behind the locals of a frame: return ip, caller's fp. */
#define SV_FRAME_SAVED 2
/* A frame is checked against the stack's end with this much to spare: records of calls between
 * instances, arguments moved up. */
#define SV_FRAME_SPARE 8
/* A function that needs more slots than an instruction can name traps as an exhausted stack when it
 * is called. */
#define SV_FRAME_MAX 65000

/* Record of a call that changed the instance, in slots before the callee's frame: the callee
 * returns to XRET with fp at it. */
enum { SV_XREC_IP, SV_XREC_FP, SV_XREC_INST, SV_XREC_RESULTS, SV_XREC_SIZE };
/* Slots of the record of an entry from C (struct sv_entry): the callee returns to EXIT with fp at
 * it. */
#define SV_EREC_SIZE (sizeof(struct sv_entry) / sizeof(union sv_slot))

/* A handler of exceptions: where in the code it holds and where it leads. In order of search: inner
 * ones first. */
enum sv_clause_kind { SV_CLAUSE_TAG, SV_CLAUSE_ALL, SV_CLAUSE_DELEGATE };
struct sv_clause {
    uint32_t from, to; /* offsets in the code: from <= ip < to */
    uint32_t target;   /* offset in the code */
    uint32_t tag;      /* SV_CLAUSE_TAG; SV_CLAUSE_DELEGATE: blocks deeper than this are skipped */
    uint32_t depth;    /* of the try block in the function's nesting */
    uint16_t slot;     /* values go to fp[slot..] */
    uint8_t kind;
    bool ref_first; /* legacy: the exception in fp[slot], values behind */
    bool ref_last;  /* catch_ref: the exception behind the values */
};

/* A loop at whose head a frame can go over to native code (switch.c). */
struct sv_loop_value {
    uint32_t slot; /* where it is in the frame, unless constant */
    uint8_t cls;
    bool constant;
    uint64_t k;
};
enum sv_loop_state {
    SV_LOOP_PLAIN,
    SV_LOOP_ASKING, /* LOOP_ASK stands at its head */
    SV_LOOP_OPEN,   /* LOOP_ENTER, and there is an image */
    SV_LOOP_FAILED
};
struct sv_loop {
    uint32_t at;     /* of its head in the code */
    uint32_t word;   /* the first of the instruction there */
    uint32_t offset; /* in the module */
    uint32_t depth;  /* loops around it */
    uint32_t values; /* operands below it and its parameters: first and number */
    uint32_t nvalues;
    enum sv_loop_state state;
    bool seen;                /* a frame asked at its head */
    struct sv_native *native; /* owned */
};
struct sv_loops {
    uint32_t n;
    uint32_t locals; /* slots of the locals without padding */
    bool entered;    /* one of them, since the last question */
    struct sv_loop *loops;
    struct sv_loop_value *values;
};

/* A lowered function. */
struct sv_icode {
    uint32_t func;   /* index in the module */
    uint32_t size;   /* bytes of code */
    uint32_t locals; /* slots before the saved ones */
    uint32_t nclauses;
    struct sv_clause *clauses; /* in the same allocation, behind the code */
    uint32_t enter;            /* the first word of the code, also when SWITCH stands there */
    struct sv_loops *loops;    /* under the flavour's lock; NULL until they are needed */
    uint32_t code[];
};

/* A call instruction ends with the index of the function it stands in: the walker reads it before a
 * return address. */
#define SV_CALL_SELF 4

struct sv_module_code;
/* Lowered code of a module in one flavour. */
enum sv_flavour_bits {
    SV_FLAVOUR_CHECKED = 1 << 0,
    SV_FLAVOUR_METERED = 1 << 1,
    SV_FLAVOUR_PLAIN = 1 << 2, /* no superinstructions, no accumulators */
    SV_FLAVOUR_CANON = 1 << 3, /* canonical NaNs */
    /* Functions of the module's native image of the flavour's form lead there: of the one without,
     * or with checks. */
    SV_FLAVOUR_NATIVE = 1 << 4,
    SV_FLAVOUR_NATIVE_CHECKED = 1 << 5,
    SV_FLAVOUR_COUNT = 1 << 6
};
struct sv_flavour {
    /* Entry points by function index, at first stubs; sv_func.code is a copy, brought up to date
     * when its stub is reached. */
    _Atomic(const uint32_t *) *entry;
    unsigned bits;
    const struct sv_module *module;
    uint32_t (*stubs)[2]; /* LOWER or IMPORT, and the function's index */
    _Atomic(struct sv_icode *) *codes;
    _Atomic uint64_t bytes; /* of lowered code */
    /* There is native code for instances that fit it: functions lead to SWITCH. */
    _Atomic bool ready;
    pthread_mutex_t lock; /* of the loops, and of who changes the words at their heads */
};
/* module->tier_data */
struct sv_module_code {
    _Atomic(struct sv_flavour *) flavours[SV_FLAVOUR_COUNT];
};

#if SV_INTERP_TAIL
/* Offsets of the handlers from this table itself (made by the assembler: no relocation at start).
 */
extern const uint32_t sv_iop_offsets[I_COUNT] __attribute__((visibility("hidden")));
#else
const uint32_t *sv_iop_offsets_get(void);
#define sv_iop_offsets (sv_iop_offsets_get())
#endif

/* Make the code of function `index` and publish it. Any thread; a function is published once.
 * Returns the code or NULL (out of memory). */
const struct sv_icode *sv_lower(struct sv_flavour *, uint32_t index);
/* Lower without publishing; the caller frees with sv_free. `ret_offset`, if given: the module
 * offset of the instruction at code offset `at` (the last one that begins at or before it). */
own struct sv_icode *sv_lower_function(const struct sv_flavour *, uint32_t index, uint32_t at,
                                       uint32_t *ret_offset);
/* The loops of a function by another lowering, for sv_loops_delete; NULL: out of memory. */
own struct sv_loops *sv_lower_loops(const struct sv_flavour *, uint32_t index);
void sv_loops_delete(own struct sv_loops *);

#endif
