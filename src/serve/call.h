/* Calls of functions: from a request to a reply, in a sandbox that lives as long as the call. */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H

#include <limits.h>

#include "serve/conn.h"

/* What a call's standard output and error are gathered in. */
struct srv_gather {
    own char *bytes;
    size_t len, cap, max;
    bool over; /* more came than max */
};
long srv_gather_write(void *gather, const void *bytes, size_t len);

/* What a call's guest finds around itself: arguments and environment variables by the function's
 * grants. Borrowed from the request. */
#define SRV_ENV_MAX 64
struct srv_surroundings {
    const char *args[2], *env[SRV_ENV_MAX];
    size_t nargs, nenv, ndirs;
    ssvm_dir dirs[1];
    char empty[PATH_MAX + 16]; /* a folder's path */
    bool coarse_clock;
};
void srv_call_surround(const struct srv_request *, struct srv_surroundings *ret);

/* Find the export that the request names in its version. False: the reply is an error. */
bool srv_call_resolve(struct srv_conn *);
/* A call that waited in the queue. Any thread; makes the reply. */
void srv_call_queued(struct srv_conn *);
/* A new store for a call, with the server's limits. NULL: the reply is an error. */
own ssvm_store *srv_call_store(struct srv_conn *);
/* Make the reply for a call that failed (takes the error); `expired`: by the deadline. */
void srv_call_fail(struct srv_conn *, own ssvm_error *, bool expired);
/* Answer that there is no memory. What deleted instances left for the next ones is given back, for
 * the client's next try. */
void srv_call_starve(struct srv_conn *);
/* Note why a call failed whose reply has begun (takes the error). */
void srv_call_broke(struct srv_conn *, own ssvm_error *, bool expired);
/* Add the fields that replies of functions have; `whole`: the call is over. */
void srv_call_fields(struct srv_conn *, bool whole);
/* Note what the call used. */
void srv_call_note(struct srv_conn *, const ssvm_store *);
/* How long the call has taken until now. */
void srv_call_measure(struct srv_conn *);

/* A command as a CGI program: cgi.c. */
void srv_cgi_run(struct srv_conn *);

#endif
