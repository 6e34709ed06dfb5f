/* Two rings: tenants, and in each its functions. */
#include "serve/fair.h"

#include <stdlib.h>
#include <string.h>

#include "serve/conn.h"
#include "serve/function.h"

void srv_fair_release(struct srv_fair *fair)
{
    struct srv_share *share;

    while ((share = fair->all)) {
        fair->all = share->listed;
        free(share);
    }
}

struct srv_share *srv_fair_share(struct srv_fair *fair, const char *tenant)
{
    struct srv_share *share = fair->all;

    while (share && strcmp(share->tenant, tenant) != 0)
        share = share->listed;
    if (share || strlen(tenant) > SRV_TENANT_MAX)
        return share;
    share = calloc(1, sizeof *share);
    if (!share)
        return NULL;
    memcpy(share->tenant, tenant, strlen(tenant));
    share->listed = fair->all;
    fair->all = share;
    return share;
}

static struct srv_quota *quota_of(const struct srv_conn *conn)
{
    return &conn->work->request.function->quota;
}

/* Into a ring whose handle is its last element; the new one's turn is last. */
#define RING_ADD(ring, element)                                                                    \
    do {                                                                                           \
        if (*(ring)) {                                                                             \
            (element)->next = (*(ring))->next;                                                     \
            (*(ring))->next = (element);                                                           \
        } else {                                                                                   \
            (element)->next = (element);                                                           \
        }                                                                                          \
        *(ring) = (element);                                                                       \
    } while (0)
/* Take away the element behind `before`. */
#define RING_REMOVE(ring, before)                                                                  \
    do {                                                                                           \
        if ((before)->next == (before)) {                                                          \
            *(ring) = NULL;                                                                        \
        } else {                                                                                   \
            if (*(ring) == (before)->next)                                                         \
                *(ring) = (before);                                                                \
            (before)->next = (before)->next->next;                                                 \
        }                                                                                          \
    } while (0)

void srv_fair_put(struct srv_fair *fair, struct srv_conn *conn)
{
    struct srv_quota *quota = quota_of(conn);
    struct srv_share *share = quota->share;

    conn->behind = NULL;
    if (!quota->first) {
        if (!share->quotas)
            RING_ADD(&fair->ring, share);
        RING_ADD(&share->quotas, quota);
        quota->first = conn;
    } else {
        quota->last->behind = conn;
    }
    quota->last = conn;
    atomic_fetch_add_explicit(&quota->queued, 1, memory_order_relaxed);
    share->queued++;
    fair->queued++;
    fair->placed += conn->work->request.placed;
}

/* If the function's limit lets it. */
static bool begin(const struct srv_conn *conn)
{
    const struct srv_request *request = &conn->work->request;

    return srv_quota_take_waiting(quota_of(conn), request->placed, request->limits.concurrency);
}

/* Its first call, of the function behind `before`, leaves the queue. */
static struct srv_conn *pop(struct srv_share *share, struct srv_quota *before)
{
    struct srv_quota *quota = before->next;
    struct srv_conn *conn = quota->first;

    quota->first = conn->behind;
    conn->behind = NULL;
    atomic_fetch_sub_explicit(&quota->queued, 1, memory_order_relaxed);
    if (quota->first) {
        share->quotas = quota; /* the turn goes on */
        return conn;
    }
    quota->last = NULL;
    RING_REMOVE(&share->quotas, before);
    return conn;
}

/* The next call of a tenant that may run; it does. */
static struct srv_conn *take_of(struct srv_share *share)
{
    struct srv_quota *end = share->quotas, *before = end;

    do {
        if (begin(before->next->first))
            return pop(share, before);
        before = before->next;
    } while (before != end);
    return NULL;
}

struct srv_conn *srv_fair_take(struct srv_fair *fair, uint32_t tenant_max)
{
    struct srv_share *end = fair->ring, *before = end;

    if (!end)
        return NULL;
    do {
        struct srv_share *share = before->next;
        struct srv_conn *conn = share->running < tenant_max ? take_of(share) : NULL;

        if (conn) {
            fair->queued--;
            share->queued--;
            fair->placed -= conn->work->request.placed;
            if (share->quotas)
                fair->ring = share;
            else
                RING_REMOVE(&fair->ring, before);
            srv_fair_away(conn);
            return conn;
        }
        before = share;
    } while (before != end);
    return NULL;
}

void srv_fair_away(struct srv_conn *conn)
{
    quota_of(conn)->share->running++;
}

void srv_fair_go_on(struct srv_conn *conn)
{
    srv_quota_go_on(quota_of(conn), conn->work->request.placed);
    srv_fair_away(conn);
}

void srv_fair_end(struct srv_conn *conn)
{
    struct srv_quota *quota = quota_of(conn);

    quota->share->running--;
    srv_quota_give(quota, conn->work->request.placed);
}

void srv_fair_remove(struct srv_fair *fair, struct srv_conn *conn)
{
    struct srv_quota *quota = quota_of(conn), *q;
    struct srv_share *share = quota->share, *s;
    struct srv_conn *before = quota->first;

    fair->queued--;
    fair->placed -= conn->work->request.placed;
    share->queued--;
    atomic_fetch_sub_explicit(&quota->queued, 1, memory_order_relaxed);
    if (before != conn) {
        while (before->behind != conn)
            before = before->behind;
        before->behind = NULL;
        quota->last = before;
        return;
    }
    quota->first = quota->last = NULL;
    for (q = share->quotas; q->next != quota; q = q->next)
        ;
    RING_REMOVE(&share->quotas, q);
    if (share->quotas)
        return;
    for (s = fair->ring; s->next != share; s = s->next)
        ;
    RING_REMOVE(&fair->ring, s);
}
