/* What the opaque types of ssvm.h and wasm.h are inside, and how the parts of api/ share them. Not
 * for any other layer. */
#ifndef SV_API_API_H
#define SV_API_API_H

#include <stdatomic.h>

#include "ssvm.h"

#include "base/err.h"
#include "host/image/image.h"
#include "host/meter/meter.h"
#include "host/nn/nn.h"
#include "host/process/process.h"
#include "host/socket/socket.h"
#include "host/state/state.h"
#include "host/threads/threads.h"
#include "host/wasi/wasi.h"
#include "runtime/instance.h"
#include "runtime/link.h"

/* Instances, functions, memories, globals and tables are the runtime's own objects under another
 * name: they live as long as their store. The casts are here and nowhere else. */
static inline struct sv_instance *sv_api_instance(ssvm_instance *p)
{
    return (struct sv_instance *)p;
}
static inline struct sv_func *sv_api_func(const ssvm_func *p)
{
    return (struct sv_func *)p;
}
static inline struct sv_memory *sv_api_memory(const ssvm_memory *p)
{
    return (struct sv_memory *)p;
}
static inline struct sv_global *sv_api_global(const ssvm_global *p)
{
    return (struct sv_global *)p;
}
static inline struct sv_table *sv_api_table(const ssvm_table *p)
{
    return (struct sv_table *)p;
}

struct sv_bindgen;
struct sv_profile;

struct ssvm_engine {
    struct sv_engine *engine; /* a reference */
};

struct ssvm_module {
    _Atomic uint32_t refs;
    struct sv_engine *engine; /* a reference: the module's types live there */
    struct sv_module *module; /* a reference */
    char *refusal;            /* why the native code in its bytes is not used; NULL */
};

struct ssvm_store {
    struct sv_store *store;  /* its host_data points back here */
    void *data;              /* the embedder's */
    ssvm_limits limits;      /* as given, defaults filled in */
    _Atomic(uintptr_t) user; /* the OS thread inside the store, 0 = none */
    uint32_t depth;          /* of API calls of that thread */
    atomic_bool cancelled;
    /* The exception that last left a nested call, so that a host function can pass it on. */
    uint32_t exn_handle;
    uint64_t exn_serial;
    struct sv_bindgen *bindgen; /* of typed calls; made on demand, deleted with the store */
    struct sv_profile *profile; /* being taken; NULL: none */
    SV_VEC(struct sv_instance *) initialized;     /* ssvm_instance_initialize was done */
    SV_VEC(struct sv_instance *) bindgen_started; /* `__wbindgen_start` was called */
};

/* What the host modules of a linker or template are granted. */
struct sv_api_grants {
    struct sv_nn *nn; /* a reference: of the modules of host/nn; NULL */
    struct sv_image_grant image;
    struct sv_state_grant state, storage;
    struct sv_threads_grant threads; /* max 0: none */
    struct sv_socket_grant sockets;
    struct sv_process *process; /* a reference; NULL */
};

/* A host module that is granted to a whole linker or template: opened anew in each store. */
struct sv_api_host {
    const struct sv_host_module *module;
    void *state; /* call->data of its functions in the linker's store */
};
#define SV_API_HOSTS_MAX 16

struct ssvm_linker {
    ssvm_store *store;
    struct sv_linker *linker;
    bool has_wasi, has_bindgen;
    void *wasi_state; /* call->data of the WASI functions that it defines */
    struct sv_api_grants grants;
    struct sv_api_host hosts[SV_API_HOSTS_MAX];
    uint32_t nhosts;
};

struct ssvm_functype {
    uint32_t nparams, nresults;
    sv_valtype types[]; /* params, then results */
};

/* One block: message and backtrace follow the struct. */
struct ssvm_error {
    ssvm_error_kind kind;
    bool is_static;
    int64_t offset;
    int trap_code;
    int exit_status;
    uint64_t exn_serial; /* EEXCEPTION: which one, see ssvm_store */
    const char *message;
    const char *backtrace;
};

/* What an embedder's function is told of its caller. */
struct ssvm_caller {
    struct sv_call call;
};

static inline ssvm_store *sv_api_store_of(const struct sv_store *s)
{
    return s->host_data;
}

/* ---- error.c: NULL never comes back from these ---- */

own ssvm_error *sv_api_error(ssvm_error_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), cold));
/* From an internal failure. */
own ssvm_error *sv_api_error_of(const struct sv_err *err) __attribute__((cold));
own ssvm_error *sv_api_nomem(void) __attribute__((cold));
/* From the result `r` of sv_func_call or sv_instance_new in this store (`err` may be NULL); NULL
 * when r is 0. Clears what the thread remembers of it, so that a host function which swallows the
 * error leaves nothing behind. */
own ssvm_error *sv_api_error_call(ssvm_store *, const struct sv_err *err, int r);

/* ---- nn.c ---- */

/* For a template, which lives longer than the linker; and the end of either. */
void sv_api_grants_copy(struct sv_api_grants *ret, const struct sv_api_grants *);
void sv_api_grants_release(struct sv_api_grants *);
/* What a module of ssvm_linker.hosts is opened with. */
const void *sv_api_host_grant(const struct sv_host_module *, const struct sv_api_grants *);
/* Define such a module, whose grant is in the linker's. */
own ssvm_error *sv_api_define_host(ssvm_linker *, const struct sv_host_module *);

/* ---- store.c ---- */

/* Every entry into a store: refuses a second thread (SSVM_EUSAGE), arms the deadline at the
 * outermost level. Pair with leave. */
own ssvm_error *sv_api_enter(ssvm_store *);
void sv_api_leave(ssvm_store *);
/* Call with slots; `name` of the function is not needed. Enters and leaves. */
own ssvm_error *sv_api_call(ssvm_store *, struct sv_func *, union sv_slot *args);

/* ---- linker.c ---- */

#define SV_API_PLAIN_MAX 16
/* An embedder's function in a store: call->data of sv_api_enter_host. */
struct sv_api_thunk {
    struct sv_host_direct direct; /* first; `fn` and its data */
    ssvm_host_fn fn;
    bool plain; /* numbers alone, and few: `kinds` are its parameters' and results' */
    uint8_t kinds[SV_API_PLAIN_MAX];
    void (*release)(void *data);
};
/* `name`: "module.name", copied. NULL: no memory. */
struct sv_func *sv_api_func_new(ssvm_store *, const struct sv_type *, const char *name,
                                ssvm_host_fn, void *data);
sv_host_fn sv_api_enter_host;
/* Gas of a call to an embedder's function. */
#define SV_API_HOST_CALL_COST 1

/* ---- value.c ---- */

ssvm_kind sv_api_kind(const struct sv_types *, sv_valtype);
sv_valtype sv_api_valtype(ssvm_kind); /* nullable references of the abstract tops */
bool sv_api_kind_ok(ssvm_kind);
/* May the reference stand where type `t` is wanted? Any hierarchy, whatever the embedder mixed up.
 * Function references must be of the store. */
bool sv_api_ref_fits(struct sv_store *, sv_valtype t, sv_ref r);
/* Value to slots of type `t`; false: wrong kind, or a reference that does not match. */
bool sv_api_to_slot(ssvm_store *, sv_valtype t, const ssvm_val *, union sv_slot *ret);
/* References that are objects get a handle; false: out of memory. */
bool sv_api_from_slot(ssvm_store *, sv_valtype t, const union sv_slot *, ssvm_val *ret);
own ssvm_functype *sv_api_functype_of(const struct sv_types *, const struct sv_type *);
/* The canonical function type; NULL: out of memory. */
const struct sv_type *sv_api_type(struct sv_engine *, const ssvm_functype *);

/* ---- wasi.c ---- */

/* A grant as the host layer wants it, made of borrowed parts; the arrays are the caller's to
 * release. */
struct sv_api_grant {
    struct sv_wasi_grant grant;
    struct sv_wasi_dir *dirs; /* owned */
};
own ssvm_error *sv_api_grant_init(struct sv_api_grant *, const ssvm_store *, const ssvm_wasi *);
void sv_api_grant_release(struct sv_api_grant *);

/* ---- perf_map.c ---- */

/* The function's name for tools: on one line, UTF-8, nothing that moves a terminal's cursor. */
void sv_api_print_func(struct sv_buf *, const struct sv_module *, uint32_t func);

/* ---- engine.c ---- */

/* Copy a caller's versioned struct over `ret` (size bytes, already holding the defaults for fields
 * that the caller's older struct lacks). False: shorter than `min` (the size of its first version),
 * or longer than we know with a tail that is not zero. */
bool sv_api_copy_sized(void *ret, size_t size, const void *from, size_t min);

#endif
