/* Workers of one tenant each (isolation 'process'): who has one, and connections to it for the
 * other workers. A connection waits at the worker's door, which is the supervisor's: it outlives
 * the process, so that who starts after a crash finds what the one before had not taken. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fds.h"
#include "serve/loop.h"
#include "serve/supervisor.h"
#include "serve/token.h"

#define NS_PER_MS ((uint64_t)1000000)
#define START_MS 30000 /* to serve; then it is killed */
#define UNREADY_MAX 3  /* processes that ended so, after which it is said that none starts */

/* ---- Slots ---- */

/* Its own of this generation; else one that is free and was the tenant's. */
static struct srv_slot *find_slot(struct srv_supervisor *s, const char *tenant)
{
    struct srv_slot *found = NULL;

    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (strcmp(slot->tenant, tenant) != 0)
            continue;
        if (slot->state == SRV_SLOT_FREE)
            found = slot;
        else if (slot->state != SRV_SLOT_RETIRING && slot->generation == s->generation)
            return slot;
    }
    return found;
}

static unsigned count_processes(const struct srv_supervisor *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++)
        n += s->slots[i].tenant[0] && s->slots[i].state != SRV_SLOT_FREE;
    return n;
}

/* One that nobody ever had; else another tenant's, if all that its ring had is counted. */
static struct srv_slot *take_slot(struct srv_supervisor *s, const char *tenant)
{
    for (unsigned i = SRV_SLOTS_MAX; i-- > 0;) {
        struct srv_slot *slot = &s->slots[i];

        if (slot->state != SRV_SLOT_FREE || slot->tenant[0] || slot->life.due_ns || slot->ring >= 0)
            continue;
        slot->ring = srv_ring_new(s, tenant);
        if (slot->ring < 0)
            return NULL;
        snprintf(slot->tenant, sizeof slot->tenant, "%s", tenant);
        return slot;
    }
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (slot->state != SRV_SLOT_FREE || !slot->tenant[0] || slot->life.due_ns ||
            !srv_ring_rename(s, slot, tenant))
            continue;
        srv_isolated_close(slot);
        snprintf(slot->tenant, sizeof slot->tenant, "%s", tenant);
        slot->life = (struct srv_life){0};
        slot->unready = 0;
        slot->told = slot->ring_told = false;
        return slot;
    }
    return NULL;
}

void srv_isolated_close(struct srv_slot *slot)
{
    for (int i = 0; i < 2; i++) {
        if (slot->door[i] >= 0)
            close(slot->door[i]);
        slot->door[i] = -1;
    }
}

bool srv_isolated_open(struct srv_slot *slot)
{
    slot->kill_ns = srv_clock_ns() + START_MS * NS_PER_MS;
    return slot->door[0] >= 0 ||
           socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, slot->door) == 0;
}

bool srv_isolated_cache(const struct srv_slot *slot, char path[PLAT_CACHE_PATH])
{
    const struct srv_supervisor *s = slot->supervisor;

    if (!plat_cache_folder(s->server->config.cache_dir, slot->tenant, path))
        return false;
    if (mkdir(path, 0700) == 0 && s->user.given && chown(path, s->user.uid, s->user.gid) < 0)
        return false;
    return access(path, F_OK) == 0;
}

/* ---- Asking ---- */

void srv_isolated_list(struct srv_supervisor *s, struct plat_message *m)
{
    plat_message_release(&s->isolated);
    s->isolated = *m;
    plat_message_init(m, PLAT_NONE);
}

/* Has the tenant a process of its own? Control tells it before a worker can know; who asks may have
 * been taken over, and would take the places of those who have one. */
static bool is_listed(const struct srv_supervisor *s, struct sv_str tenant)
{
    struct sv_str one;
    size_t at = 0;

    while ((one = plat_get_next(&s->isolated, PLAT_TAG_TENANT, &at)).ptr) {
        if (sv_str_eq(one, tenant))
            return true;
    }
    return false;
}

/* Who asked gets its end and the token; or -1, and why. */
static void answer(struct srv_slot *to, uint64_t id, own int end, own int token, const char *why)
{
    struct plat_message m;
    struct sv_err err = {0};

    plat_message_init(&m, PLAT_ASK_ISOLATED);
    if (end >= 0) {
        plat_put_fd(&m, token);
        plat_put_fd(&m, end);
    } else {
        sv_fail(&err, SV_ELIMIT, SV_NO_OFFSET, "%s", why);
        plat_put_error(&m, &err);
    }
    (void)plat_channel_answer_now(to->link, NULL, id, &m);
    plat_message_release(&m);
}

/* To the door: who is there, or comes, takes it. */
static bool knock(const struct srv_slot *slot, int end, int token)
{
    char byte = 0;
    struct iovec part = {&byte, 1};
    int fds[] = {end, token};

    return sv_fds_send(slot->door[1], &part, 1, fds, 2, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

/* NULL: *ret_why says why not. */
static struct srv_slot *find_process(struct srv_supervisor *s, const char *tenant,
                                     const char **ret_why)
{
    struct srv_slot *slot = find_slot(s, tenant);

    *ret_why = "the tenant's process does not start";
    if (slot && slot->state == SRV_SLOT_FREE && slot->unready >= UNREADY_MAX &&
        slot->life.due_ns > srv_clock_ns())
        return NULL;
    if (slot && (slot->state != SRV_SLOT_FREE || slot->life.due_ns))
        return slot; /* it is there, or comes */
    if (count_processes(s) >= s->server->config.isolated) {
        *ret_why = "too many tenants have a process of their own now";
        return NULL;
    }
    if (!slot)
        slot = take_slot(s, tenant);
    return slot && srv_start_worker(s, slot, false) ? slot : NULL;
}

void srv_isolated_ask(struct srv_slot *from, const struct plat_message *m)
{
    struct srv_supervisor *s = from->supervisor;
    struct sv_str name = plat_get(m, PLAT_TAG_TENANT);
    const char *why = "no process has this for its own";
    char tenant[SRV_TENANT_SIZE];
    struct srv_slot *slot;
    int ends[2] = {-1, -1}, token = -1;

    /* Who runs one tenant's guests has no business with others. */
    if (from->tenant[0] || !plat_name_valid(name.ptr, name.len) || !is_listed(s, name)) {
        answer(from, m->id, -1, -1, why);
        return;
    }
    snprintf(tenant, sizeof tenant, "%.*s", (int)name.len, name.ptr);
    slot = find_process(s, tenant, &why);
    if (slot && (token = srv_token_new()) >= 0 &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0) {
        why = "too many requests wait for the tenant's process";
        if (!knock(slot, ends[1], token)) {
            close(ends[0]);
            ends[0] = -1;
        }
        close(ends[1]);
    }
    if (ends[0] < 0 && token >= 0)
        close(token);
    answer(from, m->id, ends[0], token, why);
}

/* ---- Ends ---- */

bool srv_isolated_awaited(struct srv_slot *slot)
{
    struct pollfd door = {.events = POLLIN};

    if (!is_listed(slot->supervisor, sv_str_of(slot->tenant)))
        srv_isolated_close(slot); /* who waits there is told, and asks again */
    door.fd = slot->door[0];
    return slot->door[0] >= 0 && poll(&door, 1, 0) == 1 && door.revents & POLLIN;
}

void srv_isolated_end(struct srv_supervisor *s)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (!s->slots[i].tenant[0] && s->slots[i].state != SRV_SLOT_FREE)
            return; /* who may hand something on still */
    }
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &s->slots[i];

        if (slot->state == SRV_SLOT_STARTING || slot->state == SRV_SLOT_READY)
            srv_slot_end(s, slot, SIGTERM);
    }
}
