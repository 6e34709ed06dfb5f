/* What is behind struct sv_nn: backends that were opened, models that were loaded, the threads that
 * work for guests. Knows nothing of guests' handles. */
#ifndef SV_HOST_NN_GRANT_H
#define SV_HOST_NN_GRANT_H

#include "base/arena.h"
#include "host/nn/check.h"
#include "host/nn/isolate.h"
#include "host/nn/nn.h"
#include "host/nn/work.h"
#include "runtime/data_image.h"
#include "ssvm_nn.h"

#define SV_NN_BACKENDS_MAX 16
#define SV_NN_PATH_MAX 4096
/* Models that are kept, but for those in use. */
#define SV_NN_MODELS_MAX 256
/* Inputs, and outputs, of a model. */
#define SV_NN_PORTS_MAX 256
/* Sessions of a model that are kept for the next run. */
#define SV_NN_IDLE_MAX 8
/* Tensors whose memory waits for the next input. */
#define SV_NN_SPARES_MAX 8
/* Those of them that have a huge page. */
#define SV_NN_HUGE_MAX 4
/* Runs of one model that were left and are still under way. */
#define SV_NN_MODEL_LEFT_MAX 2

enum sv_nn_backend_state { SV_NN_UNTRIED = 0, SV_NN_PLUGIN, SV_NN_OPEN, SV_NN_FAILED };
struct sv_nn_backend {
    const char *id, *library; /* as configured; library NULL: searched */
    /* Under nn->open_lock until the state is SV_NN_OPEN, constant from then on. */
    enum sv_nn_backend_state state;
    const struct ssvm_nn_backend *plugin; /* NULL: it cannot be opened */
    struct ssvm_nn_backend isolated;      /* what `plugin` points to when it runs elsewhere */
    void *lib;
    char path[SV_NN_PATH_MAX]; /* of the foreign library; "": the loader's search path */
    char why_not[SSVM_NN_ERROR_MAX + 256];
};

/* An input or output of a model. */
struct sv_nn_port {
    struct ssvm_nn_port port;
    struct ssvm_nn_tensor tensor; /* type and shape */
};
struct sv_nn_ports {
    struct sv_nn_port *list;
    uint32_t n;
};

/* Who waits for a model that another thread loads. */
struct sv_nn_waiter {
    struct sv_nn_waiter *next;
    int fd;
};
enum sv_nn_model_state { SV_NN_LOADING = 0, SV_NN_READY, SV_NN_BROKEN };
struct sv_nn_model {
    struct sv_nn *nn;
    /* Constant: what it was made of. */
    uint8_t *bytes;
    size_t len;
    uint64_t print;
    enum ssvm_nn_format format;
    /* Set while it is being loaded, constant from then on. */
    struct sv_nn_backend *backend;
    void *model;
    size_t cost; /* bytes that it holds beyond its own */
    struct sv_nn_ports inputs, outputs;
    /* Under nn->lock. */
    enum sv_nn_model_state state;
    /* Of a broken one. The text, of one that is ready too, is lines that each end in a zero: why
     * no backend took it, or those before its own did not. */
    struct sv_err why_not;
    _Atomic bool told;        /* those of one that is ready */
    struct sv_nn_model *next; /* in nn->models, the last used first */
    bool listed;
    uint32_t refs;
    uint32_t nleft; /* runs that were left and are still under way */
    struct sv_nn_waiter *waiters;
    void *idle[SV_NN_IDLE_MAX];
    uint32_t nidle;
};

/* Bytes of a model. */
struct sv_nn_bytes {
    const uint8_t *ptr;
    size_t len;
    const struct sv_memory *memory; /* of the guest that has them; NULL: none */
    uint64_t at;                    /* in it */
};

/* Where a guest had a model: in its module's data, unchanged (origin.c). */
struct sv_nn_origin {
    struct sv_data_image *image; /* a reference; NULL: free */
    uint64_t at, len;
    struct sv_nn_model *model; /* listed */
};
#define SV_NN_ORIGINS_MAX 32

struct sv_nn {
    _Atomic uint32_t refs;  /* of its memory: runs and loads, and one of all users */
    _Atomic uint32_t users; /* sv_nn_ref's */
    struct sv_arena arena;  /* of what was configured */
    struct sv_nn_config config;
    struct sv_nn_backend *backends;
    unsigned nbackends;
    pthread_mutex_t open_lock;
    _Atomic(const struct sv_nn_checker *) checker; /* NULL: not opened yet */
    pthread_mutex_t log_lock;                      /* a leaf */
    pthread_mutex_t lock;                          /* of models; a leaf but for log_lock */
    uint64_t seed;                                 /* of the models' prints */
    struct sv_nn_model *models;
    uint32_t nmodels;           /* in the list */
    struct sv_nn_model **named; /* references, by config.models; NULL: not read yet */
    uint64_t generation;        /* of the list: changes when a model is added */
    uint64_t cached;            /* bytes of listed models */
    struct sv_nn_origin origins[SV_NN_ORIGINS_MAX];
    unsigned next_origin;           /* to be replaced */
    void *spares[SV_NN_SPARES_MAX]; /* NULL: none */
    unsigned next_spare;            /* behind it, to be replaced */
    unsigned nhuge;                 /* huge pages that were asked for */
    struct sv_nn_workers workers;
    struct sv_nn_children children;
};

/* For runs and loads, which may outlive the last who wants a result of theirs. */
struct sv_nn *sv_nn_keep(struct sv_nn *);
void sv_nn_drop(own struct sv_nn *);

/* One line to the host's log; bytes that are not printable are escaped. */
void sv_nn_log(struct sv_nn *, const char *line);

/* Open a backend, once, if it reads one of the formats (bits); later calls tell the same. SV_ETYPE:
 * it does not. SV_ENOTFOUND: with a sentence that says what to do. Takes as long as its library
 * takes. */
int sv_nn_backend_open(struct sv_err *err, struct sv_nn *, struct sv_nn_backend *,
                       uint32_t formats);
void sv_nn_backend_close(struct sv_nn_backend *);
/* Open nn-check.so; it stays. Waits for no backend that is being opened. */
int sv_nn_checker_get(struct sv_err *err, struct sv_nn *, const struct sv_nn_checker **ret);

/* The image of the module's data of which these bytes are still a part, untouched; NULL: none, or
 * it is not known. Borrowed from the guest's memory. */
struct sv_data_image *sv_nn_origin_of(const struct sv_nn_bytes *);
/* With the lock held. The model that was there; NULL: none is known. */
struct sv_nn_model *sv_nn_origin_find(struct sv_nn *, const struct sv_data_image *,
                                      const struct sv_nn_bytes *);
void sv_nn_origin_add(struct sv_nn *, struct sv_data_image *, const struct sv_nn_bytes *,
                      struct sv_nn_model *);
/* Those of a model that is no longer listed; NULL: all. */
void sv_nn_origin_drop(struct sv_nn *, const struct sv_nn_model *);

/* Aligned to 64 bytes, not zeroed. NULL: out of memory. */
own void *sv_nn_data_new(size_t len);
void sv_nn_data_delete(own void *); /* NULL is allowed */
/* The same, from the memory of earlier ones where it fits, and for later ones. */
own void *sv_nn_data_take(struct sv_nn *, size_t len);
void sv_nn_data_give(struct sv_nn *, own void *); /* NULL is allowed */
void sv_nn_data_release(struct sv_nn *);          /* those that wait, when the grant goes */

/* The model of these bytes, from the cache or loaded now: *ret is a reference. `format`:
 * what the guest says they are, -1: whatever they are. SV_ETRAP: the guest is to stop. SV_ETYPE:
 * they are not of this format; SV_ELIMIT: too many; SV_NN_BUSY; else SV_E*. Whatever it is, lines
 * for the host are in err->text (empty before), each with a zero behind it and the last with two.
 */
int sv_nn_model_get(struct sv_err *err, struct sv_nn *, struct sv_thread *,
                    const struct sv_nn_bytes *, int format, own struct sv_nn_model **ret);
/* The one of a name that was configured; its file is read once. SV_ENOTFOUND: there is none. */
int sv_nn_model_by_name(struct sv_err *err, struct sv_nn *, struct sv_thread *, const char *name,
                        size_t len, own struct sv_nn_model **ret);
/* The model's input `port` (with an empty name: the index-th) as a tensor of `len` bytes: an open
 * dimension is 1, or, if it is the only one, what the length makes of it. False: there is no such
 * input. Sets all but data. */
bool sv_nn_model_shape(const struct sv_nn_model *, const struct ssvm_nn_port *port, size_t len,
                       struct ssvm_nn_tensor *ret);
struct sv_nn_model *sv_nn_model_ref(struct sv_nn_model *);
void sv_nn_model_unref(own struct sv_nn_model *); /* NULL is allowed */
/* A session for one run after the other: an idle one, or a new one (which takes its time). */
int sv_nn_model_take_session(struct sv_nn_model *, char *error, own void **ret);
/* `clean`: it may serve another. */
void sv_nn_model_give_session(struct sv_nn_model *, own void *session, bool clean);
/* Of nleft. False: too many already. */
bool sv_nn_model_may_run(struct sv_nn_model *);
void sv_nn_model_left(struct sv_nn_model *, int by);
/* All of them, when the grant goes. */
void sv_nn_models_release(struct sv_nn *);

const char *sv_nn_format_text(enum ssvm_nn_format);
const char *sv_nn_type_text(int32_t type); /* "?" for none of enum ssvm_nn_type */
size_t sv_nn_type_size(int32_t type);      /* bytes; 0: there is no such type */
/* Bytes of a tensor of this type and shape; false: negative, too large or no such type. */
bool sv_nn_tensor_len(int32_t type, const int64_t *dims, uint32_t rank, size_t *ret);

#endif
