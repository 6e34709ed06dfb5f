/* Links: two channels, each with a thread that reads it. */
#include "serve/link.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/table.h"
#include "serve/invoke.h"
#include "serve/isolated.h"
#include "serve/loop.h"
#include "serve/registry.h"

#define SUPERVISOR_NS (10 * (uint64_t)1000000000)
#define STACK_BYTES (512U << 10) /* of a reading thread */

struct srv_link {
    struct srv_server *server;
    struct plat_channel *supervisor, *control; /* control NULL: none */
    pthread_t threads[2];
    unsigned nthreads;
};

static void refuse(struct plat_channel *channel, struct plat_message *m)
{
    struct sv_err err = {0};
    struct plat_message answer;

    plat_message_init(&answer, m->kind);
    sv_fail(&err, SV_EUNSUPPORTED, SV_NO_OFFSET, "not supported by this build");
    plat_put_error(&answer, &err);
    (void)plat_channel_answer(channel, NULL, m->id, &answer);
    plat_message_release(&answer);
}

/* A table that cannot be read leaves the one before in place. */
static void take_table(struct srv_server *server, const struct plat_message *m)
{
    struct plat_table *table;
    struct sv_err err = {0};

    if (m->nfds == 0)
        return;
    srv_isolated_trust(server, plat_get(m, PLAT_TAG_KEY));
    if (plat_table_open(&err, m->fds[0], &table) == 0)
        srv_registry_set(server, table);
    else
        srv_log_event(&server->log, "table", "", err.text);
}

static void answer_done(struct plat_channel *channel, const struct plat_message *m)
{
    struct plat_message answer;

    plat_message_init(&answer, m->kind);
    (void)plat_channel_answer(channel, NULL, m->id, &answer);
    plat_message_release(&answer);
}

static void beat(struct srv_server *server, struct plat_channel *channel)
{
    struct plat_message m;

    if (!srv_loops_beat(server))
        return;
    plat_message_init(&m, PLAT_BEAT);
    (void)plat_channel_send(channel, NULL, &m, true);
    plat_message_release(&m);
}

static void take_message(void *data, struct plat_channel *channel, struct plat_message *m)
{
    struct srv_link *link = data;

    switch (m->kind) {
    case PLAT_TABLE:
        take_table(link->server, m);
        break;
    case PLAT_ASK_TABLE: /* messages come in order */
        answer_done(channel, m);
        break;
    case PLAT_ASK_INVOKE:
        srv_invoke_ask(link->server, channel, m);
        break;
    case PLAT_ASK_STATUS:
        srv_live_ask(link->server, channel, m);
        break;
    case PLAT_BEAT:
        beat(link->server, channel);
        break;
    case PLAT_HELLO: /* the channel itself has reset the calls */
        break;
    default:
        if (m->id != 0)
            refuse(channel, m);
    }
}

static void *read_channel(void *data)
{
    (void)plat_channel_run(data, NULL);
    return NULL;
}

static bool start(struct srv_link *link, struct plat_channel *channel)
{
    pthread_attr_t attr;
    bool ok;

    if (!channel || pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    ok = pthread_create(&link->threads[link->nthreads], &attr, read_channel, channel) == 0;
    pthread_attr_destroy(&attr);
    link->nthreads += ok;
    return ok;
}

bool srv_link_start(struct srv_server *server, own int supervisor_fd, own int control_fd)
{
    struct srv_link *link = calloc(1, sizeof *link);

    if (!link)
        return false;
    link->server = server;
    server->link = link;
    link->supervisor = plat_channel_new(supervisor_fd, take_message, link);
    link->control = control_fd >= 0 ? plat_channel_new(control_fd, take_message, link) : NULL;
    return start(link, link->supervisor) && (control_fd < 0 || start(link, link->control));
}

void srv_link_stop(struct srv_server *server)
{
    struct srv_link *link = server->link;

    if (link->supervisor)
        plat_channel_stop(link->supervisor);
    if (link->control)
        plat_channel_stop(link->control);
    while (link->nthreads > 0)
        pthread_join(link->threads[--link->nthreads], NULL);
}

void srv_link_ready(struct srv_server *server, uint32_t functions, uint32_t broken)
{
    struct plat_message m;

    plat_message_init(&m, PLAT_READY);
    plat_put_u64(&m, PLAT_TAG_COUNT, functions);
    plat_put_u64(&m, PLAT_TAG_NUMBER, broken);
    (void)plat_channel_send(server->link->supervisor, NULL, &m, false);
    plat_message_release(&m);
}

bool srv_link_has_control(const struct srv_server *server)
{
    return server->link && server->link->control;
}

static int fail_alone(struct sv_err *err)
{
    return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                   "there is no control process: the server runs without a data folder");
}

int srv_link_call(struct srv_server *server, struct sv_err *err, struct plat_message *m,
                  uint64_t deadline_ns, struct plat_message *ret)
{
    if (!srv_link_has_control(server))
        return fail_alone(err);
    return plat_channel_call(server->link->control, err, m, deadline_ns, ret);
}

static bool guest_ended(void *guest)
{
    return srv_pool_guest_ended(guest);
}

int srv_link_call_of(struct srv_server *server, struct sv_err *err, struct plat_message *m,
                     uint64_t deadline_ns, struct srv_guest *guest, struct plat_message *ret)
{
    if (!srv_link_has_control(server))
        return fail_alone(err);
    return plat_channel_call_of(server->link->control, err, m, deadline_ns, guest, guest_ended,
                                ret);
}

void srv_link_end_calls(struct srv_server *server, const struct srv_guest *guest)
{
    if (srv_link_has_control(server))
        plat_channel_end_calls(server->link->control, guest);
}

int srv_link_tell(struct srv_server *server, struct sv_err *err, struct plat_message *m)
{
    if (!srv_link_has_control(server))
        return fail_alone(err);
    return plat_channel_send(server->link->control, err, m, true);
}

int srv_link_compile(void *data, unsigned form, uint32_t func, uint32_t loop, bool cached,
                     const int fds[3])
{
    struct srv_server *server = data;
    struct plat_message m, answer;
    uint64_t status = 0;
    bool ok = true;

    plat_message_init(&m, PLAT_ASK_COMPILE);
    plat_put_u64(&m, PLAT_TAG_NUMBER, form);
    plat_put_u64(&m, PLAT_TAG_COUNT, func);
    plat_put_u64(&m, PLAT_TAG_LIMIT, loop);
    plat_put_str(&m, PLAT_TAG_OP, cached ? "cache" : "none");
    for (int i = 0; i < 3; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

        ok = ok && fd >= 0 && plat_put_fd(&m, fd);
    }
    ok = ok && plat_channel_call(server->link->supervisor, NULL, &m, UINT64_MAX, &answer) == 0;
    plat_message_release(&m);
    if (!ok)
        return -1;
    ok = plat_get_u64(&answer, PLAT_TAG_NUMBER, &status);
    plat_message_release(&answer);
    return ok ? (int)status : -1;
}

own int srv_link_isolated(struct srv_server *server, struct sv_err *err, const char *tenant,
                          own int *ret_token)
{
    struct plat_message m, answer;
    int r, fd = -1;

    plat_message_init(&m, PLAT_ASK_ISOLATED);
    plat_put_str(&m, PLAT_TAG_TENANT, tenant);
    r = plat_channel_call(server->link->supervisor, err, &m, srv_clock_ns() + SUPERVISOR_NS,
                          &answer);
    plat_message_release(&m);
    if (r < 0)
        return -1;
    if (answer.nfds == 2) {
        fd = answer.fds[--answer.nfds];
        *ret_token = answer.fds[--answer.nfds];
    } else {
        sv_fail(err, SV_EIO, SV_NO_OFFSET, "there is no descriptor for the request");
    }
    plat_message_release(&answer);
    return fd;
}

int srv_link_library(void *data, const char *backend, char *why, size_t size, long *ret_number)
{
    const struct srv_server *server = data;
    struct plat_message m, answer;
    struct sv_err err = {0};
    uint64_t number = 0;
    int fd = -1;

    plat_message_init(&m, PLAT_ASK_LIBRARY);
    plat_put_str(&m, PLAT_TAG_NAME, backend);
    if (plat_channel_call(server->link->supervisor, &err, &m, srv_clock_ns() + SUPERVISOR_NS,
                          &answer) == 0) {
        if (answer.nfds == 1 && plat_get_u64(&answer, PLAT_TAG_NUMBER, &number))
            fd = answer.fds[--answer.nfds];
        plat_message_release(&answer);
    }
    plat_message_release(&m);
    *ret_number = (long)number;
    if (fd < 0)
        snprintf(why, size, "%s", err.text[0] ? err.text : "no process for it was started");
    return fd;
}

void srv_link_library_end(void *data, long number)
{
    const struct srv_server *server = data;
    struct plat_message m;

    plat_message_init(&m, PLAT_LIBRARY_END);
    plat_put_u64(&m, PLAT_TAG_NUMBER, (uint64_t)number);
    (void)plat_channel_send(server->link->supervisor, NULL, &m, false);
    plat_message_release(&m);
}
