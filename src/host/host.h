/* Host modules: one folder, one list, one descriptor (style section 8). */
#ifndef SV_HOST_HOST_H
#define SV_HOST_HOST_H

#include "runtime/instance.h"
#include "runtime/link.h"

/* One function: name without the module's prefix, signature "params:results" with letters i I f F
 * (i32 i64 f32 f64), gas. */
struct sv_host_func {
    const char *name;
    sv_host_fn *fn;
    const char *sig;
    uint32_t cost;
    const char *doc;
    uint32_t names; /* bits of the module's names[] that have it; 0 = all */
};
struct sv_host_name {
    const char *module, *prefix; /* import module, prefix of the function names */
};
#define SV_HOST_NAMES_MAX 4
struct sv_host_module {
    const char *id;                               /* "wasi": the grant's name */
    const char *grant;                            /* how to switch it on: "--dir GUEST:HOST[:ro]" */
    struct sv_host_name names[SV_HOST_NAMES_MAX]; /* every name that guests know it by */
    const struct sv_host_func *funcs; /* ordered by name; one name may come several times, with
                                         other `names` or another `sig` */
    unsigned nfuncs;
    /* Per-store state from what was granted; becomes call->data of the functions. */
    int (*open)(struct sv_err *err, struct sv_store *, const void *grant, void **ret_state);
    void (*close)(void *state);
    /* What of the state a snapshot of the guest cannot hold ("an open file"); NULL: nothing. May be
     * NULL. */
    const char *(*holds)(const void *state);
    /* More than one thread of the guest is going to call, one at a time; while one waits
     * (sv_threads_let) others do. NULL: nothing to prepare. */
    int (*share)(struct sv_err *err, void *state);
    bool on_wasi; /* works on the descriptors of WASI, which is opened before it */
    /* Was this function granted to the state? NULL: all are. */
    bool (*has)(const void *state, const struct sv_host_func *);
    bool always; /* needs no grant: every linker has it, a store opens it when a function is asked
                    for */
};

/* All modules (host/modules.def). */
extern const struct sv_host_module *const sv_host_modules[];
extern const unsigned sv_host_nmodules;

/* Open the module for the linker's store and define its functions lazily: a function instance is
 * made only for names that a module imports. A module that is `always` there is opened with the
 * first of them, and *ret_state, which must live as long as the linker, set then. */
int sv_host_link(struct sv_err *err, struct sv_linker *, struct sv_store *,
                 const struct sv_host_module *, const void *grant, void **ret_state);
/* Only open it for the store, which closes it; for who makes the functions himself
 * (api/template.c). */
int sv_host_open(struct sv_err *err, struct sv_store *, const struct sv_host_module *,
                 const void *grant, void **ret_state);
/* Tell the states of all of the store's host modules that the guest starts threads. */
int sv_host_share(struct sv_err *err, const struct sv_store *);
/* The state of this module in the store; NULL: it is not open there. */
void *sv_host_state(const struct sv_store *, const struct sv_host_module *);
/* What the states of the store's host modules hold that a snapshot cannot; NULL: nothing. */
const char *sv_host_holds(const struct sv_store *);
/* The explain function for sv_linker_set_explain: who provides an import, and the exact flag. */
void sv_host_explain(void *arg, struct sv_str module, struct sv_str name, struct sv_buf *ret);
/* The module's function of that name; NULL. */
const struct sv_host_func *sv_host_module_find(const struct sv_host_module *, struct sv_str module,
                                               struct sv_str name);
/* The module and function that provide an import name, for `ssvm inspect`; NULL when nobody does.
 */
const struct sv_host_func *sv_host_find(struct sv_str module, struct sv_str name,
                                        const struct sv_host_module **ret_module);

/* Guest memory, the one checked accessor: *ret points to [ptr, ptr+len) of the caller's memory 0.
 * False when out of bounds or no memory (nothing is trapped: the caller chooses an errno or
 * sv_call_trap). Dies at the next call into the guest. */
static inline bool sv_call_slice(struct sv_call *c, uint64_t ptr, uint64_t len, void *ret)
{
    struct sv_memory *m = c->inst ? c->inst->memory0 : NULL;
    if (!m || !sv_memory_in_bounds(m, ptr, len))
        return false;
    *(void **)ret = m->base + ptr;
    return true;
}
/* What a host function holds for a guest counts as memory of its store; false: over the limit. */
static inline bool sv_host_take_memory(struct sv_store *s, uint64_t bytes)
{
    return sv_store_take_memory(s, bytes);
}
static inline void sv_host_give_memory(struct sv_store *s, uint64_t bytes)
{
    sv_store_give_memory(s, bytes);
}
/* Trap the guest from a host function: return its result. */
#define sv_call_trap(c, ...) sv_trap_set((c)->th, SV_TRAP_HOST, __VA_ARGS__)
/* End the guest: return its result. */
static inline int sv_call_exit(struct sv_call *c, int code)
{
    c->th->exit_code = code;
    return SV_EEXIT;
}

#endif
