/* Engine, store and thread of execution. One engine, shared modules, one store per request; a store
 * and all that lives in it belongs to one OS thread at a time. */
#ifndef SV_RUNTIME_STORE_H
#define SV_RUNTIME_STORE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/err.h"
#include "runtime/pool.h"
#include "runtime/trap.h"
#include "runtime/value.h"
#include "wasm/types.h"

struct sv_exec_ops;
struct sv_func;
struct sv_gc_heap;
struct sv_instance;
struct sv_memory;
struct sv_module;
struct sv_native;
struct sv_table;
struct sv_threads;
struct sv_tier;

/* What a store may use. One struct for CLI, API and server; 0 never means "none": use the defaults
 * below. Units in names. */
struct sv_store_limits {
    uint64_t memory_bytes; /* all linear memories of the store together */
    uint64_t table_elems;  /* all tables together */
    uint64_t stack_bytes;  /* wasm stack of a thread */
    uint64_t gc_heap_bytes;
    uint32_t instances;
    uint32_t memories, tables;
};
extern const struct sv_store_limits sv_store_limits_default;

struct sv_engine {
    _Atomic uint32_t refs;
    struct sv_types *types;
    const struct sv_exec_ops *exec; /* the tier; set by api/ at creation */
    bool deterministic;             /* canonical NaNs */
    bool no_guard;                  /* never use the guard form of memories */
    bool gc_stress;                 /* collect at every allocation */
    bool no_optimise;               /* interpreter: lowering without superinstructions (tests) */
    uint64_t features;              /* allowed, bits of enum sv_feature */
    struct sv_pool *pool; /* freed memory reservations and wasm stacks, reused by later stores */
    /* Asked before the first instance of a module in a form (enum sv_native_flags) for which there
     * is no native code; NULL: nobody. Sets it by sv_module_set_native, now or later. */
    int (*find_native)(struct sv_err *err, struct sv_engine *, struct sv_module *, uint32_t form);
    /* A frame of the function runs interpreted in a loop while there is native code of the form. To
     * be answered later, from any thread, by pick_loop and loop_ready of the tier (exec.h). NULL:
     * nobody does. */
    void (*ask_loop)(struct sv_engine *, struct sv_module *, uint32_t form, uint32_t func);
    struct sv_tier *tier; /* find_native's */
    void (*tier_delete)(struct sv_tier *);
};
/* types, pool and defaults; exec is left NULL. */
int sv_engine_new(struct sv_err *err, own struct sv_engine **ret);
struct sv_engine *sv_engine_ref(struct sv_engine *);
void sv_engine_unref(own struct sv_engine *);

/* Reasons in sv_thread.interrupt. */
enum sv_interrupt {
    SV_INTERRUPT_DEADLINE = 1 << 0,
    SV_INTERRUPT_CANCEL = 1 << 1,
    SV_INTERRUPT_CPU = 1 << 2,
    SV_INTERRUPT_OUTER =
        1 << 3, /* a guest of another store that called us through its host is to stop */
    SV_INTERRUPT_ENDED = 1 << 4, /* another thread has ended the guest */
};

/* An entry from C into guest code: one for each activation, linked inside out. A tier keeps it on
 * the stack of its frames, so that it is still there when they have been left by a trap. */
struct sv_entry {
    /* Where the guest around it was left for C; fp NULL: nowhere. */
    const void *ip;
    union sv_slot *fp;
    struct sv_instance *inst;
    struct sv_entry *outer;
    const struct sv_native *native; /* the image whose code it runs; NULL: the interpreter's */
};

/* A thread of execution in a store: the wasm stack and what the guest's run needs. Hot fields
 * first; the interpreter reads them by address. */
struct sv_thread {
    union sv_slot *sp; /* first free slot above everything live; valid whenever C code runs (set
                          before calls out) */
    union sv_slot *stack_end; /* a frame may not reach beyond it */
    int64_t gas;              /* left; metered code traps when it would go below 0 */
    _Atomic uint32_t
        interrupt;  /* bits of enum sv_interrupt; looked at on the way back into the guest */
    uint32_t depth; /* nested entries from C (host re-entrancy), limited */
    /* Engine's: where guest code was left for C; walked for backtraces and exceptions. */
    const void *ip;
    union sv_slot *fp;
    struct sv_instance *inst; /* of the frame at fp */
    struct sv_entry *entry;   /* of the innermost activation */
    /* Native code (native.h): ip is a return address, fp the stack pointer behind the return. While
     * it runs: where C goes on, and what a helper returned. While C runs: below native_sp the
     * guest's native stack is free; NULL: there is none yet. */
    void *host_sp;
    void *native_sp;
    uint64_t native_ret;
    /* Of the trap on its way out of native code. A place that a signal handler found: ip, fp and
     * native_fp, the frame pointer, are its caller's. The offset that a trap helper was told; 0:
     * none. */
    const void *native_leaf;
    uintptr_t native_fp;
    uint32_t native_offset;
    /* Where the exception now passing native frames was thrown, if in an inner activation
     * (entry not NULL). */
    struct sv_entry thrown;

    struct sv_threads *threads; /* of the guest, once it has started one (threads.h) */
    bool in_host;               /* holds threads->host */
    struct sv_store *store;
    struct sv_trap trap;        /* the first one; kept until the next call from outside */
    sv_ref exn;                 /* thrown and not caught: valid with SV_EEXCEPTION */
    int exit_code;              /* valid with SV_EEXIT */
    union sv_slot *stack;       /* base */
    size_t stack_size;          /* bytes reserved */
    struct sv_landing *landing; /* innermost landing pad */
    bool notes_begin;           /* of calls from outside, for the guest's meter */
    uint64_t gas_limit;         /* gas at the start of counting */
    /* Interruption (interrupt.c) */
    uint64_t deadline_ns;   /* monotonic, 0 = none */
    uint64_t cpu_left_ns;   /* CPU time left, UINT64_MAX = no limit */
    uint64_t cpu_start_ns;  /* thread CPU clock at the outermost entry, where it is limited or told
                               to the guest */
    uint64_t cpu_seen_ns;   /* the same clock, when it was last counted in threads->cpu_left_ns */
    uint64_t wall_start_ns; /* of the outermost entry, where it is told to the guest */
    _Atomic int os_tid;     /* kernel thread inside the outermost call, 0 = none */
    int owner_tid; /* kernel thread that made the store; the pool clears more carefully when others
                      ran it */
    int wake_fd;   /* eventfd that interrupts poll-like host calls, -1 until asked for */
    uintptr_t host_base; /* address in the outermost sv_func_call's C frame */
    uintptr_t host_low;  /* lowest address of the C stack that may be used; 0 = the OS thread's own
                              (embedders with fibers set it) */
};

struct sv_store {
    struct sv_engine *engine;
    struct sv_store_limits limits;
    bool metered;                  /* count and limit gas */
    struct sv_gc_heap *gc;         /* NULL until the first object */
    struct sv_thread thread;       /* the store's own thread of execution */
    struct sv_arena arena;         /* instances, functions, globals, tags */
    struct sv_instance *instances; /* list */
    uint32_t ninstances;
    struct sv_memory **memories; /* owned references */
    uint32_t nmemories, cap_memories;
    struct sv_table *tables; /* list */
    uint32_t ntables;
    /* The store of the guest's first thread, where memory and tables of all its threads count: by
     * the functions below. Itself in all others. */
    struct sv_store *first;
    uint64_t memory_used, table_used;
    /* Roots held by the embedder (ssvm_ref, wasm.h objects). */
    sv_ref *handles;
    uint32_t nhandles, cap_handles, free_handle;
    struct sv_global *globals;       /* list, for the collector */
    struct sv_func *host_funcs;      /* list, for host.release */
    struct sv_region *stack_region;  /* thread.stack */
    struct sv_region *native_region; /* native code's stack; NULL: made at the first entry */
    void *host_data;                 /* the embedder's */
    bool fine_clock;                 /* the guest has clocks of full resolution */
    bool foreign;      /* another OS thread than the maker's has run guest code here */
    void *host_states; /* host/registry.c: per-store states of host modules, with their close
                          functions */
    void (*host_states_release)(void *);
    uint64_t peak_memory; /* bytes, for --stats */
    /* Of threads that the guest started and that have ended. */
    uint64_t threads_host_calls, threads_cpu_ns;
};
int sv_store_new(struct sv_err *err, struct sv_engine *, const struct sv_store_limits *,
                 own struct sv_store **ret);
void sv_store_delete(own struct sv_store *);
/* Calls of host functions so far, for --stats. */
uint64_t sv_store_host_calls(const struct sv_store *);
/* The emptied ones that wait in the engine's pool; when the engine goes. */
void sv_store_delete_pooled(struct sv_engine *);

/* Handles: roots by number (> 0); 0 = out of memory. A deleted number is given out again. */
uint32_t sv_store_handle_new(struct sv_store *, sv_ref r);
sv_ref sv_store_handle_get(const struct sv_store *, uint32_t handle);
void sv_store_handle_delete(struct sv_store *, uint32_t handle);

/* Gas (design section 3). Counting starts with `limit` units; UINT64_MAX/INT64_MAX = count only.
 * Before the first instance. */
void sv_store_set_gas(struct sv_store *, uint64_t limit);
uint64_t sv_store_gas_used(const struct sv_store *);
uint64_t sv_store_gas_left(const struct sv_store *); /* UINT64_MAX = without a limit */
/* Charge for host calls and bulk operations; false = exhausted (caller returns SV_TRAP_GAS). No-op
 * when not metered. */
static inline bool sv_gas_charge(struct sv_thread *th, uint64_t units);

/* Memory and table elements against the limits; any thread of the guest. false: over the limit. */
static inline bool sv_count_take(uint64_t *used, uint64_t max, uint64_t n)
{
    uint64_t old = __atomic_load_n(used, __ATOMIC_RELAXED);

    do {
        if (old > max || n > max - old)
            return false;
    } while (!__atomic_compare_exchange_n(used, &old, old + n, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}
static inline uint64_t sv_store_memory_used(const struct sv_store *s)
{
    return __atomic_load_n(&s->first->memory_used, __ATOMIC_RELAXED);
}
static inline bool sv_store_take_memory(struct sv_store *s, uint64_t bytes)
{
    struct sv_store *first = s->first;
    uint64_t used, peak;

    if (!sv_count_take(&first->memory_used, first->limits.memory_bytes, bytes))
        return false;
    used = sv_store_memory_used(s);
    peak = __atomic_load_n(&first->peak_memory, __ATOMIC_RELAXED);
    while (used > peak && !__atomic_compare_exchange_n(&first->peak_memory, &peak, used, true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return true;
}
static inline void sv_store_give_memory(struct sv_store *s, uint64_t bytes)
{
    __atomic_fetch_sub(&s->first->memory_used, bytes, __ATOMIC_RELAXED);
}
static inline bool sv_store_take_table(struct sv_store *s, uint64_t elems)
{
    return sv_count_take(&s->first->table_used, s->first->limits.table_elems, elems);
}
static inline void sv_store_give_table(struct sv_store *s, uint64_t elems)
{
    __atomic_fetch_sub(&s->first->table_used, elems, __ATOMIC_RELAXED);
}
/* Memory now, and most at a time, with what its shared memories have grown by. */
uint64_t sv_store_memory_now(const struct sv_store *);
uint64_t sv_store_memory_peak(const struct sv_store *);

/* Interruption. A deadline in monotonic ns (0 = none); must be set while the guest is not running.
 */
void sv_store_set_deadline(struct sv_store *, uint64_t deadline_ns);
/* Any thread: stop the guest that runs (or the next one to run) with SV_TRAP_CANCELLED. */
void sv_store_cancel(struct sv_store *);
/* The same for another reason. The store must live on meanwhile. */
void sv_thread_interrupt(struct sv_thread *, enum sv_interrupt reason);
void sv_store_clear_interrupt(struct sv_store *);
/* CPU time that the guests of the store may still use, all calls together; UINT64_MAX = no limit.
 * While the guest is not running. */
void sv_store_set_cpu_limit(struct sv_store *, uint64_t cpu_ns);
/* What is left of it now, where it is limited; for the thread that runs. */
uint64_t sv_thread_cpu_left(struct sv_thread *);
/* From the next call from outside on (this one, if there is one) the clocks are noted at its
 * beginning. */
void sv_interrupt_note_begin(struct sv_thread *);
/* For host functions: false, with the trap set, when the guest has been interrupted. Cheap. */
static inline bool sv_thread_ok(struct sv_thread *th)
{
    return atomic_load_explicit(&th->interrupt, memory_order_relaxed) == 0;
}
/* Set th->trap by th->interrupt; returns SV_ETRAP. */
int sv_thread_interrupted(struct sv_thread *th);
/* SV_TRAP_* of the interruption that is due, 0 = none. For the bulk operations that return codes.
 */
int sv_thread_interrupt_code(const struct sv_thread *th);
/* An eventfd that becomes readable when the guest is interrupted: for poll-like host calls. -1 =
 * none to be had (the signal still ends a blocking system call with EINTR). Borrowed. */
int sv_thread_wake_fd(struct sv_thread *th);
/* ns until the deadline (INT64_MAX when none, 0 when over): the longest a host call may sleep in
 * one piece. */
int64_t sv_thread_time_left(const struct sv_thread *th);

/* Keep a load of its own: two fields stored one by one do not forward to one load of both. */
#define SV_ALONE(v) __asm__("" : "+r"(v))

/* Make `e` the innermost entry, and back: for tiers. Signal handlers read what th->entry points to.
 */
static inline void sv_entry_push(struct sv_thread *th, struct sv_entry *e,
                                 const struct sv_native *native)
{
    const void *ip = th->ip;
    struct sv_instance *inst = th->inst;

    SV_ALONE(ip);
    SV_ALONE(inst);
    e->ip = ip;
    e->fp = th->fp;
    e->inst = inst;
    e->outer = th->entry;
    e->native = native;
    __atomic_store_n(&th->entry, e, __ATOMIC_RELEASE);
    th->fp = NULL;
}
static inline void sv_entry_pop(struct sv_thread *th, const struct sv_entry *e)
{
    th->ip = e->ip;
    th->fp = e->fp;
    th->inst = e->inst;
    th->entry = e->outer;
}

static inline bool sv_gas_charge(struct sv_thread *th, uint64_t units)
{
    if (!th->store->metered)
        return true;
    if (units > INT64_MAX || (int64_t)units > th->gas)
        return false;
    th->gas -= (int64_t)units;
    return true;
}

#endif
