/* A worker: the parts of the server put together, and ended. Which workers there are is
 * supervise.c's business. */
#include "serve/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/record.h"
#include "serve/costs.h"
#include "serve/data.h"
#include "serve/isolated.h"
#include "serve/jail.h"
#include "serve/link.h"
#include "serve/listen.h"
#include "serve/loop.h"
#include "serve/priority.h"
#include "serve/process.h"
#include "serve/registry.h"
#include "serve/status.h"
#include "serve/tally.h"
#include "serve/ticket.h"
#include "serve/tls.h"

#define FILES_KEPT 64               /* descriptors beside those of connections */
#define CALL_MEMORY_MIN (16U << 20) /* what a call is left where address space is limited */
#define CANCEL_WAIT_MS 1000         /* after cancelling what still runs at the end of the drain */
/* For control to tell what functions there are. Without it, the worker serves what it has. */
#define TABLE_WAIT_MS 5000
#define RETIRE_MS 1000 /* for idle connections to ask once more, before they are closed */

/* ---- What the machine allows ---- */

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

/* ---- The parts ---- */

bool srv_worker_open_root(struct srv_server *server)
{
    const char *dir = server->config.dir;

    server->root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (server->root < 0) {
        fprintf(stderr, "ssvm-serve: cannot open the folder '%s': %s\n", dir, strerror(errno));
        return false;
    }
    /* With a registry all may be deployed. */
    if (strcmp(server->config.data, "none") == 0 && faccessat(server->root, "site", X_OK, 0) < 0 &&
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

/* `cache` NULL: native code is not kept. */
static bool open_engine(struct srv_server *server, const char *cache, bool linked)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    char compiler[PATH_MAX + 64];
    ssvm_error *error;

    /* In this process a compiler that finds no memory would end it, and guests may take what is
     * left. */
    if (is_space_limited(NULL) || !srv_process_find("ssvm", compiler, sizeof compiler))
        config.tier = "interp";
    else
        config.compiler_program = compiler;
#ifdef SSVM_SANITIZED_THREADS /* it holds signals back until code calls it */
    config.tier = "interp";
#endif
    if (linked) {
        config.compiler_run = srv_link_compile;
        config.compiler_data = server;
    }
    config.cache_dir = cache;
    config.module_costs =
        true; /* what the registry gives, and function.c, has the server's alone */
    error = ssvm_engine_new(&config, &server->engine);
    if (!error)
        return true;
    fprintf(stderr, "ssvm-serve: cannot start the engine: %s\n", ssvm_error_message(error));
    ssvm_error_delete(error);
    return false;
}

/* 0, or an exit status. */
static int open_parts(struct srv_server *server, bool linked)
{
    const char *cache = server->config.cache_dir;
    ssvm_limits limits = init_limits(&server->config);
    ssvm_error *error;
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, 0) == sizeof seed)
        atomic_init(&server->next_id, seed);
    if (!open_engine(server, linked && strcmp(cache, "none") != 0 ? cache : NULL, linked) ||
        !srv_registry_init(server) ||
        !srv_functions_init(&server->functions, server->engine, server->root, server->config.module,
                            &limits, &server->grant, &server->log))
        return SRV_STATUS_ERROR;
    server->functions.costs = &server->costs;
    error = srv_grant_init(&server->grant, server);
    if (!error)
        return 0;
    fprintf(stderr, "ssvm-serve: option '--nn': %s\n", ssvm_error_message(error));
    ssvm_error_delete(error);
    return SRV_STATUS_USAGE;
}

static void close_parts(struct srv_server *server)
{
    srv_functions_release(&server->functions);
    srv_registry_release(server);
    srv_grant_release(&server->grant);
    ssvm_engine_delete(server->engine);
    sv_buf_release(&server->costs);
    if (server->root >= 0)
        close(server->root);
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

/* As who workers are: what they may not read, a start could not. */
static bool become_user(const struct srv_user *user)
{
    if (!srv_user_become(user)) {
        fprintf(stderr, "ssvm-serve: option '--user': cannot become '%s': %s\n", user->name,
                strerror(errno));
        return false;
    }
    /* Who changes its user without exec is kept from its own /proc, where our programs are found.
     */
    if (user->given)
        (void)prctl(PR_SET_DUMPABLE, 1);
    return true;
}

/* Certificate and key, where an address needs them. */
static bool try_tls(struct srv_server *server)
{
    const struct srv_config *config = &server->config;
    bool wanted = false;

    for (unsigned i = 0; i < server->nlisteners; i++)
        wanted = wanted || server->listeners[i].tls;
    if (!wanted && (strcmp(config->tls_cert, "none") != 0 || strcmp(config->tls_key, "none") != 0))
        fprintf(stderr,
                "ssvm-serve: note: '--tls-cert' and '--tls-key' are not used: no address of "
                "'--listen' or '--admin' begins with https://\n");
    if (!srv_tls_init(server))
        return false;
    srv_tls_release(server);
    return true;
}

int srv_worker_check(struct srv_server *server)
{
    char program[PATH_MAX + 64];
    struct srv_user user;
    uint32_t broken;
    bool ok, data;
    int status;

    if (!srv_user_find(&user, server->config.user))
        return SRV_STATUS_USAGE;
    /* As the supervisor, then as the others; all that is wrong, rather than the first. */
    ok = srv_listen_try(server);
    data = srv_data_try(&server->config, srv_process_find("ssvm-control", program, sizeof program));
    if (!become_user(&user))
        return SRV_STATUS_ERROR;
    ok = data && srv_data_try_user(&server->config) && ok;
    ok = try_tls(server) && ok;
    ok = srv_log_try(server->config.log) && ok;
    raise_files(server);
    count_loops(server);
    share_address_space(server);
    if (!srv_worker_open_root(server) || !srv_costs_open(server))
        return SRV_STATUS_ERROR;
    status = open_parts(server, false);
    if (status != 0)
        return status;
    srv_functions_load_all(&server->functions, &broken);
    srv_config_print(&server->config, stdout);
    print_functions(server);
    close_parts(server);
    return broken > 0 || !ok ? SRV_STATUS_ERROR : 0;
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
    if (!srv_pool_start(&server->pool))
        return false;
    atomic_store(&server->running, true);
    return true;
}

/* ---- The end ---- */

/* Another generation has the new connections. Clients whose connection is idle may be about to send
 * a request: whoever does within a moment gets a reply that says it is the last. */
static int retire(struct srv_server *server, const sigset_t *signals)
{
    static const struct timespec moment = {.tv_sec = RETIRE_MS / 1000,
                                           .tv_nsec = RETIRE_MS % 1000 * 1000000L};

    atomic_store(&server->retiring, true);
    for (unsigned i = 0; i < server->nloops; i++)
        srv_loop_wake(&server->loops[i]);
    return sigtimedwait(signals, NULL, &moment);
}

/* How long requests may go on. Whoever has retired is in nobody's way. */
static uint64_t patience_ms(const struct srv_server *server, bool retired)
{
    return retired ? server->config.retire_ms : server->config.drain_ms;
}

/* Wait for a signal to end, then end with patience; a second SIGTERM ends at once. */
static int wait_for_end(struct srv_server *server, const sigset_t *signals)
{
    struct timespec none = {0};
    bool drained, retired;
    int number;

    if (server->tenant)
        number = srv_isolated_wait(server, signals);
    else
        sigwait(signals, &number);
    retired = number == SIGUSR1;
    if (retired)
        number = retire(server, signals);
    retired = retired && number != SIGTERM;
    atomic_store(&server->draining, true);
    for (unsigned i = 0; i < server->nloops; i++)
        srv_loop_wake(&server->loops[i]);
    for (uint64_t waited = 0;
         !(drained = srv_pool_drain(&server->pool, 100)) && waited < patience_ms(server, retired);
         waited += 100) {
        int again = sigtimedwait(signals, NULL, &none);

        if (again == SIGTERM && number == SIGTERM)
            break;
        if (again == SIGTERM) { /* all end now, who has retired among them */
            number = again;
            retired = false;
            waited = 0;
        }
    }
    if (!drained) {
        srv_pool_cancel(&server->pool);
        drained = srv_pool_drain(&server->pool, CANCEL_WAIT_MS);
    }
    if (!drained) {
        srv_log_write(&server->log);
        fprintf(stderr, "ssvm-serve: stopped with requests unfinished\n");
        _exit(SRV_STATUS_ERROR);
    }
    srv_link_stop(server); /* compilers are not waited for */
    srv_forward_stop(&server->forward);
    srv_pool_stop(&server->pool);
    for (unsigned i = 0; i < server->nloops; i++)
        srv_loop_release(&server->loops[i]);
    free(server->loops);
    return 0;
}

/* ---- The process ---- */

bool srv_role_read(struct srv_role *role, struct srv_server *server, const char *text)
{
    int kind = SRV_ROLE_WORKER, announce, n = 0;

    *role = (struct srv_role){
        .kind = SRV_ROLE_SUPERVISOR,
        .link = -1,
        .control = -1,
        .records = -1,
        .tickets = -1,
        .tally = -1,
        .door = -1,
    };
    if (strcmp(text, "jail") == 0) {
        role->kind = SRV_ROLE_JAIL;
        return true;
    }
    role->test = strcmp(text, "test") == 0;
    if (role->test)
        return true;
    if (sscanf(text, "isolated:%d:%d:%d:%d:%n", &role->link, &role->control, &role->records,
               &role->door, &n) == 4 &&
        n > 0) {
        role->kind = kind;
        role->tenant = text + n;
        return true;
    }
    if (sscanf(text, "worker:%d:%d:%d:%d:%d:%d:%d:%n", &role->link, &role->control, &role->records,
               &role->tickets, &role->tally, &role->slot, &announce, &n) != 7 ||
        n == 0)
        return false;
    role->kind = kind;
    role->announce = announce;
    for (text += n; *text && server->ninherited < SRV_LISTENERS_MAX; text++) {
        char *end;

        server->inherited[server->ninherited++].fd = (int)strtol(text, &end, 10);
        if (*end != ',')
            return false;
        text = end;
    }
    return server->ninherited > 0;
}

static bool map_records(struct srv_server *server, int fd)
{
    void *memory;

    if (fd < 0)
        return true;
    memory = mmap(NULL, plat_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return false;
    server->records = plat_ring_open(memory, plat_ring_bytes());
    return server->records;
}

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, signals, NULL); /* all threads inherit the mask */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log that may not grow (ulimit -f) is a full disk */
}

/* Of one tenant's: nothing of DIR and of the data folder is here. */
static bool enter_isolated(struct srv_server *server, const struct srv_role *role)
{
    const char *cache = server->config.cache_dir;

    srv_isolated_settle(server);
    srv_isolated_listen(server, role->door);
    return srv_log_open(&server->log, "none") && map_records(server, role->records) &&
           srv_jail_enter(server, strcmp(cache, "none") != 0 ? cache : NULL);
}

/* All that needs opening, then the jail. */
static bool enter(struct srv_server *server, const struct srv_role *role)
{
    const char *cache = server->config.cache_dir;

    if (role->tenant)
        return enter_isolated(server, role);
    if (strcmp(server->config.data, "none") != 0)
        snprintf(server->data, sizeof server->data, "%s", server->config.data);
    server->tickets = srv_tickets_open(role->tickets);
    server->tally = srv_tally_open(role->tally, (uint32_t)role->slot);
    if (role->tally >= 0)
        close(role->tally);
    return srv_worker_open_root(server) && srv_listen_open(server) && srv_tls_init(server) &&
           srv_costs_open(server) && srv_log_open(&server->log, server->config.log) &&
           map_records(server, role->records) &&
           srv_jail_enter(server, strcmp(cache, "none") != 0 ? cache : NULL);
}

int srv_worker_run(struct srv_server *server, const struct srv_role *role)
{
    uint32_t n, broken;
    sigset_t signals;
    int status;

    /* The kernel knows only which descriptor we came from. */
    prctl(PR_SET_NAME, role->tenant ? "ssvm-isolated" : "ssvm-worker");
    server->crash = getenv(SRV_TEST_CRASH);
    server->hang = getenv(SRV_TEST_HANG);
    server->tenant = role->tenant;
    block_signals(&signals);
    srv_priority_init();
    raise_files(server);
    count_loops(server);
    share_address_space(server);
    if (!enter(server, role))
        return SRV_STATUS_ERROR;
    if (role->kind == SRV_ROLE_JAIL)
        return srv_jail_try(server);
    status = open_parts(server, true);
    if (status != 0)
        return status;
    srv_forward_init(&server->forward);
    srv_pool_init(&server->pool, server);
    if (!srv_link_start(server, role->link, role->control)) {
        fprintf(stderr, "ssvm-serve: no memory for a worker\n");
        return SRV_STATUS_ERROR;
    }
    n = broken = 0;
    if (!server->tenant)
        n = srv_functions_load_all(&server->functions, &broken);
    if (role->announce)
        print_functions(server);
    if (srv_link_has_control(server))
        srv_registry_wait(server, TABLE_WAIT_MS);
    if (!start_loops(server)) {
        fprintf(stderr, "ssvm-serve: cannot start the event loops: %s\n", strerror(errno));
        return SRV_STATUS_ERROR;
    }
    fflush(stdout);
    srv_link_ready(server, n, broken);
    status = wait_for_end(server, &signals);
    srv_log_close(&server->log);
    srv_tls_release(server);
    srv_tickets_close(server->tickets);
    close_parts(server);
    srv_tally_close(server->tally);
    return status;
}
