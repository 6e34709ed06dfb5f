/* Requests to other servers for guests, by libcurl: only http and https, only where the rules
 * allow, at every redirection anew. Waits on the calling thread. */
#ifndef OUTBOUND_CLIENT_H
#define OUTBOUND_CLIENT_H

#include "outbound/guard.h"

#define OUT_FIELDS_MAX 65536 /* bytes of a reply's fields */
#define OUT_REDIRECTS_MAX 5
#define OUT_BODY_MAX ((size_t)16 << 20)
#define OUT_TIME_MAX_MS 300000

struct out_rules {
    const struct out_rule *hosts; /* that may be asked */
    size_t nhosts;
    /* And, of those, private addresses: only what is named here too. */
    const struct out_rule *private;
    size_t nprivate;
};

struct out_request {
    struct sv_str method, url, fields, body; /* fields: lines "name: value\r\n", checked */
    uint64_t deadline_ns;                    /* CLOCK_MONOTONIC; at most OUT_TIME_MAX_MS away */
    bool (*stopped)(void *data);             /* give up? may be NULL */
    void *data;
    uint64_t asker;      /* of names, as out_wait (resolve.h) has it */
    const char *ca_file; /* NULL: the system's */
};

/* Where the reply goes; a new one begins with status. False: too much, give up. */
struct out_sink {
    bool (*field)(void *data, struct sv_str line); /* "name: value\r\n" */
    bool (*body)(void *data, const void *bytes, size_t len);
    void *data;
};

/* Once, before there are threads. */
int out_init(struct sv_err *);
/* 0 and the status. SV_EUSAGE: no such request can be made; SV_EINVALID: it may not go there;
 * SV_ELIMIT: the reply is too large; SV_EIO: it failed; SV_EEXIT: the deadline, or stopped. */
int out_fetch(struct sv_err *, const struct out_rules *, const struct out_request *,
              const struct out_sink *, int *ret_status);

#endif
