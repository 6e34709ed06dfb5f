/* Inference for guests: what the grant is, and the host modules that it opens. Backends are plugins
 * (ssvm_nn.h); doc/internals/nn.md has the whole. */
#ifndef SV_HOST_NN_NN_H
#define SV_HOST_NN_NN_H

#include "host/host.h"

/* One backend that may be used: "openvino", and where its library is (NULL: searched). */
struct sv_nn_choice {
    const char *id, *library;
};
/* A model that guests may load by name (wasi-nn's load_by_name): the file that holds it. */
struct sv_nn_named {
    const char *name, *path;
};
/* How guests of wasi-nn number the types of tensors: f16 f32 f64 u8 i32 i64, or, in the first
 * years, f16 f32 u8 i32. By itself the length of the data tells which. */
enum sv_nn_types { SV_NN_TYPES_BY_LENGTH = 0, SV_NN_TYPES_NEW = 1, SV_NN_TYPES_OLD = 2 };
/* Who starts the processes of isolated backends, and kills them; functions NULL: we do. As in
 * ssvm_nn_config. */
struct sv_nn_starter {
    int (*start)(void *arg, const char *backend, char *why, size_t size, long *ret_number);
    void (*stop)(void *arg, long number);
    void *arg;
};
struct sv_nn_config {
    const struct sv_nn_choice *backends; /* in order of preference; none: all that are known */
    unsigned nbackends;
    const char *device;        /* whatever its case; NULL: "cpu" */
    uint32_t threads;          /* of one run; 0: 1 */
    uint64_t model_bytes_max;  /* of one model; 0: 512 MiB */
    uint64_t tensor_bytes_max; /* of one tensor; 0: 256 MiB */
    uint64_t cache_bytes;      /* of models kept between stores; 0: 1 GiB */
    bool isolate;              /* backends run in processes of their own */
    const char *program;       /* which runs them; NULL: ssvm-nn beside this library */
    struct sv_nn_starter starter;
    const struct sv_nn_named *models; /* none: no model can be loaded by name */
    unsigned nmodels;
    enum sv_nn_types types;
    const char *folder; /* where `ssvm nn install` unpacks; NULL: sv_nn_folder's */
    /* One line for the host's log (a model refused, a run that failed); NULL: dropped. Any thread,
     * one at a time. */
    void (*log)(void *arg, const char *line);
    void *arg;
};
/* What the grant is: backends that were opened and models that were loaded, shared by all stores
 * that hold it. Opens nothing yet. Strings are copied. Thread-safe. */
struct sv_nn;
int sv_nn_new(struct sv_err *err, const struct sv_nn_config *, own struct sv_nn **ret);
/* With the last of them, processes of ours end in which a run or load was left. */
struct sv_nn *sv_nn_ref(struct sv_nn *);
void sv_nn_unref(own struct sv_nn *);
/* $XDG_DATA_HOME/ssvm/nn or ~/.local/share/ssvm/nn to ret; false: no home. */
bool sv_nn_folder(char *ret, size_t size);

/* For `ssvm nn list` and the server: every known backend, opened to look. */
struct sv_nn_found {
    const char *id, *title;
    uint32_t formats; /* bits 1 << enum ssvm_nn_format */
    char path[1024];  /* of the library; "": the loader's search path */
    char version[128];
    char devices[256]; /* comma-separated; first the default */
    char why_not[512]; /* "": it can be used; else one sentence why not, and what to do */
};
/* Calls `each` for every backend of the list, found or not. */
void sv_nn_list(struct sv_nn *, void (*each)(void *arg, const struct sv_nn_found *), void *arg);
/* Open the first backend of the list that can be used; SV_ENOTFOUND: none, and why not. */
int sv_nn_open(struct sv_err *err, struct sv_nn *);

/* The host modules; grant: struct sv_nn *. */
extern const struct sv_host_module sv_host_tensorflow, sv_host_tensorflowlite, sv_host_wasi_nn;

#endif
