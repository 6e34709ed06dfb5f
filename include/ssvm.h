/* ssvm.h: the C API of ssvm, a WebAssembly VM for the server.
 *
 * Shape: one engine, shared modules, one store per request. An engine and a module may be used from
 * any number of threads at once. A store, and everything made in it, belongs to one thread at a
 * time; the exception is ssvm_store_cancel.
 *
 * Ownership is in the signature: `own` marks a pointer that changes hands, everything else is
 * borrowed for the call. Three different things can end a call: an ssvm_error whose kind says so is
 * either an error (the host could not), a trap (the guest did wrong) or an exit (the guest said n).
 * NULL is success. Outputs (`ret*`) are written on success only.
 *
 * Strings are UTF-8. Sizes are bytes, times milliseconds, unless the name says otherwise. Structs
 * that begin with `size_t size` are filled by their _INIT macro and may grow. */
#ifndef SSVM_H
#define SSVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef own
#define own
#endif

#if defined(SSVM_STATIC) || !defined(__GNUC__)
#define SSVM_API
#else
#define SSVM_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SSVM_VERSION_MAJOR 0
#define SSVM_VERSION_MINOR 1
#define SSVM_VERSION_PATCH 0
#define SSVM_VERSION "0.1.0"

/* "0.1.0" of the library in use. Static. Any thread. Since 0.1. */
SSVM_API const char *ssvm_version(void);

typedef struct ssvm_engine ssvm_engine;
typedef struct ssvm_module ssvm_module;
typedef struct ssvm_store ssvm_store;
typedef struct ssvm_linker ssvm_linker;
typedef struct ssvm_instance ssvm_instance;
typedef struct ssvm_func ssvm_func;
typedef struct ssvm_memory ssvm_memory;
typedef struct ssvm_global ssvm_global;
typedef struct ssvm_table ssvm_table;
typedef struct ssvm_functype ssvm_functype;
typedef struct ssvm_error ssvm_error;
typedef struct ssvm_caller ssvm_caller;

/* ---- Errors
 * ------------------------------------------------------------------------------------------------
 */

typedef enum ssvm_error_kind {
    SSVM_EMALFORMED = 1, /* not a module; the offset says where */
    SSVM_EINVALID = 2,   /* a module that breaks the validation rules */
    SSVM_EUNSUPPORTED = 3,
    SSVM_ELIMIT = 4,
    SSVM_ENOMEM = 5,
    SSVM_ELINK = 6,      /* an import is missing or of another type */
    SSVM_ETRAP = 7,      /* ssvm_error_trap_code */
    SSVM_EEXIT = 8,      /* ssvm_error_exit_status */
    SSVM_EEXCEPTION = 9, /* a WebAssembly exception that nobody caught */
    SSVM_EIO = 10,
    SSVM_EUSAGE = 11, /* the caller's mistake: wrong kind, wrong store, wrong number of arguments */
    SSVM_ENOTFOUND = 12,
    SSVM_ETYPE = 13,
    SSVM_EINTERNAL = 14,
    SSVM_EGUEST = 15 /* the guest's function returned an error of its own (a Rust Err): the message
                        is its text */
} ssvm_error_kind;

/* Numbers of traps; the list with texts is src/runtime/trap.def. */
typedef enum ssvm_trap_code {
    SSVM_TRAP_UNREACHABLE = 1,
    SSVM_TRAP_MEMORY_BOUNDS = 2,
    SSVM_TRAP_TABLE_BOUNDS = 3,
    SSVM_TRAP_ARRAY_BOUNDS = 4,
    SSVM_TRAP_UNDEFINED_ELEMENT = 5,
    SSVM_TRAP_UNINITIALIZED_ELEMENT = 6,
    SSVM_TRAP_INDIRECT_TYPE = 7,
    SSVM_TRAP_DIVIDE_BY_ZERO = 8,
    SSVM_TRAP_INTEGER_OVERFLOW = 9,
    SSVM_TRAP_INVALID_CONVERSION = 10,
    SSVM_TRAP_STACK = 11,
    SSVM_TRAP_NULL_REFERENCE = 12,
    SSVM_TRAP_NULL_FUNCTION = 13,
    SSVM_TRAP_NULL_STRUCTURE = 14,
    SSVM_TRAP_NULL_ARRAY = 15,
    SSVM_TRAP_NULL_I31 = 16,
    SSVM_TRAP_NULL_EXCEPTION = 17,
    SSVM_TRAP_CAST = 18,
    SSVM_TRAP_UNALIGNED_ATOMIC = 19,
    SSVM_TRAP_NOT_SHARED = 20,
    SSVM_TRAP_ALLOCATION_SIZE = 21,
    SSVM_TRAP_GC_HEAP = 22,
    SSVM_TRAP_GAS = 23,
    SSVM_TRAP_DEADLINE = 24,
    SSVM_TRAP_CANCELLED = 25,
    SSVM_TRAP_HOST = 26,
    SSVM_TRAP_EXCEPTION = 27,
    SSVM_TRAP_CPU_LIMIT = 28,
    SSVM_TRAP_TOO_MANY_WAITERS = 29
} ssvm_trap_code;

/* NULL is allowed in delete. The others take a live error. Any thread (errors are immutable). Since
 * 0.1. */
SSVM_API void ssvm_error_delete(own ssvm_error *);
SSVM_API ssvm_error_kind ssvm_error_kind_of(const ssvm_error *);
/* One line, no full stop; for traps the trap's text. Lives as long as the error. */
SSVM_API const char *ssvm_error_message(const ssvm_error *);
/* Byte offset in the module, or -1. */
SSVM_API int64_t ssvm_error_offset(const ssvm_error *);
/* 0 when it is not a trap. */
SSVM_API int ssvm_error_trap_code(const ssvm_error *);
/* The guest's exit status; -1 when it is not an exit. */
SSVM_API int ssvm_error_exit_status(const ssvm_error *);
/* The backtrace of a trap or exception, one frame a line, innermost first, or "". The same in every
 * tier. */
SSVM_API const char *ssvm_error_backtrace(const ssvm_error *);
/* An error to return from a host function: it becomes the trap `host function failed` with this
 * text. Copies. */
SSVM_API own ssvm_error *ssvm_error_new(const char *message);
/* An exit to return from a host function. */
SSVM_API own ssvm_error *ssvm_error_new_exit(int status);

/* ---- Values
 * ------------------------------------------------------------------------------------------------
 */

typedef enum ssvm_kind {
    SSVM_I32 = 0,
    SSVM_I64 = 1,
    SSVM_F32 = 2,
    SSVM_F64 = 3,
    SSVM_V128 = 4,
    SSVM_FUNCREF = 5,   /* of.func, NULL = null */
    SSVM_EXTERNREF = 6, /* of.ref */
    SSVM_ANYREF = 7,    /* of.ref: GC objects, i31, internalised host values */
    SSVM_EXNREF = 8     /* of.ref */
} ssvm_kind;

/* A reference in a store. 0 is null. Others are handles that keep the object alive until
 * ssvm_ref_delete or the store's end. */
typedef uint64_t ssvm_ref;

typedef struct ssvm_val {
    ssvm_kind kind;
    union {
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
        uint8_t v128[16];
        ssvm_func *func;
        ssvm_ref ref;
    } of;
} ssvm_val;

/* A host value as an externref; `payload` (below 2^62) comes back by ssvm_ref_payload. Needs no
 * delete. */
SSVM_API ssvm_ref ssvm_ref_new_host(ssvm_store *, uint64_t payload);
SSVM_API bool ssvm_ref_payload(ssvm_store *, ssvm_ref, uint64_t *ret);
/* Another handle of the same object, e.g. to keep an argument of a host function (those end with
 * the call). 0: out of memory. */
SSVM_API ssvm_ref ssvm_ref_copy(ssvm_store *, ssvm_ref);
SSVM_API void ssvm_ref_delete(ssvm_store *, ssvm_ref);

/* Params then results; ssvm_functype_new copies. */
SSVM_API own ssvm_functype *ssvm_functype_new(const ssvm_kind *params, size_t nparams,
                                              const ssvm_kind *results, size_t nresults);
SSVM_API void ssvm_functype_delete(own ssvm_functype *);
SSVM_API size_t ssvm_functype_nparams(const ssvm_functype *);
SSVM_API size_t ssvm_functype_nresults(const ssvm_functype *);
SSVM_API ssvm_kind ssvm_functype_param(const ssvm_functype *, size_t);
SSVM_API ssvm_kind ssvm_functype_result(const ssvm_functype *, size_t);

/* ---- Engine
 * ------------------------------------------------------------------------------------------------
 */

typedef struct ssvm_config {
    size_t size;
    /* "auto" (default): interpreted at once, native as soon as there is an image; "interp"; "aot":
     * compiled before it runs. */
    const char *tier;
    bool deterministic;  /* canonical NaNs */
    bool no_guard;       /* explicit bounds checks instead of large reservations */
    bool gc_stress;      /* collect at every allocation (tests) */
    bool no_optimise;    /* plain lowering (tests) */
    const char *disable; /* features to refuse, comma-separated names of `ssvm inspect`, or NULL */
    /* Since 0.1. Native code. The folder where images are kept between starts (made if it is not
     * there; it must be this user's alone, else it is not used), and its largest size (0: 1 GiB).
     * NULL: images live as long as their module. */
    const char *cache_dir;
    uint64_t cache_bytes;
    /* libssvm-aot.so; NULL: looked for beside this library and the program. Without it, all is
     * interpreted that the cache does not hold. */
    const char *compiler_library;
    /* A program `ssvm` that compiles in a process of its own, with limits of time and memory; where
     * it fills the cache it may outlive this process. NULL: compiled in threads of this process,
     * which LLVM ends when it gets no memory. */
    const char *compiler_program;
    /* Tell perf(1) where native code is: the functions' addresses are written to
     * /tmp/perf-PID.map, a new file for this user alone. One engine of a process. Since 0.1. */
    bool perf_map;
    /* Run the native code in module files whoever made it, as if it had been compiled here: only
     * damage is looked for. Such code can do all that this process can. Since 0.1. */
    bool trust_native;
    /* Code that debuggers can follow: compiled before it runs (unless `tier` is "interp") and
     * without optimisation, with the files and lines of the guest's debug information. Debuggers
     * hear of it by GDB's JIT interface; images stay until the engine's end. Since 0.1. */
    bool debug;
    /* Instead of starting compiler_program: have somebody start it, for processes that may start
     * none. `form`: of ssvm_form. What it is to run with is `compile --fill-cache CACHE --form FORM
     * --loop FUNC:LOOP -`, CACHE being cache_dir, or "none" unless `cached`, and with these
     * standard streams. Gives what waitpid gives of it, or -1: it could not be started. Any thread,
     * may take its time. Since 0.1. */
    int (*compiler_run)(void *data, unsigned form, uint32_t func, uint32_t loop, bool cached,
                        const int fds[3]);
    void *compiler_data;
    /* Believe what the section `ssvm.costs` of modules says of the gas of instructions and of the
     * calls of imports: only for modules that got theirs from ssvm_costs_append, or have none
     * (ssvm_module_has_costs tells). Else such a section means nothing. Since 0.1. */
    bool module_costs;
    /* In ssvm_module_fill_cache, while another process compiles the same: end with this one, our
     * parent, by SIGTERM. 0: wait in any case. Since 0.1. */
    uint32_t parent;
} ssvm_config;
#define SSVM_CONFIG_INIT {.size = sizeof(ssvm_config)}

/* config may be NULL. Installs the process-wide fault handler on first use. Any thread. Since 0.1.
 */
SSVM_API own ssvm_error *ssvm_engine_new(const ssvm_config *config, own ssvm_engine **ret);
SSVM_API void
ssvm_engine_delete(own ssvm_engine *); /* modules and stores keep what they need of it */
/* Give back to the system what deleted stores left for the next ones: their memories and stacks, up
 * to 64 of each, of which up to 32 MiB of memories and 256 KiB of each stack are resident. What a
 * host does that has nothing to do for a while, or has run out of memory or address space before it
 * tries again; the next stores take some microseconds longer, and longer where their guests fill
 * much memory. Any thread, at any time. Since 0.1. */
SSVM_API void ssvm_engine_trim(ssvm_engine *);

/* ---- Modules
 * -----------------------------------------------------------------------------------------------
 */

/* Decode and validate `len` bytes (copied). Any thread. Since 0.1. */
SSVM_API own ssvm_error *ssvm_module_new(ssvm_engine *, const void *bytes, size_t len,
                                         own ssvm_module **ret);
/* The same from a file, mapped, not copied. The file must not be written in place while the module
 * lives. */
SSVM_API own ssvm_error *ssvm_module_open(ssvm_engine *, const char *path, own ssvm_module **ret);
SSVM_API void ssvm_module_delete(own ssvm_module *);

#define SSVM_COSTS_MAX (1 << 20) /* bytes of a table of costs */
/* The module of `len` bytes with a table of costs as its last section: lines "INSTRUCTION COST" and
 * "import MODULE.NAME COST" (doc/format/costs.md). Nothing is looked at here: ssvm_module_new of an
 * engine with config.module_costs refuses a wrong table, with its line. *ret is the caller's, for
 * ssvm_string_delete. Any thread. Since 0.1. */
SSVM_API own ssvm_error *ssvm_costs_append(const void *bytes, size_t len, const char *table,
                                           size_t table_len, own char **ret, size_t *ret_len);
/* Has the module a table of costs that is believed? Any thread. Since 0.1. */
SSVM_API bool ssvm_module_has_costs(const ssvm_module *);

/* ---- Native code
 * ------------------------------------------------------------------------------------------------
 */

typedef struct ssvm_compile_options {
    size_t size;
    const char *target; /* "x86-64", "aarch64"; NULL: this machine's */
    const char *cpu;    /* "native" (default), "generic", "x86-64-v2", "x86-64-v3", "x86-64-v4" */
    unsigned optimise;  /* 0 to 3 */
    unsigned jobs;      /* threads or processes; 0: one for each CPU */
    bool checked;       /* explicit bounds checks, for small address spaces */
    bool metered;       /* counts gas: for stores with a gas limit or statistics */
    /* Called now and then, from any thread but one at a time; false: stop. May be NULL. */
    bool (*progress)(void *data, uint32_t done, uint32_t total);
    void *progress_data;
    bool debug; /* for engines with config.debug; take `optimise` 0 for stepping. Since 0.1 */
    /* In processes rather than threads, with limits of time and memory: functions that exhaust one
     * stay interpreted. Without it a module that is made for the purpose can end the whole program,
     * because LLVM aborts when it gets no memory. Forks: only where there is one thread. */
    bool processes;
} ssvm_compile_options;
#define SSVM_COMPILE_OPTIONS_INIT {.size = sizeof(ssvm_compile_options), .optimise = 3}

/* What became of a module's functions: some may be too large to compile; they stay interpreted. */
typedef struct ssvm_compile_report {
    size_t size;
    uint32_t functions, interpreted;
} ssvm_compile_report;

/* Compile to a module file with its native code in it (custom section `ssvm.native`): it still runs
 * anywhere, and natively where this installation's key is (config.cache_dir) and the CPU fits. *ret
 * is the caller's, for ssvm_string_delete. options and report may be NULL. Needs libssvm-aot.so:
 * SSVM_ENOTFOUND. Any thread. Since 0.1. */
SSVM_API own ssvm_error *ssvm_module_compile(ssvm_module *, const ssvm_compile_options *options,
                                             own char **ret, size_t *ret_len,
                                             ssvm_compile_report *report);
/* What native code is compiled for; added. Since 0.1. */
typedef enum ssvm_form {
    SSVM_FORM_CHECKED = 1,
    SSVM_FORM_METERED = 2,
    SSVM_FORM_DETERMINISTIC = 4,
    SSVM_FORM_COSTS = 8 /* config.compiler_run's alone: the engine has config.module_costs */
} ssvm_form;
/* Compile into the engine's cache, unless it is there; another process that is at it is waited for.
 * In processes, as above. `form`: of ssvm_form, but SSVM_FORM_COSTS. `loop` not 0: only the loop at
 * this offset in the module, of function `func`, to be entered while it runs. *ret: NULL where the
 * cache has it now; else (no cache, or none that takes it) the image, the caller's, for
 * ssvm_string_delete: what config.compiler_program writes to its standard output. Any thread. Since
 * 0.1. */
SSVM_API own ssvm_error *ssvm_module_fill_cache(ssvm_module *, unsigned form, uint32_t func,
                                                uint32_t loop, own char **ret, size_t *ret_len);
/* Does the module have native code now, in this form (as above)? Any thread. Since 0.1. */
SSVM_API bool ssvm_module_is_native(const ssvm_module *, unsigned form);
/* Why the native code in the module's own bytes is not used (another build's, another CPU's, made
 * elsewhere, damaged): a sentence without its end, the module's. NULL: it is, or there is none. Any
 * thread. Since 0.1. */
SSVM_API const char *ssvm_module_refusal(const ssvm_module *);

typedef enum ssvm_tier_state {
    SSVM_TIER_INTERPRETED = 0, /* and nothing is under way, or it failed */
    SSVM_TIER_COMPILING = 1,   /* interpreted for now */
    SSVM_TIER_NATIVE = 2,      /* from the beginning */
    SSVM_TIER_SWITCHED = 3     /* to native code, while it ran */
} ssvm_tier_state;
typedef struct ssvm_tier_stats {
    size_t size;
    ssvm_tier_state state;
    uint64_t ready_ns;    /* SWITCHED: from the instance's start */
    uint64_t compile_ns;  /* of that, for compiling */
    uint32_t loops;       /* compiled for functions that ran */
    uint32_t functions;   /* of the module, imports not counted */
    uint32_t interpreted; /* of those, too large to compile */
} ssvm_tier_stats;
#define SSVM_TIER_STATS_INIT {.size = sizeof(ssvm_tier_stats)}
/* How the functions of the instance run. Since 0.1. */
SSVM_API void ssvm_instance_tier(const ssvm_instance *, ssvm_tier_stats *ret);

typedef enum ssvm_extern_kind {
    SSVM_EXTERN_FUNC = 0,
    SSVM_EXTERN_TABLE = 1,
    SSVM_EXTERN_MEMORY = 2,
    SSVM_EXTERN_GLOBAL = 3,
    SSVM_EXTERN_TAG = 4
} ssvm_extern_kind;

SSVM_API size_t ssvm_module_nexports(const ssvm_module *);
/* Name (not NUL-terminated in general; borrowed from the module), kind, and for functions the type
 * (NULL ret_type = not wanted). */
SSVM_API const char *ssvm_module_export(const ssvm_module *, size_t i, size_t *ret_len,
                                        ssvm_extern_kind *ret_kind, own ssvm_functype **ret_type);
SSVM_API size_t ssvm_module_nimports(const ssvm_module *);
SSVM_API void ssvm_module_import(const ssvm_module *, size_t i, const char **ret_module,
                                 size_t *ret_module_len, const char **ret_name,
                                 size_t *ret_name_len, ssvm_extern_kind *ret_kind);
/* A description for people (json = false) or programs: sections, imports with who provides them,
 * exports with bindgen types, features used. The string is the caller's, to give to
 * ssvm_string_delete. */
SSVM_API own ssvm_error *ssvm_module_inspect(const ssvm_module *, bool json, own char **ret);
/* All host functions that this library can provide (`ssvm inspect --host`). */
SSVM_API own ssvm_error *ssvm_host_inspect(bool json, own char **ret);
SSVM_API void ssvm_string_delete(own char *);

/* ---- Limits and stores
 * ------------------------------------------------------------------------------------- */

/* One struct for CLI, API, containers and server. A field of 0 means the default of
 * ssvm_limits_default. */
typedef struct ssvm_limits {
    size_t size;
    uint64_t memory_bytes;  /* all linear memories together; default 4 GiB */
    uint64_t table_elems;   /* default 10,000,000 */
    uint64_t stack_bytes;   /* wasm stack; default 8 MiB */
    uint64_t gc_heap_bytes; /* default 1 GiB */
    uint64_t gas;           /* default: not counted; SSVM_GAS_COUNT counts without a limit */
    uint64_t wall_ms;       /* deadline of each call from outside; default none */
    uint64_t cpu_ms;        /* CPU time of each call from outside; default none */
    uint64_t output_bytes;  /* what the guest may write to stdout and stderr; default none */
    uint32_t open_files;    /* default 1024 */
    uint32_t instances;     /* default 10,000 */
} ssvm_limits;
#define SSVM_LIMITS_INIT {.size = sizeof(ssvm_limits)}
/* The defaults, for showing them; 0 where there is none. Since 0.1. */
SSVM_API void ssvm_limits_default(ssvm_limits *ret);
#define SSVM_GAS_COUNT UINT64_MAX

/* limits may be NULL. Since 0.1. */
SSVM_API own ssvm_error *ssvm_store_new(ssvm_engine *, const ssvm_limits *limits,
                                        own ssvm_store **ret);
SSVM_API void ssvm_store_delete(own ssvm_store *); /* and every instance, function, memory in it */
SSVM_API void *ssvm_store_data(const ssvm_store *);
SSVM_API void ssvm_store_set_data(ssvm_store *, void *);
/* Stop what runs in the store, within 10 ms, with the trap `cancelled`; a later call is stopped too
 * until ssvm_store_resume. Any thread, as long as the store lives. */
SSVM_API void ssvm_store_cancel(ssvm_store *);
SSVM_API void ssvm_store_resume(ssvm_store *);

typedef struct ssvm_stats {
    size_t size;
    uint64_t gas_used;          /* 0 when not counted */
    uint64_t memory_peak_bytes; /* linear memories */
    uint64_t gc_heap_bytes;
    uint64_t host_calls;
    /* CPU time of threads that the guest started and that have ended, and of inference libraries
     * that ran beside it. */
    uint64_t threads_cpu_ns;
} ssvm_stats;
#define SSVM_STATS_INIT {.size = sizeof(ssvm_stats)}
SSVM_API void ssvm_store_stats(const ssvm_store *, ssvm_stats *ret);
/* One host function of the store, with the calls that guests made of it (those of threads that they
 * started are in ssvm_stats.host_calls alone). */
typedef struct ssvm_host_calls {
    size_t size;
    const char *name; /* "module.name", as the guest imports it; lives as long as the store */
    uint64_t calls;
    uint64_t gas; /* what the calls cost, without what a function charges by size; 0: not counted */
} ssvm_host_calls;
#define SSVM_HOST_CALLS_INIT {.size = sizeof(ssvm_host_calls)}
/* Number i of them, those never called included, in no certain order; false: there is none. The
 * store's thread. Since 0.1. */
SSVM_API bool ssvm_store_host_calls(const ssvm_store *, size_t i, ssvm_host_calls *ret);
/* All of them that were called, in the order of their numbers: `each` gets data, the number, and
 * what ssvm_store_host_calls tells of it, borrowed for the call. The functions of a template have
 * the same numbers in every store of their own. The store's thread. Since 0.1. */
SSVM_API void
ssvm_store_each_host_calls(const ssvm_store *,
                           void (*each)(void *data, size_t i, const ssvm_host_calls *), void *data);

/* ---- Profiles ---- */

typedef enum ssvm_profile_format {
    SSVM_PROFILE_SVG = 0,
    SSVM_PROFILE_FOLDED = 1
} ssvm_profile_format;

/* Sample which guest functions of the store run on the calling thread, each millisecond of its CPU
 * time, by SIGPROF. One profile a thread. The store's thread. Since 0.1. */
SSVM_API own ssvm_error *ssvm_store_profile_start(ssvm_store *);
/* On the same thread: the samples as a flame graph, or as lines "caller;callee SAMPLES". *ret is
 * for ssvm_string_delete. On failure after which there is no profile any more (no memory), *ret is
 * untouched. Since 0.1. */
SSVM_API own ssvm_error *ssvm_store_profile_end(ssvm_store *, ssvm_profile_format, own char **ret,
                                                size_t *ret_len);

/* ---- Host functions and linking
 * ---------------------------------------------------------------------------- */

/* Called with nargs values of the declared types; writes nresults values. NULL = success; an error
 * traps the guest. */
typedef own ssvm_error *(*ssvm_host_fn)(void *data, ssvm_caller *, const ssvm_val *args,
                                        ssvm_val *ret);
SSVM_API ssvm_store *ssvm_caller_store(ssvm_caller *);
SSVM_API ssvm_instance *ssvm_caller_instance(ssvm_caller *); /* NULL when the host called */
/* Checked access to the caller's memory 0: NULL when [ptr, ptr + len) is not inside. Dies at the
 * next call into the guest. */
SSVM_API void *ssvm_caller_slice(ssvm_caller *, uint64_t ptr, uint64_t len);
/* Charge gas for what the host does. False: there is not so much left, and nothing was charged; the
 * function should end the guest. True, and nothing, in stores that do not count. Since 0.1. */
SSVM_API bool ssvm_caller_use_gas(ssvm_caller *, uint64_t gas);

SSVM_API own ssvm_error *ssvm_linker_new(ssvm_store *, own ssvm_linker **ret);
SSVM_API void ssvm_linker_delete(own ssvm_linker *); /* what it defined lives on in the store */
/* `release(data)` (may be NULL) runs when the store is deleted. The type is copied. */
SSVM_API own ssvm_error *ssvm_linker_define_func(ssvm_linker *, const char *module,
                                                 const char *name, const ssvm_functype *,
                                                 ssvm_host_fn, void *data, void (*release)(void *));
SSVM_API own ssvm_error *ssvm_linker_define_instance(ssvm_linker *, const char *module,
                                                     ssvm_instance *);

/* WASI preview1. Nothing is granted that is not said here. All pointers are borrowed for the
 * store's life. */
typedef enum ssvm_stream_kind {
    SSVM_STREAM_NULL = 0,
    SSVM_STREAM_INHERIT = 1,
    SSVM_STREAM_FD = 2,
    SSVM_STREAM_BYTES = 3,   /* stdin */
    SSVM_STREAM_CALLBACK = 4 /* `read` for stdin, `write` for stdout and stderr */
} ssvm_stream_kind;
typedef struct ssvm_stream {
    ssvm_stream_kind kind;
    int fd;
    const void *bytes;
    size_t len;
    /* Bytes taken, or -1. With `len` 0 the guest asks (fd_sync) that what it wrote be passed on. */
    long (*write)(void *data, const void *bytes, size_t len);
    void *data;
    long (*read)(void *data, void *bytes, size_t len); /* bytes, 0 at the end, or -1; may wait */
} ssvm_stream;
typedef struct ssvm_dir {
    const char *guest, *host;
    bool readonly;
} ssvm_dir;
typedef struct ssvm_wasi {
    size_t size;
    const char *const *args;
    size_t nargs;
    const char *const *env; /* "K=V" */
    size_t nenv;
    const ssvm_dir *dirs;
    size_t ndirs;
    ssvm_stream in, out, err;
    bool coarse_clock;
} ssvm_wasi;
#define SSVM_WASI_INIT {.size = sizeof(ssvm_wasi)}
SSVM_API own ssvm_error *ssvm_linker_define_wasi(ssvm_linker *, const ssvm_wasi *);

/* Inference: `ssvm_tensorflow`, `ssvm_tensorflowlite`, their WasmEdge names, and
 * `wasi_ephemeral_nn`. One ssvm_nn holds the backends that were opened and the models that were
 * loaded, for any number of stores, engines and threads. Since 0.1. */
typedef struct ssvm_nn ssvm_nn;
typedef struct ssvm_nn_model { /* for wasi-nn's load_by_name */
    const char *name, *path;
} ssvm_nn_model;
/* How guests of wasi-nn number the types of tensors: f16 f32 f64 u8 i32 i64, or, before 2022, f16
 * f32 u8 i32. By itself the length of the data tells which. */
typedef enum ssvm_nn_types {
    SSVM_NN_TYPES_BY_LENGTH = 0,
    SSVM_NN_TYPES_NEW = 1,
    SSVM_NN_TYPES_OLD = 2
} ssvm_nn_types;
typedef struct ssvm_nn_config {
    size_t size;
    /* NAME or NAME=LIBRARY, comma-separated, in order of preference; NULL or "auto": all that are
     * known. LIBRARY is the file, or the folder that holds its parts. */
    const char *backends;
    const char *device; /* "cpu" (NULL), "gpu", or a name that ssvm_nn_list shows, in any case */
    uint32_t threads;   /* that one run may use; 0: 1 */
    bool isolate;       /* run backends in a process of their own, which may crash */
    ssvm_nn_types types;
    uint64_t model_bytes;  /* the largest model; 0: 512 MiB */
    uint64_t tensor_bytes; /* the largest tensor; 0: 256 MiB */
    uint64_t cache_bytes;  /* models kept that nobody uses; 0: 1 GiB */
    const char *folder;    /* of installed backends; NULL: $XDG_DATA_HOME/ssvm/nn */
    const char *program;   /* that runs isolated backends; NULL: ssvm-nn beside this library */
    const ssvm_nn_model *models;
    size_t nmodels;
    /* One line about a model that was refused or a run that failed; NULL: dropped. Called from any
     * thread, not at the same time. */
    void (*log)(void *data, const char *line);
    void *data;
    /* With `isolate`, where this process may start no others: have somebody start `ssvm-nn PLUGIN
     * LIBRARY DEVICE` for that backend ("" as the library: searched), with a socket (AF_UNIX,
     * SOCK_SEQPACKET) as descriptor 3. The other end of its socket, or -1: it is not started, `why`
     * (of `size` bytes) says why not. *ret_number is positive, and what `stop` is told when that
     * process is to be killed, which may be more than once. Any thread. NULL: they are started
     * here. Since 0.1. */
    int (*start)(void *start_data, const char *backend, char *why, size_t size, long *ret_number);
    void (*stop)(void *start_data, long number);
    void *start_data;
} ssvm_nn_config;
#define SSVM_NN_CONFIG_INIT {.size = sizeof(ssvm_nn_config)}
/* Opens no library yet: a guest's first model does. Unknown names of backends are an error
 * (SSVM_EUSAGE). config may be NULL. */
SSVM_API own ssvm_error *ssvm_nn_new(const ssvm_nn_config *config, own ssvm_nn **ret);
SSVM_API void ssvm_nn_delete(own ssvm_nn *); /* stores, linkers and templates that use it keep it */
/* Where libraries are looked for when `folder` is NULL, and `ssvm nn install` puts them:
 * $XDG_DATA_HOME/ssvm/nn or ~/.local/share/ssvm/nn, to `ret` of `size` bytes. False: the
 * environment names no absolute folder, or it does not fit. Since 0.1. */
SSVM_API bool ssvm_nn_folder(char *ret, size_t size);
/* Every backend of the configuration, opened to look: formats, version, devices, path, or why it
 * cannot be used and what to do. Text or JSON, to give to ssvm_string_delete. */
SSVM_API own ssvm_error *ssvm_nn_list(ssvm_nn *, bool json, own char **ret);
/* Open the first backend of the configuration that can be used, so that no request waits for it; an
 * error, which says why, when there is none. */
SSVM_API own ssvm_error *ssvm_nn_open(ssvm_nn *);
SSVM_API own ssvm_error *ssvm_linker_define_nn(ssvm_linker *, ssvm_nn *);
/* Decoding and resizing of pictures: `ssvm_image`, `wasmedge_image`. config may be NULL. Since 0.1.
 */
typedef struct ssvm_image_config {
    size_t size;
    uint32_t max_side;   /* pixels, of a picture and of what is made of it; 0: 16384 */
    uint64_t max_pixels; /* 0: 64 Mi */
    /* One line about a picture that was refused, or why none can be decoded; NULL: dropped. Any
     * thread. */
    void (*log)(void *data, const char *line);
    void *data;
} ssvm_image_config;
#define SSVM_IMAGE_CONFIG_INIT {.size = sizeof(ssvm_image_config)}
SSVM_API own ssvm_error *ssvm_linker_define_image(ssvm_linker *, const ssvm_image_config *config);

/* Threads: `wasi` `thread-spawn` (wasi-threads), and the shared memory that its guests import,
 * which is made for the store where nobody else defines it. A thread is an OS thread in which a new
 * instance of the module runs, with a call stack of its own (ssvm_limits.stack_bytes). Memory, CPU
 * time, the deadline and the gas of the store are limits of all together; of the gas left the
 * starting thread hands on an equal share for each thread that may still come, and what is left of
 * it comes back. Threads live as long as the call from outside that started them: when it returns,
 * or any of them traps or exits, all are ended before ssvm_func_call (or what else called) returns
 * what the first of them did. Host functions, the embedder's too, are called by one thread at a
 * time; where WASI waits, or a host function calls the guest, others get their turn.
 * ssvm_caller_store is then a store of the thread: it has the same data, and is not the embedder's
 * to keep. Since 0.1. */
typedef struct ssvm_threads_config {
    size_t size;
    uint32_t max; /* at a time, beside the first: 1 to 1024 */
} ssvm_threads_config;
#define SSVM_THREADS_CONFIG_INIT {.size = sizeof(ssvm_threads_config)}
SSVM_API own ssvm_error *ssvm_linker_define_threads(ssvm_linker *, const ssvm_threads_config *);

/* State for guests: the module `ssvm_state` (doc/format/state.md) over a back end of the embedder's
 * (ssvm_state.h). Only the parts that are granted are defined. Needs host-state.so: SSVM_ENOTFOUND.
 * Since 0.1. */
typedef enum ssvm_state_parts {
    SSVM_STATE_KV = 1,
    SSVM_STATE_SQL = 2,
    SSVM_STATE_SECRET = 4,
    SSVM_STATE_QUEUE = 8,
    SSVM_STATE_HTTP = 16,
    SSVM_STATE_CALL = 32
} ssvm_state_parts;
struct ssvm_state_backend;
typedef struct ssvm_state_grant {
    size_t size;
    unsigned parts; /* enum ssvm_state_parts */
    /* NULL: every call is refused (EDENIED), for who only looks at modules. */
    const struct ssvm_state_backend *backend;
    void *data;           /* for the back end; lives as long as the stores and templates */
    uint32_t max_handles; /* of a store, open at a time; 0: 64, at most 256 */
    uint64_t max_bytes;   /* of a value, a statement, an answer; 0: 16 MiB */
} ssvm_state_grant;
#define SSVM_STATE_GRANT_INIT {.size = sizeof(ssvm_state_grant)}
SSVM_API own ssvm_error *ssvm_linker_define_state(ssvm_linker *, const ssvm_state_grant *);
/* Storage of the published crate: `ssvm_native`, `wasmedge_native` (doc/format/storage.md), over
 * keys and values of the same kind of grant; its parts are not looked at, nor max_handles. */
SSVM_API own ssvm_error *ssvm_linker_define_storage(ssvm_linker *, const ssvm_state_grant *);
/* The back end over files, of programs without a server: state-file.so, which brings SQLite and
 * curl. One may be used by any number of stores and threads. */
typedef struct ssvm_state_files {
    size_t size;
    const char *kv, *sql;       /* files of SQLite, made when they are not there; NULL: none */
    const char *const *secrets; /* "NAME=VALUE" */
    size_t nsecrets;
    /* Servers that may be reached: "HOST[:PORT]", "*.HOST"; no port: that of the scheme. Addresses
     * of this machine and of private networks must be named: "127.0.0.1:8080", "10.0.0.0/8". */
    const char *const *hosts;
    size_t nhosts;
} ssvm_state_files;
#define SSVM_STATE_FILES_INIT {.size = sizeof(ssvm_state_files)}
/* *ret grants what is there; its data is for ssvm_state_files_close. */
SSVM_API own ssvm_error *ssvm_state_files_open(const ssvm_state_files *, ssvm_state_grant *ret);
SSVM_API void ssvm_state_files_close(ssvm_state_grant *);

/* Sockets for guests (doc/format/sockets.md): what they may open, by lists, or by a back end of the
 * embedder's (ssvm_socket.h) instead. Works on the descriptors of WASI, which is defined before.
 * All that is pointed to lives as long as the linker, its store and templates. Needs
 * host-socket.so: SSVM_ENOTFOUND; a list with what is no address: SSVM_EUSAGE. Since 0.1. */
struct ssvm_socket_backend;
typedef struct ssvm_sockets {
    size_t size;
    /* Where guests may connect and send to: "HOST:PORT", "*.HOST:PORT" (those below), "*:PORT", an
     * address ("10.0.0.1:5432", "[::1]:80") or a network ("10.0.0.0/8:*"); PORT `*`: any. Names
     * reach addresses of the internet only: those of this machine and of private networks must be
     * named by number, or `localhost`. */
    const char *const *connect;
    size_t nconnect;
    /* Where they may wait for connections and datagrams: "ADDR:PORT"; ADDR a number, `localhost` or
     * `*`; PORT 0: one that is free. */
    const char *const *listen;
    size_t nlisten;
    bool af_unix; /* AF_UNIX, at paths in the folders that the guest has */
    const struct ssvm_socket_backend *backend; /* NULL: by the lists */
    void *data;                                /* for the back end */
} ssvm_sockets;
#define SSVM_SOCKETS_INIT {.size = sizeof(ssvm_sockets)}
SSVM_API own ssvm_error *ssvm_linker_define_sockets(ssvm_linker *, const ssvm_sockets *);

/* Native commands: `ssvm_process`, `wasmedge_process` (doc/format/process.md). A command is run
 * without a shell, gets the variables that the guest gives it and no descriptor beside its standard
 * streams, cannot gain privileges, and ends with all that it has started: at its time limit, at the
 * guest's, when the guest ends and when this process does. Needs host-process.so: SSVM_ENOTFOUND.
 * Since 0.1. */
typedef struct ssvm_process ssvm_process;
typedef struct ssvm_process_config {
    size_t size;
    /* What guests may run: names, looked up now, and paths. A guest may use the name or the full
     * path. Such a command gets no variable that makes programs load or run something (LD_PRELOAD,
     * PATH, ...). */
    const char *const *commands;
    size_t ncommands;
    bool all; /* whatever guests ask for */
    const char
        *path; /* where names are looked up, as in $PATH; NULL: /usr/local/bin:/usr/bin:/bin */
    uint64_t max_bytes; /* of what a run is made of, and of what it writes; 0: 16 MiB */
    /* Runs the commands (ssvm_process.h), and decides by itself what is allowed; NULL: they run
     * here. */
    const struct ssvm_process_backend *backend;
    void *data; /* for the back end; lives as long as the stores and templates */
} ssvm_process_config;
#define SSVM_PROCESS_CONFIG_INIT {.size = sizeof(ssvm_process_config)}
/* For any number of linkers and threads. A command that is not there is SSVM_ENOTFOUND. */
SSVM_API own ssvm_error *ssvm_process_new(const ssvm_process_config *, own ssvm_process **ret);
SSVM_API void ssvm_process_delete(own ssvm_process *); /* those that use it keep it */
SSVM_API own ssvm_error *ssvm_linker_define_process(ssvm_linker *, ssvm_process *);

/* Instantiate: resolves imports (the error names each missing one, who provides it and the flag),
 * runs active segments and `start`. The instance belongs to the store. */
SSVM_API own ssvm_error *ssvm_linker_instantiate(ssvm_linker *, const ssvm_module *,
                                                 ssvm_instance **ret);

/* A module whose imports are resolved once, for servers that make a fresh instance for every
 * request. What the linker defines for the module is taken down: host functions (their data are
 * then shared by all stores, and must live as long as the template), WASI (granted anew to each
 * instance), inference and pictures (the same ssvm_nn for all) and the wasm-bindgen imports; not
 * instances (SSVM_EUSAGE). The linker may go afterwards. Instantiation looks up no names and takes
 * a few microseconds. One template may be used from any number of threads. Since 0.1. */
typedef struct ssvm_template ssvm_template;
SSVM_API own ssvm_error *ssvm_template_new(ssvm_linker *, const ssvm_module *,
                                           own ssvm_template **ret);
SSVM_API void ssvm_template_delete(own ssvm_template *); /* instances that exist live on */
/* wasi: NULL grants nothing; ignored when the module does not import WASI. */
SSVM_API own ssvm_error *ssvm_template_instantiate(const ssvm_template *, ssvm_store *,
                                                   const ssvm_wasi *wasi, ssvm_instance **ret);

/* ---- Instances
 * --------------------------------------------------------------------------------------------- */

/* Exports by name; NULL when absent or of another kind. Borrowed from the store. */
SSVM_API ssvm_func *ssvm_instance_func(ssvm_instance *, const char *name);
SSVM_API ssvm_memory *ssvm_instance_memory(ssvm_instance *, const char *name);
SSVM_API ssvm_global *ssvm_instance_global(ssvm_instance *, const char *name);
SSVM_API ssvm_table *ssvm_instance_table(ssvm_instance *, const char *name);

SSVM_API own ssvm_functype *ssvm_func_type(const ssvm_func *);
/* Types and counts are checked (SSVM_EUSAGE). rets has room for the results. */
SSVM_API own ssvm_error *ssvm_func_call(ssvm_store *, ssvm_func *, const ssvm_val *args,
                                        size_t nargs, ssvm_val *rets, size_t nrets);

/* The base never moves, the size grows. data is NULL never; size is bytes. */
SSVM_API uint8_t *ssvm_memory_data(const ssvm_memory *);
SSVM_API uint64_t ssvm_memory_size(const ssvm_memory *);
SSVM_API int64_t ssvm_memory_grow(ssvm_memory *, uint64_t pages); /* old size in pages, or -1 */
SSVM_API void ssvm_global_get(ssvm_store *, const ssvm_global *, ssvm_val *ret);
SSVM_API own ssvm_error *ssvm_global_set(ssvm_store *, ssvm_global *, const ssvm_val *);

/* WASI conventions on an instance: a command (has `_start`) runs to its exit, a reactor's
 * `_initialize` is called once. Exit 0 and a plain return are NULL; other statuses are errors of
 * kind SSVM_EEXIT. */
SSVM_API own ssvm_error *ssvm_instance_start(ssvm_instance *);
SSVM_API own ssvm_error *
ssvm_instance_initialize(ssvm_instance *); /* no-op without `_initialize` */

/* A module with the same code whose initial state is the one that the instance has now: memories,
 * globals, tables, dropped segments; without a start function, `_initialize`, and the exports
 * called `done` (n of them), which have run. SSVM_EUSAGE with a sentence when the state has what a
 * module cannot hold: imported memories, tables and mutable globals, shared memory, host references
 * and objects, open files. Not while a guest runs in the store. The bytes are the caller's, to give
 * to ssvm_string_delete. Since 0.1. */
SSVM_API own ssvm_error *ssvm_instance_snapshot(ssvm_instance *, const char *const *done, size_t n,
                                                own char **ret_bytes, size_t *ret_len);

/* ---- Typed calls (wasm-bindgen ABI, raw or processed, every version; plain numbers too)
 * --------------------- */

typedef enum ssvm_arg_kind {
    SSVM_ARG_STRING = 0, /* UTF-8, checked */
    SSVM_ARG_BYTES = 1,
    SSVM_ARG_INT = 2, /* to any integer, float, bool or char parameter that can hold it */
    SSVM_ARG_FLOAT = 3,
    SSVM_ARG_BOOL = 4,
    SSVM_ARG_NULL = 5, /* None */
    SSVM_ARG_TEXT = 6, /* text from a command line: becomes what the parameter's type asks for */
    SSVM_ARG_JSON = 7  /* a JSON value: arrays of numbers to Vec<T>, etc.; a string is no number */
} ssvm_arg_kind;
typedef struct ssvm_arg {
    ssvm_arg_kind kind;
    int64_t i;
    double f;
    const void *bytes; /* STRING, BYTES, TEXT, JSON */
    size_t len;
} ssvm_arg;

/* What a typed call returns when the types are not in the module (processed modules): how to read
 * the result. */
typedef enum ssvm_result_kind {
    SSVM_RESULT_AUTO = 0, /* by descriptors, or by the wasm type */
    SSVM_RESULT_STRING = 1,
    SSVM_RESULT_BYTES = 2,
    SSVM_RESULT_INT = 3,
    SSVM_RESULT_FLOAT = 4,
    SSVM_RESULT_BOOL = 5,
    SSVM_RESULT_NONE = 6,
    SSVM_RESULT_JSON = 7 /* arrays, tuples, null: JSON text; cannot be wanted */
} ssvm_result_kind;

typedef struct ssvm_result {
    size_t size;
    ssvm_result_kind kind; /* what it turned out to be */
    own char *bytes; /* STRING, BYTES (NUL-terminated besides len), and the JSON text of everything
                        else; ssvm_string_delete */
    size_t len;
    int64_t i;
    double f;
} ssvm_result;
#define SSVM_RESULT_INIT {.size = sizeof(ssvm_result)}

/* Let typed calls find the imports that the wasm-bindgen ABI needs. Call before instantiate;
 * harmless for other modules. */
SSVM_API own ssvm_error *ssvm_linker_define_bindgen(ssvm_linker *);
/* Call export `name` (a `_HASH` suffix of newer versions is found too) with values. A Rust `Err` or
 * panic message comes back as an error with that text. */
SSVM_API own ssvm_error *ssvm_instance_call(ssvm_instance *, const char *name, const ssvm_arg *args,
                                            size_t nargs, ssvm_result_kind want, ssvm_result *ret);
/* The typed signature as text, "say(String) -> String", or an error of kind SSVM_ENOTFOUND. */
SSVM_API own ssvm_error *ssvm_module_signature(const ssvm_module *, const char *name,
                                               own char **ret);

#ifdef __cplusplus
}
#endif

#endif
