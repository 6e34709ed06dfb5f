/* From bytes to a version that answers: kept, prepared, and then switched to in one transaction. */
#include "control/deploy.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "control/blob.h"
#include "control/change.h"
#include "control/claim.h"
#include "control/command.h"
#include "control/cron.h"
#include "control/prepare.h"
#include "control/publish.h"
#include "platform/cache.h"
#include "platform/costs.h"
#include "platform/unit.h"

#define NS_PER_MS 1000000
#define MODULE_MAX ((size_t)128 << 20) /* where the server's settings do not say */
#define SITE_MAX ((size_t)256 << 20)   /* all static files of a version */
#define MANIFEST_MAX (256U << 10)
#define DESCRIPTION_MAX 4096
#define ISOLATE_MS 60000     /* after which no further version is compiled when its tenant moves */
#define FUNCTIONS_MAX 100000 /* of all tenants */

struct work {
    struct ctl_server *server;
    const struct ctl_deploy *in;
    const char *name;
    struct sv_str manifest; /* that counts */
    own char *manifest_buf;
    uint8_t digest[PLAT_DIGEST_BYTES];
    char hex[CTL_HEX_LEN + 1], ready_hex[CTL_HEX_LEN + 1], site_hex[CTL_HEX_LEN + 1];
    struct sv_str module; /* that counts */
    struct sv_buf site;   /* its static files, packed */
    struct sv_buf costs;  /* the table of costs that it gets */
    struct ctl_prepared prepared;
    char name_buf[PLAT_NAME_MAX + 1];
    char key[CTL_UUID_TEXT]; /* that the function gets if it has none; "": none is asked for */
    /* Of the transaction. */
    uint64_t id;
    uint32_t number;
    bool is_new, key_set;
};

/* ---- What is asked ---- */

/* The manifest of the request, or of the version before, or one with the name alone. */
static int choose_manifest(struct work *w, struct sv_err *err)
{
    struct ctl_function *f;
    size_t size;

    w->manifest = w->in->manifest;
    if (w->manifest.ptr)
        return w->manifest.len <= MANIFEST_MAX
                   ? 0
                   : sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the manifest is larger than %u bytes",
                             MANIFEST_MAX);
    if (!w->in->name)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "there is neither a name nor a manifest");
    f = ctl_registry_find(w->server, w->in->tenant, w->in->name);
    size = 2 * strlen(w->in->name) + 32;
    if (f && f->main && *f->main->manifest) {
        w->manifest_buf = sv_strdup(f->main->manifest);
    } else if ((w->manifest_buf = sv_alloc(size))) {
        snprintf(w->manifest_buf, size, "name: %s\nmodule: %s.wasm\n", w->in->name, w->in->name);
    }
    ctl_function_unref(f);
    if (!w->manifest_buf)
        return sv_fail_nomem(err, "a manifest");
    w->manifest = sv_str_of(w->manifest_buf);
    return 0;
}

/* What could only fail at the first call. */
static int check_commands(struct work *w, struct sv_err *err, const struct plat_texts *commands)
{
    for (uint32_t i = 0; i < commands->n; i++) {
        if (!ctl_command_allowed(w->server, commands->at[i]))
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "the manifest's allow-command names '%.200s', which this server does "
                           "not allow (its setting allow-command)",
                           commands->at[i]);
    }
    return 0;
}

/* Likewise: a part that this server has only when it is told to. `none`: the setting's value then.
 */
static int check_part(struct work *w, struct sv_err *err, bool granted, const char *setting,
                      const char *none)
{
    char *value = granted ? ctl_setting(w->server, setting) : NULL;
    bool missing = value && strcmp(value, none) == 0;

    sv_free(value);
    return missing ? sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                             "the manifest's grants have '%s', which this server does not offer "
                             "(its setting %s)",
                             setting, setting)
                   : 0;
}

static int check_manifest(struct work *w, struct sv_err *err)
{
    struct plat_manifest m;
    int r = plat_manifest_read(err, PLAT_MANIFEST_FILE, w->manifest.ptr, w->manifest.len, &m);

    if (r < 0)
        err->code = r = SV_EUSAGE;
    else if (w->in->name && strcmp(w->in->name, m.name) != 0)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                    "the manifest is of the function '%s', not of '%s'", m.name, w->in->name);
    else
        snprintf(w->name_buf, sizeof w->name_buf, "%s", m.name);
    if (r == 0)
        r = check_commands(w, err, &m.grants.allow_command);
    if (r == 0)
        r = check_part(w, err, m.grants.nn, "nn", "none");
    if (r == 0)
        r = check_part(w, err, m.grants.image, "image", "off");
    if (r == 0)
        r = ctl_claim_check(w->server, err, w->in->tenant, m.name, &m);
    if (r == 0 && m.usage_key && !w->in->no_key)
        r = ctl_uuid_new(err, w->key);
    plat_manifest_release(&m);
    w->name = w->name_buf;
    return r;
}

static size_t module_max(const struct ctl_server *server)
{
    char *text = ctl_setting(server, "max-module");
    uint64_t n = 0;
    bool known = text && plat_unit_read(text, PLAT_UNIT_BYTES, &n) && n > 0;

    sv_free(text);
    return known ? (size_t)n : MODULE_MAX;
}

/* A module without anything, for static files alone. */
static const char no_module[] = {0, 'a', 's', 'm', 1, 0, 0, 0};

static int check(struct work *w, struct sv_err *err)
{
    const struct ctl_deploy *in = w->in;
    int r;

    if (!plat_name_valid(in->tenant, strlen(in->tenant)) ||
        (in->name && !plat_name_valid(in->name, strlen(in->name))))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "a name is 1 to %d letters, digits, '-' and '_'", PLAT_NAME_MAX);
    if (in->weight > CTL_WEIGHT_ALL)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a version gets at most all requests");
    if (in->alias && !plat_name_valid(in->alias, strlen(in->alias)))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' is no name for an alias", in->alias);
    if (in->description && strlen(in->description) > DESCRIPTION_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the description is longer than %d bytes",
                       DESCRIPTION_MAX);
    w->module = in->module;
    if (!in->module.ptr && in->nfiles > 0)
        w->module = (struct sv_str){no_module, sizeof no_module};
    if (w->module.len == 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "there is no module");
    if (in->module.len > module_max(w->server))
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the module is larger than %zu bytes",
                       module_max(w->server));
    r = choose_manifest(w, err);
    return r < 0 ? r : check_manifest(w, err);
}

/* ---- The transaction ---- */

static int make_function(struct ctl_sql *sql, struct sv_err *err, struct work *w)
{
    int64_t now = (int64_t)(sv_clock_wall_ns() / NS_PER_MS), id;
    int r = ctl_change_find(sql, err, w->in->tenant, w->name, &w->id);

    if (r < 0)
        return r;
    if (w->id == 0) {
        r = ctl_change_ask(sql, err,
                           "insert into functions (tenant, name, created_ms, updated_ms) values "
                           "($1, $2, $3, $3) returning id",
                           CTL_PARAMS(CTL_TEXT(w->in->tenant), CTL_TEXT(w->name), CTL_INT(now)), 0,
                           &id);
        w->id = (uint64_t)id;
    }
    if (r >= 0)
        r = ctl_sql_run(sql, err,
                        "update functions set updated_ms = $2, manifest = $3, "
                        "description = coalesce($4, description) where id = $1",
                        CTL_PARAMS(CTL_INT(w->id), CTL_INT(now), CTL_STR(w->manifest),
                                   CTL_TEXT(w->in->description)));
    return r;
}

/* The version with these bytes, as they were made ready, and this manifest: that which is there, or
 * a new one. */
static int make_version(struct ctl_sql *sql, struct sv_err *err, struct work *w)
{
    int64_t number;
    int r = ctl_change_ask(
        sql, err,
        "select number from versions where function_id = $1 and digest = $2 and manifest = $3 "
        "and site = $4 and ready = $5 order by number desc limit 1",
        CTL_PARAMS(CTL_INT(w->id), CTL_TEXT(w->hex), CTL_STR(w->manifest), CTL_TEXT(w->site_hex),
                   CTL_TEXT(w->ready_hex)),
        0, &number);

    w->is_new = number == 0;
    w->number = (uint32_t)number;
    if (r < 0 || number)
        return r;
    r = ctl_change_ask(sql, err, "select max(number) from versions where function_id = $1",
                       CTL_PARAMS(CTL_INT(w->id)), 0, &number);
    if (r < 0)
        return r;
    w->number = (uint32_t)number + 1;
    return ctl_sql_run(
        sql, err,
        "insert into versions (function_id, number, digest, ready, manifest, size, created_ms, "
        "exports, note, site) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        CTL_PARAMS(CTL_INT(w->id), CTL_INT(w->number), CTL_TEXT(w->hex), CTL_TEXT(w->ready_hex),
                   CTL_STR(w->manifest), CTL_INT(w->module.len),
                   CTL_INT(sv_clock_wall_ns() / NS_PER_MS), CTL_TEXT(w->prepared.exports),
                   CTL_TEXT(w->prepared.note), CTL_TEXT(w->site_hex)));
}

static int switch_over(struct ctl_sql *sql, struct sv_err *err, struct work *w)
{
    int r = 0;

    if (!w->in->no_switch && (w->in->weight == 0 || w->in->weight == CTL_WEIGHT_ALL))
        r = ctl_change_activate(sql, err, w->id, w->number);
    else if (!w->in->no_switch)
        r = ctl_change_share(sql, err, w->id, w->number, w->in->weight);
    if (r >= 0 && w->in->alias)
        r = ctl_change_alias(sql, err, w->id, w->in->alias, w->number);
    if (r < 0)
        return r;
    return ctl_sql_run(
        sql, err,
        "delete from versions where function_id = $1 and number <= $2 and number not in (select "
        "number from targets where function_id = $1) and number not in (select number from "
        "aliases where function_id = $1)",
        CTL_PARAMS(CTL_INT(w->id), CTL_INT((int64_t)w->number - CTL_VERSIONS_KEPT)));
}

/* The manifest wants callers to show a key: nobody calls it without before it is there. */
static int make_key(struct ctl_sql *sql, struct sv_err *err, struct work *w)
{
    uint8_t digest[SV_SHA256_LEN];
    int r;

    w->key_set = false;
    if (!w->key[0])
        return 0;
    sv_sha256(w->key, strlen(w->key), digest);
    r = ctl_sql_run(sql, err,
                    "update functions set usage_key = $2 where id = $1 and usage_key is null",
                    CTL_PARAMS(CTL_INT(w->id), CTL_BLOB(digest, sizeof digest)));
    w->key_set = r == 0 && ctl_sql_changes(sql) > 0;
    return r;
}

static int transact(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct work *w = data;
    int r = make_function(sql, err, w);

    if (r >= 0)
        r = make_key(sql, err, w);
    if (r >= 0)
        r = make_version(sql, err, w);
    if (r >= 0)
        r = switch_over(sql, err, w);
    if (r >= 0)
        r = ctl_cron_follow(sql, err, w->id);
    if (r >= 0)
        ctl_registry_note(sql, w->id);
    return r;
}

/* ---- For other nodes ---- */

struct upload {
    const char *hex;
    struct sv_str bytes;
};

static int upload(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct upload *u = data;

    return ctl_sql_run(sql, err,
                       "insert into blobs (digest, bytes) values ($1, $2) on conflict (digest) do "
                       "nothing",
                       CTL_PARAMS(CTL_TEXT(u->hex), CTL_BLOB(u->bytes.ptr, u->bytes.len)));
}

static int share_ready(struct work *w, struct sv_err *err)
{
    int fd = ctl_blob_open(w->server, w->prepared.ready), r = 0;
    struct upload u = {.hex = w->ready_hex};
    struct sv_buf buf;
    ssize_t n = 1;

    sv_buf_init(&buf, SIZE_MAX / 2);
    while (fd >= 0 && n > 0 && sv_buf_reserve(&buf, 1 << 20)) {
        n = read(fd, buf.data + buf.len, 1 << 20);
        buf.len += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || n != 0)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "the prepared module cannot be read");
    u.bytes = (struct sv_str){(const char *)buf.data, buf.len};
    if (r == 0)
        r = ctl_db_write(w->server->db, err, upload, &u);
    sv_buf_release(&buf);
    if (fd >= 0)
        close(fd);
    return r;
}

/* The modules, before anything names them. */
static int share(struct work *w, struct sv_err *err)
{
    struct upload u = {w->hex, w->module};
    struct upload site = {w->site_hex, {(const char *)w->site.data, w->site.len}};
    int r;

    if (!ctl_db_is_shared(w->server->db))
        return 0;
    r = ctl_db_write(w->server->db, err, upload, &u);
    if (r == 0 && w->site.len > 0)
        r = ctl_db_write(w->server->db, err, upload, &site);
    if (r == 0 && memcmp(w->prepared.ready, w->digest, sizeof w->digest) != 0)
        r = share_ready(w, err);
    return r;
}

/* ---- Static files ---- */

/* Those of the version before stay, where none are given and the manifest still has a place for
 * them: a page and its function are often deployed by different hands. */
static void keep_site(struct work *w)
{
    struct ctl_function *f = ctl_registry_find(w->server, w->in->tenant, w->name);

    if (f && f->main && f->main->has_site)
        ctl_hex(f->main->site, w->site_hex);
    ctl_function_unref(f);
}

/* Packed, kept, and unpacked for the workers. */
static int write_site(struct work *w, struct sv_err *err)
{
    char folder[CTL_SITE_FOLDER_SIZE];
    uint8_t digest[PLAT_DIGEST_BYTES];
    int r;

    if (w->in->nfiles == 0) {
        keep_site(w);
        return 0;
    }
    r = ctl_site_pack(err, w->in->files, w->in->nfiles, &w->site);
    if (r == 0)
        r = ctl_blob_write(w->server, err, w->site.data, w->site.len, digest);
    if (r == 0)
        r = ctl_site_unpack(w->server, err, digest, folder);
    if (r == 0)
        ctl_hex(digest, w->site_hex);
    return r;
}

/* ---- All of it ---- */

static int find_costs(struct work *w, struct sv_err *err)
{
    char *file = ctl_setting(w->server, "gas-table"), *dir = ctl_setting(w->server, "gas-tables");
    int r = plat_costs_read(err, file, dir, w->in->tenant, w->name, &w->costs);

    sv_free(file);
    sv_free(dir);
    if (r < 0) /* whatever it is, it is the server's */
        err->code = r = SV_EINTERNAL;
    return r;
}

/* The folder of native code; `tenant` NULL: of the workers of all tenants. */
static bool find_cache(struct ctl_server *server, const char *tenant, char ret[PLAT_CACHE_PATH])
{
    char *setting = ctl_setting(server, "cache");
    bool ok = setting && plat_cache_folder(setting, tenant, ret);

    sv_free(setting);
    return ok;
}

static int deploy(struct work *w, struct sv_err *err, uint64_t *ret_us)
{
    uint64_t start = sv_clock_ns();
    bool isolated = ctl_publish_is_isolated(w->server, sv_str_of(w->in->tenant));
    char cache[PLAT_CACHE_PATH];
    bool native =
        !w->in->no_native && find_cache(w->server, isolated ? w->in->tenant : NULL, cache);
    int r = check(w, err);

    if (r == 0)
        r = write_site(w, err);
    if (r == 0)
        r = ctl_blob_write(w->server, err, w->module.ptr, w->module.len, w->digest);
    if (r == 0)
        r = find_costs(w, err);
    if (r == 0)
        r = ctl_prepare(w->server, err, w->digest, w->manifest,
                        (struct sv_str){(const char *)w->costs.data, w->costs.len},
                        native ? cache : NULL, &w->prepared);
    if (r < 0)
        return r;
    ctl_hex(w->digest, w->hex);
    ctl_hex(w->prepared.ready, w->ready_hex);
    *ret_us = (sv_clock_ns() - start) / 1000;
    r = share(w, err);
    if (r == 0)
        r = ctl_db_write(w->server->db, err, transact, w);
    if (r == 0)
        r = ctl_registry_refresh(w->server, err, w->id);
    return r;
}

int ctl_deploy(struct ctl_server *server, struct sv_err *err, const struct ctl_deploy *in,
               struct ctl_deployed *ret)
{
    struct work w = {.server = server, .in = in};
    uint64_t us = 0;
    int r;

    sv_buf_init(&w.site, SITE_MAX);
    sv_buf_init(&w.costs, 2 * PLAT_COSTS_MAX);
    r = deploy(&w, err, &us);

    if (r == 0) {
        *ret = (struct ctl_deployed){.function = ctl_registry_find_id(server, w.id),
                                     .number = w.number,
                                     .is_new = w.is_new,
                                     .prepared_us = us};
        if (w.key_set)
            memcpy(ret->usage_key, w.key, sizeof ret->usage_key);
        if (!ret->function)
            r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "the function was deleted meanwhile");
    }
    ctl_prepared_release(&w.prepared);
    sv_buf_release(&w.site);
    sv_buf_release(&w.costs);
    sv_free(w.manifest_buf);
    return r;
}

/* ---- To a process of its own ---- */

struct move {
    struct ctl_server *server;
    const char *cache;
    uint64_t until_ns;
};

static bool move_function(void *data, const struct ctl_function *f)
{
    const struct move *move = data;
    struct sv_err err = {0}; /* whoever runs it first tries again */

    for (uint32_t i = 0; i < f->nversions; i++) {
        const struct ctl_version *v = &f->versions[i];

        if (sv_clock_ns() > move->until_ns)
            return false;
        if (v->weight > 0 || *v->aliases)
            (void)ctl_prepare_native(move->server, &err, v->ready, move->cache);
    }
    return true;
}

void ctl_deploy_isolate(struct ctl_server *server, const char *tenant)
{
    char cache[PLAT_CACHE_PATH];
    struct move move = {server, cache, sv_clock_ns() + ISOLATE_MS * (uint64_t)NS_PER_MS};

    if (!ctl_publish_is_isolated(server, sv_str_of(tenant)) && find_cache(server, tenant, cache))
        (void)ctl_registry_list(server, NULL, tenant, move_function, &move);
}

/* ---- Back ---- */

struct rollback {
    uint32_t number; /* 0: the one before */
};

static int rollback(struct ctl_sql *sql, struct sv_err *err, uint64_t id, void *data)
{
    struct rollback *b = data;
    int64_t number = b->number;
    int r = 0;

    if (number == 0)
        r = ctl_change_ask(sql, err,
                           "select number from versions where function_id = $1 and activated > 0 "
                           "and number <> coalesce((select number from targets where function_id = "
                           "$1 order by weight desc, number desc limit 1), 0) order by activated "
                           "desc limit 1",
                           CTL_PARAMS(CTL_INT(id)), 0, &number);
    if (r < 0)
        return r;
    if (number == 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "no other version ever had the requests");
    return ctl_change_activate(sql, err, id, (uint32_t)number);
}

int ctl_rollback(struct ctl_server *server, struct sv_err *err, const char *tenant,
                 const char *name, const char *which, struct ctl_deployed *ret)
{
    struct ctl_function *f = ctl_registry_find(server, tenant, name);
    const struct ctl_version *v = f && which ? ctl_function_version(f, which) : NULL;
    struct rollback b = {.number = v ? v->number : 0};
    uint64_t id = 0;
    int r = 0;

    if (!f)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no function '%s'", name);
    else if (which && !v)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no version '%s'", which);
    ctl_function_unref(f);
    if (r == 0)
        r = ctl_change(server, err, tenant, name, rollback, &b, &id);
    if (r < 0)
        return r;
    *ret = (struct ctl_deployed){.function = ctl_registry_find_id(server, id)};
    if (!ret->function)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "the function was deleted meanwhile");
    ret->number = ret->function->main ? ret->function->main->number : 0;
    return 0;
}
