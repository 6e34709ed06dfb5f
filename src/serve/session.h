/* What the back ends of host functions in a worker share (state.h, socket.h, command.h): which
 * request a store runs for, and asking control for it. The guest's thread waits; when its call is
 * ended it does not any more, and control gives up what it does for it, where it can. */
#ifndef SERVE_SESSION_H
#define SERVE_SESSION_H

#include "platform/channel.h"
#include "serve/conn.h"

#define SRV_SAID_MAX 8

/* How one kind of host functions says what happened, in its own codes; 0 is success. */
struct srv_session_kind {
    int denied; /* a store without a request */
    int nomem, late, other;
    uint64_t most_ns;     /* control answers within this; 0: within the call's time */
    uint64_t patience_ns; /* beyond the deadline, for control to say that it has passed */
    struct {
        int error, code; /* an sv_code */
    } said[SRV_SAID_MAX];
};

/* One store's. */
struct srv_session {
    const struct srv_session_kind *kind;
    struct srv_conn *conn;
    uint64_t deadline_ns; /* of the function's call */
};

/* For a back end's own `open` and `close`; the data of the store is its connection. */
int srv_session_open(const struct srv_session_kind *, void *store_data, own void **ret);
void srv_session_close(own void *session);
/* The same for a single call. False: it is nobody's. */
bool srv_session_init(struct srv_session *, const struct srv_session_kind *, void *store_data);

struct srv_request *srv_session_request(const struct srv_session *);
/* The earlier one of both. */
uint64_t srv_session_deadline(const struct srv_session *, uint64_t deadline_ns);
/* It may take long, and the loop is needed meanwhile: the watch would find out. */
void srv_session_part(const struct srv_session *);
/* What the function's grants "WORD ..." name, as values of this tag. */
void srv_session_put_grants(const struct srv_session *, struct plat_message *, const char *word,
                            enum plat_tag);
/* Send, and wait for the answer until the earlier one of both deadlines; releases the message. 0,
 * and the answer is the caller's; or the kind's code, and *err says why. */
int srv_session_ask(const struct srv_session *, struct sv_err *, own struct plat_message *,
                    uint64_t deadline_ns, own struct plat_message *ret);

#endif
