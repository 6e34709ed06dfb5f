/* The side of isolated backends that lives in our process. A child holds one model and one session,
 * so what it does wrong, and what is done to it, concerns one run. What it answers is checked. */
#include "host/nn/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/folder.h"
#include "base/library.h"
#include "host/nn/wire.h"

/* Opening a library and preparing a model may take so long; then the child is ended. A run has the
 * guest's time. */
#define PREPARE_MS 120000
#define FOR_EVER (-1)
/* One that is killed has ended by then, if the system is not to be waited for. */
#define END_MS 5000
/* More than any machine has: sums of it do not wrap. */
#define COST_MAX ((uint64_t)1 << 44)

/* One child. `pid` is 0 once it has been waited for, or is another's child: then `number` is what
 * that one knows it by. */
struct sv_nn_child {
    struct lib *lib;
    int sock;
    pid_t pid;
    long number;
    int pidfd;
    struct sv_nn_child *next; /* in lib->children */
    char folder[64];          /* the only one that it may write to; "": none */
};

/* What the proxy's open would give: how to make a child. Constant after it was made. */
struct lib {
    char *program, *plugin, *library, *device;
    const char *id;
    struct sv_nn_starter starter;
    struct sv_nn_children *children;
    _Atomic bool refused; /* the last start: another one may not be */
    uint32_t threads;
    char version[SV_NN_WIRE_TEXT_MAX], devices[SV_NN_WIRE_TEXT_MAX];
    _Atomic(struct sv_nn_child *) spare; /* opened, without a model */
    _Atomic uint32_t nchildren;
};

struct model {
    struct lib *lib;
    int fd; /* of its bytes, sealed */
    size_t len;
    enum ssvm_nn_format format;
    struct sv_nn_wire_tensor *ports[2];
    uint32_t nports[2];
    _Atomic(struct sv_nn_child *) first; /* the one that loaded it first, not yet a session's */
};

/* Memory that both have. */
struct shared {
    int fd;
    uint8_t *at;
    uint64_t len;
};

struct session {
    struct model *model;
    pthread_mutex_t lock;      /* for `child`: cancel comes from another thread */
    struct sv_nn_child *child; /* NULL: it has died */
    struct shared in, out;
};

static int fail(char *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(char *error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(error, SSVM_NN_ERROR_MAX, fmt, ap);
    va_end(ap);
    return -1;
}

/* ---- Shared memory ---- */

static void shared_release(struct shared *s)
{
    if (s->at)
        munmap(s->at, s->len);
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct shared){.fd = -1};
}

/* A descriptor of `len` bytes whose size does not change any more; -1: errno. */
static int memory_new(uint64_t len)
{
    int fd = memfd_create("ssvm-nn", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && (ftruncate(fd, (off_t)len) != 0 ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Room for `len` bytes; *ret_new: it is other memory than before. */
static bool shared_reserve(struct shared *s, uint64_t len, bool *ret_new)
{
    *ret_new = false;
    if (s->at && len <= s->len)
        return true;
    shared_release(s);
    s->fd = memory_new(len);
    if (s->fd < 0)
        return false;
    s->at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (s->at == MAP_FAILED) {
        s->at = NULL;
        shared_release(s);
        return false;
    }
    s->len = len;
    *ret_new = true;
    return true;
}

/* Memory that a child gives: it may not become smaller, which would end us with SIGBUS. */
static bool shared_take(struct shared *s, own int fd)
{
    struct stat st;
    void *at;

    shared_release(s);
    if ((fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) == 0 || fstat(fd, &st) != 0 || st.st_size <= 0 ||
        (at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED) {
        close(fd);
        return false;
    }
    *s = (struct shared){.fd = fd, .at = at, .len = (uint64_t)st.st_size};
    return true;
}

/* ---- Children ---- */

static bool wait_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int r;

    do
        r = poll(&p, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    return r > 0;
}

static void child_kill(const struct sv_nn_child *c)
{
    if (c->number)
        c->lib->starter.stop(c->lib->starter.arg, c->number);
    else
        syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
}

/* How it ended, to `text`. An embedder that waits for all of its children may have been faster. */
static void child_reap(struct sv_nn_child *c, char *text, size_t size)
{
    pid_t r;
    int status;

    if (c->number)
        snprintf(text, size, "its process ended");
    if (c->pid <= 0)
        return;
    do
        r = waitpid(c->pid, &status, 0);
    while (r < 0 && errno == EINTR);
    c->pid = 0;
    if (r > 0 && WIFSIGNALED(status))
        snprintf(text, size, "its process ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (r > 0 && WIFEXITED(status))
        snprintf(text, size, "its process ended with status %d", WEXITSTATUS(status));
    else
        snprintf(text, size, "its process ended");
}

static void unlist(const struct sv_nn_child *c)
{
    struct sv_nn_child **at = &c->lib->children->first;

    pthread_mutex_lock(&c->lib->children->lock);
    while (*at && *at != c)
        at = &(*at)->next;
    if (*at)
        *at = c->next;
    pthread_mutex_unlock(&c->lib->children->lock);
}

static void child_delete(own struct sv_nn_child *c)
{
    char text[SSVM_NN_ERROR_MAX];

    if (!c)
        return;
    child_kill(c);
    child_reap(c, text, sizeof text);
    if (c->folder[0])
        sv_folder_remove(c->folder);
    unlist(c);
    if (c->sock >= 0)
        close(c->sock);
    if (c->pidfd >= 0)
        close(c->pidfd);
    atomic_fetch_sub(&c->lib->nchildren, 1);
    sv_free(c);
}

/* Only its end of the socket is open in it, nothing is in its environment but where libraries are
 * and where it may write. */
static int spawn(const struct lib *l, const char *folder, int end, pid_t *ret)
{
    char *argv[] = {l->program, l->plugin, NULL};
    char *libraries = NULL, temporary[128], *environment[3] = {NULL};
    const char *path = getenv("LD_LIBRARY_PATH");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int r;

    if (path && asprintf(&libraries, "LD_LIBRARY_PATH=%s", path) < 0)
        return ENOMEM;
    snprintf(temporary, sizeof temporary, "TMPDIR=%s", folder);
    environment[0] = temporary;
    environment[1] = libraries;
    r = posix_spawn_file_actions_init(&actions);
    if (r != 0) {
        free(libraries);
        return r;
    }
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    for (int fd = 0; fd < 3 && r == 0; fd++)
        r = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, end, SV_NN_WIRE_FD);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(&actions, SV_NN_WIRE_FD + 1);
    if (r == 0)
        r = posix_spawn(ret, l->program, &actions, &attr, argv, environment);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    free(libraries);
    return r;
}

/* A socket whose child's end is not one of the descriptors that spawn arranges. */
static int make_sockets(int ret[2])
{
    int high;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) != 0)
        return -1;
    high = fcntl(ret[1], F_DUPFD_CLOEXEC, SV_NN_WIRE_FD + 1);
    close(ret[1]);
    ret[1] = high;
    if (high >= 0)
        return 0;
    close(ret[0]);
    return -1;
}

/* A process of ours. -1: why not is told. */
static int start_locked(struct sv_nn_child *c, char *error)
{
    int sockets[2], r;

    if (c->lib->children->ended)
        return fail(error, "nobody wants it any more");
    if (make_sockets(sockets) != 0)
        return fail(error, "out of memory or descriptors");
    c->sock = sockets[0];
    /* For what a library wants to find as a file. Without one such libraries will tell. */
    sv_folder_new("ssvm-nn", c->folder, sizeof c->folder);
    r = spawn(c->lib, c->folder, sockets[1], &c->pid);
    close(sockets[1]);
    if (r != 0) {
        c->pid = 0;
        return fail(error, "%s cannot be started: %s", c->lib->program, strerrordesc_np(r));
    }
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (c->pidfd >= 0)
        return 0;
    close(c->sock); /* it ends by itself */
    c->sock = -1;
    return fail(error, "the system is too old: Linux 5.3 is needed");
}

static int start_here(struct sv_nn_child *c, char *error)
{
    struct sv_nn_children *all = c->lib->children;
    int r;

    pthread_mutex_lock(&all->lock);
    r = start_locked(c, error);
    c->next = all->first;
    all->first = c;
    pthread_mutex_unlock(&all->lock);
    return r;
}

/* Somebody else's. */
static int start_there(struct sv_nn_child *c, char *error)
{
    const struct sv_nn_starter *s = &c->lib->starter;

    c->sock = s->start(s->arg, c->lib->id, error, SSVM_NN_ERROR_MAX, &c->number);
    atomic_store(&c->lib->refused, c->sock < 0);
    return c->sock < 0 ? -1 : 0;
}

void sv_nn_children_end(struct sv_nn_children *all)
{
    pthread_mutex_lock(&all->lock);
    all->ended = true;
    for (const struct sv_nn_child *c = all->first; c; c = c->next)
        child_kill(c);
    for (const struct sv_nn_child *c = all->first; c; c = c->next) {
        wait_readable(c->pidfd, END_MS); /* it writes no more */
        if (c->folder[0])
            sv_folder_remove(c->folder);
    }
    pthread_mutex_unlock(&all->lock);
}

static own struct sv_nn_child *child_new(struct lib *l, char *error)
{
    struct sv_nn_child *c;

    if (atomic_fetch_add(&l->nchildren, 1) >= SV_NN_CHILDREN_MAX) {
        atomic_fetch_sub(&l->nchildren, 1);
        fail(error, "more than %d processes", SV_NN_CHILDREN_MAX);
        return NULL;
    }
    c = sv_alloc_zero(sizeof *c);
    if (!c) {
        atomic_fetch_sub(&l->nchildren, 1);
        fail(error, "out of memory");
        return NULL;
    }
    c->lib = l;
    c->sock = c->pidfd = -1;
    if ((l->starter.start ? start_there(c, error) : start_here(c, error)) == 0)
        return c;
    child_delete(c);
    return NULL;
}

/* ---- Requests ---- */

/* Ask; the answer to *m, its descriptor to *ret_fd (NULL: none is wanted). 0, what the answer says,
 * or -1 with `error`; *ret_dead: the child is of no use any more. */
static int ask(struct sv_nn_child *c, struct sv_nn_wire *m, int fd, int timeout_ms, char *error,
               int *ret_fd, bool *ret_dead)
{
    char how[SSVM_NN_ERROR_MAX / 2] = "";
    int got = -1;

    *ret_dead = false;
    if (ret_fd)
        *ret_fd = -1;
    if (!sv_nn_wire_send(c->sock, m, fd) || !wait_readable(c->sock, timeout_ms) ||
        !sv_nn_wire_receive(c->sock, m, &got)) {
        *ret_dead = true;
        /* It did not answer in time, or only closed its socket. One that has died has its status.
         */
        child_kill(c);
        child_reap(c, how, sizeof how);
        return fail(error, "%s", how);
    }
    m->text[sizeof m->text - 1] = m->text2[sizeof m->text2 - 1] = '\0';
    if (ret_fd && m->result == 0)
        *ret_fd = got;
    else if (got >= 0)
        close(got);
    if (m->result == 0 || m->result == 1)
        return m->result;
    return fail(error, "%.*s", SSVM_NN_ERROR_MAX - 1, m->text[0] ? m->text : "it does not say why");
}

/* A child whose library is open. */
static own struct sv_nn_child *child_open(struct lib *l, char *error)
{
    struct sv_nn_child *c = atomic_exchange(&l->spare, NULL);
    struct sv_nn_wire m = {.op = SV_NN_WIRE_OPEN, .threads = l->threads};
    bool dead;

    if (c)
        return c;
    c = child_new(l, error);
    if (!c)
        return NULL;
    snprintf(m.path, sizeof m.path, "%s", l->library ? l->library : "");
    snprintf(m.text, sizeof m.text, "%s", l->device);
    if (ask(c, &m, -1, PREPARE_MS, error, NULL, &dead) != 0) {
        child_delete(c);
        return NULL;
    }
    if (!l->version[0]) { /* the first, before anyone else has it */
        snprintf(l->version, sizeof l->version, "%s", m.text);
        snprintf(l->devices, sizeof l->devices, "%s", m.text2);
    }
    return c;
}

/* ---- The backend ---- */

static void lib_close(void *arg)
{
    struct lib *l = arg;

    child_delete(atomic_load(&l->spare));
    sv_free(l->program);
    sv_free(l->plugin);
    sv_free(l->library);
    sv_free(l->device);
    sv_free(l);
}

static const char *lib_version(void *arg)
{
    return ((struct lib *)arg)->version;
}

static int lib_devices(void *arg, char *error, char *ret, size_t size)
{
    (void)error;
    snprintf(ret, size, "%s", ((struct lib *)arg)->devices);
    return 0;
}

static void model_unload(void *arg)
{
    struct model *m = arg;

    child_delete(atomic_load(&m->first));
    if (m->fd >= 0)
        close(m->fd);
    sv_free(m->ports[0]);
    sv_free(m->ports[1]);
    sv_free(m);
}

/* A child that has the model. */
static own struct sv_nn_child *child_load(struct model *m, char *error, size_t *ret_cost)
{
    struct sv_nn_wire w = {.op = SV_NN_WIRE_LOAD, .format = m->format, .len = m->len};
    struct sv_nn_child *c = child_open(m->lib, error);
    bool dead;

    if (!c)
        return NULL;
    if (ask(c, &w, m->fd, PREPARE_MS, error, NULL, &dead) != 0) {
        child_delete(c);
        return NULL;
    }
    *ret_cost = w.cost < COST_MAX ? w.cost : COST_MAX;
    return c;
}

/* Once, so that describing asks nobody. */
static int describe_all(struct model *m, struct sv_nn_child *c, uint32_t output, char *error)
{
    SV_VEC(struct sv_nn_wire_tensor) list = {0};
    int r = 0;

    while (r == 0 && list.len < UINT16_MAX) {
        struct sv_nn_wire w = {
            .op = SV_NN_WIRE_DESCRIBE, .output = output, .position = (uint32_t)list.len};
        bool dead;

        r = ask(c, &w, -1, PREPARE_MS, error, NULL, &dead);
        w.tensor.port.name[SSVM_NN_NAME_MAX - 1] = '\0';
        if (r == 0 && !SV_VEC_PUSH(&list, UINT16_MAX, w.tensor))
            r = fail(error, "out of memory");
    }
    m->ports[output] = list.data;
    m->nports[output] = (uint32_t)list.len;
    return r < 0 ? r : 0;
}

static int copy_bytes(int fd, const void *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        ssize_t n = pwrite(fd, (const char *)bytes + at, len - at, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += (size_t)n;
    }
    return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL);
}

static int model_load(void *lib, enum ssvm_nn_format format, const void *bytes, size_t len,
                      char *error, void **ret, size_t *ret_cost)
{
    struct model *m = sv_alloc_zero(sizeof *m);
    struct sv_nn_child *c = NULL;
    int r = -1;

    if (!m)
        return fail(error, "out of memory");
    m->lib = lib;
    m->len = len;
    m->format = format;
    m->fd = memory_new(len);
    if (m->fd < 0 || copy_bytes(m->fd, bytes, len) != 0)
        fail(error, "no memory for the model: %s", strerrordesc_np(errno));
    else
        c = child_load(m, error, ret_cost);
    if (c)
        r = describe_all(m, c, 0, error);
    if (r == 0)
        r = describe_all(m, c, 1, error);
    atomic_init(&m->first, c);
    if (r != 0) {
        model_unload(m);
        return -1;
    }
    *ret = m;
    return 0;
}

static int model_describe(void *arg, int output, uint32_t position, struct ssvm_nn_port *ret_port,
                          struct ssvm_nn_tensor *ret_tensor)
{
    const struct model *m = arg;

    if (position >= m->nports[output != 0])
        return 1;
    *ret_port = m->ports[output != 0][position].port;
    *ret_tensor = m->ports[output != 0][position].tensor;
    return 0;
}

static int session_new(void *arg, char *error, void **ret)
{
    struct model *m = arg;
    struct session *s = sv_alloc_zero(sizeof *s);
    size_t cost;

    if (!s)
        return fail(error, "out of memory");
    s->child = atomic_exchange(&m->first, NULL);
    if (!s->child)
        s->child = child_load(m, error, &cost);
    if (!s->child) {
        sv_free(s);
        return -1;
    }
    s->model = m;
    s->in.fd = s->out.fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

static void session_delete(void *arg)
{
    struct session *s = arg;

    child_delete(s->child);
    shared_release(&s->in);
    shared_release(&s->out);
    pthread_mutex_destroy(&s->lock);
    sv_free(s);
}

/* Bytes that the inputs take in shared memory, their table first, and what may be read behind the
 * last; 0: too many. */
static uint64_t bytes_of_inputs(const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                                uint32_t nwanted)
{
    uint64_t sum =
        SV_NN_WIRE_ALIGN(((uint64_t)ninputs + nwanted) * sizeof(struct sv_nn_wire_tensor));

    for (uint32_t i = 0; i < ninputs; i++) {
        if (inputs[i].len > UINT64_MAX / 4 || sum > UINT64_MAX / 4)
            return 0;
        sum += SV_NN_WIRE_ALIGN((uint64_t)inputs[i].len);
    }
    return sum + SSVM_NN_SLACK;
}

static void put_inputs(const struct session *s, const struct ssvm_nn_port *ports,
                       const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                       const struct ssvm_nn_port *wanted, uint32_t nwanted)
{
    struct sv_nn_wire_tensor t;
    uint64_t at = SV_NN_WIRE_ALIGN(((uint64_t)ninputs + nwanted) * sizeof t);

    for (uint32_t i = 0; i < ninputs + nwanted; i++) {
        memset(&t, 0, sizeof t);
        t.port = i < ninputs ? ports[i] : wanted[i - ninputs];
        if (i < ninputs) {
            t.tensor = inputs[i];
            t.tensor.data = NULL;
            t.offset = at;
            if (inputs[i].len)
                memcpy(s->in.at + at, inputs[i].data, inputs[i].len);
            at += SV_NN_WIRE_ALIGN((uint64_t)inputs[i].len);
        }
        memcpy(s->in.at + i * sizeof t, &t, sizeof t);
    }
}

/* The child may write to that memory while we look: each entry is copied before it is checked. */
static int take_outputs(struct session *s, struct ssvm_nn_tensor *ret, uint32_t nwanted,
                        char *error)
{
    struct sv_nn_wire_tensor t;

    for (uint32_t i = 0; i < nwanted; i++) {
        if ((uint64_t)(i + 1) * sizeof t > s->out.len)
            return fail(error, "the process answers nonsense");
        memcpy(&t, s->out.at + i * sizeof t, sizeof t);
        if (t.offset > s->out.len || t.tensor.len > s->out.len - t.offset)
            return fail(error, "the process answers nonsense");
        ret[i] = t.tensor;
        ret[i].data = s->out.at + t.offset;
    }
    return 0;
}

static int session_run(void *arg, const struct ssvm_nn_port *ports,
                       const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                       const struct ssvm_nn_port *wanted, struct ssvm_nn_tensor *ret,
                       uint32_t nwanted, char *error)
{
    struct session *s = arg;
    struct sv_nn_wire m = {.op = SV_NN_WIRE_RUN, .ninputs = ninputs, .nwanted = nwanted};
    uint64_t len = bytes_of_inputs(inputs, ninputs, nwanted);
    struct sv_nn_child *c = s->child;
    bool other, dead;
    int fd = -1, r;

    if (!c)
        return fail(error, "its process has ended");
    if (len == 0 || !shared_reserve(&s->in, len, &other))
        return fail(error, "no memory for the inputs");
    put_inputs(s, ports, inputs, ninputs, wanted, nwanted);
    m.len = s->in.len;
    r = ask(c, &m, other ? s->in.fd : -1, FOR_EVER, error, &fd, &dead);
    if (dead) {
        pthread_mutex_lock(&s->lock);
        s->child = NULL;
        pthread_mutex_unlock(&s->lock);
        child_delete(c);
    }
    if (r == 0 && fd >= 0 && !shared_take(&s->out, fd))
        return fail(error, "the process answers nonsense");
    if (r == 0)
        r = take_outputs(s, ret, nwanted, error);
    return r == 0 ? 0 : -1;
}

/* The run's own thread finds it dead. */
static void session_cancel(void *arg)
{
    struct session *s = arg;

    pthread_mutex_lock(&s->lock);
    if (s->child)
        child_kill(s->child);
    pthread_mutex_unlock(&s->lock);
}

int sv_nn_isolate(struct sv_err *err, const struct ssvm_nn_backend *real, const char *id,
                  const struct sv_nn_config *config, const struct ssvm_nn_options *o,
                  struct sv_nn_children *children, struct ssvm_nn_backend *ret, void **ret_lib)
{
    const char *program = config->program;
    char path[SV_NN_WIRE_PATH_MAX], plugin[SV_NN_WIRE_PATH_MAX], name[SSVM_NN_NAME_MAX];
    char error[SSVM_NN_ERROR_MAX] = "";
    struct lib *l;
    struct sv_nn_child *c = NULL;

    snprintf(name, sizeof name, "nn-%s.so", id);
    if (!sv_library_find(name, plugin, sizeof plugin))
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s is not beside this program", name);
    if (!program && !sv_library_find("ssvm-nn", path, sizeof path))
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET,
                       "ssvm-nn, which runs isolated backends, is not beside this program or in "
                       "../libexec/ssvm");
    l = sv_alloc_zero(sizeof *l);
    if (!l)
        return sv_fail_nomem(err, "backend");
    l->program = sv_strdup(program ? program : path);
    l->plugin = sv_strdup(plugin);
    l->library = o->library ? sv_strdup(o->library) : NULL;
    l->device = sv_strdup(o->device);
    l->threads = o->threads;
    l->id = id;
    l->starter = config->starter;
    l->children = children;
    if (!l->program || !l->plugin || !l->device || (o->library && !l->library))
        fail(error, "out of memory");
    else
        c = child_open(l, error);
    atomic_init(&l->spare, c);
    if (!c) {
        int code = atomic_load(&l->refused) ? SV_ELIMIT : SV_ENOTFOUND;

        lib_close(l);
        return sv_fail(err, code, SV_NO_OFFSET, "%s cannot be used: %s", real->title, error);
    }
    *ret = *real;
    ret->open = NULL;
    ret->close = lib_close;
    ret->version = lib_version;
    ret->devices = lib_devices;
    ret->load = model_load;
    ret->unload = model_unload;
    ret->describe = model_describe;
    ret->session_new = session_new;
    ret->session_delete = session_delete;
    ret->run = session_run;
    ret->cancel = session_cancel;
    *ret_lib = l;
    return 0;
}
