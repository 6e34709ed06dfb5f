/* Calls that wait for a thread: in turn by tenant, and within a tenant by function, so that who
 * asks for much waits for himself. All with the pool's lock held. */
#ifndef SERVE_FAIR_H
#define SERVE_FAIR_H

#include "serve/limit.h"

#define SRV_TENANT_MAX 64

struct srv_function;
struct srv_conn;

/* What a tenant has of the threads. */
struct srv_share {
    char tenant[SRV_TENANT_MAX + 1];
    uint32_t running, queued; /* calls beside the loops; that wait */
    struct srv_quota *quotas; /* ring of functions with calls that wait: the last one; its `next`
                                 has the next turn */
    struct srv_share *next;   /* ring of tenants with such functions, likewise */
    struct srv_share *listed; /* list of all */
};

struct srv_fair {
    struct srv_share *ring, *all;
    uint32_t queued;
    uint32_t placed; /* of them, those that another worker may make wait */
};

void srv_fair_release(struct srv_fair *);
/* The tenant's share, made when it is new. NULL: no memory. */
struct srv_share *srv_fair_share(struct srv_fair *, const char *tenant);
/* A call of this function, whose quota has its share, waits. */
void srv_fair_put(struct srv_fair *, struct srv_conn *);
/* The call whose turn it is, of those that may run now: of a function with fewer calls than its
 * limit, of a tenant with fewer than `tenant_max`. It runs from now on: srv_fair_end. NULL: none
 * may. */
struct srv_conn *srv_fair_take(struct srv_fair *, uint32_t tenant_max);
/* A call, counted by its quota already, goes on beside the loops; the end of one that does. */
void srv_fair_away(struct srv_conn *);
/* The same of one that was ended for a while: its quota counts it again, too. */
void srv_fair_go_on(struct srv_conn *);
void srv_fair_end(struct srv_conn *);
/* Take the last call that was put for this function away again. */
void srv_fair_remove(struct srv_fair *, struct srv_conn *);

#endif
