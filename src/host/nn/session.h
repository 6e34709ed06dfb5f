/* What a guest has: sessions and graphs by handle, their inputs, runs and outputs. One for every
 * module; how the guest says it (the ABIs) is not here. */
#ifndef SV_HOST_NN_SESSION_H
#define SV_HOST_NN_SESSION_H

#include "host/nn/grant.h"

/* Results of the functions below: 0; an engine's code (negative: the guest ends, hand it on); or
 * why not, after a line in the log. The numbers are wasi-nn's, of which WasmEdge's modules have the
 * first five. */
enum sv_nn_errno {
    SV_NN_OK = 0,
    SV_NN_EINVAL = 1,
    SV_NN_EENCODING = 2,
    SV_NN_EMEMORY = 3, /* the guest has no memory */
    SV_NN_EBUSY = 4,
    SV_NN_ERUN = 5,
    SV_NN_ENOTSUP = 6,
    SV_NN_ELARGE = 7,
    SV_NN_ENOENT = 8
};

/* Graphs and sessions of a store that live at once, and inputs, or outputs, of a session. */
#define SV_NN_SESSIONS_MAX 256
/* Lines in the host's log about one store. */
#define SV_NN_LINES_MAX 32

struct sv_nn_session;
enum sv_nn_kind { SV_NN_GRAPH = 1, SV_NN_SESSION = 2, SV_NN_TENSOR = 3 };
/* What a handle stands for. */
struct sv_nn_item {
    uint32_t handle;
    enum sv_nn_kind kind;
    struct sv_nn_model *model;     /* of a graph: a reference */
    struct sv_nn_session *session; /* of a session: owned; of a tensor: whose output it is */
    uint32_t index;                /* of the output */
};
struct sv_nn_state {
    struct sv_nn *nn; /* a reference */
    struct sv_store *store;
    const char *who;                 /* the module, for messages */
    SV_VEC(struct sv_nn_item) items; /* ascending handles: they are never given out again */
    uint32_t next, nlive, nlines;
};
int sv_nn_state_new(struct sv_err *err, const char *who, struct sv_store *, const void *grant,
                    own struct sv_nn_state **ret);
void sv_nn_state_delete(own void *state); /* NULL is allowed */
const char *sv_nn_state_holds(const void *state);

/* A line to the log, and `code` as the result. */
int sv_nn_fail(struct sv_nn_state *, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
/* Guest memory: 0 or SV_NN_EINVAL, SV_NN_EMEMORY. */
int sv_nn_slice(struct sv_nn_state *, struct sv_call *, uint64_t ptr, uint64_t len, void *ret);
int sv_nn_put_u32(struct sv_nn_state *, struct sv_call *, uint32_t ptr, uint32_t value);
/* End a host function: an errno is its result, an engine's code ends the call. */
#define SV_NN_RETURN(r, ret)                                                                       \
    do {                                                                                           \
        int code_ = (r);                                                                           \
        if (code_ < 0)                                                                             \
            return code_;                                                                          \
        (ret)->i32 = (uint32_t)code_;                                                              \
        return 0;                                                                                  \
    } while (0)
/* "op:1" or, `index` given, a name as it is. SV_NN_EINVAL: no text, too long. */
int sv_nn_port_read(struct sv_nn_state *, struct sv_call *, uint32_t ptr, uint32_t len,
                    const uint32_t *index, struct ssvm_nn_port *ret);

/* The model in the guest's memory. `format`: -1, or what the guest says it is. */
int sv_nn_model_read(struct sv_nn_state *, struct sv_call *, uint32_t ptr, uint32_t len, int format,
                     own struct sv_nn_model **ret);
/* The one that the host has under this name. */
int sv_nn_model_named(struct sv_nn_state *, struct sv_call *, uint32_t ptr, uint32_t len,
                      own struct sv_nn_model **ret);
/* Take the model. */
int sv_nn_graph_new(struct sv_nn_state *, own struct sv_nn_model *, uint32_t *ret);
int sv_nn_session_new(struct sv_nn_state *, own struct sv_nn_model *, uint32_t *ret);
/* NULL: no such one of this kind. */
struct sv_nn_item *sv_nn_item_find(struct sv_nn_state *, uint64_t handle, enum sv_nn_kind);
struct sv_nn_session *sv_nn_session_find(struct sv_nn_state *, uint64_t handle);
/* With all that belongs to it; nothing where there is no such one. */
bool sv_nn_item_delete(struct sv_nn_state *, uint64_t handle, enum sv_nn_kind);

struct sv_nn_model *sv_nn_session_model(const struct sv_nn_session *); /* NULL: it was left */
/* Give an input, instead of an earlier one of this name. `t`: data and len are the guest's memory,
 * checked for nothing but being there; copied. */
int sv_nn_session_input(struct sv_nn_state *, struct sv_call *, struct sv_nn_session *,
                        const struct ssvm_nn_port *, const struct ssvm_nn_tensor *t);
/* Ask for an output. */
int sv_nn_session_want(struct sv_nn_state *, struct sv_nn_session *, const struct ssvm_nn_port *);
/* Ask for all outputs that the model says it has, unless it was done. */
int sv_nn_session_want_all(struct sv_nn_state *, struct sv_nn_session *);
/* Something about it was wrong: the next run fails. For guests that are not told at once. */
void sv_nn_session_spoil(struct sv_nn_session *);
void sv_nn_session_clear_inputs(struct sv_nn_state *, struct sv_nn_session *);
void sv_nn_session_clear_outputs(struct sv_nn_state *, struct sv_nn_session *);
int sv_nn_session_run(struct sv_nn_state *, struct sv_call *, struct sv_nn_session *);
/* The output of this name, or with an empty name at this index, of the last run; NULL: none. */
const struct ssvm_nn_tensor *sv_nn_session_output(const struct sv_nn_session *,
                                                  const struct ssvm_nn_port *, uint32_t *ret_index);
/* A handle of it, the same each time until the next run. */
int sv_nn_tensor_new(struct sv_nn_state *, struct sv_nn_session *, uint32_t index, uint32_t *ret);
/* NULL: no such one (any more). */
const struct ssvm_nn_tensor *sv_nn_tensor_find(struct sv_nn_state *, uint64_t handle,
                                               const struct sv_nn_session **ret_session);
/* Copy a tensor's bytes to the guest. */
int sv_nn_tensor_copy(struct sv_nn_state *, struct sv_call *, const struct ssvm_nn_tensor *,
                      uint32_t ptr);

#endif
