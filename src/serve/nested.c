/* Calls between functions. The caller may stop waiting before the answer comes: what they share is
 * counted. */
#include "serve/nested.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/record.h"
#include "serve/invoke.h"
#include "serve/loop.h"
#include "serve/state.h"
#include "serve/virtual.h"

#define FIELDS_MAX 16384
#define LOOK_NS 100000000 /* how often it is looked whether the caller is to end */

/* Between the caller, which waits, and the loop that answers. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    unsigned refs; /* with the lock */
    bool done;
    int status;
    char *fields, *body;
    size_t nfields, body_len;
};

static void unref(struct waiting *w)
{
    bool last;

    pthread_mutex_lock(&w->lock);
    last = --w->refs == 0;
    pthread_mutex_unlock(&w->lock);
    if (!last)
        return;
    pthread_cond_destroy(&w->answered);
    pthread_mutex_destroy(&w->lock);
    free(w->fields);
    free(w->body);
    free(w);
}

static struct waiting *waiting_new(void)
{
    struct waiting *w = calloc(1, sizeof *w);
    pthread_condattr_t attr;

    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->answered, &attr);
    pthread_condattr_destroy(&attr);
    w->refs = 2;
    return w;
}

static char *copy(const char *bytes, size_t len)
{
    char *p = malloc(len + 1);

    if (p && len > 0)
        memcpy(p, bytes, len);
    return p;
}

static void done(void *data, int status, const char *fields, size_t nfields, const char *body,
                 size_t body_len)
{
    struct waiting *w = data;

    pthread_mutex_lock(&w->lock);
    if (w->refs > 1) { /* somebody waits still */
        w->status = status;
        w->fields = copy(fields, nfields);
        w->nfields = nfields;
        w->body = copy(body, body_len);
        w->body_len = body_len;
        w->done = true;
        pthread_cond_signal(&w->answered);
    }
    pthread_mutex_unlock(&w->lock);
    unref(w);
}

/* Until it is answered, the time is over, or the caller is to end. */
static bool wait_for(struct waiting *w, const ssvm_state_op *op, uint64_t deadline_ns)
{
    bool answered;

    pthread_mutex_lock(&w->lock);
    while (!w->done && !op->stopped(op)) {
        uint64_t now = srv_clock_ns(), until = now + LOOK_NS;
        struct timespec t;

        if (now >= deadline_ns)
            break;
        if (until > deadline_ns)
            until = deadline_ns;
        t.tv_sec = (time_t)(until / 1000000000U);
        t.tv_nsec = (long)(until % 1000000000U);
        pthread_cond_timedwait(&w->answered, &w->lock, &t);
    }
    answered = w->done;
    pthread_mutex_unlock(&w->lock);
    return answered;
}

static int give(const struct waiting *w, ssvm_state_op *op)
{
    if (!w->fields || !w->body)
        return SSVM_STATE_ENOMEM;
    op->number = w->status;
    return ssvm_state_put(op, SSVM_STATE_FIELDS, w->fields, w->nfields) &&
                   ssvm_state_put(op, SSVM_STATE_BODY, w->body, w->body_len)
               ? SSVM_STATE_OK
               : SSVM_STATE_ELIMIT;
}

/* A place among those that wait for others. */
static bool enter(struct srv_server *server)
{
    if (atomic_fetch_add(&server->nested, 1) < srv_pool_waiting_max(server))
        return true;
    atomic_fetch_sub(&server->nested, 1);
    return false;
}

static int fail(ssvm_state_op *op, int code, const char *why)
{
    snprintf(op->error, sizeof op->error, "%s", why);
    return code;
}

static int run(struct srv_conn *caller, ssvm_state_op *op, struct srv_virtual *v,
               uint64_t deadline_ns)
{
    struct srv_server *server = caller->loop->server;
    uint64_t ticket = caller->work->request.ticket;
    struct waiting *w;
    int code;

    if (!enter(server))
        return fail(op, SSVM_STATE_ELIMIT, "too many functions wait for others");
    if (ticket != 0 && !srv_pool_part(&server->pool, caller->loop, ticket)) {
        atomic_fetch_sub(&server->nested, 1);
        return fail(op, SSVM_STATE_ELIMIT, "the server has no thread for it");
    }
    w = waiting_new();
    v->done = done;
    v->data = w;
    if (!w) {
        code = SSVM_STATE_ENOMEM;
    } else if (!srv_conn_virtual(server, caller->loop, v)) {
        w->refs = 1;
        code = fail(op, SSVM_STATE_ELIMIT, "the server takes no more requests");
    } else {
        v->body = NULL;
        srv_pool_wait(&server->pool, caller);
        code = wait_for(w, op, deadline_ns) ? give(w, op) : SSVM_STATE_ETIME;
        srv_pool_go_on(&server->pool, caller);
    }
    if (w)
        unref(w);
    atomic_fetch_sub(&server->nested, 1);
    return code;
}

int srv_nested_call(struct srv_conn *caller, ssvm_state_op *op, const ssvm_state_request *r,
                    uint64_t deadline_ns)
{
    const struct srv_request *request = &caller->work->request;
    char target[SRV_INVOKE_TARGET_MAX], lines[FIELDS_MAX + 128], method[20];
    struct srv_virtual v = {.method = method,
                            .target = target,
                            .fields = lines,
                            .trigger = PLAT_TRIGGER_CALL,
                            .depth = caller->depth + 1U,
                            .deadline_ns = deadline_ns};
    int code;

    if (v.depth > SRV_CALL_DEPTH_MAX)
        return fail(op, SSVM_STATE_ELIMIT, "functions call functions too deep");
    if (r->fields.len > FIELDS_MAX)
        return fail(op, SSVM_STATE_ELIMIT, "the request's fields are too large");
    if (!srv_invoke_target(target, sv_str_of(request->function->tenant),
                           (struct sv_str){r->function.ptr, r->function.len},
                           (struct sv_str){r->target.ptr, r->target.len}))
        return fail(op, SSVM_STATE_EINVAL, "this is no function's name, or no path");
    snprintf(method, sizeof method, "%.*s", (int)r->method.len, (const char *)r->method.ptr);
    v.nfields = srv_invoke_fields((struct sv_str){r->fields.ptr, r->fields.len}, lines);
    if (request->trace[0])
        v.nfields += (size_t)snprintf(lines + v.nfields, sizeof lines - v.nfields,
                                      "traceparent: %s\r\n", request->trace);
    v.body_len = r->body.len;
    v.body = copy(r->body.ptr, r->body.len);
    if (!v.body)
        return SSVM_STATE_ENOMEM;
    code = run(caller, op, &v, deadline_ns);
    free(v.body);
    return code;
}
