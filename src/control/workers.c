/* Workers as the control process sees them: a channel with a thread that reads it, and a ring that
 * outlives them. Starts and ends none. */
#include "control/workers.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/dispatch.h"
#include "control/isolated.h"
#include "control/key.h"
#include "control/log.h"
#include "control/part.h"
#include "control/publish.h"
#include "platform/unit.h"

#define SLOTS_MAX 1024
#define RETRY_MS 100 /* for a table that found a worker's channel full */
/* What one worker may have asked that is not answered: less than the pool takes, and memory. */
#define ASKED_MAX 32768
#define ASKED_BYTES_MAX (2 * (size_t)PLAT_MESSAGE_MAX)
/* In one message: what a guest may put together for a host function, 16 MiB in each of at most five
 * values; and beside a body that a setting bounds, heads, grants and the manifest of a deployment.
 */
#define GUEST_BYTES_MAX (5 * ((size_t)16 << 20))
#define SLACK_BYTES ((size_t)1 << 20)

struct worker {
    struct ctl_server *server;
    char tenant[CTL_TENANT_SIZE]; /* whose guests it runs, and no others'; "": all */
    bool refused;                 /* something, which has been told */
    struct plat_channel *channel;
    unsigned refs;      /* with the lock held */
    unsigned asked;     /* messages that are handled, or wait for it */
    size_t asked_bytes; /* of them */
    bool gone;
    bool wants_table;
};

struct slot {
    char tenant[CTL_TENANT_SIZE]; /* as of workers: of the ring */
    struct worker *worker;        /* a reference; NULL: none now */
    struct plat_ring *ring;       /* NULL: the slot was never used */
};

struct ctl_workers {
    pthread_mutex_t lock;
    pthread_cond_t fewer; /* a reading thread, or a message's handler, has ended */
    struct slot slots[SLOTS_MAX];
    unsigned turn;                 /* whom to ask next */
    unsigned readers;              /* threads */
    unsigned running;              /* handlers of messages */
    struct plat_message table;     /* the last one; kind NONE: none yet */
    uint8_t secret[SV_SHA256_LEN]; /* of which tenants' are made */
};

/* ---- References ---- */

/* With the lock held. */
static struct worker *take_ref(struct worker *w)
{
    w->refs++;
    return w;
}

static void put_ref(struct ctl_workers *workers, struct worker *w)
{
    bool last;

    pthread_mutex_lock(&workers->lock);
    last = --w->refs == 0;
    pthread_mutex_unlock(&workers->lock);
    if (!last)
        return;
    plat_channel_delete(w->channel);
    sv_free(w);
}

static void end_message(void *data, size_t bytes)
{
    struct worker *w = data;
    struct ctl_workers *workers = w->server->workers;

    pthread_mutex_lock(&workers->lock);
    w->asked--;
    w->asked_bytes -= bytes;
    pthread_mutex_unlock(&workers->lock);
    put_ref(workers, w);
    pthread_mutex_lock(&workers->lock);
    workers->running--;
    pthread_cond_signal(&workers->fewer);
    pthread_mutex_unlock(&workers->lock);
}

/* ---- Reading ---- */

/* No worker asks for this by itself. */
static void refuse(struct worker *w, const struct plat_message *m)
{
    struct plat_message answer;
    struct sv_err err = {0};

    if (!w->refused)
        ctl_log_event(w->server, CTL_LOG_WARN, "worker_refused", w->tenant, NULL, NULL,
                      "a worker asked for what is another tenant's");
    w->refused = true;
    if (m->id == 0)
        return;
    plat_message_init(&answer, m->kind);
    sv_fail(&err, SV_EINVALID, SV_NO_OFFSET, "it is not for this worker");
    plat_put_error(&answer, &err);
    (void)plat_channel_answer_now(w->channel, NULL, m->id, &answer);
    plat_message_release(&answer);
}

/* A worker may have been taken over: what it asks for takes no more than its part of us. */
static void take_message(void *data, struct plat_channel *channel, struct plat_message *m)
{
    struct worker *w = data;
    struct ctl_workers *workers = w->server->workers;
    unsigned wanted = m->kind == PLAT_SOCKET ? 1 : 0; /* descriptors */
    uint64_t id;
    bool fits;

    while (m->nfds > wanted)
        close(m->fds[--m->nfds]);
    if (m->kind != PLAT_CANCEL && !ctl_isolated_may(w->server, w->tenant, m)) {
        refuse(w, m);
        return;
    }
    if (m->kind == PLAT_CANCEL) {
        if (plat_get_u64(m, PLAT_TAG_NUMBER, &id))
            ctl_dispatch_cancel(channel, id);
        return;
    }
    pthread_mutex_lock(&workers->lock);
    fits = w->asked < ASKED_MAX && m->values.cap <= ASKED_BYTES_MAX - w->asked_bytes;
    if (fits) {
        take_ref(w);
        w->asked++;
        w->asked_bytes += m->values.cap;
        workers->running++;
    }
    pthread_mutex_unlock(&workers->lock);
    if (fits)
        ctl_dispatch(w->server, channel, m, end_message, w);
    else
        ctl_dispatch_refuse(channel, m);
}

static void *read_worker(void *data)
{
    struct worker *w = data;
    struct ctl_workers *workers = w->server->workers;
    struct worker *left = NULL;

    (void)plat_channel_run(w->channel, NULL);
    pthread_mutex_lock(&workers->lock);
    w->gone = true;
    for (unsigned i = 0; i < SLOTS_MAX && !left; i++) {
        if (workers->slots[i].worker == w) {
            workers->slots[i].worker = NULL;
            left = w;
        }
    }
    pthread_mutex_unlock(&workers->lock);
    if (left)
        put_ref(workers, left);
    put_ref(workers, w);
    pthread_mutex_lock(&workers->lock);
    workers->readers--;
    pthread_cond_signal(&workers->fewer);
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* ---- Coming and going ---- */

/* HELLO before anything else: calls that our predecessor had taken will not be answered. */
static void greet(struct ctl_server *server, struct worker *w)
{
    struct plat_message hello;

    plat_message_init(&hello, PLAT_HELLO);
    plat_put_u64(&hello, PLAT_TAG_NUMBER, server->epoch);
    if (server->clean)
        plat_put_u64(&hello, PLAT_TAG_COUNT, 1);
    (void)plat_channel_send(w->channel, NULL, &hello, true);
    plat_message_release(&hello);
}

/* With the lock held. */
static void send_table(struct ctl_workers *workers, struct worker *w)
{
    if (w->tenant[0]) { /* it is made for it */
        w->wants_table = true;
        return;
    }
    w->wants_table = workers->table.kind == PLAT_TABLE && !w->gone &&
                     plat_channel_send(w->channel, NULL, &workers->table, true) == SV_ELIMIT;
}

static struct plat_ring *map_ring(int fd)
{
    struct plat_ring *ring;
    struct stat st;
    void *memory;

    if (fstat(fd, &st) < 0 || (size_t)st.st_size < plat_ring_bytes())
        return NULL;
    memory = mmap(NULL, plat_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    ring = plat_ring_open(memory, plat_ring_bytes());
    if (!ring)
        munmap(memory, plat_ring_bytes());
    return ring;
}

static void widen(struct ctl_server *server, const char *option, size_t *most)
{
    char *text = ctl_setting(server, option);
    uint64_t n = PLAT_MESSAGE_MAX; /* where the settings do not say */

    if (text)
        (void)plat_unit_read(text, PLAT_UNIT_BYTES, &n);
    sv_free(text);
    if (n > *most)
        *most = n < PLAT_MESSAGE_MAX ? (size_t)n : PLAT_MESSAGE_MAX;
}

/* The largest message that a worker has for us: a request's body, or a call's answer that a
 * function sends on, and a module that is deployed, which no worker of one tenant forwards. */
static size_t largest(struct ctl_server *server, const char *tenant)
{
    size_t most = GUEST_BYTES_MAX;

    widen(server, "max-body", &most);
    widen(server, "call-output", &most);
    if (!tenant[0])
        widen(server, "max-module", &most);
    return most < PLAT_MESSAGE_MAX - SLACK_BYTES ? most + SLACK_BYTES : PLAT_MESSAGE_MAX;
}

static struct worker *new_worker(struct ctl_server *server, const char tenant[CTL_TENANT_SIZE],
                                 own int fd)
{
    struct worker *w = sv_alloc_zero(sizeof *w);

    if (!w) {
        close(fd);
        return NULL;
    }
    w->server = server;
    memcpy(w->tenant, tenant, sizeof w->tenant);
    w->refs = 2; /* the slot's, the reader's */
    w->channel = plat_channel_new(fd, take_message, w);
    if (!w->channel) {
        sv_free(w);
        return NULL;
    }
    plat_channel_bound(w->channel, largest(server, tenant));
    return w;
}

/* The worker, with its reader, takes the slot. With the lock held. */
static bool start_worker(struct ctl_server *server, struct slot *slot, own int fd)
{
    struct worker *w = new_worker(server, slot->tenant, fd);
    pthread_t thread;

    if (!w)
        return false;
    greet(server, w);
    slot->worker = w;
    server->workers->readers++;
    if (pthread_create(&thread, NULL, read_worker, w) != 0) {
        server->workers->readers--;
        slot->worker = NULL;
        plat_channel_delete(w->channel);
        sv_free(w);
        return false;
    }
    pthread_detach(thread);
    send_table(server->workers, w);
    return true;
}

void ctl_workers_set(struct ctl_server *server, struct plat_message *m)
{
    struct ctl_workers *workers = server->workers;
    struct worker *before;
    struct slot *slot;
    struct sv_str tenant;
    uint64_t number;

    if (!plat_get_u64(m, PLAT_TAG_NUMBER, &number) || number >= SLOTS_MAX)
        return;
    slot = &workers->slots[number];
    tenant = plat_get(m, PLAT_TAG_TENANT);
    if (tenant.len >= sizeof slot->tenant)
        return;
    pthread_mutex_lock(&workers->lock);
    memset(slot->tenant, 0, sizeof slot->tenant);
    if (tenant.len > 0)
        memcpy(slot->tenant, tenant.ptr, tenant.len);
    before = slot->worker;
    slot->worker = NULL; /* its reader ends when the last of its process has closed the channel */
    if (!slot->ring && m->nfds > 0)
        slot->ring = map_ring(m->fds[0]);
    if (m->nfds > 1)
        start_worker(server, slot, m->fds[--m->nfds]);
    pthread_mutex_unlock(&workers->lock);
    if (tenant.len > 0)
        ctl_publish_note_isolated(server);
    if (before)
        put_ref(workers, before);
}

/* ---- For the others ---- */

void ctl_workers_rings(struct ctl_server *server, void (*fn)(void *, struct plat_ring *),
                       void *data)
{
    struct ctl_workers *workers = server->workers;

    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct plat_ring *ring;

        pthread_mutex_lock(&workers->lock);
        ring = workers->slots[i].ring;
        pthread_mutex_unlock(&workers->lock);
        if (ring)
            fn(data, ring);
    }
}

void ctl_workers_ring_tenant(struct ctl_server *server, const struct plat_ring *ring,
                             char ret[CTL_TENANT_SIZE])
{
    struct ctl_workers *workers = server->workers;

    ret[0] = '\0';
    pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (workers->slots[i].ring == ring)
            memcpy(ret, workers->slots[i].tenant, CTL_TENANT_SIZE);
    }
    pthread_mutex_unlock(&workers->lock);
}

bool ctl_workers_wanting(struct ctl_server *server, char ret[CTL_TENANT_SIZE])
{
    struct ctl_workers *workers = server->workers;
    bool found = false;

    pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < SLOTS_MAX && !found; i++) {
        struct worker *w = workers->slots[i].worker;

        found = w && w->tenant[0] && w->wants_table && !w->gone;
        if (found) {
            w->wants_table = false; /* whatever comes of it: the next change makes another */
            memcpy(ret, w->tenant, CTL_TENANT_SIZE);
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return found;
}

void ctl_workers_push_isolated(struct ctl_server *server, const char *tenant,
                               struct plat_message *table)
{
    struct ctl_workers *workers = server->workers;

    pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct worker *w = workers->slots[i].worker;

        if (w && strcmp(w->tenant, tenant) == 0)
            w->wants_table = plat_channel_send(w->channel, NULL, table, true) == SV_ELIMIT;
    }
    pthread_mutex_unlock(&workers->lock);
}

unsigned ctl_workers_count(struct ctl_server *server)
{
    struct ctl_workers *workers = server->workers;
    unsigned n = 0;

    pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < SLOTS_MAX; i++)
        n += workers->slots[i].worker != NULL;
    pthread_mutex_unlock(&workers->lock);
    return n;
}

/* Keep a copy of the table for workers to come. With the lock held. */
static void keep_table(struct ctl_workers *workers, const struct plat_message *m)
{
    plat_message_release(&workers->table);
    plat_message_init(&workers->table, PLAT_TABLE);
    if (m->values.len > 0)
        sv_buf_append(&workers->table.values, m->values.data, m->values.len);
    for (unsigned i = 0; i < m->nfds; i++) {
        int fd = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 0);

        if (fd >= 0)
            plat_put_fd(&workers->table, fd);
    }
}

void ctl_workers_push(struct ctl_server *server, struct plat_message *m)
{
    struct ctl_workers *workers = server->workers;

    pthread_mutex_lock(&workers->lock);
    if (m->kind == PLAT_TABLE)
        keep_table(workers, m);
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct worker *w = workers->slots[i].worker;

        if (w && m->kind == PLAT_TABLE)
            send_table(workers, w);
        else if (w)
            (void)plat_channel_send(w->channel, NULL, m, true);
    }
    pthread_mutex_unlock(&workers->lock);
}

static void retry_tables(struct ctl_server *server, void *data)
{
    struct ctl_workers *workers = server->workers;
    bool isolated = false;

    (void)data;
    pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct worker *w = workers->slots[i].worker;

        if (w && w->wants_table) {
            isolated = isolated || w->tenant[0];
            send_table(workers, w);
        }
    }
    pthread_mutex_unlock(&workers->lock);
    if (isolated)
        ctl_publish_note_isolated(server);
}

/* The next in turn of those of all tenants, which hand on what is not for them; as a reference;
 * NULL: there is none. */
static struct worker *choose(struct ctl_workers *workers)
{
    struct worker *w = NULL;

    pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < SLOTS_MAX && !w; i++) {
        unsigned at = (workers->turn + 1 + i) % SLOTS_MAX;

        if (workers->slots[at].worker && !workers->slots[at].worker->gone &&
            !workers->slots[at].worker->tenant[0]) {
            w = take_ref(workers->slots[at].worker);
            workers->turn = at;
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return w;
}

void ctl_workers_secret(struct ctl_server *server, struct sv_str tenant, uint8_t ret[SV_SHA256_LEN])
{
    plat_pass_secret(server->workers->secret, tenant, 0, ret);
}

/* A worker of all tenants carries it to the tenant's own. */
static void put_pass(struct ctl_server *server, struct plat_message *m, uint64_t until_ns)
{
    struct sv_str tenant = plat_get(m, PLAT_TAG_TENANT), function = plat_get(m, PLAT_TAG_FUNCTION);
    const char *at = memchr(function.ptr, '@', function.len);
    uint8_t secret[SV_SHA256_LEN];
    char pass[PLAT_PASS_LEN + 1];

    if (!ctl_publish_is_isolated(server, tenant))
        return;
    if (at)
        function.len = (size_t)(at - function.ptr);
    ctl_workers_secret(server, tenant, secret);
    plat_pass_write(secret, function, until_ns, pass);
    plat_put_str(m, PLAT_TAG_PASS, pass);
}

int ctl_workers_ask(struct ctl_server *server, struct sv_err *err, struct plat_message *m,
                    uint64_t deadline_ns, struct plat_message *ret)
{
    struct worker *w = choose(server->workers);
    int r;

    if (!w)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "no worker is there");
    if (m->kind == PLAT_ASK_INVOKE)
        put_pass(server, m, deadline_ns);
    r = plat_channel_call(w->channel, err, m, deadline_ns, ret);
    put_ref(server->workers, w);
    return r;
}

void ctl_workers_ask_all(struct ctl_server *server, struct plat_message *m, uint64_t deadline_ns,
                         void (*fn)(void *data, unsigned number, const char *tenant,
                                    const struct plat_message *),
                         void *data)
{
    struct ctl_workers *workers = server->workers;

    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct worker *w;
        struct plat_message ret;

        pthread_mutex_lock(&workers->lock);
        w = workers->slots[i].worker;
        if (w)
            take_ref(w);
        pthread_mutex_unlock(&workers->lock);
        if (!w)
            continue;
        if (plat_channel_call(w->channel, NULL, m, deadline_ns, &ret) == 0) {
            fn(data, i, w->tenant, &ret);
            plat_message_release(&ret);
        }
        put_ref(workers, w);
    }
}

/* ---- The parts ---- */

int ctl_workers_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_workers *workers = sv_alloc_zero(sizeof *workers);
    int r;

    if (!workers)
        return sv_fail_nomem(err, "the workers");
    r = ctl_random(err, workers->secret, sizeof workers->secret);
    if (r < 0) {
        sv_free(workers);
        return r;
    }
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->fewer, NULL);
    plat_message_init(&workers->table, PLAT_NONE);
    server->workers = workers;
    return ctl_pool_every(server, RETRY_MS, retry_tables, NULL);
}

/* What others hold lives as long as the process. */
void ctl_workers_stop(struct ctl_server *server)
{
    (void)server;
}

/* They come with the first workers. */
int ctl_readers_start(struct ctl_server *server, struct sv_err *err)
{
    (void)server, (void)err;
    return 0;
}

/* All that was read is answered, and nothing more is asked of the parts that stop after this one.
 */
void ctl_readers_stop(struct ctl_server *server)
{
    struct ctl_workers *workers = server->workers;

    ctl_publish_end(server);
    pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (workers->slots[i].worker)
            plat_channel_stop(workers->slots[i].worker->channel);
    }
    while (workers->readers > 0 || workers->running > 0)
        pthread_cond_wait(&workers->fewer, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    ctl_pool_quiet(server);
}
