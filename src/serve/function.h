/* The functions of DIR/functions: which there are, in which version, and what their exports take.
 * Calls nothing. */
#ifndef SERVE_FUNCTION_H
#define SERVE_FUNCTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "serve/limit.h"
#include "ssvm.h"

#define SRV_FUNCTION_NAME_MAX 64
#define SRV_TENANT_DEFAULT "default"                /* whose functions are at /f/NAME */
#define SRV_FUNCTIONS_MAX 4096                      /* names */
#define SRV_FUNCTION_PLACES (2 * SRV_FUNCTIONS_MAX) /* of the table; a power of two */
#define SRV_FUNCTION_CHECK_MS 1000                  /* how often a file is looked at, at most */
#define SRV_FUNCTION_WRITING_MS                                                                    \
    2000 /* a broken file that changed so recently may still be being written */
#define SRV_EXPORTS_MAX 1024
#define SRV_PARAMS_MAX 16
#define SRV_SLOW_US 1000 /* calls that take longer on average go to the pool at once */

struct srv_grant;
struct srv_log;

enum srv_param { SRV_PARAM_STRING, SRV_PARAM_BYTES, SRV_PARAM_JSON, SRV_PARAM_OTHER };

/* One callable export. */
struct srv_export {
    own char *name;
    size_t name_len;
    bool known; /* the types of the parameters are known */
    uint8_t nparams;
    uint8_t params[SRV_PARAMS_MAX]; /* enum srv_param */
    _Atomic uint32_t mean_us;       /* of recent calls */
};

/* What tells one state of a file from another. */
struct srv_file_id {
    uint64_t device, inode, size;
    int64_t mtime_ns, ctime_ns;
};

/* One loaded file. Immutable but for the counters. */
struct srv_version {
    uint64_t snapshot_bytes;        /* what its module has grown to; 0: as the file */
    _Atomic uint64_t *snapshots_of; /* where they are counted */
    _Atomic uint32_t refs;
    struct srv_file_id id;
    own ssvm_module *module;
    own ssvm_template *template; /* with its imports resolved */
    own char *broken;            /* why it cannot be called, for the log; NULL = it can */
    bool writing;                /* perhaps because it is being written */
    bool starved;                /* because there was no memory: no fault of its own */
    bool command;                /* has `_start` */
    bool threads;                /* its calls may start some */
    bool infers;                 /* its calls may have a library work */
    uint32_t nexports, nhosts;
    own struct srv_export *exports; /* of a command: one, `_start` */
    /* The numbers of its host functions in this process's records (record.c), by those of
     * ssvm_store_each_host_calls; 0: not asked yet. */
    own _Atomic uint16_t *hosts;
};

/* A file of DIR/functions, or a function of the registry, of which `tenant`, `id` and `quota` are.
 */
struct srv_function {
    char name[SRV_FUNCTION_NAME_MAX + 1];
    char tenant[SRV_FUNCTION_NAME_MAX + 1];
    uint64_t id; /* 0: a file */
    struct srv_quota quota;
    _Atomic uint32_t refs; /* of the registry's */
    struct srv_function *next;
    pthread_mutex_t lock;            /* of `current` and `checked_ns` */
    own struct srv_version *current; /* NULL: not loaded yet, or the file is gone */
    uint64_t checked_ns;
    pthread_mutex_t loading; /* held while the file is read */
};

struct srv_functions {
    int root;           /* DIR */
    uint64_t max;       /* bytes of a file */
    ssvm_limits limits; /* of an initialisation */
    ssvm_engine *engine;
    struct srv_log *log;
    const struct srv_grant *grant;
    const struct sv_buf *costs;      /* their table of costs; NULL or empty: none */
    pthread_mutex_t lock;            /* of adding */
    pthread_mutex_t initialising;    /* one function at a time: each may take a call's memory */
    _Atomic uint64_t snapshot_bytes; /* of all versions */
    uint32_t count;
    _Atomic(struct srv_function *)
        places[SRV_FUNCTION_PLACES]; /* hash table, open addressing; nothing is ever taken out */
};

enum srv_find {
    SRV_FIND_OK,
    SRV_FIND_NONE,
    SRV_FIND_AWAY, /* of the registry: another process runs it */
    SRV_FIND_SITE, /* of the registry: static files instead */
    SRV_FIND_LOAD  /* the file must be loaded first: srv_function_load, which may take time */
};

/* `limits`: of what initialises a function for all its instances. `grant` is borrowed. False: out
 * of memory. A folder that is missing is no error. */
bool srv_functions_init(struct srv_functions *, ssvm_engine *, int root, uint64_t max_module,
                        const ssvm_limits *limits, const struct srv_grant *grant, struct srv_log *);
void srv_functions_release(struct srv_functions *);
/* Load every file there is now. Returns how many there are; *ret_broken of them are broken. Logs
 * those. */
uint32_t srv_functions_load_all(struct srv_functions *, uint32_t *ret_broken);
/* Look a function up, and at its file if that was not done lately. OK: *ret_version is a reference
 * for the caller. LOAD: *ret_version is an older version to go on with, or NULL. */
enum srv_find srv_functions_find(struct srv_functions *, const char *name, size_t len,
                                 uint64_t now_ns, struct srv_function **ret,
                                 own struct srv_version **ret_version);
/* Load the file if it changed. A reference to the version to use, or NULL when there is none (any
 * more). */
own struct srv_version *srv_function_load(struct srv_functions *, struct srv_function *);
own struct srv_version *srv_version_ref(struct srv_version *);
void srv_version_unref(own struct srv_version *);
/* It cannot be called: "WHAT" or "WHAT: WHY". */
void srv_version_set_broken(struct srv_version *, const char *what, const char *why);
void srv_version_set_starved(struct srv_version *);
/* By what the library says of its module. */
void srv_version_set_refused(struct srv_version *, const ssvm_error *);
/* With its module loaded: resolve its imports against WASI and these parts (enum srv_grant_part) of
 * what the server grants, and list its exports. It may be broken then. */
void srv_version_link(struct srv_version *, ssvm_engine *, const struct srv_grant *,
                      unsigned parts);
/* NULL when there is no such export. */
struct srv_export *srv_version_export(const struct srv_version *, const char *name, size_t len);
/* The n-th function of the table or NULL, for lists. */
struct srv_function *srv_functions_at(const struct srv_functions *, uint32_t place);

#endif
