/* Inside of host-state.so: one call of a guest (an ask), its answer, and the handles by which
 * guests read answers. */
#ifndef SV_HOST_STATE_GUEST_H
#define SV_HOST_STATE_GUEST_H

#include "host/state/state.h"

#define STATE_KEY_MAX 512
#define STATE_NAME_MAX 256    /* of a function, of a secret */
#define STATE_TARGET_MAX 8192 /* a URL */
#define STATE_FIELDS_MAX 65536
#define STATE_SQL_MAX (1U << 20)
#define STATE_PARAMS_MAX 999
#define STATE_COLUMNS_MAX 2000
#define STATE_LIST_MAX 1000
#define STATE_HANDLES_MAX 256
#define STATE_COPIES_MAX 6 /* arguments in guest memory that one function has */

enum handle_kind { HANDLE_FREE, HANDLE_BYTES, HANDLE_ROWS, HANDLE_ANSWER };

/* An answer, and how far the guest has read. */
struct handle {
    enum handle_kind kind;
    uint32_t uses; /* of its place: tells an old number from the present one */
    struct {
        uint8_t *data;
        size_t len, cap;
    } parts[SSVM_STATE_PART_COUNT];
    size_t at;      /* of BODY: bytes read, or where the next row begins */
    int64_t number; /* changes, or a status */
    uint32_t ncolumns;
    bool on_row;
    struct ssvm_state_bytes *names; /* of columns; in BODY */
    struct ssvm_state_value *values;
};

struct state {
    struct sv_state_grant grant;
    struct sv_store *store;
    void *session; /* of the back end */
    bool open;
    char error[SSVM_STATE_ERROR_MAX]; /* of the last call that failed */
    struct handle *handles;           /* max_handles; NULL: none was needed yet */
};

struct ask {
    struct ssvm_state_op op; /* first: the back end gives it back */
    struct state *state;
    struct sv_call *call;
    struct handle *answer; /* NULL: none is expected */
    void *copies[STATE_COPIES_MAX];
    unsigned ncopies;
};

/* One store's, of a copy of the grant; and its end. */
void state_init(struct state *, struct sv_store *, const struct sv_state_grant *);
void state_release(struct state *);

/* Begin; the back end's session is there afterwards. 0 or a code, to give to ask_end. */
int ask_begin(struct ask *, struct sv_call *);
/* The same where an answer is expected: a handle of this kind. */
int ask_begin_answer(struct ask *, struct sv_call *, enum handle_kind);
/* An argument in the guest's memory, at most `max` bytes: the host's until ask_end (in shared
 * memory: a copy). 0 or a code. */
int ask_bytes(struct ask *, const union sv_slot *pointer_and_len, size_t max,
              struct ssvm_state_bytes *ret);
/* The same of a name: not empty, without control characters. */
int ask_name(struct ask *, const union sv_slot *pointer_and_len, size_t max,
             struct ssvm_state_bytes *ret);
/* Over: the code, or the handle where there is one, or 0, becomes the result. Returns 0. */
int ask_end(struct ask *, int code, union sv_slot *ret);

/* The guest's handle of this kind; NULL, with the error noted, when it is none. BYTES stands for
 * all that can be read: ANSWER too. */
struct handle *handle_find(struct state *, uint32_t number, enum handle_kind);
void handle_free(struct state *, struct handle *);
/* Note why a call fails. Returns the code. */
int state_fail(struct state *, int code, const char *why);
/* Copy what fits of `len` bytes into guest memory; the result is the whole length, or a code.
 * Returns 0. */
int state_give(struct sv_call *, const void *bytes, size_t len,
               const union sv_slot *pointer_and_len, union sv_slot *ret);

#define FUNC(name, impl, part, sig, cost, doc) sv_host_fn impl;
#include "host/state/state.def"
#undef FUNC

#endif
