/* Makes the table of functions when the registry has changed, and pushes it to the workers. One
 * thread; changes that come while it works share the next table. */
#include "control/publish.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/blob.h"
#include "control/part.h"
#include "control/registry.h"
#include "control/site.h"
#include "control/workers.h"

#define PAUSE_NS 2000000 /* between two tables: changes that come close together share one */
#define RETRY_NS 500000000
#define HOST_SIZE 256
#define NS_PER_MS 1000000
#define WORKERS_NS 1000000000 /* the longest wait for workers, one of which may be hung */

struct ctl_publish {
    pthread_t thread; /* the publisher */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t wanted, pushed; /* changes that were noted; that are in a table that was pushed */
    bool isolated_wanted;    /* a worker of one tenant has no table */
    own char *isolated; /* tenants with a process of their own, each with a NUL behind it; an empty
                           one ends them. NULL: none */
    bool ending;        /* what cannot be pushed at once is not tried again */
    bool stop;
};

/* ---- Tenants ---- */

struct tenant {
    own char *name;
    bool isolated; /* its functions run in a worker of its own */
    struct plat_limits limits;
};

/* What a table is made from. */
struct making {
    struct ctl_server *server;
    struct plat_table_maker *maker;
    const char *of; /* the tenant whose worker gets it; NULL: for all other workers */
    SV_VEC(struct tenant) tenants;
    const struct tenant *last; /* functions come by tenant */
};

static void read_limits(const char *text, struct plat_limits *ret)
{
    json_t *json = json_loads(text, 0, NULL);

#define LIMIT(field, name, unit, doc)                                                              \
    if (json_is_integer(json_object_get(json, name)) &&                                            \
        json_integer_value(json_object_get(json, name)) > 0)                                       \
        ret->field = (uint64_t)json_integer_value(json_object_get(json, name));
#include "platform/limit.def"
#undef LIMIT
    json_decref(json);
}

static void clear_tenants(struct making *m)
{
    for (size_t i = 0; i < m->tenants.len; i++)
        sv_free(m->tenants.data[i].name);
    m->tenants.len = 0;
}

static int read_tenants(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct making *m = data;
    int r = ctl_sql_run(sql, err, "select name, limits, isolation from tenants", CTL_NO_PARAMS);

    clear_tenants(m);
    while (r >= 0 && (r = ctl_sql_next(sql, err)) > 0) {
        struct tenant tenant = {.name = ctl_sql_text(sql, 0)};
        char *limits = ctl_sql_text(sql, 1);

        tenant.isolated = !sv_str_eq(ctl_sql_str(sql, 2), sv_str_of("shared"));
        if (limits)
            read_limits(limits, &tenant.limits);
        sv_free(limits);
        if (!tenant.name || !SV_VEC_PUSH(&m->tenants, PLAT_FUNCTIONS_MAX, tenant)) {
            sv_free(tenant.name);
            return sv_fail_nomem(err, "the tenants");
        }
    }
    return r;
}

static const struct tenant *find_tenant(struct making *m, const char *name)
{
    if (m->last && strcmp(m->last->name, name) == 0)
        return m->last;
    for (size_t i = 0; i < m->tenants.len; i++) {
        if (strcmp(m->tenants.data[i].name, name) == 0)
            return m->last = &m->tenants.data[i];
    }
    return NULL;
}

/* The tenant's limits are of each of its functions at most. */
static void clamp(struct plat_limits *limits, const struct plat_limits *most)
{
#define LIMIT(field, name, unit, doc)                                                              \
    if (most->field && (limits->field == 0 || limits->field > most->field))                        \
        limits->field = most->field;
#include "platform/limit.def"
#undef LIMIT
}

/* ---- Functions ---- */

static struct plat_text put(struct plat_table_maker *m, const char *s)
{
    return plat_table_put_text(m, s, strlen(s));
}

static bool put_grant(void *data, const char *line)
{
    plat_table_put_grant(data, line);
    return true;
}

static void put_version(struct plat_table_maker *m, const struct ctl_version *v, const char *alias,
                        size_t len, uint32_t weight)
{
    struct plat_version p = {.number = v->number, .weight = weight};

    memcpy(p.digest, v->digest, sizeof p.digest);
    memcpy(p.ready, v->ready, sizeof p.ready);
    p.alias = plat_table_put_text(m, alias, len);
    plat_table_put_version(m, &p);
}

/* Those with a weight first; then one entry for each alias; then those that can only be pinned. */
static void put_versions(struct plat_table_maker *m, const struct ctl_function *f)
{
    for (uint32_t i = 0; i < f->nversions; i++) {
        if (f->versions[i].weight > 0)
            put_version(m, &f->versions[i], "", 0, f->versions[i].weight);
    }
    for (uint32_t i = 0; i < f->nversions; i++) {
        const char *at = f->versions[i].aliases;

        while (*at) {
            size_t n = strcspn(at, " ");

            put_version(m, &f->versions[i], at, n, 0);
            at += n + (at[n] == ' ');
        }
    }
    for (uint32_t i = 0; i < f->nversions; i++) {
        if (f->versions[i].weight == 0 && !*f->versions[i].aliases)
            put_version(m, &f->versions[i], "", 0, 0);
    }
}

/* In small letters, as requests' hosts are looked up. */
static struct plat_text put_host(struct plat_table_maker *m, const char *from)
{
    char host[HOST_SIZE];
    size_t n = 0;

    for (; n < sizeof host && from[n]; n++)
        host[n] = (char)(from[n] >= 'A' && from[n] <= 'Z' ? from[n] + 32 : from[n]);
    return plat_table_put_text(m, host, n);
}

static void put_routes(struct plat_table_maker *m, const struct ctl_function *f, uint32_t index)
{
    for (uint32_t i = 0; f->main && i < f->manifest.nroutes; i++) {
        const struct plat_manifest_route *from = &f->manifest.routes[i];
        struct plat_route route = {.function = index, .methods = plat_manifest_methods(from)};

        if (strlen(from->host) >= HOST_SIZE)
            continue;
        route.host = put_host(m, from->host);
        route.path = put(m, from->path);
        plat_table_put_route(m, &route);
    }
}

/* Static files of the main version. What cannot be unpacked now is left out, and said. */
static void put_site(struct making *making, const struct ctl_function *f, uint32_t index)
{
    const struct plat_manifest_static *from = &f->manifest.site;
    struct plat_route route = {.function = index, .spa = from->spa};
    char folder[CTL_SITE_FOLDER_SIZE];
    struct sv_err err = {0};

    if (!f->main || !f->main->has_site || !from->given || making->of ||
        strlen(from->host) >= HOST_SIZE)
        return;
    if (ctl_site_unpack(making->server, &err, f->main->site, folder) < 0) {
        fprintf(stderr, "ssvm-control: function '%s': %s\n", f->name, err.text);
        return;
    }
    route.host = put_host(making->maker, from->host);
    route.path = put(making->maker, from->path);
    route.site = put(making->maker, folder);
    plat_table_put_route(making->maker, &route);
}

/* What who runs it must know, and others need not. */
static void put_rest(struct plat_table_maker *m, const struct ctl_function *f,
                     struct plat_function *p)
{
    bool fetch = f->manifest.fetch;

    p->flags = (f->keyed ? PLAT_FUNCTION_KEYED : 0U) | (fetch ? PLAT_FUNCTION_FETCH : 0U);
    memcpy(p->key, f->key, sizeof p->key);
    p->handler = put(m, f->manifest.handler);
    p->state = put(m, f->state);
    p->callback = put(m, f->callback);
    p->sticky = put(m, strcmp(f->manifest.split.sticky, "none") ? f->manifest.split.sticky : "");
    put_versions(m, f);
    (void)plat_manifest_grants(&f->manifest, put_grant, m);
}

static bool put_function(void *data, const struct ctl_function *f)
{
    struct making *making = data;
    struct plat_table_maker *m = making->maker;
    const struct tenant *tenant = find_tenant(making, f->tenant);
    struct plat_function p = {.id = f->id, .limits = f->manifest.limits};
    uint32_t index;

    if (f->nversions == 0)
        return true;
    if (tenant)
        clamp(&p.limits, &tenant->limits);
    p.tenant = put(m, f->tenant);
    p.name = put(m, f->name);
    p.cors = put(m, f->manifest.cors);
    if (tenant && tenant->isolated && !making->of)
        p.flags = PLAT_FUNCTION_ISOLATED;
    else
        put_rest(m, f, &p);
    index = plat_table_put_function(m, &p);
    put_routes(m, f, index);
    put_site(making, f, index);
    return true;
}

/* The names of isolated tenants; NULL: there are none, or there is no memory. */
static own char *list_isolated(const struct making *m)
{
    struct sv_buf names;

    sv_buf_init(&names, SIZE_MAX);
    for (size_t i = 0; i < m->tenants.len; i++) {
        if (m->tenants.data[i].isolated)
            sv_buf_append(&names, m->tenants.data[i].name, strlen(m->tenants.data[i].name) + 1);
    }
    if (names.len > 0)
        sv_buf_putc(&names, '\0');
    if (names.failed || names.len == 0) {
        sv_buf_release(&names);
        return NULL;
    }
    return (char *)names.data;
}

/* `of` NULL: that of the workers of all tenants; then *ret_isolated is the list of those that they
 * do not run. */
static int make_table(struct ctl_server *server, struct sv_err *err, const char *of,
                      own int *ret_fd, own char **ret_isolated)
{
    struct making m = {
        .server = server, .of = of, .maker = plat_table_maker_new(sv_clock_wall_ns())};
    int r = m.maker ? ctl_db_read(server->db, err, read_tenants, &m)
                    : sv_fail_nomem(err, "the table of functions");

    if (r >= 0)
        r = ctl_registry_each(server, err, of, put_function, &m);
    if (r >= 0)
        r = plat_table_seal(m.maker, err, ret_fd);
    if (r >= 0 && ret_isolated)
        *ret_isolated = list_isolated(&m);
    plat_table_maker_delete(m.maker);
    clear_tenants(&m);
    sv_free(m.tenants.data);
    return r < 0 ? r : 0;
}

static void note_answer(void *data, unsigned number, const char *tenant,
                        const struct plat_message *m)
{
    (void)data;
    (void)number;
    (void)tenant;
    (void)m;
}

/* Until all that are able to answer use the table: whoever is told that something has changed finds
 * it changed, whichever worker he asks. */
static void wait_for_workers(struct ctl_server *server)
{
    struct plat_message ask;

    plat_message_init(&ask, PLAT_ASK_TABLE);
    ctl_workers_ask_all(server, &ask, sv_clock_ns() + WORKERS_NS, note_answer, NULL);
    plat_message_release(&ask);
}

static void set_isolated(struct ctl_publish *p, own char *names)
{
    pthread_mutex_lock(&p->lock);
    sv_free(p->isolated);
    p->isolated = names;
    pthread_mutex_unlock(&p->lock);
}

/* Tables for the workers of one tenant each. */
static void push_isolated(struct ctl_server *server)
{
    uint8_t secret[SV_SHA256_LEN];
    char tenant[CTL_TENANT_SIZE];
    struct plat_message message;
    struct sv_err err = {0};
    int fd;

    while (ctl_workers_wanting(server, tenant)) {
        plat_message_init(&message, PLAT_TABLE);
        if (make_table(server, &err, tenant, &fd, NULL) == 0) {
            plat_put_fd(&message, fd);
            ctl_workers_secret(server, sv_str_of(tenant), secret);
            plat_put(&message, PLAT_TAG_KEY, secret, sizeof secret);
            ctl_workers_push_isolated(server, tenant, &message);
        } else {
            fprintf(stderr, "ssvm-control: %s\n", err.text);
        }
        plat_message_release(&message);
    }
}

static bool is_listed(const char *names, struct sv_str tenant)
{
    for (const char *at = names; at && *at; at += strlen(at) + 1) {
        if (sv_str_eq(sv_str_of(at), tenant))
            return true;
    }
    return false;
}

/* The lists come from the same question, which gives them in its order. */
static bool same_names(const char *a, const char *b)
{
    while (a && b && *a && strcmp(a, b) == 0) {
        a += strlen(a) + 1;
        b += strlen(b) + 1;
    }
    return (!a || !*a) && (!b || !*b);
}

static void put_names(struct plat_message *m, const char *names)
{
    for (const char *at = names; at && *at; at += strlen(at) + 1)
        plat_put_str(m, PLAT_TAG_TENANT, at);
}

/* A worker may have been taken over: for whom it may ask is not its to say. */
static void tell_supervisor(struct ctl_server *server, const char *names, const char *more)
{
    struct plat_message m;
    struct sv_err err = {0};

    if (!server->supervisor)
        return;
    plat_message_init(&m, PLAT_ISOLATED);
    put_names(&m, names);
    put_names(&m, more);
    if (plat_channel_send(server->supervisor, &err, &m, false) == SV_ENOMEM)
        fprintf(stderr, "ssvm-control: %s\n", err.text);
    plat_message_release(&m);
}

static bool push(struct ctl_server *server)
{
    struct ctl_publish *p = server->publish;
    bool first = p->pushed == 0, changed; /* first: nobody has been told otherwise */
    struct plat_message message;
    struct sv_err err = {0};
    char *isolated = NULL;
    int fd;

    if (make_table(server, &err, NULL, &fd, &isolated) < 0) {
        fprintf(stderr, "ssvm-control: %s\n", err.text);
        return false;
    }
    plat_message_init(&message, PLAT_TABLE);
    plat_put_fd(&message, fd);
    changed = first || !same_names(p->isolated, isolated);
    if (changed) /* before a worker can know it; while some know the list before, theirs too */
        tell_supervisor(server, isolated, p->isolated);
    if (first)
        set_isolated(p, isolated);
    ctl_workers_push(server, &message);
    plat_message_release(&message);
    push_isolated(server);
    wait_for_workers(server);
    if (first)
        return true;
    if (changed)
        tell_supervisor(server, isolated, NULL);
    set_isolated(p, isolated);
    return true;
}

/* ---- The thread ---- */

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void *run(void *data)
{
    struct ctl_server *server = data;
    struct ctl_publish *p = server->publish;

    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        uint64_t wanted = p->wanted;
        bool done, all = wanted != p->pushed;

        if (!all && !p->isolated_wanted) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        p->isolated_wanted = false;
        pthread_mutex_unlock(&p->lock);
        if (!all) {
            push_isolated(server);
            pthread_mutex_lock(&p->lock);
            continue;
        }
        done = push(server);
        pthread_mutex_lock(&p->lock);
        if (done)
            p->pushed = wanted;
        else if (p->ending) /* whoever waits goes on without */
            p->stop = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pause_ns(done ? PAUSE_NS : RETRY_NS);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void ctl_publish_note(struct ctl_server *server)
{
    struct ctl_publish *p = server->publish;

    if (!p) /* nobody publishes */
        return;
    pthread_mutex_lock(&p->lock);
    p->wanted++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void ctl_publish_note_isolated(struct ctl_server *server)
{
    struct ctl_publish *p = server->publish;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->isolated_wanted = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

bool ctl_publish_is_isolated(struct ctl_server *server, struct sv_str tenant)
{
    struct ctl_publish *p = server->publish;
    bool found;

    if (!p)
        return false;
    pthread_mutex_lock(&p->lock);
    found = is_listed(p->isolated, tenant);
    pthread_mutex_unlock(&p->lock);
    return found;
}

void ctl_publish_end(struct ctl_server *server)
{
    struct ctl_publish *p = server->publish;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_mutex_unlock(&p->lock);
}

void ctl_publish_wait(struct ctl_server *server)
{
    struct ctl_publish *p = server->publish;
    uint64_t wanted;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    wanted = ++p->wanted;
    pthread_cond_broadcast(&p->changed);
    while (p->pushed < wanted && !p->stop)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* What is asked and noted, by threads that begin before the publisher and end after it. */
int ctl_publish_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_publish *p = sv_alloc_zero(sizeof *p);

    if (!p)
        return sv_fail_nomem(err, "the table of functions");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->wanted = 1;
    server->publish = p;
    return 0;
}

void ctl_publish_stop(struct ctl_server *server)
{
    struct ctl_publish *p = server->publish;

    server->publish = NULL;
    sv_free(p->isolated);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    sv_free(p);
}

int ctl_publisher_start(struct ctl_server *server, struct sv_err *err)
{
    return pthread_create(&server->publish->thread, NULL, run, server) == 0
               ? 0
               : sv_fail_nomem(err, "a thread");
}

void ctl_publisher_stop(struct ctl_server *server)
{
    struct ctl_publish *p = server->publish;

    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
}
