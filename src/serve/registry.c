/* The table, and a cache of loaded modules in the order of their use. */
#include "serve/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"
#include "serve/isolated.h"
#include "serve/loop.h"
#include "serve/server.h"
#include "serve/state.h"
#include "serve/tally.h"

#define NS_PER_S 1000000000U
#define NS_PER_MS 1000000U
#define BROKEN_NS NS_PER_S /* a module that could not be loaded is tried again after this time */
#define WEIGHT_ALL 10000
#define LOCKS 16 /* modules that can be loaded at the same time */

/* A module and what it is linked to; in the hash table, and in the list by use. */
struct loaded {
    uint8_t ready[PLAT_DIGEST_BYTES];
    unsigned parts;
    uint64_t bytes, loaded_ns;
    own struct srv_version *version; /* a reference */
    struct loaded *next;             /* of the same place */
    struct loaded *newer, *older;
};

struct srv_registry {
    pthread_mutex_t lock;
    pthread_cond_t came;          /* the first table */
    own struct plat_table *table; /* NULL: none came yet */
    struct srv_tally *tally;      /* the server's */
    int data, blobs;              /* the data folder, and `blobs` in it; -1 = none */
    struct loaded *places[SRV_LOADED_PLACES];
    struct loaded *newest, *oldest;
    uint32_t nloaded;
    uint32_t naway; /* functions of the table that other processes run */
    uint64_t bytes;
    struct srv_function *functions[SRV_REGISTERED_PLACES]; /* by id, those that were called */
    pthread_mutex_t loading[LOCKS];
};

/* ---- Functions ---- */

/* The function's counters, as long as it is called. With the lock held. */
static struct srv_function *function_of(struct srv_registry *g, const struct plat_table *table,
                                        const struct plat_function *registered)
{
    struct srv_function **place = &g->functions[registered->id & (SRV_REGISTERED_PLACES - 1)], *f;
    struct sv_str tenant = plat_table_text(table, registered->tenant),
                  name = plat_table_text(table, registered->name);

    for (f = *place; f && f->id != registered->id; f = f->next)
        ;
    if (!f && tenant.len <= SRV_FUNCTION_NAME_MAX && name.len <= SRV_FUNCTION_NAME_MAX &&
        (f = calloc(1, sizeof *f))) {
        f->id = registered->id;
        memcpy(f->name, name.ptr, name.len);
        memcpy(f->tenant, tenant.ptr, tenant.len);
        f->next = *place;
        *place = f;
    }
    if (!f)
        return NULL;
    atomic_fetch_add(&f->refs, 1);
    if ((registered->limits.rate || registered->limits.concurrency) && !f->quota.place) {
        f->quota.tally = g->tally;
        atomic_store(&f->quota.place, srv_tally_find(g->tally, f->id));
    }
    return f;
}

/* Functions that are in the table no more, and are not called. With the lock held. */
static void sweep_functions(struct srv_registry *g)
{
    for (unsigned i = 0; i < SRV_REGISTERED_PLACES; i++) {
        struct srv_function **at = &g->functions[i], *f;

        while ((f = *at)) {
            if (atomic_load(&f->refs) > 0 || (g->table && plat_table_find_id(g->table, f->id))) {
                at = &f->next;
                continue;
            }
            *at = f->next;
            free(f);
        }
    }
}

/* ---- Loaded modules ---- */

static struct loaded **place_of(struct srv_registry *g, const uint8_t ready[PLAT_DIGEST_BYTES])
{
    return &g->places[(ready[0] | ready[1] << 8) & (SRV_LOADED_PLACES - 1)];
}

static struct loaded *find_loaded(struct srv_registry *g, const uint8_t ready[PLAT_DIGEST_BYTES],
                                  unsigned parts)
{
    struct loaded *l = *place_of(g, ready);

    while (l && (l->parts != parts || memcmp(l->ready, ready, PLAT_DIGEST_BYTES) != 0))
        l = l->next;
    return l;
}

static void unlist(struct srv_registry *g, struct loaded *l)
{
    *(l->newer ? &l->newer->older : &g->newest) = l->older;
    *(l->older ? &l->older->newer : &g->oldest) = l->newer;
}

static void list_newest(struct srv_registry *g, struct loaded *l)
{
    l->newer = NULL;
    l->older = g->newest;
    *(g->newest ? &g->newest->newer : &g->oldest) = l;
    g->newest = l;
}

static void drop_loaded(struct srv_registry *g, struct loaded *l)
{
    struct loaded **at = place_of(g, l->ready);

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    unlist(g, l);
    g->nloaded--;
    g->bytes -= l->bytes;
    srv_version_unref(l->version);
    free(l);
}

/* A reference to the version, if it is there; it is the newest then. With the lock held. */
static own struct srv_version *use_loaded(struct srv_registry *g,
                                          const uint8_t ready[PLAT_DIGEST_BYTES], unsigned parts,
                                          uint64_t now_ns)
{
    struct loaded *l = find_loaded(g, ready, parts);

    if (!l || (l->version->broken && now_ns - l->loaded_ns > BROKEN_NS))
        return NULL;
    if (l != g->newest) {
        unlist(g, l);
        list_newest(g, l);
    }
    return srv_version_ref(l->version);
}

/* With the lock held. Without memory it is not kept. */
static void keep_loaded(struct srv_registry *g, const uint8_t ready[PLAT_DIGEST_BYTES],
                        unsigned parts, uint64_t bytes, struct srv_version *version)
{
    struct loaded *l = find_loaded(g, ready, parts);

    if (l)
        drop_loaded(g, l);
    l = calloc(1, sizeof *l);
    if (!l)
        return;
    memcpy(l->ready, ready, sizeof l->ready);
    l->parts = parts;
    l->bytes = bytes;
    l->loaded_ns = srv_clock_ns();
    l->version = srv_version_ref(version);
    l->next = *place_of(g, ready);
    *place_of(g, ready) = l;
    list_newest(g, l);
    g->nloaded++;
    g->bytes += bytes;
    while (g->oldest != l && (g->nloaded > SRV_LOADED_MAX || g->bytes > SRV_LOADED_BYTES))
        drop_loaded(g, g->oldest);
}

/* Modules of tenants that have a process of their own since this table: of what is away there is
 * nothing here. With the lock held. */
static void sweep_loaded(struct srv_registry *g)
{
    uint32_t away = 0;

    for (uint32_t i = 0; i < plat_table_count(g->table); i++)
        away += (plat_table_at(g->table, i)->flags & PLAT_FUNCTION_ISOLATED) != 0;
    /* Whose they are is not known: the others are read again when they are called. */
    while (away != g->naway && g->oldest)
        drop_loaded(g, g->oldest);
    g->naway = away;
}

/* ---- Loading ---- */

static char *read_blob(struct srv_server *server, const uint8_t ready[PLAT_DIGEST_BYTES],
                       size_t *ret_len, const char **ret_why)
{
    const struct srv_registry *g = server->registry;
    char name[2 * PLAT_DIGEST_BYTES + 8], *bytes = NULL;
    uint8_t digest[SV_SHA256_LEN];
    struct stat st;
    size_t n = 0;
    ssize_t got = 0;
    int fd;

    for (unsigned i = 0; i < PLAT_DIGEST_BYTES; i++)
        snprintf(name + 2 * (size_t)i, 3, "%02x", ready[i]);
    memcpy(name + 2 * (size_t)PLAT_DIGEST_BYTES, ".wasm", 6);
    if (server->tenant) {
        fd = srv_isolated_module(server, ready, ret_why);
    } else {
        fd = openat(g->blobs, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        *ret_why = strerror(errno);
    }
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        bytes = malloc((size_t)st.st_size);
    while (bytes && n < (size_t)st.st_size &&
           (got = read(fd, bytes + n, (size_t)st.st_size - n)) > 0)
        n += (size_t)got;
    close(fd);
    if (bytes)
        sv_sha256(bytes, n, digest);
    if (bytes && memcmp(digest, ready, sizeof digest) == 0) {
        *ret_len = n;
        return bytes;
    }
    *ret_why = bytes ? "it is damaged" : "out of memory";
    free(bytes);
    return NULL;
}

static own struct srv_version *read_version(struct srv_server *server,
                                            const uint8_t ready[PLAT_DIGEST_BYTES], unsigned parts,
                                            uint64_t *ret_bytes)
{
    struct srv_version *version = calloc(1, sizeof *version);
    const char *why;
    ssvm_error *error;
    size_t len = 0;
    char *bytes;

    if (!version)
        return NULL;
    atomic_init(&version->refs, 1);
    *ret_bytes = 0;
    bytes = read_blob(server, ready, &len, &why);
    if (!bytes) {
        srv_version_set_broken(version, "the module's file cannot be read", why);
        return version;
    }
    *ret_bytes = len;
    error = ssvm_module_new(server->engine, bytes, len, &version->module);
    free(bytes);
    if (error)
        srv_version_set_refused(version, error);
    else
        srv_version_link(version, server->engine, &server->grant, parts);
    ssvm_error_delete(error);
    return version;
}

/* What of the server's grants the function has. */
static unsigned parts_of(const struct plat_table *table, const struct plat_function *f)
{
    static const struct {
        const char *word;
        unsigned part;
    } words[] = {{"nn", SRV_GRANT_NN},
                 {"image", SRV_GRANT_IMAGE},
                 {"allow-command", SRV_GRANT_PROCESS},
                 {"allow-connect", SRV_GRANT_SOCKETS},
                 {"allow-listen", SRV_GRANT_SOCKETS}};
    unsigned parts = 0;

    for (uint32_t i = 0; i < f->ntexts; i++) {
        struct sv_str line = plat_table_grant(table, f, i);
        size_t n = strcspn(line.ptr, " ");

        for (size_t k = 0; k < sizeof words / sizeof words[0]; k++) {
            if (strlen(words[k].word) == n && memcmp(words[k].word, line.ptr, n) == 0)
                parts |= words[k].part;
        }
        if (strncmp(line.ptr, "threads ", 8) == 0)
            parts |= (unsigned)strtoul(line.ptr + 8, NULL, 10) << SRV_GRANT_THREADS;
        parts |= srv_state_part((struct sv_str){line.ptr, n}) << SRV_GRANT_STATE;
    }
    return parts;
}

own struct srv_version *srv_registry_load(struct srv_conn *conn)
{
    struct srv_server *server = conn->loop->server;
    struct srv_registry *g = server->registry;
    struct srv_request *request = &conn->work->request;
    const uint8_t *ready = request->chosen->ready;
    unsigned parts = parts_of(request->table, request->registered);
    pthread_mutex_t *loading = &g->loading[ready[2] % LOCKS];
    struct srv_version *version;
    uint64_t bytes;

    pthread_mutex_lock(loading);
    pthread_mutex_lock(&g->lock);
    version = use_loaded(g, ready, parts, srv_clock_ns());
    pthread_mutex_unlock(&g->lock);
    if (!version && (version = read_version(server, ready, parts, &bytes))) {
        if (version->broken)
            srv_log_event(&server->log, "function_broken", request->function->name,
                          version->broken);
        else if (ssvm_module_refusal(version->module))
            srv_log_event(&server->log, "function_not_native", request->function->name,
                          ssvm_module_refusal(version->module));
        pthread_mutex_lock(&g->lock);
        keep_loaded(g, ready, parts, bytes, version);
        pthread_mutex_unlock(&g->lock);
    }
    pthread_mutex_unlock(loading);
    return version;
}

/* ---- Choosing ---- */

static uint64_t mix(uint64_t n)
{
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9U;
    n = (n ^ n >> 27) * 0x94d049bb133111ebU;
    return n ^ n >> 31;
}

static uint64_t random_number(void)
{
    static _Thread_local uint64_t state;

    if (state == 0 && getrandom(&state, sizeof state, GRND_NONBLOCK) != (ssize_t)sizeof state)
        state = srv_clock_ns() | 1;
    return mix(state += 0x9e3779b97f4a7c15U);
}

/* A value of the request's field; NULL: it has none. */
static struct sv_str find_field(const struct srv_work *work, struct sv_str name)
{
    for (unsigned i = 0; i < work->http.nfields; i++) {
        const struct srv_field *f = &work->http.fields[i];

        if (f->name.len == name.len && strncasecmp(work->in + f->name.at, name.ptr, name.len) == 0)
            return (struct sv_str){work->in + f->value.at, f->value.len};
    }
    return (struct sv_str){NULL, 0};
}

static struct sv_str find_cookie(const struct srv_work *work, struct sv_str name)
{
    struct sv_str all = find_field(work, sv_str_of("cookie"));
    const char *at = all.ptr, *end = at ? at + all.len : at;

    while (at && at < end) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        const char *stop = semicolon ? semicolon : end;

        while (at < stop && *at == ' ')
            at++;
        if ((size_t)(stop - at) > name.len && at[name.len] == '=' &&
            memcmp(at, name.ptr, name.len) == 0)
            return (struct sv_str){at + name.len + 1, (size_t)(stop - at) - name.len - 1};
        at = semicolon ? semicolon + 1 : end;
    }
    return (struct sv_str){NULL, 0};
}

/* What keeps a client with its version, as ssvm.yaml says; NULL: this client has no such thing. */
static struct sv_str sticky_value(const struct srv_conn *conn, struct sv_str how, char peer[64])
{
    if (how.len > 7 && memcmp(how.ptr, "header:", 7) == 0)
        return find_field(conn->work, (struct sv_str){how.ptr + 7, how.len - 7});
    if (how.len > 7 && memcmp(how.ptr, "cookie:", 7) == 0)
        return find_cookie(conn->work, (struct sv_str){how.ptr + 7, how.len - 7});
    if (!sv_str_eq(how, sv_str_of("peer")))
        return (struct sv_str){NULL, 0};
    srv_conn_peer(conn, peer);
    return sv_str_of(peer);
}

/* By the weights. NULL: no version has one. */
static const struct plat_version *choose(const struct srv_conn *conn, const struct plat_table *t,
                                         const struct plat_function *f)
{
    const struct plat_version *v = f->nversions > 0 ? plat_table_version(t, f, 0) : NULL;
    uint64_t number;
    struct sv_str value = {NULL, 0};
    char peer[64];

    if (!v || v->weight == 0)
        return NULL;
    if (v->weight >= WEIGHT_ALL)
        return v;
    if (f->sticky.len > 0)
        value = sticky_value(conn, plat_table_text(t, f->sticky), peer);
    number = value.ptr ? mix(sv_hash(value.ptr, value.len) ^ f->id) : random_number();
    number = (number >> 16) % WEIGHT_ALL;
    for (uint32_t i = 0; i < f->nversions; i++) {
        v = plat_table_version(t, f, i);
        if (number < v->weight)
            return v;
        number -= v->weight;
    }
    return plat_table_version(t, f, 0);
}

/* ---- Finding ---- */

static own struct plat_table *use_table(struct srv_registry *g)
{
    struct plat_table *table;

    pthread_mutex_lock(&g->lock);
    table = g->table;
    if (table)
        plat_table_ref(table);
    pthread_mutex_unlock(&g->lock);
    return table;
}

/* The request is for this function; takes the table. */
static enum srv_find enter(struct srv_conn *conn, own struct plat_table *table,
                           const struct plat_function *f, struct sv_str which)
{
    struct srv_server *server = conn->loop->server;
    struct srv_registry *g = server->registry;
    struct srv_request *request = &conn->work->request;
    const struct plat_version *chosen = f && which.len == 0 ? choose(conn, table, f) : NULL;

    if (f && f->flags & PLAT_FUNCTION_ISOLATED) {
        request->table = table;
        request->registered = f;
        srv_limits_find(&server->config, &f->limits, &request->limits);
        return SRV_FIND_AWAY;
    }
    if (f && which.len > 0)
        chosen = plat_table_alias(table, f, which);
    if (f && which.len > 0 && !chosen)
        chosen = plat_table_pin(table, f, which);
    if (!chosen) {
        plat_table_unref(table);
        return SRV_FIND_NONE;
    }
    pthread_mutex_lock(&g->lock);
    request->function = function_of(g, table, f);
    if (request->function)
        request->version = use_loaded(g, chosen->ready, parts_of(table, f), conn->loop->now_ns);
    pthread_mutex_unlock(&g->lock);
    if (!request->function) {
        plat_table_unref(table);
        return SRV_FIND_NONE;
    }
    request->table = table;
    request->registered = f;
    request->chosen = chosen;
    srv_limits_find(&server->config, &f->limits, &request->limits);
    request->placed = f->limits.concurrency && request->function->quota.place;
    if (request->placed)
        request->limits.concurrency =
            f->limits.concurrency < SRV_TALLY_MOST ? f->limits.concurrency : SRV_TALLY_MOST;
    return request->version ? SRV_FIND_OK : SRV_FIND_LOAD;
}

enum srv_find srv_registry_find(struct srv_conn *conn, struct sv_str tenant, struct sv_str name,
                                struct sv_str which)
{
    struct plat_table *table = use_table(conn->loop->server->registry);

    return table ? enter(conn, table, plat_table_find(table, tenant, name), which) : SRV_FIND_NONE;
}

enum srv_find srv_registry_find_id(struct srv_conn *conn, uint64_t id)
{
    struct plat_table *table = use_table(conn->loop->server->registry);

    return table ? enter(conn, table, plat_table_find_id(table, id), (struct sv_str){"", 0})
                 : SRV_FIND_NONE;
}

enum srv_find srv_registry_find_route(struct srv_conn *conn, struct sv_str host, struct sv_str path,
                                      struct sv_str *ret_route)
{
    struct srv_server *server = conn->loop->server;
    struct plat_table *table = use_table(server->registry);
    const struct plat_route *route =
        table ? plat_table_route(table, host, conn->work->http.method, path) : NULL;

    if (!route) {
        plat_table_unref(table);
        return SRV_FIND_NONE;
    }
    *ret_route = plat_table_text(table, route->path);
    if (route->site.len > 0) {
        struct srv_request *request = &conn->work->request;

        request->table = table;
        request->site = plat_table_text(table, route->site).ptr;
        request->site_base = server->registry->data;
        request->spa = route->spa;
        return SRV_FIND_SITE;
    }
    return enter(conn, table, plat_table_at(table, route->function), (struct sv_str){"", 0});
}

void srv_registry_leave(struct srv_request *request)
{
    if (!request->table)
        return;
    if (request->registered && request->function)
        atomic_fetch_sub(&request->function->refs, 1);
    plat_table_unref(request->table);
    request->table = NULL;
}

void srv_registry_grants(const struct srv_request *request, const char *word,
                         void (*each)(void *data, const char *rest), void *data)
{
    size_t len = strlen(word);

    for (uint32_t i = 0; request->registered && i < request->registered->ntexts; i++) {
        struct sv_str line = plat_table_grant(request->table, request->registered, i);

        if (line.len > len && line.ptr[len] == ' ' && memcmp(line.ptr, word, len) == 0)
            each(data, line.ptr + len + 1);
    }
}

/* ---- Start and end ---- */

void srv_registry_set(struct srv_server *server, own struct plat_table *table)
{
    struct srv_registry *g = server->registry;
    struct plat_table *old;

    pthread_mutex_lock(&g->lock);
    old = g->table;
    g->table = table;
    sweep_functions(g);
    sweep_loaded(g);
    pthread_cond_broadcast(&g->came);
    pthread_mutex_unlock(&g->lock);
    plat_table_unref(old);
}

void srv_registry_wait(struct srv_server *server, unsigned ms)
{
    struct srv_registry *g = server->registry;
    uint64_t until_ns = srv_clock_ns() + ms * (uint64_t)NS_PER_MS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};
    int r = 0;

    pthread_mutex_lock(&g->lock);
    while (!g->table && r == 0)
        r = pthread_cond_timedwait(&g->came, &g->lock, &until);
    pthread_mutex_unlock(&g->lock);
}

bool srv_registry_init(struct srv_server *server)
{
    struct srv_registry *g = calloc(1, sizeof *g);
    pthread_condattr_t clock;

    if (!g)
        return false;
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&g->came, &clock);
    pthread_condattr_destroy(&clock);
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&g->loading[i], NULL);
    g->data = server->data[0] ? open(server->data, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    g->blobs = g->data >= 0 ? openat(g->data, "blobs", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    g->tally = server->tally;
    server->registry = g;
    return true;
}

void srv_registry_release(struct srv_server *server)
{
    struct srv_registry *g = server->registry;

    while (g->oldest)
        drop_loaded(g, g->oldest);
    plat_table_unref(g->table);
    g->table = NULL;
    sweep_functions(g);
    if (g->blobs >= 0)
        close(g->blobs);
    if (g->data >= 0)
        close(g->data);
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&g->loading[i]);
    pthread_cond_destroy(&g->came);
    pthread_mutex_destroy(&g->lock);
    free(g);
    server->registry = NULL;
}
