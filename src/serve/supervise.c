/* What the supervisor does, when: one loop over signals, the messages of its children, and time. */
#include "serve/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/jail.h"
#include "serve/data.h"
#include "serve/listen.h"
#include "serve/loop.h"
#include "serve/priority.h"
#include "serve/status.h"
#include "serve/supervisor.h"
#include "serve/tally.h"
#include "serve/ticket.h"
#include "serve/worker.h"

#define NS_PER_MS ((uint64_t)1000000)
#define SHORT_LIFE_MS 1000 /* who ends sooner is started again later and later */
#define PAUSE_FIRST_MS 20
#define PAUSE_NEEDED_MS 100
#define PAUSE_MOST_MS 1000
#define START_TRIES 3 /* of a first worker that is killed before it serves */
#define CONTROL_GRACE_MS 10000
#define CLOSE_AFTER_MS 50 /* from the end's begin: workers have taken what waited at the door */
#define FDS_FIXED 3       /* that the loop looks at, beside those of workers */
#define RETRY_MS 20       /* to tell control what found no room */
#define CONTROL_TURNS 64  /* messages of control that are taken before others */
#define BEAT_MS 2000      /* workers show that their loops go round so often */
#define BEATS_MISSED 5    /* without one of them a worker hangs */

static bool is_current(const struct srv_supervisor *s, const struct srv_slot *slot)
{
    return slot->generation == s->generation;
}

/* Workers of this generation that are in this state. */
static unsigned count_workers(const struct srv_supervisor *s, enum srv_slot_state state)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++)
        n += s->slots[i].state == state && is_current(s, &s->slots[i]) && !s->slots[i].tenant[0];
    return n;
}

static bool any_worker(const struct srv_supervisor *s)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (s->slots[i].state != SRV_SLOT_FREE)
            return true;
    }
    return false;
}

/* ---- Ending ---- */

/* By the settings that it was started with. */
uint64_t srv_end_ns(const struct srv_supervisor *s, bool retires)
{
    const struct srv_config *config = s->previous ? &s->previous->config : &s->server->config;
    uint64_t ms = retires ? config->retire_ms : config->drain_ms;

    return srv_clock_ns() + (ms + SRV_END_GRACE_MS) * NS_PER_MS;
}

void srv_slot_end(struct srv_supervisor *s, struct srv_slot *slot, int number)
{
    kill(slot->life.pid, number);
    if (slot->state != SRV_SLOT_RETIRING)
        slot->served = slot->state == SRV_SLOT_READY;
    slot->state = SRV_SLOT_RETIRING;
    slot->kill_ns = srv_end_ns(s, number == SIGUSR1);
}

/* Workers wait for what was asked of control, for drain-time. */
static void tell_drain(struct srv_supervisor *s)
{
    struct plat_message m;

    if (!s->control_link)
        return;
    plat_message_init(&m, PLAT_DRAIN);
    plat_put_u64(&m, PLAT_TAG_TIMEOUT_MS, s->server->config.drain_ms / 2);
    (void)plat_channel_send(s->control_link, NULL, &m, true);
    plat_message_release(&m);
}

static void end_all(struct srv_supervisor *s, int status)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        s->slots[i].life.due_ns = 0;
        if (s->slots[i].state != SRV_SLOT_FREE && !s->slots[i].tenant[0])
            srv_slot_end(s, &s->slots[i], SIGTERM); /* the others need those of tenants */
    }
    if (!s->ending) {
        tell_drain(s);
        s->close_ns = srv_clock_ns() + CLOSE_AFTER_MS * NS_PER_MS;
        s->status = status;
    }
    s->ending = true;
    s->control.due_ns = 0;
}

static void end_control(struct srv_supervisor *s)
{
    if (s->control.pid == 0 || s->control_ending)
        return;
    s->control_ending = true;
    kill(s->control.pid, SIGTERM);
    s->kill_ns = srv_clock_ns() + CONTROL_GRACE_MS * NS_PER_MS;
}

/* Nobody will take what knocks from now on. */
static void close_addresses(struct srv_supervisor *s)
{
    for (unsigned i = 0; i < s->server->nlisteners; i++)
        shutdown(s->server->listeners[i].fd, SHUT_RD);
    s->close_ns = 0;
}

/* ---- Starting ---- */

/* When who has just ended is started again. Who had served, or was killed, is needed: only who
 * never gets so far by itself has to wait for long. */
static void set_due(struct srv_life *life, bool served, int status)
{
    bool needed = served || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    uint64_t now = srv_clock_ns(), pause_ms = 0, most_ms = needed ? PAUSE_NEEDED_MS : PAUSE_MOST_MS;

    if (now - life->started_ns >= SHORT_LIFE_MS * NS_PER_MS)
        life->short_lives = 0;
    else
        pause_ms = (uint64_t)PAUSE_FIRST_MS << (life->short_lives < 10 ? life->short_lives++ : 10);
    life->due_ns = now + (pause_ms < most_ms ? pause_ms : most_ms) * NS_PER_MS;
    life->pid = 0;
}

/* A first one that tells of mistakes, then all others. */
static void start_workers(struct srv_supervisor *s, unsigned n)
{
    unsigned there = count_workers(s, SRV_SLOT_STARTING) + count_workers(s, SRV_SLOT_READY);

    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++)
        there +=
            s->slots[i].life.due_ns != 0 && is_current(s, &s->slots[i]) && !s->slots[i].tenant[0];
    for (; there < n; there++) {
        struct srv_slot *slot = srv_slot_find_free(s);

        if (!slot || !srv_start_worker(s, slot, !s->started && there == 0)) {
            fprintf(stderr, "ssvm-serve: cannot start a worker: %s\n", strerror(errno));
            if (!s->started && there == 0)
                end_all(s, SRV_STATUS_ERROR);
            return;
        }
    }
}

static void announce(const struct srv_supervisor *s)
{
    const struct srv_server *server = s->server;

    for (unsigned i = 0; i < server->nlisteners; i++) {
        printf("ssvm-serve: %s://%s ", server->listeners[i].tls ? "https" : "http",
               server->listeners[i].address);
        if (server->listeners[i].admin)
            printf("is for operators: /v1, /dashboard, /metrics\n");
        else
            printf("serves '%s', functions: %u, broken: %u\n", server->config.dir, s->functions,
                   s->broken);
    }
    fflush(stdout);
}

/* ---- Reloading ---- */

/* Close what `server` listens on and `other` does not, and forget its settings. */
static void drop_settings(own struct srv_server *server, const struct srv_server *other)
{
    for (unsigned i = 0; i < server->nlisteners; i++) {
        bool kept = false;

        for (unsigned j = 0; j < other->nlisteners; j++)
            kept = kept || other->listeners[j].fd == server->listeners[i].fd;
        if (!kept)
            close(server->listeners[i].fd);
    }
    srv_config_release(&server->config);
    free(server);
}

static void take_addresses(struct srv_server *to, const struct srv_server *from)
{
    memcpy(to->inherited, from->listeners, sizeof to->inherited);
    to->ninherited = from->nlisteners;
}

/* The settings read again. NULL with a message: they cannot be used. */
static own struct srv_server *read_settings(struct srv_supervisor *s)
{
    struct srv_server *fresh = calloc(1, sizeof *fresh);

    if (!fresh)
        return NULL;
    fresh->root = fresh->spare_fd = fresh->log.fd = -1;
    fresh->data_lock = s->server->data_lock;
    take_addresses(fresh, s->server);
    if (srv_config_read(&fresh->config, s->argc, s->argv) == SRV_CONFIG_RUN &&
        srv_worker_open_root(fresh) && srv_listen_open(fresh)) {
        close(fresh->root);
        close(fresh->spare_fd);
        if (srv_data_open(fresh, &s->user, s->control_program[0]) &&
            strcmp(fresh->data, s->server->data) == 0)
            return fresh;
        fprintf(stderr, "ssvm-serve: another data folder needs a restart\n");
    }
    drop_settings(fresh, s->server);
    return NULL;
}

static void begin_reload(struct srv_supervisor *s)
{
    struct srv_server *fresh;

    s->reload_again = s->reloading || !s->started;
    if (s->reload_again || s->ending)
        return;
    fresh = read_settings(s);
    if (!fresh) {
        fprintf(stderr, "ssvm-serve: not reloaded: it goes on with the settings that it had\n");
        return;
    }
    s->previous = s->server;
    s->server = fresh;
    s->nworkers = srv_supervise_count(fresh);
    s->generation++;
    s->reloading = true;
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (!s->slots[i].tenant[0])
            s->slots[i].life.due_ns = 0; /* who was to come back comes as one of the new ones */
    }
    start_workers(s, s->nworkers);
}

static bool same_settings(const struct srv_server *a, const struct srv_server *b)
{
    struct sv_buf text[2];
    bool same;

    for (int i = 0; i < 2; i++) {
        sv_buf_init(&text[i], SIZE_MAX);
        srv_settings_print(i ? b : a, &text[i]);
    }
    same = text[0].len == text[1].len && memcmp(text[0].data, text[1].data, text[0].len) == 0;
    sv_buf_release(&text[0]);
    sv_buf_release(&text[1]);
    return same;
}

/* All of the new generation serve: the others may go. */
static void finish_reload(struct srv_supervisor *s)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (!is_current(s, slot)) {
            if (!slot->tenant[0])
                slot->life.due_ns = 0;
            if (slot->state == SRV_SLOT_STARTING || slot->state == SRV_SLOT_READY)
                srv_slot_end(s, slot, SIGUSR1);
        }
    }
    s->reloading = false;
    if (s->previous) {
        if (!same_settings(s->previous, s->server))
            end_control(s); /* it comes back with the new ones */
        drop_settings(s->previous, s->server);
        s->previous = NULL;
    }
    fprintf(stderr, "ssvm-serve: reloaded\n");
    if (s->reload_again)
        begin_reload(s);
}

/* One of the new generation does not start: the old one goes on. */
static void give_up_reload(struct srv_supervisor *s)
{
    struct srv_server *fresh = s->server;

    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (is_current(s, &s->slots[i])) {
            s->slots[i].life.due_ns = 0;
            if (s->slots[i].state != SRV_SLOT_FREE)
                srv_slot_end(s, &s->slots[i], SIGTERM);
        }
    }
    s->server = s->previous;
    s->previous = NULL;
    s->nworkers = srv_supervise_count(s->server);
    s->generation--;
    s->reloading = false;
    drop_settings(fresh, s->server);
    fprintf(stderr, "ssvm-serve: not reloaded: it goes on with the settings that it had\n");
    start_workers(s, s->nworkers); /* some may have died meanwhile */
}

/* ---- What children say ---- */

static void note_ready(struct srv_supervisor *s)
{
    if (s->ending)
        return;
    if (!s->started) {
        if (count_workers(s, SRV_SLOT_READY) > 0 && (s->control_ready || !s->has_control))
            start_workers(s, s->nworkers);
        if (count_workers(s, SRV_SLOT_READY) < s->nworkers || (s->has_control && !s->control_ready))
            return;
        s->started = true;
        announce(s);
        if (s->reload_again)
            begin_reload(s);
    } else if (s->reloading && count_workers(s, SRV_SLOT_READY) >= s->nworkers) {
        finish_reload(s);
    }
}

void srv_supervise_take(void *data, struct plat_channel *channel, struct plat_message *m)
{
    struct srv_slot *slot = data;
    struct srv_supervisor *s = slot->supervisor;
    uint64_t functions = 0, broken = 0;

    (void)channel;
    if (m->kind == PLAT_ASK_COMPILE) {
        srv_compile_ask(slot, m);
    } else if (m->kind == PLAT_ASK_ISOLATED) {
        srv_isolated_ask(slot, m);
    } else if (m->kind == PLAT_ASK_LIBRARY) {
        srv_library_ask(slot, m);
    } else if (m->kind == PLAT_LIBRARY_END) {
        srv_library_stop(slot, m);
    } else if (m->kind == PLAT_READY && slot->state == SRV_SLOT_STARTING && slot->tenant[0]) {
        slot->state = SRV_SLOT_READY;
        slot->silent = 0;
        slot->kill_ns = 0;
    } else if (m->kind == PLAT_READY && slot->state == SRV_SLOT_STARTING) {
        plat_get_u64(m, PLAT_TAG_COUNT, &functions);
        plat_get_u64(m, PLAT_TAG_NUMBER, &broken);
        s->functions = (uint32_t)functions;
        s->broken = (uint32_t)broken;
        slot->state = SRV_SLOT_READY;
        slot->silent = 0;
        note_ready(s);
    } else if (m->kind == PLAT_BEAT) {
        slot->silent = 0;
    }
}

void srv_supervise_take_control(void *data, struct plat_channel *channel, struct plat_message *m)
{
    struct srv_supervisor *s = data;

    (void)channel;
    if (m->kind == PLAT_READY) {
        s->control_ready = true;
        note_ready(s);
    } else if (m->kind == PLAT_ISOLATED) {
        srv_isolated_list(s, m);
    }
}

/* ---- Ends of children ---- */

static void tell_end(const char *what, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        fprintf(stderr, "ssvm-serve: %s (process %d) was ended by signal %d (%s)\n", what, (int)pid,
                WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        fprintf(stderr, "ssvm-serve: %s (process %d) ended with status %d\n", what, (int)pid,
                WEXITSTATUS(status));
}

static void take_worker_end(struct srv_supervisor *s, struct srv_slot *slot, int status)
{
    bool wanted = slot->state != SRV_SLOT_RETIRING && !s->ending;
    bool was_ready = slot->state == SRV_SLOT_READY,
         failed = !WIFEXITED(status) || WEXITSTATUS(status);

    if (wanted && (s->started || WIFSIGNALED(status)))
        tell_end("worker", slot->life.pid, status);
    else if (WIFSIGNALED(status) && (slot->served || WTERMSIG(status) != SIGTERM))
        tell_end("worker that was to end", slot->life.pid, status);
    /* Who was still starting may end as he likes, by the signal too. */
    if (s->ending && failed && slot->served)
        s->status = s->status ? s->status : SRV_STATUS_ERROR;
    srv_slot_release(slot);
    if (!wanted || !is_current(s, slot)) /* the next generation is on its way */
        return;
    if (!s->started && (WIFEXITED(status) || slot->life.short_lives == START_TRIES)) {
        end_all(s, WIFEXITED(status) && failed ? WEXITSTATUS(status) : SRV_STATUS_ERROR);
        return;
    }
    if (s->reloading && !was_ready && s->previous) {
        give_up_reload(s);
        return;
    }
    set_due(&slot->life, was_ready, status);
}

/* Of one tenant's worker: it is started again when somebody asks, or waits. Who leaves for want of
 * work says so by its status. */
static void take_isolated_end(struct srv_supervisor *s, struct srv_slot *slot, int status)
{
    bool was_ready = slot->state == SRV_SLOT_READY, wanted = slot->state != SRV_SLOT_RETIRING;
    bool failed = !WIFEXITED(status) || WEXITSTATUS(status);
    char what[SRV_TENANT_SIZE + 32];

    snprintf(what, sizeof what, "worker of tenant '%s'", slot->tenant);
    if (failed && (wanted || WIFSIGNALED(status)))
        tell_end(what, slot->life.pid, status);
    srv_slot_release(slot);
    slot->unready = failed && !was_ready && wanted ? slot->unready + 1 : 0;
    if (failed)
        set_due(&slot->life, was_ready, status);
    else
        slot->life = (struct srv_life){.due_ns = srv_clock_ns()};
    if (s->ending || !wanted) {
        slot->life.due_ns = 0;
        srv_isolated_close(slot);
    }
}

static void take_control_end(struct srv_supervisor *s, int status)
{
    bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;

    if (!s->control_ending)
        tell_end("control process", s->control.pid, status);
    plat_channel_delete(s->control_link);
    s->control_link = NULL;
    s->control_clean = s->control_ready && !failed;
    s->control_ending = false;
    s->kill_ns = 0;
    if (!s->started && !s->control_ready && failed && !WIFSIGNALED(status))
        end_all(s, SRV_STATUS_ERROR); /* it has said why */
    if (s->ending || !s->has_control)
        s->control.pid = 0;
    else
        set_due(&s->control, s->control_ready, status);
    if (s->control_clean && s->control.due_ns)
        s->control.due_ns = 1;
    s->control_ready = false;
}

static void take_ends(struct srv_supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->control.pid) {
            take_control_end(s, status);
        } else if (!srv_compile_end(s, pid, status) && !srv_library_end(s, pid, status)) {
            for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
                if (s->slots[i].life.pid == pid && s->slots[i].tenant[0])
                    take_isolated_end(s, &s->slots[i], status);
                else if (s->slots[i].life.pid == pid)
                    take_worker_end(s, &s->slots[i], status);
            }
        }
    }
}

/* ---- DIR ---- */

/* Workers may read the folders `site` and `functions` that were there when they started. When one
 * comes, goes or is replaced, new workers are needed. */
static void open_watch(struct srv_supervisor *s)
{
    s->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (s->watch >= 0)
        inotify_add_watch(s->watch, s->server->config.dir, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
}

static void take_watch(struct srv_supervisor *s)
{
    _Alignas(struct inotify_event) char events[4096];
    bool replaced = false;
    ssize_t n;

    while ((n = read(s->watch, events, sizeof events)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(events + at);

            replaced = replaced || (event->len > 0 && (strcmp(event->name, "site") == 0 ||
                                                       strcmp(event->name, "functions") == 0));
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
    if (replaced && !s->server->config.no_jail)
        begin_reload(s);
}

/* ---- The loop ---- */

static void take_signals(struct srv_supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof info) == sizeof info) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            end_all(s, 0);
            break;
        case SIGHUP:
            if (info.ssi_code == SI_KERNEL) /* the terminal is gone */
                end_all(s, 0);
            else
                begin_reload(s);
            break;
        case SIGUSR2:
            if (s->started && !s->reloading && !s->ending)
                srv_upgrade(s);
            break;
        default:
            break;
        }
    }
    take_ends(s);
}

/* Who hangs is no use: another one takes the connections that wait at the door. What is counted are
 * beats rather than time: when the machine stood still, nobody could have answered. */
static void ask_for_beats(struct srv_supervisor *s)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];
        struct plat_message m;

        if (slot->state != SRV_SLOT_READY)
            continue;
        if (slot->silent == BEATS_MISSED) {
            fprintf(stderr, "ssvm-serve: worker (process %d) hangs: it is killed\n",
                    (int)slot->life.pid);
            kill(slot->life.pid, SIGKILL);
        }
        slot->silent++;
        plat_message_init(&m, PLAT_BEAT);
        (void)plat_channel_send(slot->link, NULL, &m, true);
        plat_message_release(&m);
    }
}

static void sooner(uint64_t *next, uint64_t due)
{
    if (due != 0 && due < *next)
        *next = due;
}

/* Do what is due. When there is more; UINT64_MAX: nothing. */
static uint64_t take_time(struct srv_supervisor *s)
{
    uint64_t now = srv_clock_ns(), next = UINT64_MAX;

    if (s->close_ns && s->close_ns <= now)
        close_addresses(s);
    if (s->tickets && s->rotate_ns <= now) {
        srv_tickets_rotate(s->tickets);
        s->rotate_ns = now + SRV_TICKET_ROTATE_S * 1000 * NS_PER_MS;
    }
    if (s->started && s->beat_ns <= now) {
        ask_for_beats(s);
        s->beat_ns = now + BEAT_MS * NS_PER_MS;
    }
    if (s->kill_ns && s->kill_ns <= now) {
        kill(s->control.pid, SIGKILL);
        s->kill_ns = 0;
    }
    if (s->control.due_ns && s->control.due_ns <= now && !srv_start_control(s))
        set_due(&s->control, false, 0);
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (slot->state == SRV_SLOT_FREE && slot->life.due_ns && slot->life.due_ns <= now &&
            slot->tenant[0] && !srv_isolated_awaited(slot))
            slot->life.due_ns = 0;
        if (slot->state == SRV_SLOT_FREE && slot->life.due_ns && slot->life.due_ns <= now &&
            !srv_start_worker(s, slot, !s->started && i == 0))
            set_due(&slot->life, false, 0);
        if (slot->kill_ns && slot->kill_ns <= now) {
            kill(slot->life.pid, SIGKILL);
            slot->kill_ns = 0;
        }
        sooner(&next, slot->life.due_ns);
        sooner(&next, slot->kill_ns);
    }
    sooner(&next, s->control.due_ns);
    sooner(&next, s->kill_ns);
    sooner(&next, s->close_ns);
    sooner(&next, s->beat_ns);
    sooner(&next, s->rotate_ns);
    sooner(&next, srv_compile_time(s, now));
    if (!srv_tell_control(s))
        sooner(&next, now + RETRY_MS * NS_PER_MS);
    return next;
}

static void wait_for_more(struct srv_supervisor *s, uint64_t next)
{
    struct pollfd fds[SRV_SLOTS_MAX + FDS_FIXED] = {{.fd = s->signals, .events = POLLIN},
                                                    {.fd = s->watch, .events = POLLIN}};
    struct srv_slot *slots[SRV_SLOTS_MAX];
    uint64_t now = srv_clock_ns();
    nfds_t n = 2;
    int timeout = next == UINT64_MAX ? -1 : next <= now ? 0 : (int)((next - now) / NS_PER_MS) + 1;

    fds[n++] = (struct pollfd){.fd = s->control_link ? plat_channel_fd(s->control_link) : -1,
                               .events = POLLIN};
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (s->slots[i].link) {
            slots[n - FDS_FIXED] = &s->slots[i];
            fds[n++] = (struct pollfd){.fd = plat_channel_fd(s->slots[i].link), .events = POLLIN};
        }
    }
    if (poll(fds, n, timeout) <= 0)
        return;
    /* What control has said before a worker speaks is heard before it, whatever poll has seen. */
    for (int i = 0; i < CONTROL_TURNS && s->control_link; i++) {
        if (plat_channel_turn(s->control_link) <= 0)
            break;
    }
    for (nfds_t i = FDS_FIXED; i < n; i++) {
        if (fds[i].revents & POLLIN && slots[i - FDS_FIXED]->link)
            plat_channel_turn(slots[i - FDS_FIXED]->link);
    }
    if (fds[1].revents)
        take_watch(s);
    if (fds[0].revents)
        take_signals(s);
}

static int run(struct srv_supervisor *s)
{
    for (;;) {
        uint64_t next = take_time(s);

        if (s->ending)
            srv_isolated_end(s);
        if (s->ending && !any_worker(s)) {
            if (s->control.pid == 0)
                return s->status;
            end_control(s);
            sooner(&next, s->kill_ns);
        }
        wait_for_more(s, next);
    }
}

/* ---- Begin ---- */

static void open_signals(struct srv_supervisor *s)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    s->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Four descriptors a worker, and those of compilers. */
static void raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

unsigned srv_supervise_count(const struct srv_server *server)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (server->config.workers)
        return (unsigned)server->config.workers;
    return cores < 1 ? 1 : cores < SRV_WORKERS_MAX ? (unsigned)cores : SRV_WORKERS_MAX;
}

static bool prepare(struct srv_supervisor *s, struct srv_server *server)
{
    ssize_t n = readlink("/proc/self/exe", s->program, sizeof s->program - 1);

    if (!plat_jail_has_files() && !server->config.no_jail)
        fprintf(stderr, "ssvm-serve: this system has no Landlock: workers may read all files that "
                        "their user may\n");
    s->program[n > 0 ? n : 0] = '\0';
    if (!srv_process_find("ssvm", s->compiler, sizeof s->compiler))
        s->compiler[0] = '\0';
    if (!srv_process_find("ssvm-control", s->control_program, sizeof s->control_program))
        s->control_program[0] = '\0';
    s->program_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    s->control_fd = s->control_program[0] ? open(s->control_program, O_PATH | O_CLOEXEC) : -1;
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        s->slots[i].supervisor = s;
        s->slots[i].ring = s->slots[i].worker_end = s->slots[i].control_end = -1;
        s->slots[i].door[0] = s->slots[i].door[1] = -1;
    }
    plat_message_init(&s->isolated, PLAT_ISOLATED);
    s->tickets = srv_tickets_new(&s->ticket_fd);
    s->tally_fd = -1;
    return srv_user_find(&s->user, server->config.user);
}

int srv_supervise(struct srv_server *server, int argc, char **argv)
{
    static struct srv_supervisor supervisor;
    struct srv_supervisor *s = &supervisor;
    int status;

    *s = (struct srv_supervisor){
        .argc = argc, .argv = argv, .generation = 1, .nworkers = srv_supervise_count(server)};
    s->server = malloc(sizeof *server);
    if (!s->server)
        return SRV_STATUS_ERROR;
    if (!prepare(s, server))
        return SRV_STATUS_USAGE;
    raise_files();
    srv_priority_allow();
    open_signals(s);
    *s->server = *server;
    server->config = (struct srv_config){0}; /* moved */
    srv_upgrade_take(s);
    if (!srv_worker_open_root(s->server) || !srv_listen_open(s->server) ||
        !srv_data_open(s->server, &s->user, s->control_program[0]))
        return SRV_STATUS_ERROR;
    for (unsigned i = 0; i < s->server->ninherited; i++) { /* that is not wanted any more */
        if (s->server->inherited[i].fd >= 0)
            close(s->server->inherited[i].fd);
    }
    open_watch(s);
    s->has_control = s->server->data[0];
    if (!s->tally && s->has_control) /* the program before has left none */
        s->tally = srv_tally_new(s->nworkers, &s->tally_fd);
    if (s->has_control)
        srv_rings_take(s);
    if (s->control.pid > 0)
        end_control(s); /* the other program's */
    else if (s->has_control)
        s->control.due_ns = 1;
    start_workers(s, s->started ? s->nworkers : 1);
    take_ends(s); /* the program before may have had the signal, and not the time */
    status = run(s);
    if (s->has_control)
        srv_rings_remove(s);
    return status;
}
