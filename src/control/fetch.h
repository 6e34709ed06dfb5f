/* Outbound HTTP for functions: workers have no sockets of their own. Where a function may ask is
 * its grant's to say, private addresses are the operator's (`allow-private`), and both are looked
 * at for every connection (outbound/client.h). */
#ifndef CONTROL_FETCH_H
#define CONTROL_FETCH_H

#include "control/control.h"
#include "outbound/net.h"

#define CTL_FETCHES_MAX 24 /* at a time: the pool has more threads */
#define CTL_FETCHES_OF_TENANT_MAX 12
#define CTL_FETCH_BODY_MAX (16U << 20)

/* Handler of PLAT_FETCH. TENANT, METHOD, URL, FIELDS (lines, checked by who asks), BODY,
 * TIMEOUT_MS, ALLOW (a rule of outbound/guard.h) for each. Answer: STATUS, FIELDS, BODY. SV_EUSAGE:
 * no such request can be made; SV_EINVALID: it may not go there; SV_ELIMIT: too many at a time, or
 * too large an answer; SV_EEXIT: the time is over; SV_EIO: it failed. */
int ctl_fetch(struct ctl_server *, struct sv_err *, struct plat_message *request,
              struct plat_message *ret);
/* Does the operator allow all the private addresses that the rule names? */
bool ctl_fetch_covers(const struct ctl_server *, const struct out_rule *);
/* Whose questions for names those of a tenant are (out_wait's asker). */
uint64_t ctl_fetch_asker(struct sv_str tenant);
/* What names were found to mean. */
struct out_names *ctl_fetch_names(const struct ctl_server *);
/* The same for control's own parts (callbacks of /api). */
struct ctl_fetch_request {
    const char *tenant;
    struct sv_str method, url, fields, body;
    uint64_t timeout_ms;
    const struct sv_str *allow;
    unsigned nallow;
    const struct plat_message *cancelled; /* given up with this request (dispatch.h); may be NULL */
};
int ctl_fetch_run(struct ctl_server *, struct sv_err *, const struct ctl_fetch_request *,
                  struct plat_message *ret);

#endif
