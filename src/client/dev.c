/* `ssvm dev`: a server of the project's own, behind front.c; every change that is saved is built
 * and deployed to it, and what fails is shown instead of the page. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/deploy.h"
#include "client/front.h"
#include "client/show.h"
#include "client/watch.h"

#define FOLDER ".ssvm" /* of the project: the data of its server */
#define START_MS 15000
#define SAID_MAX (256U << 10)

struct dev {
    struct cln_project project;
    struct cln_front *front;
    struct cln_watch *watch;
    struct cln_server server;
    pid_t child;
    unsigned versions; /* deployed by this run */
};

/* ---- The server ---- */

static bool make_folders(void)
{
    static const char *const folders[] = {FOLDER, FOLDER "/root"};

    for (size_t i = 0; i < SV_COUNT(folders); i++) {
        if (mkdir(folders[i], 0700) < 0 && errno != EEXIST) {
            cln_message("cannot make '%s': %s", folders[i], strerror(errno));
            return false;
        }
    }
    return true;
}

/* In the child: become the server, which ends when we do. */
static _Noreturn void become_server(const char *path, int out, pid_t parent,
                                    const struct plat_manifest_grant *grants)
{
    char name[] = "ssvm-serve", root[] = FOLDER "/root", data[] = "--data=" FOLDER "/data";
    char listen[] = "--listen=127.0.0.1:0", log[] = "--log=none", drain[] = "--drain-time=2s";
    char nn[] = "--nn=auto", image[] = "--image";
    char *argv[9] = {name, root, data, listen, log, drain};
    unsigned n = 6;

    if (grants->nn)
        argv[n++] = nn;
    if (grants->image)
        argv[n++] = image;

    dup2(out, STDOUT_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent)
        execv(path, argv);
    _exit(127);
}

/* Its first line tells where it listens: "ssvm-serve: http://ADDRESS:PORT serves ...". 0: it does
 * not come. */
static unsigned read_port(int fd)
{
    uint64_t until = sv_clock_ns() + START_MS * 1000000ULL;
    char text[4096];
    size_t len = 0;

    while (len < sizeof text - 1) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        uint64_t now = sv_clock_ns();
        const char *at, *end;
        ssize_t n;

        if (now >= until || poll(&poll_fd, 1, (int)((until - now) / 1000000) + 1) <= 0)
            return 0;
        n = read(fd, text + len, sizeof text - 1 - len);
        if (n <= 0)
            return 0;
        len += (size_t)n;
        text[len] = '\0';
        at = strstr(text, "ssvm-serve: http://");
        end = at ? strpbrk(at + strlen("ssvm-serve: "), " \n") : NULL;
        if (end) {
            while (end > at && end[-1] != ':')
                end--;
            return (unsigned)strtoul(end, NULL, 10);
        }
    }
    return 0;
}

static void *throw_away(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[4096];

    while (read(fd, buf, sizeof buf) > 0)
        ;
    close(fd);
    return NULL;
}

/* 0: cannot be started, reported. */
static unsigned start_server(struct dev *dev)
{
    static const char *const places[] = {"ssvm-serve"};
    char path[PATH_MAX];
    int ends[2];
    unsigned port;
    pid_t parent = getpid();
    pthread_t thread;

    if (!cln_find_beside(places, 1, path, sizeof path)) {
        cln_message("this installation lacks ssvm-serve");
        return 0;
    }
    if (!make_folders())
        return 0;
    if (pipe2(ends, O_CLOEXEC) < 0 || (dev->child = fork()) < 0) {
        cln_message("cannot start the server: %s", strerror(errno));
        return 0;
    }
    if (dev->child == 0)
        become_server(path, ends[1], parent, &dev->project.manifest.grants);
    close(ends[1]);
    port = read_port(ends[0]);
    if (port == 0)
        cln_message("the server does not start; what it said stands above");
    /* What else it says there must not fill the pipe. */
    else if (pthread_create(&thread, NULL, throw_away, (void *)(intptr_t)ends[0]) == 0)
        pthread_detach(thread);
    return port;
}

static bool connect_server(struct dev *dev, unsigned port)
{
    char url[64], *token;
    struct sv_buf text;
    size_t len;

    snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    if (!cln_read_file(FOLDER "/data/admin-token", 4096, &text))
        return false;
    len = strcspn(sv_buf_cstr(&text), " \r\n");
    token = sv_strndup(sv_buf_cstr(&text), len);
    sv_buf_release(&text);
    return token && cln_server_open_as(&dev->server, url, token, "default") == 0;
}

/* What functions say and how they fail, as it happens. */
static void *follow(void *arg)
{
    const struct cln_server *of = arg;
    struct cln_server server;
    char *token = sv_strdup(of->token);

    if (token && cln_server_open_as(&server, of->url, token, of->tenant) == 0) {
        cln_follow_logs(&server);
        cln_server_close(&server);
    }
    return NULL;
}

/* ---- A change ---- */

static void fail(struct dev *dev, const char *title, struct sv_buf *said)
{
    sv_buf_puts(said, said->len ? "" : "what failed stands in the terminal of ssvm dev");
    cln_front_set(dev->front, title, sv_buf_cstr(said));
    fflush(stdout);
}

static void print_where(const struct dev *dev)
{
    const struct plat_manifest *m = &dev->project.manifest;
    const char *url = cln_front_url(dev->front);

    if (m->site.given)
        printf("page: %s%s\n", url, m->site.path);
    for (uint32_t i = 0; i < m->nroutes; i++)
        printf("function: %s%s\n", url, m->routes[i].path);
    if (*m->module)
        printf("function: %s/f/%s\n", url, m->name);
    printf("Ctrl-C ends it.\n");
}

/* Build, where the source is another, and deploy. */
static void bring(struct dev *dev, unsigned change)
{
    static const struct cln_deploy all = {.no_native = true};
    uint64_t start = sv_clock_ns();
    struct sv_buf said;
    json_t *json = NULL;
    json_int_t number = 0;

    sv_buf_init(&said, SAID_MAX);
    if (cln_project_read(&dev->project, &said) != 0) {
        cln_message("%s", sv_buf_cstr(&said));
        fail(dev, "ssvm.yaml has a mistake", &said);
    } else if ((change & CLN_CHANGE_SOURCE) && cln_project_build(&dev->project, &said) != 0) {
        fail(dev, "The build failed", &said);
    } else {
        sv_buf_clear(&said);
        if (cln_deploy_send(&dev->server, &dev->project, &all, &json, &said) != 0) {
            fail(dev, "The version was not accepted", &said);
        } else {
            json_unpack(json, "{s?I}", "number", &number);
            cln_front_set(dev->front, NULL, NULL);
            if (dev->versions++ == 0)
                print_where(dev);
            printf("version %lld is live, %llu ms after the change\n", (long long)number,
                   (unsigned long long)(sv_clock_ns() - start) / 1000000);
            fflush(stdout);
        }
    }
    json_decref(json);
    sv_buf_release(&said);
}

static int run(struct dev *dev, const char *listen)
{
    unsigned port;
    pthread_t thread;

    dev->watch = cln_watch_new();
    dev->front = dev->watch ? cln_front_new(listen) : NULL;
    if (!dev->front)
        return CLN_STATUS_ERROR;
    port = start_server(dev);
    if (port == 0 || !connect_server(dev, port) || !cln_front_start(dev->front, port))
        return CLN_STATUS_ERROR;
    printf("ssvm dev: %s\n", cln_front_url(dev->front));
    fflush(stdout);
    if (pthread_create(&thread, NULL, follow, &dev->server) == 0)
        pthread_detach(thread);
    cln_watch_look(dev->watch, &dev->project.manifest);
    bring(dev, CLN_CHANGE_SOURCE | CLN_CHANGE_SITE);
    for (;;) {
        unsigned change = cln_watch_wait(dev->watch, &dev->project.manifest);

        if (waitpid(dev->child, NULL, WNOHANG) != 0)
            return cln_fail("the server has ended");
        bring(dev, change);
    }
}

int cln_dev(const struct cln_args *args)
{
    struct dev dev = {0};
    int status;

    if (args->noperands > 1)
        return cln_usage(args, "one folder at most");
    status = cln_project_open(&dev.project, args->noperands ? args->operands[0] : NULL);
    if (status == 0)
        status = run(&dev, cln_option(args, "listen"));
    if (dev.child > 0)
        kill(dev.child, SIGTERM);
    return status;
}
