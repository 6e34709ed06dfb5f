/* Processes of inference libraries, for workers of one tenant each: such a worker starts no
 * processes and opens no files, and what a library may do depends on nothing that the worker says
 * but the name of a backend. Each process is one worker's, holds one of its models, and ends with
 * it at the latest. Workers of all tenants have their libraries themselves. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/library.h"
#include "serve/loop.h"
#include "serve/supervisor.h"

#define NS_PER_S ((uint64_t)1000000000)
#define EACH_MAX 32     /* of one worker: as many as libssvm has of a backend */
#define STARTS_MAX 100  /* of one worker in a second: each costs the supervisor some time */
#define END_MS 10000    /* for a process that is killed to be gone */
#define BACKEND_SIZE 40 /* of its name */

/* ---- Which library ---- */

/* Is the backend one of the setting's "NAME=LIBRARY,NAME"? *ret: its library, "": not said. */
static bool find_choice(const char *setting, struct sv_str name, char ret[PATH_MAX])
{
    if (strcmp(setting, "none") == 0)
        return false;
    ret[0] = '\0';
    if (strcmp(setting, "auto") == 0)
        return true;
    for (const char *at = setting, *end; *at; at = *end ? end + 1 : end) {
        const char *equals;
        size_t n;

        end = strchrnul(at, ',');
        equals = memchr(at, '=', (size_t)(end - at));
        n = (size_t)((equals ? equals : end) - at);
        if (n != name.len || memcmp(at, name.ptr, n) != 0)
            continue;
        n = equals ? (size_t)(end - equals - 1) : 0;
        if (n >= PATH_MAX)
            return false;
        memcpy(ret, equals ? equals + 1 : "", n);
        ret[n] = '\0';
        return true;
    }
    return false;
}

/* Where `ssvm nn install` has unpacked it; "": nowhere, and the loader searches. */
static void find_installed(const char *backend, char ret[PATH_MAX])
{
    char below[sizeof "ssvm/nn/" + BACKEND_SIZE];
    struct stat st;

    snprintf(below, sizeof below, "ssvm/nn/%s", backend);
    if (!sv_folder_of_user(SV_FOLDER_DATA, below, ret, PATH_MAX) || stat(ret, &st) != 0)
        ret[0] = '\0';
}

/* It becomes part of a file's name. */
static bool is_name(struct sv_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", s.ptr[i]))
            return false;
    }
    return s.len > 0 && s.len < BACKEND_SIZE;
}

/* ---- Its folder ---- */

/* "": none. A library that wants one will tell. */
static void make_folder(const struct srv_user *user, char *ret, size_t size)
{
    sv_folder_new("ssvm-nn", ret, size);
    if (ret[0] && user->given && chown(ret, user->uid, user->gid) != 0) {
        rmdir(ret);
        ret[0] = '\0';
    }
}

/* Most libraries leave it empty. What one has filled takes time, and nobody may write there any
 * more: another process does it, when that one is gone. pidfd -1: it is. */
static void remove_folder(const struct srv_supervisor *s, char *folder, int pidfd)
{
    struct pollfd gone = {.fd = pidfd, .events = POLLIN};
    pid_t pid;

    if (!folder[0] || rmdir(folder) == 0)
        return;
    pid = fork();
    if (pid != 0)
        return;
    for (int fd = 3; fd < (int)sysconf(_SC_OPEN_MAX) && fd < 65536; fd++) {
        if (fd != pidfd)
            close(fd); /* others wait for the locks to be free */
    }
    if ((pidfd < 0 || poll(&gone, 1, END_MS) == 1) && srv_user_become(&s->user))
        sv_folder_remove(folder);
    _exit(0);
}

/* ---- Processes ---- */

static bool is_patient(struct srv_slot *slot)
{
    uint64_t now = srv_clock_ns();

    if (now - slot->library_ns > NS_PER_S) {
        slot->library_ns = now;
        slot->nstarted = 0;
    }
    return slot->nstarted++ < STARTS_MAX;
}

static struct srv_library *find_free(struct srv_supervisor *s, const struct srv_slot *slot)
{
    struct srv_library *found = NULL;
    unsigned n = 0;

    for (unsigned i = 0; i < SRV_LIBRARIES_MAX; i++) {
        struct srv_library *l = &s->libraries[i];

        n += l->pid && l->slot == slot;
        if (!l->pid)
            found = l;
    }
    return n < EACH_MAX ? found : NULL;
}

/* -1: *ret_why. */
static own int start(struct srv_slot *slot, struct srv_library *l, struct sv_str name,
                     char library[PATH_MAX], const char **ret_why)
{
    struct srv_supervisor *s = slot->supervisor;
    char backend[BACKEND_SIZE], file[BACKEND_SIZE + 8], program[PATH_MAX + 64], plugin[PATH_MAX];
    int ends[2];

    snprintf(backend, sizeof backend, "%.*s", (int)name.len, name.ptr);
    snprintf(file, sizeof file, "nn-%s.so", backend);
    if (!library[0])
        find_installed(backend, library);
    *ret_why = "ssvm-nn or its plugin is not beside the server's program";
    if (!srv_process_find("ssvm-nn", program, sizeof program) ||
        !sv_library_find(file, plugin, sizeof plugin))
        return -1;
    *ret_why = "the system gives no process for it";
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    make_folder(&s->user, l->folder, sizeof l->folder);
    l->pid = srv_process_library(program, &s->user, plugin, library, s->server->config.nn_device,
                                 l->folder, ends[1]);
    close(ends[1]);
    if (l->pid > 0) {
        l->slot = slot;
        l->number = ++s->nlibraries;
        return ends[0];
    }
    l->pid = 0;
    close(ends[0]);
    remove_folder(s, l->folder, -1);
    return -1;
}

void srv_library_ask(struct srv_slot *slot, const struct plat_message *m)
{
    struct srv_supervisor *s = slot->supervisor;
    struct sv_str name = plat_get(m, PLAT_TAG_NAME);
    const char *why = "this server has no such backend for this worker";
    struct srv_library *l = NULL;
    char library[PATH_MAX];
    struct plat_message answer;
    struct sv_err err = {0};
    int end = -1;

    if (slot->tenant[0] && is_name(name) && find_choice(s->server->config.nn, name, library)) {
        why = "too many inferences of the tenant run now";
        l = is_patient(slot) ? find_free(s, slot) : NULL;
    }
    if (l)
        end = start(slot, l, name, library, &why);
    plat_message_init(&answer, PLAT_ASK_LIBRARY);
    if (end >= 0) {
        plat_put_u64(&answer, PLAT_TAG_NUMBER, l->number);
        plat_put_fd(&answer, end);
    } else {
        sv_fail(&err, SV_ELIMIT, SV_NO_OFFSET, "%s", why);
        plat_put_error(&answer, &err);
    }
    (void)plat_channel_answer_now(slot->link, NULL, m->id, &answer);
    plat_message_release(&answer);
}

static void end_one(struct srv_supervisor *s, struct srv_library *l)
{
    int pidfd = (int)syscall(SYS_pidfd_open, l->pid, 0);

    kill(l->pid, SIGKILL); /* it is ours until we have waited for it */
    l->slot = NULL;
    if (pidfd < 0)
        return; /* its end will do it */
    remove_folder(s, l->folder, pidfd);
    l->folder[0] = '\0';
    close(pidfd);
}

void srv_library_stop(struct srv_slot *slot, const struct plat_message *m)
{
    struct srv_supervisor *s = slot->supervisor;
    uint64_t number = 0;

    plat_get_u64(m, PLAT_TAG_NUMBER, &number);
    for (unsigned i = 0; i < SRV_LIBRARIES_MAX; i++) {
        struct srv_library *l = &s->libraries[i];

        if (l->pid && l->slot == slot && l->number == number)
            end_one(s, l);
    }
}

bool srv_library_end(struct srv_supervisor *s, pid_t pid, int status)
{
    for (unsigned i = 0; i < SRV_LIBRARIES_MAX; i++) {
        struct srv_library *l = &s->libraries[i];

        if (l->pid != pid)
            continue;
        if (l->slot && WIFSIGNALED(status)) /* nobody wanted it */
            fprintf(stderr,
                    "ssvm-serve: an inference library of tenant '%s' (process %d) was ended by "
                    "signal %d (%s)\n",
                    l->slot->tenant, (int)pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
        remove_folder(s, l->folder, -1);
        *l = (struct srv_library){.pid = 0};
        return true;
    }
    return false;
}

void srv_library_forget(struct srv_slot *slot)
{
    struct srv_supervisor *s = slot->supervisor;

    for (unsigned i = 0; i < SRV_LIBRARIES_MAX; i++) {
        if (s->libraries[i].pid && s->libraries[i].slot == slot)
            end_one(s, &s->libraries[i]);
    }
}
