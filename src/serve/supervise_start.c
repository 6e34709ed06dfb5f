/* Starting workers and the control process: which descriptors and arguments they get. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/loop.h"
#include "serve/supervisor.h"
#include "serve/tally.h"

/* ---- Slots ---- */

struct srv_slot *srv_slot_find_free(struct srv_supervisor *s)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (slot->state != SRV_SLOT_FREE || slot->life.due_ns != 0 || slot->tenant[0])
            continue;
        if (slot->ring < 0 && s->has_control)
            slot->ring = srv_ring_new(s, "");
        return slot->ring >= 0 || !s->has_control ? slot : NULL;
    }
    return NULL;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void srv_slot_release(struct srv_slot *slot)
{
    srv_compile_forget(slot);
    srv_library_forget(slot);
    plat_channel_delete(slot->link);
    slot->link = NULL;
    close_end(&slot->worker_end);
    close_end(&slot->control_end);
    srv_tally_clear(slot->supervisor->tally, (uint32_t)(slot - slot->supervisor->slots));
    slot->state = SRV_SLOT_FREE;
    slot->life.pid = 0;
    slot->kill_ns = 0;
    slot->told = false;
}

/* ---- Workers ---- */

static void add_option(void *data, const char *option, const char *value)
{
    if (strcmp(option, "database") != 0) /* no worker's business: it may have a password */
        srv_process_arg(data, "--%s=%s", option, value);
}

static pid_t spawn_worker(struct srv_supervisor *s, struct srv_slot *slot, int link, bool announce)
{
    const struct srv_server *server = s->server;
    char listeners[SRV_LISTENERS_MAX * 12] = "";
    struct srv_process p;
    size_t len = 0;
    pid_t pid;

    srv_process_init(&p, s->program, s->program_fd);
    srv_process_fd(&p, link);
    srv_process_fd(&p, slot->worker_end);
    srv_process_fd(&p, slot->ring);
    srv_process_fd(&p, s->ticket_fd);
    srv_process_fd(&p, s->tally_fd);
    srv_tally_begin(s->tally, (uint32_t)(slot - s->slots));
    for (unsigned i = 0; i < server->nlisteners; i++) {
        srv_process_fd(&p, server->listeners[i].fd);
        len += (size_t)snprintf(listeners + len, sizeof listeners - len, "%d,",
                                server->listeners[i].fd);
    }
    srv_process_arg(&p, "--role=worker:%d:%d:%d:%d:%d:%d:%d:%s", link, slot->worker_end, slot->ring,
                    s->ticket_fd, s->tally_fd, (int)(slot - s->slots), announce, listeners);
    srv_process_arg(&p, "%s", server->config.dir);
    srv_config_each(&server->config, add_option, &p);
    p.patient = true;
    pid = srv_process_start(&p, &s->user);
    srv_process_release(&p);
    return pid;
}

static void add_bounded(void *data, const char *option, const char *value)
{
    static const char *const others[] = {"database", "cache", "tls-cert", "tls-key", "log"};

    for (size_t i = 0; i < SV_COUNT(others); i++) {
        if (strcmp(option, others[i]) == 0)
            return;
    }
    srv_process_arg(data, "--%s=%s", option, value);
}

/* The worker of one tenant has no addresses, no keys of sessions, no log that others write. */
static pid_t spawn_isolated(struct srv_supervisor *s, struct srv_slot *slot, int link)
{
    char cache[PLAT_CACHE_PATH];
    struct srv_process p;
    pid_t pid;

    if (!srv_isolated_open(slot))
        return -1;
    srv_process_init(&p, s->program, s->program_fd);
    srv_process_fd(&p, link);
    srv_process_fd(&p, slot->worker_end);
    srv_process_fd(&p, slot->ring);
    srv_process_fd(&p, slot->door[0]);
    srv_process_arg(&p, "--role=isolated:%d:%d:%d:%d:%s", link, slot->worker_end, slot->ring,
                    slot->door[0], slot->tenant);
    srv_process_arg(&p, "%s", s->server->config.dir);
    srv_config_each(&s->server->config, add_bounded, &p);
    srv_process_arg(&p, "--cache=%s", srv_isolated_cache(slot, cache) ? cache : "none");
    srv_process_arg(&p, "--log=none");
    p.patient = p.bare = true;
    pid = srv_process_start(&p, &s->user);
    srv_process_release(&p);
    return pid;
}

/* No worker has more to say to us than a packet holds: what one that was taken over puts beside it
 * is not read. */
void srv_slot_link(struct srv_slot *slot, own int fd)
{
    slot->link = plat_channel_new(fd, srv_supervise_take, slot);
    if (slot->link)
        plat_channel_bound(slot->link, PLAT_PACKET_MAX);
}

bool srv_start_worker(struct srv_supervisor *s, struct srv_slot *slot, bool announce)
{
    int link[2], ends[2] = {-1, -1};

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
        return false;
    if (s->has_control && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        close(link[0]);
        close(link[1]);
        return false;
    }
    slot->worker_end = ends[0];
    slot->control_end = ends[1];
    slot->generation = s->generation;
    slot->life.started_ns = srv_clock_ns();
    slot->life.due_ns = 0;
    slot->nstarted = 0;
    srv_ring_renew(slot);
    slot->life.pid = slot->tenant[0] ? spawn_isolated(s, slot, link[1])
                                     : spawn_worker(s, slot, link[1], announce);
    close(link[1]);
    srv_slot_link(slot, link[0]);
    if (slot->life.pid < 0 || !slot->link) {
        if (slot->life.pid > 0)
            return true; /* it finds nobody at the other end, and ends */
        srv_slot_release(slot);
        return false;
    }
    slot->state = SRV_SLOT_STARTING;
    slot->told = false;
    return true;
}

/* ---- Control ---- */

static void add_line(void *data, const char *option, const char *value)
{
    sv_buf_printf(data, "%s: %s\n", option, value);
}

void srv_settings_print(const struct srv_server *server, struct sv_buf *to)
{
    add_line(to, "dir", server->config.dir);
    srv_config_each(&server->config, add_line, to);
}

static bool tell_settings(struct srv_supervisor *s)
{
    struct plat_message m;
    struct sv_buf lines;
    bool ok;

    sv_buf_init(&lines, PLAT_MESSAGE_MAX);
    srv_settings_print(s->server, &lines);
    plat_message_init(&m, PLAT_SETTINGS);
    plat_put(&m, PLAT_TAG_TEXT, lines.data, lines.len);
    if (s->control_clean)
        plat_put_u64(&m, PLAT_TAG_COUNT, 1);
    if (s->started)
        plat_put_u64(&m, PLAT_TAG_NUMBER, 1);
    ok = !lines.failed && plat_channel_send(s->control_link, NULL, &m, true) == 0;
    plat_message_release(&m);
    sv_buf_release(&lines);
    return ok;
}

static bool tell_slot(struct srv_supervisor *s, const struct srv_slot *slot, bool ring_alone)
{
    struct plat_message m;
    bool ok;

    plat_message_init(&m, PLAT_WORKER);
    plat_put_u64(&m, PLAT_TAG_NUMBER, (uint64_t)(slot - s->slots));
    plat_put_u64(&m, PLAT_TAG_COUNT, (uint64_t)slot->life.pid);
    if (slot->tenant[0])
        plat_put_str(&m, PLAT_TAG_TENANT, slot->tenant);
    m.fds[m.nfds++] = slot->ring; /* lent: the message is not released with them */
    if (slot->control_end >= 0 && !ring_alone)
        m.fds[m.nfds++] = slot->control_end;
    ok = plat_channel_send(s->control_link, NULL, &m, true) == 0;
    m.nfds = 0;
    plat_message_release(&m);
    return ok;
}

bool srv_tell_control(struct srv_supervisor *s)
{
    if (!s->control_link)
        return true;
    if (!s->control_told)
        s->control_told = tell_settings(s);
    /* All rings, then workers: whoever asks for what is counted finds all of them read. */
    for (unsigned i = 0; s->control_told && i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (slot->ring < 0 || slot->ring_told)
            continue;
        slot->ring_told = tell_slot(s, slot, true);
        if (!slot->ring_told)
            return false;
    }
    for (unsigned i = 0; s->control_told && i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (slot->ring < 0 || slot->told)
            continue;
        slot->told = tell_slot(s, slot, false);
        if (!slot->told)
            return false;
    }
    return s->control_told;
}

bool srv_start_control(struct srv_supervisor *s)
{
    const struct srv_listener *first = &s->server->listeners[0];
    struct srv_process p;
    int link[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
        return false;
    srv_process_init(&p, s->control_program, s->control_fd);
    srv_process_fd(&p, link[1]);
    srv_process_arg(&p, "--channel=%d", link[1]);
    srv_process_arg(&p, "--data=%s", s->server->data);
    srv_process_arg(&p, "--public-url=%s://%s", first->tls ? "https" : "http", first->address);
    p.patient = true;
    pid = srv_process_start(&p, &s->user);
    srv_process_release(&p);
    close(link[1]);
    s->control_link = plat_channel_new(link[0], srv_supervise_take_control, s);
    s->control.started_ns = srv_clock_ns();
    s->control.due_ns = 0;
    s->control.pid = pid > 0 ? pid : 0;
    s->control_ready = s->control_told = false;
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++)
        s->slots[i].told = s->slots[i].ring_told = false;
    return pid > 0 && s->control_link;
}
