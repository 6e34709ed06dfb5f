/* Native code for modules: where it comes from (cache, compiler) and when. Not how it runs: that is
 * runtime/native*. */
#ifndef SV_API_TIER_H
#define SV_API_TIER_H

#include <pthread.h>

#include "aot/compile.h"
#include "api/api.h"
#include "api/gdb.h"
#include "runtime/cache.h"
#include "runtime/exec.h"
#include "runtime/native_image.h"

enum sv_tier_mode { SV_TIER_INTERP, SV_TIER_AUTO, SV_TIER_AOT };

/* What is compiled: a module in a form (enum sv_native_flags), or one loop of a function of it. */
struct sv_tier_code {
    uint32_t form;
    uint32_t func, offset; /* of the loop in the module; offset 0: the whole module */
    bool processes;        /* compile in such */
};

/* The compiler's library, opened when something is compiled. */
struct sv_compiler {
    void *library;
    __typeof__(&sv_aot_compile) compile;
    __typeof__(&sv_aot_free) free;
};

struct sv_tier {
    enum sv_tier_mode mode;
    struct sv_cache *cache; /* NULL: none */
    char *library;          /* path of libssvm-aot.so; NULL: beside this library or program */
    char *program;          /* compiles in a process of its own; NULL: in threads here */
    /* As in ssvm_config; NULL: we start the program. */
    int (*run)(void *data, unsigned form, uint32_t func, uint32_t loop, bool cached,
               const int fds[3]);
    void *run_data;
    pid_t parent; /* as in ssvm_config */
    char *cache_dir;
    pthread_mutex_t lock; /* of what is below, and of modules' digests */
    struct sv_compiler compiler;
    struct sv_tier_job *jobs; /* in the background, and what became of them */
    unsigned njobs, nthreads; /* nthreads: of jobs that have one */
    unsigned look_at;         /* when there are so many, those of nobody are let go of; */
    size_t bytes;             /* or when so many have come since the last look */
    bool stop;
    int stop_fd; /* readable when it is time to stop */
    unsigned opt_level;
    bool trust;  /* native code in module files, without this installation's seal */
    bool verify; /* LLVM checks what it is given (tests) */
    int perf_fd; /* the perf map; -1: none is wanted */
    bool debug;  /* code that debuggers can follow, and they are told of it */
    struct sv_gdb_image *debug_images;
};

/* From a configuration; a cache folder that may not be used is a warning, kept for
 * ssvm_engine_warning. */
own ssvm_error *sv_tier_new(const ssvm_config *, own struct sv_tier **ret);
/* Stops what is compiled in the background and waits for it; nothing is compiled any more. NULL is
 * allowed. */
void sv_tier_stop(struct sv_tier *);
void sv_tier_delete(own struct sv_tier *); /* stopped already, or never used */

/* tier_compile.c: compile and seal. `key` NULL: with a key that nobody has (trusted by the caller
 * only). */
int sv_tier_compile(struct sv_err *err, struct sv_tier *, const struct sv_module *, size_t wasm_len,
                    const struct sv_aot_options *, const uint8_t *key, own uint8_t **ret,
                    size_t *ret_len, struct sv_aot_report *ret_report);
void sv_tier_free(struct sv_tier *, own uint8_t *image);

/* The native code of a form for the module, if there is any or the mode wants it now; 0 with
 * nothing set is no failure. Called before the first instance of that form (sv_engine.find_native).
 */
int sv_tier_find(struct sv_err *err, struct sv_engine *, struct sv_module *, uint32_t form);
/* A module file with an image in it: use that if it may be trusted and fits; else the reason, and
 * the module is compiled again. `file`: what the bytes were read from; NULL: nothing. */
int sv_tier_take_image(struct sv_err *err, struct sv_tier *, struct sv_module *,
                       const struct sv_image_place *, const struct sv_cache_file *file);
/* Whether the module of `len` bytes, which were read from the file, was validated before by this
 * engine; and to remember that of one that was just now. */
bool sv_tier_find_valid(struct sv_tier *, const struct sv_cache_file *file, size_t len,
                        uint64_t *ret_used);
void sv_tier_put_valid(struct sv_tier *, const struct sv_cache_file *file,
                       const struct sv_module *);
/* The module's digest, if it is to be had without reading much. */
void sv_tier_note_file(struct sv_tier *, struct sv_module *, const struct sv_cache_file *file);
/* In a process for the purpose: compile into the cache if it is not there yet. *ret: the image,
 * where no cache has it now; NULL: one has it. */
int sv_tier_fill_cache(struct sv_err *err, struct sv_tier *, struct sv_module *,
                       const struct sv_tier_code *, own uint8_t **ret, size_t *ret_len);
/* From the cache; NULL: not there, or not to be used. */
own struct sv_native *sv_tier_take_cached(struct sv_tier *, struct sv_module *,
                                          const struct sv_tier_code *);
/* Compile in this process, and into the cache if there is one. */
int sv_tier_make(struct sv_err *err, struct sv_tier *, struct sv_module *,
                 const struct sv_tier_code *, uint64_t features, own struct sv_native **ret);
/* Code from the bytes of an image that was compiled for this process. */
int sv_tier_use(struct sv_err *err, const struct sv_module *, const struct sv_tier_code *,
                const uint8_t *image, size_t len, own struct sv_native **ret);
/* Give it to the module; false: it is NULL. */
bool sv_tier_set(struct sv_tier *, struct sv_module *, own struct sv_native *);

/* ---- perf_map.c: for perf(1) ---- */
/* Make the file. */
own ssvm_error *sv_perf_map_open(int *ret_fd);
/* Where the functions of the image are. Nothing without a map. */
void sv_perf_map_add(struct sv_tier *, const struct sv_module *, const struct sv_native *,
                     enum sv_native_kind);

/* ---- tier_child.c ---- */
/* Compile in a child, which may run out of memory or time without harm to us (in this process where
 * the size of files is limited). Waits for it, until the tier stops. */
int sv_tier_run_program(struct sv_err *err, struct sv_tier *, struct sv_module *,
                        const struct sv_tier_code *, own struct sv_native **ret);

/* ---- tier_job.c: in the background ---- */
/* Compile the module, then let what runs of it go over. Failing is silent: all stays interpreted.
 */
void sv_tier_start(struct sv_tier *, struct sv_engine *, struct sv_module *, uint32_t form);
/* sv_engine.ask_loop. */
void sv_tier_ask_loop(struct sv_engine *, struct sv_module *, uint32_t form, uint32_t func);

enum sv_tier_state { SV_TIER_NONE, SV_TIER_WAITS, SV_TIER_COMPILES, SV_TIER_READY, SV_TIER_FAILED };
struct sv_tier_progress {
    enum sv_tier_state state; /* NONE: nothing was ever started */
    uint64_t ready_ns;        /* from the start to the module's native code */
    uint64_t compile_ns;      /* of that, of compiling */
    uint32_t loops;           /* compiled for frames that ran */
};
void sv_tier_progress(struct sv_tier *, const struct sv_module *, uint32_t form,
                      struct sv_tier_progress *ret);

#endif
