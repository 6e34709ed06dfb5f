/* Compilers for workers, which may start no programs: as many at once as there are cores, in the
 * order in which they were asked for, and one more for a worker that has none: what is compiled,
 * and how long that takes, only the worker and the compiler know, and a worker that was taken over
 * may give all of the others something that never ends. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/loop.h"
#include "serve/supervisor.h"
#include "serve/worker.h"

/* Of one worker, running and waiting: its engine has half as many at a time, the others wait there.
 */
#define EACH_MAX 8
#define LIMIT_MS 1800000 /* of a compiler; then it is killed */
#define NS_PER_MS ((uint64_t)1000000)

static void tell(struct srv_slot *slot, uint64_t id, int status)
{
    struct plat_message m;

    if (!slot || !slot->link)
        return;
    plat_message_init(&m, PLAT_ASK_COMPILE);
    plat_put_u64(&m, PLAT_TAG_NUMBER, (uint64_t)(int64_t)status);
    (void)plat_channel_answer_now(slot->link, NULL, id, &m);
    plat_message_release(&m);
}

static void answer(struct srv_compile *c, int status)
{
    tell(c->slot, c->id, status);
    for (int i = 0; i < 3; i++)
        close(c->fds[i]);
    c->used = false;
}

/* Does one run for that worker? */
static bool has_running(const struct srv_supervisor *s, const struct srv_slot *slot)
{
    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        if (s->compiles[i].used && s->compiles[i].pid != 0 && s->compiles[i].slot == slot)
            return true;
    }
    return false;
}

/* `poor`: of a worker that has none. */
static struct srv_compile *find_waiting(struct srv_supervisor *s, bool poor)
{
    struct srv_compile *first = NULL;

    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        struct srv_compile *c = &s->compiles[i];

        if (c->used && c->pid == 0 && (!first || c->number < first->number) &&
            (!poor || !has_running(s, c->slot)))
            first = c;
    }
    return first;
}

static uint64_t limit_ms(void)
{
    const char *text = getenv(SRV_TEST_COMPILE);

    return text ? strtoull(text, NULL, 10) : LIMIT_MS;
}

static void start_waiting(struct srv_supervisor *s)
{
    char own_cache[PLAT_CACHE_PATH];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long most = cores > 0 ? cores : 1, running = 0;
    struct srv_compile *c;

    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++)
        running += s->compiles[i].used && s->compiles[i].pid != 0;
    while (running <= most && (c = find_waiting(s, running == most))) {
        const char *cache = s->server->config.cache_dir;

        if (c->slot && c->slot->tenant[0])
            cache = srv_isolated_cache(c->slot, own_cache) ? own_cache : NULL;
        c->pid = srv_process_compile(s->compiler, &s->user, c->cached ? cache : NULL, c->form,
                                     c->loop, c->fds);
        c->kill_ns = srv_clock_ns() + limit_ms() * NS_PER_MS;
        if (c->pid < 0)
            answer(c, -1);
        else
            running++;
    }
}

void srv_compile_ask(struct srv_slot *slot, struct plat_message *m)
{
    struct srv_supervisor *s = slot->supervisor;
    struct srv_compile *c = NULL;
    uint64_t form, func, loop;
    unsigned n = 0;

    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        n += s->compiles[i].used && s->compiles[i].slot == slot;
        if (!s->compiles[i].used)
            c = &s->compiles[i];
    }
    if (!c || n >= EACH_MAX || m->nfds != 3 || !plat_get_u64(m, PLAT_TAG_NUMBER, &form) ||
        !plat_get_u64(m, PLAT_TAG_COUNT, &func) || !plat_get_u64(m, PLAT_TAG_LIMIT, &loop)) {
        tell(slot, m->id, -1);
        return;
    }
    *c = (struct srv_compile){.slot = slot, .id = m->id, .number = s->ncompiles++, .used = true};
    c->cached = sv_str_eq(plat_get(m, PLAT_TAG_OP), sv_str_of("cache")) &&
                strcmp(s->server->config.cache_dir, "none") != 0;
    snprintf(c->form, sizeof c->form, "%" PRIu64, form);
    snprintf(c->loop, sizeof c->loop, "%" PRIu64 ":%" PRIu64, func, loop);
    memcpy(c->fds, m->fds, sizeof c->fds);
    m->nfds = 0; /* they are ours */
    start_waiting(s);
}

bool srv_compile_end(struct srv_supervisor *s, pid_t pid, int status)
{
    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        if (s->compiles[i].used && s->compiles[i].pid == pid) {
            answer(&s->compiles[i], status);
            start_waiting(s);
            return true;
        }
    }
    return false;
}

uint64_t srv_compile_time(struct srv_supervisor *s, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        struct srv_compile *c = &s->compiles[i];

        if (!c->used || c->pid == 0 || c->kill_ns == 0)
            continue;
        if (c->kill_ns <= now) {
            fprintf(stderr, "ssvm-serve: a compiler (process %d) takes too long: it is killed\n",
                    (int)c->pid);
            kill(c->pid, SIGKILL);
            c->kill_ns = 0;
        } else if (c->kill_ns < next) {
            next = c->kill_ns;
        }
    }
    return next;
}

void srv_compile_forget(struct srv_slot *slot)
{
    struct srv_supervisor *s = slot->supervisor;

    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        struct srv_compile *c = &s->compiles[i];

        if (!c->used || c->slot != slot)
            continue;
        c->slot = NULL;
        if (c->pid == 0) /* nobody waits for it */
            answer(c, -1);
        else if (slot->state != SRV_SLOT_RETIRING) /* nor do we know what it is at */
            kill(c->pid, SIGKILL);
    }
}
