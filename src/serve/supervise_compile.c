/* Compilers for workers, which may start no programs: as many at once as there are cores, in the
 * order in which they were asked for. What is compiled, and for whom, the compiler itself knows. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "serve/supervisor.h"

/* Of one worker, running and waiting: its engine has half as many at a time, the others wait there.
 */
#define EACH_MAX 8

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

static struct srv_compile *find_waiting(struct srv_supervisor *s)
{
    struct srv_compile *first = NULL;

    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        struct srv_compile *c = &s->compiles[i];

        if (c->used && c->pid == 0 && (!first || c->number < first->number))
            first = c;
    }
    return first;
}

static void start_waiting(struct srv_supervisor *s)
{
    char own_cache[PLAT_CACHE_PATH];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct srv_compile *c;
    long running = 0;

    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++)
        running += s->compiles[i].used && s->compiles[i].pid != 0;
    while ((running < cores || running == 0) && (c = find_waiting(s))) {
        const char *cache = s->server->config.cache_dir;

        if (c->slot && c->slot->tenant[0])
            cache = srv_isolated_cache(c->slot, own_cache) ? own_cache : NULL;
        c->pid = srv_process_compile(s->compiler, &s->user, c->cached ? cache : NULL, c->form,
                                     c->loop, c->fds);
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
    }
}
