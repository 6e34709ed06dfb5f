/* Sockets for guests: what the lists allow, decided by the address that is really used. The calls
 * themselves are here, too, so that nothing comes between the look and the use. */
#ifndef OUTBOUND_NET_H
#define OUTBOUND_NET_H

#include "outbound/guard.h"
#include "outbound/resolve.h"

/* "HOST:PORT"; PORT `*`: any. */
struct out_net_rule {
    struct out_rule rule;
    uint16_t port;
    bool any_port;
    bool public_only; /* what it names of private networks does not count */
};
struct out_net {
    struct out_net_rule *connect, *listen;
    size_t nconnect, nlisten;
    bool af_unix; /* paths are the caller's to look after */
};

/* SV_EUSAGE with a sentence. `listen`: ADDR is a number, `localhost` or `*`, and PORT may be 0. */
int out_net_rule_parse(struct sv_err *, struct sv_str text, bool listen, struct out_net_rule *ret);

/* What names were found to mean, for some minutes: how an address that a guest connects to is known
 * to be that of a name on its list. Any thread. */
struct out_names;
own struct out_names *out_names_new(void);
void out_names_delete(own struct out_names *);

/* 0, or -errno; -EACCES: the lists do not allow it. A name on a list allows its addresses of the
 * internet; this machine, private networks and the like must be named by number (or `localhost`).
 * 0.0.0.0 and [::] mean this machine. */
int out_net_connect(const struct out_net *, struct out_names *, const struct out_wait *, int fd,
                    const struct sockaddr *, socklen_t);
int out_net_bind(const struct out_net *, int fd, const struct sockaddr *, socklen_t);
/* Of a socket that has been bound. */
int out_net_listen(const struct out_net *, int fd, int backlog);
/* Bytes, or -errno. *ret_to: the address that was used, of the same length. */
int64_t out_net_send_to(const struct out_net *, struct out_names *, const struct out_wait *, int fd,
                        const void *bytes, size_t len, const struct sockaddr *, socklen_t,
                        struct sockaddr_storage *ret_to);
/* As out_resolve, of names that are on the list of where to connect to; numbers are nobody's. */
int out_net_resolve(const struct out_net *, struct out_names *, const struct out_wait *,
                    const struct out_query *, struct sockaddr_storage *ret, unsigned max);
/* A descriptor, non-blocking and close-on-exec, or -errno: of a family and type that guests may
 * have. */
int out_net_socket(const struct out_net *, int family, int type);

#endif
