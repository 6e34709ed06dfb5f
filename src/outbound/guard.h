/* Where requests for guests may go: names by a list, and addresses by what they are, looked at when
 * a connection is made. Makes no connection. */
#ifndef OUTBOUND_GUARD_H
#define OUTBOUND_GUARD_H

#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"

#define OUT_HOST_MAX 253
#define OUT_RULES_MAX 256

/* One entry: "HOST[:PORT]", "*.HOST", "*", an address ("[::1]:8080"), a network ("10.0.0.0/8"). */
struct out_rule {
    char host[OUT_HOST_MAX + 1]; /* lower case; "" = an address */
    bool subdomains;             /* "*.HOST": one label more, or several */
    bool any;                    /* "*" */
    uint16_t port;               /* 0: that of the scheme */
    uint8_t address[16];         /* IPv4: mapped */
    unsigned bits;               /* of the network */
};

/* SV_EUSAGE with a sentence. */
int out_rule_parse(struct sv_err *, struct sv_str text, struct out_rule *ret);
/* May this host (lower case, without brackets and a dot at its end) be asked at this port? */
bool out_rule_allows(const struct out_rule *, const char *host, uint16_t port,
                     uint16_t scheme_port);
/* Does the rule name this address itself: by number, as a network, or `localhost` for loopback? */
bool out_rule_names(const struct out_rule *, const struct sockaddr *, uint16_t scheme_port);
/* Is all that `inner` names by number named by `outer`, too? */
bool out_rule_covers(const struct out_rule *outer, const struct out_rule *inner);
/* An address that only its own network, or nobody, can have: this machine, private, link-local and
 * with it the metadata of clouds, shared (carriers), multicast, reserved; and those inside of IPv6
 * addresses that stand for IPv4 ones. */
bool out_address_private(const struct sockaddr *);

#endif
