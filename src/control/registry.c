/* The registry in memory: what the database has, read again where it changed. Prepares nothing. */
#include "control/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/blob.h"
#include "control/part.h"
#include "control/publish.h"

#define FUNCTION_WORD "function " /* of notifications: and its id */
#define COLLECT_MS 600000
#define ARENA_MAX (16U << 20) /* texts of one function */
#define PIN_DIGITS_MIN 4

struct ctl_registry {
    pthread_mutex_t lock;
    pthread_mutex_t loading; /* one at a time, so that no older state comes after a newer one */
    SV_VEC(struct ctl_function *) functions; /* references, by id */
};

/* ---- Functions ---- */

static void ref(struct ctl_function *f)
{
    atomic_fetch_add(&f->refs, 1);
}

void ctl_function_unref(own struct ctl_function *f)
{
    if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    plat_manifest_release(&f->manifest);
    sv_arena_release(&f->arena);
    sv_free(f->versions);
    sv_free(f);
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = words; *at;) {
        size_t n = strcspn(at, " ");

        if (n == len && memcmp(at, word, n) == 0)
            return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

static const struct ctl_version *find_digits(const struct ctl_function *f, const char *digits)
{
    const struct ctl_version *found = NULL;
    char hex[CTL_HEX_LEN + 1];
    size_t len = strlen(digits);

    if (len < PIN_DIGITS_MIN)
        return NULL;
    for (uint32_t i = 0; i < f->nversions; i++) {
        const struct ctl_version *v = &f->versions[i];

        ctl_hex(v->digest, hex);
        if (strncmp(hex, digits, len) != 0)
            continue;
        if (found && memcmp(found->digest, v->digest, sizeof v->digest) != 0)
            return NULL;
        if (!found)
            found = v;
    }
    return found;
}

const struct ctl_version *ctl_function_version(const struct ctl_function *f, const char *which)
{
    if (!*which)
        return f->main;
    for (uint32_t i = 0; i < f->nversions; i++) {
        char number[16];

        snprintf(number, sizeof number, "%u", f->versions[i].number);
        if (strcmp(number, which) == 0 || has_word(f->versions[i].aliases, which))
            return &f->versions[i];
    }
    return find_digits(f, which);
}

/* ---- Reading the database ---- */

struct loading {
    int64_t id;                              /* -1: all */
    SV_VEC(struct ctl_function *) functions; /* by id */
    size_t at;                               /* of rows that come in the order of ids */
};

static void loading_release(struct loading *l)
{
    for (size_t i = 0; i < l->functions.len; i++)
        ctl_function_unref(l->functions.data[i]);
    sv_free(l->functions.data);
    l->functions.data = NULL;
    l->functions.len = l->functions.cap = l->at = 0;
}

static const char *keep(struct ctl_function *f, struct sv_str text)
{
    const char *copy = sv_arena_strndup(&f->arena, text.ptr ? text.ptr : "", text.len);

    return copy ? copy : "";
}

static int read_function(struct ctl_sql *sql, struct sv_err *err, struct loading *l)
{
    struct ctl_function *f = sv_alloc_zero(sizeof *f);
    struct sv_str key;

    if (!f || !SV_VEC_PUSH(&l->functions, PLAT_FUNCTIONS_MAX, f)) {
        sv_free(f);
        return sv_fail_nomem(err, "the registry");
    }
    atomic_init(&f->refs, 1);
    sv_arena_init(&f->arena, ARENA_MAX);
    f->id = (uint64_t)ctl_sql_int(sql, 0);
    f->tenant = keep(f, ctl_sql_str(sql, 1));
    f->name = keep(f, ctl_sql_str(sql, 2));
    f->description = keep(f, ctl_sql_str(sql, 3));
    f->state = keep(f, ctl_sql_str(sql, 4));
    f->callback = keep(f, ctl_sql_str(sql, 5));
    key = ctl_sql_str(sql, 6);
    f->keyed = key.len == PLAT_KEY_BYTES;
    if (f->keyed)
        memcpy(f->key, key.ptr, PLAT_KEY_BYTES);
    f->created_ms = (uint64_t)ctl_sql_int(sql, 7);
    f->updated_ms = (uint64_t)ctl_sql_int(sql, 8);
    return 0;
}

/* The function of a row; NULL: it is gone. */
static struct ctl_function *row_function(struct loading *l, uint64_t id)
{
    while (l->at < l->functions.len && l->functions.data[l->at]->id < id)
        l->at++;
    return l->at < l->functions.len && l->functions.data[l->at]->id == id ? l->functions.data[l->at]
                                                                          : NULL;
}

static int read_version(struct ctl_sql *sql, struct sv_err *err, struct loading *l)
{
    struct ctl_function *f = row_function(l, (uint64_t)ctl_sql_int(sql, 0));
    struct ctl_version v = {.aliases = "", .exports = "[]", .note = ""}, *grown;

    if (!f)
        return 0;
    grown = sv_realloc(f->versions, (f->nversions + 1) * sizeof *grown);
    if (!grown)
        return sv_fail_nomem(err, "the registry");
    f->versions = grown;
    v.number = (uint32_t)ctl_sql_int(sql, 1);
    if (!ctl_unhex(ctl_sql_str(sql, 2), v.digest) || !ctl_unhex(ctl_sql_str(sql, 3), v.ready))
        return 0; /* not ours */
    v.manifest = keep(f, ctl_sql_str(sql, 4));
    v.size = (uint64_t)ctl_sql_int(sql, 5);
    v.created_ms = (uint64_t)ctl_sql_int(sql, 6);
    v.activated = (uint32_t)ctl_sql_int(sql, 7);
    v.exports = keep(f, ctl_sql_str(sql, 8));
    v.note = keep(f, ctl_sql_str(sql, 9));
    v.weight = (uint32_t)ctl_sql_int(sql, 10);
    v.has_site = ctl_unhex(ctl_sql_str(sql, 11), v.site);
    f->versions[f->nversions++] = v;
    return 0;
}

static int read_alias(struct ctl_sql *sql, struct sv_err *err, struct loading *l)
{
    struct ctl_function *f = row_function(l, (uint64_t)ctl_sql_int(sql, 0));
    uint32_t number = (uint32_t)ctl_sql_int(sql, 1);
    struct sv_str alias = ctl_sql_str(sql, 2);

    (void)err;
    for (uint32_t i = 0; f && i < f->nversions; i++) {
        struct ctl_version *v = &f->versions[i];
        size_t len = strlen(v->aliases);
        char *both;

        if (v->number != number)
            continue;
        both = sv_arena_alloc(&f->arena, len + alias.len + 2);
        if (both) {
            memcpy(both, v->aliases, len);
            both[len] = ' ';
            memcpy(both + len + (len > 0), alias.ptr, alias.len);
            both[len + (len > 0) + alias.len] = '\0';
            v->aliases = both;
        }
    }
    return 0;
}

/* The rows of one statement, for one function or for all. */
static int read_rows(struct ctl_sql *sql, struct sv_err *err, struct loading *l, const char *text,
                     const char *where, const char *order,
                     int (*each)(struct ctl_sql *, struct sv_err *, struct loading *))
{
    char statement[1024];
    int r;

    snprintf(statement, sizeof statement, "%s%s%s", text, l->id >= 0 ? where : "", order);
    l->at = 0;
    r = ctl_sql_run(sql, err, statement, l->id >= 0 ? CTL_PARAMS(CTL_INT(l->id)) : CTL_NO_PARAMS);
    while (r >= 0 && (r = ctl_sql_next(sql, err)) > 0)
        r = each(sql, err, l);
    return r;
}

static int read_all(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct loading *l = data;
    int r;

    loading_release(l);
    r = read_rows(sql, err, l,
                  "select id, tenant, name, description, state, callback, usage_key, created_ms, "
                  "updated_ms from functions where deleted = 0",
                  " and id = $1", " order by id", read_function);
    if (r >= 0)
        r = read_rows(
            sql, err, l,
            "select v.function_id, v.number, v.digest, v.ready, v.manifest, v.size, "
            "v.created_ms, v.activated, v.exports, v.note, coalesce(t.weight, 0), "
            "v.site from versions v left join targets t on t.function_id = v.function_id and "
            "t.number = v.number",
            " where v.function_id = $1", " order by v.function_id, v.number desc", read_version);
    if (r >= 0)
        r = read_rows(sql, err, l, "select function_id, number, alias from aliases",
                      " where function_id = $1", " order by function_id, alias", read_alias);
    return r;
}

/* What the rows mean: the main version, and its manifest. */
static void finish(struct ctl_function *f)
{
    const struct ctl_version *shown = f->nversions > 0 ? &f->versions[0] : NULL;
    struct sv_err err = {0};
    char text[2 * PLAT_NAME_MAX + 32];

    for (uint32_t i = 0; i < f->nversions; i++) {
        if (f->versions[i].weight > (f->main ? f->main->weight : 0))
            f->main = &f->versions[i];
    }
    if (f->main)
        shown = f->main;
    snprintf(text, sizeof text, "name: %s\nmodule: %s.wasm\n", f->name, f->name);
    if (shown && *shown->manifest &&
        plat_manifest_read(&err, PLAT_MANIFEST_FILE, shown->manifest, strlen(shown->manifest),
                           &f->manifest) == 0)
        return;
    plat_manifest_release(&f->manifest);
    plat_manifest_read(&err, PLAT_MANIFEST_FILE, text, strlen(text), &f->manifest);
}

static int load(struct ctl_server *server, struct sv_err *err, struct loading *l)
{
    int r = ctl_db_read(server->db, err, read_all, l);

    for (size_t i = 0; r >= 0 && i < l->functions.len; i++)
        finish(l->functions.data[i]);
    return r < 0 ? r : 0;
}

/* ---- Replacing ---- */

/* The place of the id, or where it belongs. With the lock held. */
static size_t place_of(const struct ctl_registry *g, uint64_t id)
{
    size_t low = 0, high = g->functions.len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (g->functions.data[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct ctl_registry *g, size_t at, uint64_t id)
{
    return at < g->functions.len && g->functions.data[at]->id == id;
}

/* Put it in the place of the one before; NULL: there is none any more. With the lock held. */
static bool replace(struct ctl_registry *g, uint64_t id, own struct ctl_function *f)
{
    size_t at = place_of(g, id);
    struct ctl_function **place = g->functions.data + at;

    if (is_at(g, at, id)) {
        ctl_function_unref(*place);
        if (f)
            *place = f;
        else
            memmove(place, place + 1, (--g->functions.len - at) * sizeof(struct ctl_function *));
        return true;
    }
    if (!f)
        return true;
    if (!SV_VEC_PUSH(&g->functions, PLAT_FUNCTIONS_MAX, f))
        return false;
    place = g->functions.data + at;
    memmove(place + 1, place, (g->functions.len - 1 - at) * sizeof(struct ctl_function *));
    *place = f;
    return true;
}

/* See to it that this node has the files of a version that others have deployed. */
static void fetch_blobs(struct ctl_server *server, const struct ctl_function *f)
{
    for (uint32_t i = 0; i < f->nversions; i++) {
        const struct ctl_version *v = &f->versions[i];
        int fd;

        if (v->weight == 0 && !*v->aliases)
            continue;
        fd = ctl_blob_open(server, v->ready);
        if (fd >= 0)
            close(fd);
    }
}

static int refresh_one(struct ctl_server *server, struct sv_err *err, uint64_t id)
{
    struct ctl_registry *g = server->registry;
    struct loading l = {.id = (int64_t)id};
    struct ctl_function *f = NULL;
    bool ok = false;
    int r;

    pthread_mutex_lock(&g->loading);
    r = load(server, err, &l);
    if (r == 0) {
        if (l.functions.len > 0) {
            f = l.functions.data[0];
            l.functions.len = 0;
        }
        if (f && ctl_db_is_shared(server->db))
            fetch_blobs(server, f);
        pthread_mutex_lock(&g->lock);
        ok = replace(g, id, f);
        pthread_mutex_unlock(&g->lock);
    }
    loading_release(&l);
    pthread_mutex_unlock(&g->loading);
    if (r == 0 && !ok) {
        ctl_function_unref(f);
        r = sv_fail_nomem(err, "the registry");
    }
    return r;
}

static int refresh_all(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_registry *g = server->registry;
    struct loading l = {.id = -1}, old = {0};
    int r;

    pthread_mutex_lock(&g->loading);
    r = load(server, err, &l);
    if (r == 0) {
        for (size_t i = 0; ctl_db_is_shared(server->db) && i < l.functions.len; i++)
            fetch_blobs(server, l.functions.data[i]);
        pthread_mutex_lock(&g->lock);
        memcpy(&old.functions, &g->functions, sizeof old.functions);
        memcpy(&g->functions, &l.functions, sizeof g->functions);
        pthread_mutex_unlock(&g->lock);
        loading_release(&old);
    } else {
        loading_release(&l);
    }
    pthread_mutex_unlock(&g->loading);
    return r;
}

int ctl_registry_refresh(struct ctl_server *server, struct sv_err *err, uint64_t id)
{
    int r = refresh_one(server, err, id);

    if (r == 0)
        ctl_publish_wait(server);
    return r;
}

void ctl_registry_note(struct ctl_sql *sql, uint64_t id)
{
    char what[40];

    snprintf(what, sizeof what, FUNCTION_WORD "%llu", (unsigned long long)id);
    ctl_sql_notify(sql, what);
}

/* Something has been committed, here or on another node. */
static void watch(void *data, const char *what)
{
    struct ctl_server *server = data;
    struct sv_err err = {0};

    if (!what) {
        refresh_all(server, &err);
    } else if (strncmp(what, FUNCTION_WORD, sizeof FUNCTION_WORD - 1) == 0) {
        refresh_one(server, &err, strtoull(what + sizeof FUNCTION_WORD - 1, NULL, 10));
    } else if (strncmp(what, "tenant", 6) != 0) {
        return;
    }
    ctl_publish_note(server);
}

/* ---- Asking ---- */

own struct ctl_function *ctl_registry_find(struct ctl_server *server, const char *tenant,
                                           const char *name)
{
    struct ctl_registry *g = server->registry;
    struct ctl_function *found = NULL;

    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->functions.len && !found; i++) {
        struct ctl_function *f = g->functions.data[i];

        if (strcmp(f->name, name) == 0 && strcmp(f->tenant, tenant) == 0)
            found = f;
    }
    if (found)
        ref(found);
    pthread_mutex_unlock(&g->lock);
    return found;
}

own struct ctl_function *ctl_registry_find_id(struct ctl_server *server, uint64_t id)
{
    struct ctl_registry *g = server->registry;
    struct ctl_function *found = NULL;
    size_t at;

    pthread_mutex_lock(&g->lock);
    at = place_of(g, id);
    if (is_at(g, at, id)) {
        found = g->functions.data[at];
        ref(found);
    }
    pthread_mutex_unlock(&g->lock);
    return found;
}

static int by_name(const void *a, const void *b)
{
    const struct ctl_function *f = *(struct ctl_function *const *)a,
                              *g = *(struct ctl_function *const *)b;
    int r = strcmp(f->tenant, g->tenant);

    return r ? r : strcmp(f->name, g->name);
}

/* `compare` NULL: by id. */
static int list(struct ctl_server *server, struct sv_err *err, const char *tenant,
                int (*compare)(const void *, const void *),
                bool (*each)(void *data, const struct ctl_function *), void *data)
{
    struct ctl_registry *g = server->registry;
    struct ctl_function **found;
    size_t n = 0;
    bool more = true;

    pthread_mutex_lock(&g->lock);
    found = sv_alloc_array(g->functions.len + 1, sizeof(struct ctl_function *));
    for (size_t i = 0; found && i < g->functions.len; i++) {
        struct ctl_function *f = g->functions.data[i];

        if (tenant && strcmp(f->tenant, tenant) != 0)
            continue;
        ref(f);
        found[n++] = f;
    }
    pthread_mutex_unlock(&g->lock);
    if (!found)
        return sv_fail_nomem(err, "the list of functions");
    if (compare)
        qsort(found, n, sizeof(struct ctl_function *), compare);
    for (size_t i = 0; i < n; i++) {
        more = more && each(data, found[i]);
        ctl_function_unref(found[i]);
    }
    sv_free(found);
    return 0;
}

int ctl_registry_list(struct ctl_server *server, struct sv_err *err, const char *tenant,
                      bool (*each)(void *data, const struct ctl_function *), void *data)
{
    return list(server, err, tenant, by_name, each, data);
}

int ctl_registry_each(struct ctl_server *server, struct sv_err *err, const char *tenant,
                      bool (*each)(void *data, const struct ctl_function *), void *data)
{
    return list(server, err, tenant, NULL, each, data);
}

own int ctl_registry_open_blob(struct ctl_server *server, const uint8_t digest[PLAT_DIGEST_BYTES])
{
    return ctl_blob_open(server, digest);
}

/* ---- Start and end ---- */

static void collect(struct ctl_server *server, void *data)
{
    (void)data;
    ctl_blob_collect(server, CTL_BLOB_GRACE_S);
}

int ctl_registry_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_registry *g = sv_alloc_zero(sizeof *g);
    int r;

    if (!g)
        return sv_fail_nomem(err, "the registry");
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->loading, NULL);
    server->registry = g;
    r = ctl_blob_init(server, err);
    if (r == 0)
        r = refresh_all(server, err);
    if (r < 0) {
        ctl_registry_stop(server);
        return r;
    }
    ctl_db_watch(server->db, watch, server);
    return ctl_pool_every(server, COLLECT_MS, collect, NULL);
}

void ctl_registry_stop(struct ctl_server *server)
{
    struct ctl_registry *g = server->registry;

    ctl_db_unwatch(server->db, watch, server);
    for (size_t i = 0; i < g->functions.len; i++)
        ctl_function_unref(g->functions.data[i]);
    sv_free(g->functions.data);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->loading);
    sv_free(g);
    server->registry = NULL;
}
