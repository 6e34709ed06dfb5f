/* ssvm-serve: static files and functions over HTTP. Puts the parts together, and ends them.
 *
 * The path of a request: listen -> http -> route -> body -> pool -> call -> send -> log (the
 * stages: conn.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "serve/listen.h"
#include "serve/loop.h"
#include "serve/tls.h"

#define STATUS_ERROR 1
#define STATUS_USAGE 2
#define FILES_KEPT 64               /* descriptors beside those of connections */
#define CALL_MEMORY_MIN (16U << 20) /* what a call is left where address space is limited */
#define CANCEL_WAIT_MS 1000         /* after cancelling what still runs at the end of the drain */

/* As many descriptors as we may have; fewer connections when that is not enough. */
static void raise_files(struct srv_server *server)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        server->config.connections + FILES_KEPT > limit.rlim_cur)
        server->config.connections =
            limit.rlim_cur > 2 * FILES_KEPT ? limit.rlim_cur - FILES_KEPT : FILES_KEPT;
}

static void count_loops(struct srv_server *server)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    server->nloops = server->config.loops ? (unsigned)server->config.loops
                     : cores > 0          ? (unsigned)cores
                                          : 1;
}

/* ret may be NULL. */
static bool is_space_limited(uint64_t *ret)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    if (ret)
        *ret = limit.rlim_cur;
    return true;
}

/* Where address space is limited (ulimit -v), the memories of guests would take it all, and nothing
 * would be left to refuse further calls with: half of it is for the calls that run at once, with
 * less memory for each and then fewer of them. */
static void share_address_space(struct srv_server *server)
{
    struct srv_config *config = &server->config;
    uint64_t room, places = config->calls + 2 * (uint64_t)server->nloops;

    if (!is_space_limited(&room))
        return;
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 1); /* glibc would reserve 64 MiB for each thread */
#endif
    room /= 2;
    if (room / places >= config->memory)
        return;
    if (config->memory > CALL_MEMORY_MIN)
        config->memory = room / places > CALL_MEMORY_MIN ? room / places : CALL_MEMORY_MIN;
    places = room / config->memory;
    if (places < config->calls + 2 * (uint64_t)server->nloops)
        config->calls = places > 2 * (uint64_t)server->nloops ? places - 2 * server->nloops : 1;
    fprintf(stderr,
            "ssvm-serve: address space is limited (ulimit -v): a call has %llu bytes of memory, "
            "%llu run beside the event loops\n",
            (unsigned long long)config->memory, (unsigned long long)config->calls);
}

static bool open_root(struct srv_server *server)
{
    const char *dir = server->config.dir;

    server->root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (server->root < 0) {
        fprintf(stderr, "ssvm-serve: cannot open the folder '%s': %s\n", dir, strerror(errno));
        return false;
    }
    if (faccessat(server->root, "site", X_OK, 0) < 0 &&
        faccessat(server->root, "functions", X_OK, 0) < 0) {
        fprintf(stderr, "ssvm-serve: '%s' has neither a folder 'site' nor a folder 'functions'\n",
                dir);
        return false;
    }
    return true;
}

/* Of initialising a function for all its instances: those of a call, whose part it would be. */
static ssvm_limits init_limits(const struct srv_config *config)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;

    limits.memory_bytes = limits.gc_heap_bytes = config->memory;
    limits.gas = config->gas;
    limits.wall_ms = config->call_ms;
    return limits;
}

/* The program that compiles what clients deploy, in processes that hostile modules may exhaust. */
static bool find_compiler(char *path, size_t size)
{
    /* From the folder of our own executable: in a build tree, then installed. */
    static const char *const places[] = {"ssvm", "../../bin/ssvm"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, size, "%.*s%s", (int)(slash + 1 - self), self, places[i]);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* The folder of native code as the setting says; NULL: none. */
static const char *cache_dir(const char *setting, char *buf, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;

    if (strcmp(setting, "none") == 0)
        return NULL;
    if (strcmp(setting, "default") != 0)
        return setting;
    /* A relative XDG_CACHE_HOME is to be ignored (XDG base directory specification). */
    if (base && base[0] == '/')
        n = snprintf(buf, size, "%s/ssvm", base);
    else if (home && home[0] == '/')
        n = snprintf(buf, size, "%s/.cache/ssvm", home);
    return n > 0 && (size_t)n < size ? buf : NULL;
}

static bool open_engine(struct srv_server *server)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    char compiler[PATH_MAX + 64], cache[PATH_MAX];
    ssvm_error *error;

    /* In this process a compiler that finds no memory would end it, and guests may take what is
     * left. */
    if (is_space_limited(NULL) || !find_compiler(compiler, sizeof compiler))
        config.tier = "interp";
    else
        config.compiler_program = compiler;
    config.cache_dir = cache_dir(server->config.cache_dir, cache, sizeof cache);
    error = ssvm_engine_new(&config, &server->engine);

    if (!error)
        return true;
    fprintf(stderr, "ssvm-serve: cannot start the engine: %s\n", ssvm_error_message(error));
    ssvm_error_delete(error);
    return false;
}

/* One line for each function, for people. */
static void print_functions(const struct srv_server *server)
{
    for (uint32_t i = 0; i < SRV_FUNCTION_PLACES; i++) {
        const struct srv_function *f = srv_functions_at(&server->functions, i);
        const struct srv_version *version = f ? f->current : NULL;

        if (!version)
            continue;
        if (version->broken)
            fprintf(stderr, "ssvm-serve: function '%s' is broken: %s\n", f->name, version->broken);
        else if (version->command)
            printf("function: /f/%s (command)\n", f->name);
        for (uint32_t e = 0; !version->broken && !version->command && e < version->nexports; e++)
            printf("function: /f/%s/%s\n", f->name, version->exports[e].name);
    }
}

static int check(struct srv_server *server)
{
    uint32_t broken;

    srv_functions_load_all(&server->functions, &broken);
    srv_config_print(&server->config, stdout);
    print_functions(server);
    return broken > 0 ? STATUS_ERROR : 0;
}

static bool start_loops(struct srv_server *server)
{
    server->loops = calloc(server->nloops, sizeof *server->loops);
    if (!server->loops)
        return false;
    for (unsigned i = 0; i < server->nloops; i++) {
        if (srv_loop_init(&server->loops[i], server) < 0)
            return false;
    }
    return srv_pool_start(&server->pool, server);
}

/* Wait for a signal to end, then end with patience; a second signal ends at once. */
static int wait_for_end(struct srv_server *server, const sigset_t *signals)
{
    struct timespec none = {0};
    bool drained;
    int number;

    sigwait(signals, &number);
    atomic_store(&server->draining, true);
    for (unsigned i = 0; i < server->nloops; i++)
        srv_loop_wake(&server->loops[i]);
    for (uint64_t waited = 0;
         !(drained = srv_pool_drain(&server->pool, 100)) && waited < server->config.drain_ms;
         waited += 100) {
        if (sigtimedwait(signals, NULL, &none) > 0)
            break;
    }
    if (!drained) {
        srv_pool_cancel(&server->pool);
        drained = srv_pool_drain(&server->pool, CANCEL_WAIT_MS);
    }
    if (!drained) {
        srv_log_write(&server->log);
        fprintf(stderr, "ssvm-serve: stopped with requests unfinished\n");
        _exit(STATUS_ERROR);
    }
    srv_pool_stop(&server->pool);
    for (unsigned i = 0; i < server->nloops; i++)
        srv_loop_release(&server->loops[i]);
    free(server->loops);
    return 0;
}

static int serve(struct srv_server *server)
{
    sigset_t signals;
    uint32_t n, broken;
    int status;

    /* All threads inherit the mask: signals come to the one that waits for them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log that may not grow (ulimit -f) is a full disk */
    if (!srv_listen_open(server) || !srv_tls_init(server) ||
        !srv_log_open(&server->log, server->config.log))
        return STATUS_ERROR;
    n = srv_functions_load_all(&server->functions, &broken);
    print_functions(server);
    if (!start_loops(server)) {
        fprintf(stderr, "ssvm-serve: cannot start the event loops: %s\n", strerror(errno));
        return STATUS_ERROR;
    }
    for (unsigned i = 0; i < server->nlisteners; i++)
        printf("ssvm-serve: %s://%s serves '%s', functions: %u, broken: %u\n",
               server->listeners[i].tls ? "https" : "http", server->listeners[i].address,
               server->config.dir, n, broken);
    fflush(stdout);
    status = wait_for_end(server, &signals);
    srv_log_close(&server->log);
    srv_tls_release(server);
    return status;
}

int main(int argc, char **argv)
{
    static struct srv_server server = {.root = -1, .spare_fd = -1, .log = {.fd = -1}};
    ssvm_limits limits;
    ssvm_error *error;
    uint64_t seed;
    int status = STATUS_ERROR;

    switch (srv_config_read(&server.config, argc, argv)) {
    case SRV_CONFIG_EXIT:
        return 0;
    case SRV_CONFIG_USAGE:
        return STATUS_USAGE;
    default:
        break;
    }
    if (getrandom(&seed, sizeof seed, 0) == sizeof seed)
        atomic_init(&server.next_id, seed);
    raise_files(&server);
    count_loops(&server);
    share_address_space(&server);
    limits = init_limits(&server.config);
    if (!open_root(&server) || !open_engine(&server) ||
        !srv_functions_init(&server.functions, server.engine, server.root, server.config.module,
                            &limits, &server.grant, &server.log))
        return STATUS_ERROR;
    error = srv_grant_init(&server.grant, &server.config, &server.log);
    if (error) {
        fprintf(stderr, "ssvm-serve: option '--nn': %s\n", ssvm_error_message(error));
        ssvm_error_delete(error);
        return STATUS_USAGE;
    }
    status = server.config.check ? check(&server) : serve(&server);
    srv_functions_release(&server.functions);
    srv_grant_release(&server.grant);
    ssvm_engine_delete(server.engine);
    close(server.root);
    return status;
}
