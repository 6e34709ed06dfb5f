/* Requests for the admin interfaces: /v1, /api but run, the dashboard, metrics, health. The control
 * process answers them; a few threads of their own wait for it, so that functions that take all
 * threads of the pool do not lock the operator out. */
#ifndef SERVE_FORWARD_H
#define SERVE_FORWARD_H

#include <pthread.h>

#include "serve/conn.h"

#define SRV_FORWARD_THREADS 32 /* requests that wait for control at once */
#define SRV_FORWARD_QUEUE 256  /* and that wait for their turn; beyond: 503 */
#define SRV_FORWARD_TIME_S 900 /* the longest wait: a deployment compiles */

struct srv_forward {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct srv_conn *first, *last; /* by conn->behind */
    pthread_t threads[SRV_FORWARD_THREADS];
    unsigned nqueued, nthreads, waiting;
    bool stop;
};

void srv_forward_init(struct srv_forward *);
/* After a complete drain: join the threads. */
void srv_forward_stop(struct srv_forward *);
/* Whether the request is for control, by its path as it was sent. */
bool srv_forward_wants(const struct srv_conn *);
/* Whether pages of other origins may ask: /api. */
bool srv_forward_is_open(const struct srv_conn *);
/* Bytes of body that such a request may have. */
uint64_t srv_forward_body_max(const struct srv_conn *);
/* The stage that makes the reply. AWAY, or REPLY. */
enum srv_step srv_forward_ask(struct srv_conn *);

#endif
