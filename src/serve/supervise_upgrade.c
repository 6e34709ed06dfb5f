/* Becoming another program: the supervisor runs what now has its program's name, in the same
 * process, which keeps its children and its addresses. What the new program must know is lines in a
 * file in memory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/supervisor.h"
#include "serve/tally.h"

#define STATE "SSVM_SERVE_STATE"
#define ISOLATED "isolated "
#define TRY_MS 10000 /* for the new program to read its settings */
#define NS_PER_MS ((uint64_t)1000000)

/* Programs that speak of messages in the same way say the same here. */
static uint64_t protocol(void)
{
    static const char words[] =
#define KIND(name, handler) #name ","
#define PUSH(name) #name ","
#define ASK(name) #name ","
#define TAG(name) #name ","
#include "platform/message.def"
        ;
#undef KIND
#undef PUSH
#undef ASK
#undef TAG

    return sv_hash(words, sizeof words);
}

/* Can it run at all, with our settings? They are all read before `--version` is answered. */
static bool try_program(const struct srv_supervisor *s)
{
    uint64_t end = sv_clock_ns() + TRY_MS * NS_PER_MS;
    struct srv_process p;
    int status = -1, done = 0;
    pid_t pid;

    srv_process_init(&p, s->program, -1);
    p.silent = true;
    for (int i = 1; i < s->argc; i++)
        srv_process_arg(&p, "%s", s->argv[i]);
    srv_process_arg(&p, "--version");
    pid = srv_process_start(&p, &s->user);
    srv_process_release(&p);
    while (pid > 0 && (done = waitpid(pid, &status, WNOHANG)) == 0 && sv_clock_ns() < end)
        usleep(5000);
    if (pid > 0 && done == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    return done == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void keep(int fd, bool kept)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, kept ? 0 : FD_CLOEXEC);
}

/* Which descriptors outlive the program. */
static void keep_all(const struct srv_supervisor *s, bool kept)
{
    keep(s->server->data_lock, kept);
    keep(s->tally_fd, kept);
    for (unsigned i = 0; i < s->server->nlisteners; i++)
        keep(s->server->listeners[i].fd, kept);
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        const struct srv_slot *slot = &s->slots[i];

        keep(slot->ring, kept);
        keep(slot->worker_end, kept);
        keep(slot->control_end, kept);
        keep(slot->door[0], kept);
        keep(slot->door[1], kept);
        if (slot->link)
            keep(plat_channel_fd(slot->link), kept);
    }
}

/* Our control's successor has not said it yet when workers ask the new program. */
static void write_isolated(const struct srv_supervisor *s, FILE *to)
{
    struct sv_str one;
    size_t at = 0;

    while ((one = plat_get_next(&s->isolated, PLAT_TAG_TENANT, &at)).ptr) {
        if (plat_name_valid(one.ptr, one.len)) /* it is a line */
            fprintf(to, ISOLATED "%.*s\n", (int)one.len, one.ptr);
    }
}

static int write_state(const struct srv_supervisor *s)
{
    int fd = memfd_create("ssvm-serve-state", 0), copy;
    FILE *to;

    copy = fd >= 0 ? dup(fd) : -1;
    to = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (!to) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    fprintf(to, "protocol %" PRIx64 "\nlock %d\ncontrol %d\ngeneration %u\ntally %d\n", protocol(),
            s->server->data_lock, (int)s->control.pid, s->generation, s->tally_fd);
    for (unsigned i = 0; i < s->server->nlisteners; i++)
        fprintf(to, "listener %d %s\n", s->server->listeners[i].fd, s->server->listeners[i].where);
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        const struct srv_slot *slot = &s->slots[i];

        if (slot->ring >= 0 || slot->life.pid > 0)
            fprintf(to, "slot %u %d %d %d %d %d %d %u %d %d %s\n", i, (int)slot->state,
                    (int)slot->life.pid, slot->ring, slot->worker_end, slot->control_end,
                    slot->link ? plat_channel_fd(slot->link) : -1, slot->generation, slot->door[0],
                    slot->door[1], slot->tenant);
    }
    for (unsigned i = 0; i < SRV_LIBRARIES_MAX; i++) {
        const struct srv_library *l = &s->libraries[i];

        if (l->pid)
            fprintf(to, "library %d %d %" PRIu64 " %s\n", (int)l->pid,
                    l->slot ? (int)(l->slot - s->slots) : -1, l->number, l->folder);
    }
    write_isolated(s, to);
    fclose(to);
    return fd;
}

void srv_upgrade(struct srv_supervisor *s)
{
    char number[16];
    int fd;

    if (!try_program(s)) {
        fprintf(stderr, "ssvm-serve: not upgraded: '%s' cannot run with these settings\n",
                s->program);
        return;
    }
    fd = write_state(s);
    if (fd < 0)
        return;
    snprintf(number, sizeof number, "%d", fd);
    setenv(STATE, number, 1);
    keep_all(s, true);
    execv(s->program, s->argv); /* signals stay blocked: none is lost */
    fprintf(stderr, "ssvm-serve: not upgraded: cannot start '%s': %s\n", s->program,
            strerror(errno));
    keep_all(s, false);
    unsetenv(STATE);
    close(fd);
}

/* ---- After ---- */

static void take_slot(struct srv_supervisor *s, const char *line, bool same)
{
    unsigned number, generation;
    int state, pid, ring, worker_end, control_end, link, door[2] = {-1, -1};
    char tenant[SRV_TENANT_SIZE] = "";
    struct srv_slot *slot;

    /* Programs without isolated workers say eight of them. */
    if (sscanf(line, "slot %u %d %d %d %d %d %d %u %d %d %64s", &number, &state, &pid, &ring,
               &worker_end, &control_end, &link, &generation, &door[0], &door[1], tenant) < 8 ||
        number >= SRV_SLOTS_MAX)
        return;
    slot = &s->slots[number];
    memcpy(slot->tenant, tenant, sizeof slot->tenant);
    memcpy(slot->door, door, sizeof slot->door);
    slot->generation = generation;
    slot->ring = ring;
    slot->worker_end = worker_end;
    slot->control_end = control_end;
    slot->life.pid = pid;
    slot->life.started_ns = sv_clock_ns();
    slot->state = pid > 0 ? (enum srv_slot_state)state : SRV_SLOT_FREE;
    if (slot->state == SRV_SLOT_RETIRING)
        slot->kill_ns = srv_end_ns(s, true);
    if (link >= 0)
        srv_slot_link(slot, link);
    if (same)
        return;
    /* Another program's workers would be misunderstood: they do without the others. */
    plat_channel_delete(slot->link);
    slot->link = NULL;
    if (worker_end >= 0)
        close(worker_end);
    if (control_end >= 0)
        close(control_end);
    slot->worker_end = slot->control_end = -1;
}

/* Of another form: who counts there, and who is started now, know nothing of each other. */
static void take_tally(struct srv_supervisor *s, own int fd)
{
    s->tally = srv_tally_open(fd, SRV_TALLY_NOBODY);
    if (s->tally)
        s->tally_fd = fd;
    else if (fd >= 0)
        close(fd);
}

/* Its worker comes before it. */
static void take_library(struct srv_supervisor *s, int pid, int slot, uint64_t number,
                         const char *folder)
{
    struct srv_library *l = s->libraries;

    while (l < s->libraries + SRV_LIBRARIES_MAX && l->pid)
        l++;
    if (l == s->libraries + SRV_LIBRARIES_MAX)
        return;
    *l = (struct srv_library){
        .pid = pid,
        .slot = slot >= 0 && slot < SRV_SLOTS_MAX ? &s->slots[slot] : NULL,
        .number = number,
    };
    snprintf(l->folder, sizeof l->folder, "%s", folder);
    if (s->nlibraries < number)
        s->nlibraries = number;
}

static void take_line(struct srv_supervisor *s, char *line, bool *same)
{
    int pid, slot;

    struct srv_server *server = s->server;
    uint64_t theirs;
    int fd, at = 0;

    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "protocol %" SCNx64, &theirs) == 1)
        *same = theirs == protocol();
    else if (sscanf(line, "lock %d", &fd) == 1)
        server->data_lock = fd;
    else if (sscanf(line, "control %d", &fd) == 1)
        s->control.pid = fd;
    else if (sscanf(line, "generation %u", &s->generation) == 1)
        s->generation++;
    else if (sscanf(line, "tally %d", &fd) == 1)
        take_tally(s, fd);
    else if (sscanf(line, "library %d %d %" SCNu64 " %n", &pid, &slot, &theirs, &at) == 3 && at > 0)
        take_library(s, pid, slot, theirs, line + at);
    else if (strncmp(line, ISOLATED, strlen(ISOLATED)) == 0)
        plat_put_str(&s->isolated, PLAT_TAG_TENANT, line + strlen(ISOLATED));
    else if (sscanf(line, "listener %d %n", &fd, &at) == 1 && at > 0 &&
             server->ninherited < SRV_LISTENERS_MAX) {
        struct srv_listener *l = &server->inherited[server->ninherited++];

        l->fd = fd;
        snprintf(l->where, sizeof l->where, "%s", line + at);
    } else {
        take_slot(s, line, *same);
    }
}

bool srv_upgrade_take(struct srv_supervisor *s)
{
    const char *number = getenv(STATE);
    bool same = false;
    char line[256];
    FILE *from;

    if (!number)
        return false;
    from = fdopen((int)strtol(number, NULL, 10), "r");
    unsetenv(STATE);
    if (!from)
        return false;
    rewind(from);
    while (fgets(line, sizeof line, from))
        take_line(s, line, &same);
    fclose(from);
    keep_all(s, false);
    for (unsigned i = 0; i < s->server->ninherited; i++)
        keep(s->server->inherited[i].fd, false);
    s->control_ready = s->control.pid > 0;
    s->started = s->reloading = true;
    return true;
}
