/* ssvm-control: the process that owns the server's state. Started by ssvm-serve's supervisor, whose
 * channel it reads; puts the parts together, and ends them. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "control/part.h"
#include "control/prepare.h"
#include "control/tool.h"
#include "control/workers.h"

#define END_GRACE_MS 5000 /* for versions that are being prepared */

static const struct {
    const char *name;
    int (*start)(struct ctl_server *, struct sv_err *);
    void (*stop)(struct ctl_server *);
} parts[] = {
#define PART(name) {#name, ctl_##name##_start, ctl_##name##_stop},
#include "control/part.def"
#undef PART
};

struct options {
    int channel;
    const char *data, *url;
};

static bool read_options(int argc, char **argv, struct options *ret)
{
    *ret = (struct options){.channel = -1, .url = ""};
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--channel=", 10) == 0)
            ret->channel = (int)strtol(argv[i] + 10, NULL, 10);
        else if (strncmp(argv[i], "--data=", 7) == 0)
            ret->data = argv[i] + 7;
        else if (strncmp(argv[i], "--public-url=", 13) == 0)
            ret->url = argv[i] + 13;
        else
            return false;
    }
    return ret->channel >= 0 && ret->data;
}

own char *ctl_setting(const struct ctl_server *server, const char *option)
{
    size_t len = strlen(option);

    for (const char *line = server->settings; line && *line;) {
        const char *end = strchrnul(line, '\n');

        if (strncmp(line, option, len) == 0 && strncmp(line + len, ": ", 2) == 0)
            return sv_strndup(line + len + 2, (size_t)(end - line) - len - 2);
        line = *end ? end + 1 : end;
    }
    return NULL;
}

static bool start_parts(struct ctl_server *server, size_t *started)
{
    struct sv_err err = {0};

    for (*started = 0; *started < SV_COUNT(parts); ++*started) {
        if (parts[*started].start(server, &err) < 0) {
            fprintf(stderr, "ssvm-control: cannot start (%s): %s\n", parts[*started].name,
                    err.text);
            return false;
        }
    }
    return true;
}

static void stop_parts(struct ctl_server *server, size_t started)
{
    while (started-- > 0)
        parts[started].stop(server);
}

/* ---- The supervisor's channel ---- */

struct link {
    struct ctl_server *server;
    struct plat_channel *channel;
    size_t started;
    pid_t parent; /* the supervisor */
    bool failed;
};

static void tell_ready(struct plat_channel *channel)
{
    struct plat_message m;

    plat_message_init(&m, PLAT_READY);
    (void)plat_channel_send(channel, NULL, &m, true);
    plat_message_release(&m);
}

/* The settings come first: the parts start when they are known. */
static void take_message(void *data, struct plat_channel *channel, struct plat_message *m)
{
    struct link *link = data;

    if (m->kind == PLAT_SETTINGS && !link->server->settings) {
        link->server->settings = plat_get_text(m, PLAT_TAG_TEXT);
        link->server->clean = plat_has(m, PLAT_TAG_COUNT);
        link->server->again = plat_has(m, PLAT_TAG_NUMBER);
        if (!link->server->settings || !start_parts(link->server, &link->started)) {
            link->failed = true;
            plat_channel_stop(channel);
        } else {
            tell_ready(channel);
        }
    } else if (m->kind == PLAT_WORKER && link->server->workers) {
        ctl_workers_set(link->server, m);
    } else if (m->kind == PLAT_DRAIN) {
        uint64_t ms = 0;

        plat_get_u64(m, PLAT_TAG_TIMEOUT_MS, &ms);
        ctl_prepare_end(link->server, (unsigned)ms);
    }
}

/* SIGTERM ends us: it is the channel that stops. What has been asked is answered; the supervisor
 * does not wait for long. */
static void *wait_for_signal(void *data)
{
    struct link *link = data;
    sigset_t signals;
    int number;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigwait(&signals, &number);
    /* Without a supervisor there are no workers, and nobody who waits. */
    ctl_prepare_end(link->server, getppid() == link->parent ? END_GRACE_MS : 0);
    plat_channel_stop(link->channel);
    return NULL;
}

static int run(struct ctl_server *server, int fd)
{
    static struct link link; /* as long as the thread that waits */
    pthread_t signals;

    link.server = server;
    link.parent = getppid();
    link.channel = plat_channel_new(fd, take_message, &link);
    if (!link.channel || pthread_create(&signals, NULL, wait_for_signal, &link) != 0) {
        fprintf(stderr, "ssvm-control: no memory to start with\n");
        return EXIT_FAILURE;
    }
    pthread_detach(signals);
    server->supervisor = link.channel;
    (void)plat_channel_run(link.channel, NULL);
    stop_parts(server, link.started);
    return link.failed ? EXIT_FAILURE : 0;
}

int main(int argc, char **argv)
{
    static struct ctl_server server;
    struct options options;
    sigset_t signals;

    if (argc > 1 && strcmp(argv[1], CTL_PREPARE_ROLE) == 0)
        return ctl_prepare_child(argc, argv);
    if (argc > 1 && strcmp(argv[1], CTL_COMPILE_ROLE) == 0)
        return ctl_compile_child(argc, argv);
    if (!read_options(argc, argv, &options))
        return ctl_tool_run(argc, argv);
    /* Never two of us for one folder of data; but what the workers have written is counted first.
     */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_NAME, "ssvm-control"); /* the kernel knows only which descriptor we came from */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* threads inherit it */
    signal(SIGPIPE, SIG_IGN);
    server.data = options.data;
    server.public_url = options.url;
    server.data_fd = open(options.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (server.data_fd < 0) {
        fprintf(stderr, "ssvm-control: cannot open the folder '%s': %s\n", options.data,
                strerror(errno));
        return EXIT_FAILURE;
    }
    signal(SIGINT, SIG_IGN); /* a terminal's goes to all of us: it is for the supervisor */
    if (getrandom(&server.epoch, sizeof server.epoch, 0) != sizeof server.epoch)
        return EXIT_FAILURE;
    return run(&server, options.channel);
}
