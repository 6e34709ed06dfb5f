/* Changes of functions that make no version. */
#include "control/change.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "control/cron.h"

#define NS_PER_MS 1000000
#define SHARES_MAX PLAT_TARGETS_MAX

/* ---- Statements ---- */

int ctl_change_ask(struct ctl_sql *sql, struct sv_err *err, const char *text,
                   const struct ctl_param *params, int64_t otherwise, int64_t *ret)
{
    int r = ctl_sql_run(sql, err, text, params);

    *ret = otherwise;
    if (r < 0 || (r = ctl_sql_next(sql, err)) < 0)
        return r;
    if (r > 0 && !ctl_sql_null(sql, 0))
        *ret = ctl_sql_int(sql, 0);
    return 0;
}

int ctl_change_find(struct ctl_sql *sql, struct sv_err *err, const char *tenant, const char *name,
                    uint64_t *ret)
{
    int64_t id;
    int r = ctl_change_ask(
        sql, err, "select id from functions where tenant = $1 and name = $2 and deleted = 0",
        CTL_PARAMS(CTL_TEXT(tenant), CTL_TEXT(name)), 0, &id);

    *ret = (uint64_t)id;
    return r;
}

static int need_version(struct ctl_sql *sql, struct sv_err *err, uint64_t id, uint32_t number)
{
    int64_t found;
    int r = ctl_change_ask(sql, err,
                           "select number from versions where function_id = $1 and number = $2",
                           CTL_PARAMS(CTL_INT(id), CTL_INT(number)), 0, &found);

    if (r == 0 && found == 0)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no version %u", number);
    return r;
}

static int set_target(struct ctl_sql *sql, struct sv_err *err, uint64_t id, uint32_t number,
                      uint32_t weight)
{
    return ctl_sql_run(sql, err,
                       "insert into targets (function_id, number, weight) values ($1, $2, $3) "
                       "on conflict (function_id, number) do update set weight = excluded.weight",
                       CTL_PARAMS(CTL_INT(id), CTL_INT(number), CTL_INT(weight)));
}

static int clear_targets(struct ctl_sql *sql, struct sv_err *err, uint64_t id)
{
    return ctl_sql_run(sql, err, "delete from targets where function_id = $1",
                       CTL_PARAMS(CTL_INT(id)));
}

int ctl_change_activate(struct ctl_sql *sql, struct sv_err *err, uint64_t id, uint32_t number)
{
    int r = clear_targets(sql, err, id);

    if (r >= 0)
        r = set_target(sql, err, id, number, CTL_WEIGHT_ALL);
    if (r >= 0)
        r = ctl_sql_run(sql, err,
                        "update versions set activated = (select max(activated) + 1 from versions "
                        "where function_id = $1) where function_id = $1 and number = $2",
                        CTL_PARAMS(CTL_INT(id), CTL_INT(number)));
    return r;
}

/* The versions that share the requests now, at most SHARES_MAX. */
static int read_shares(struct ctl_sql *sql, struct sv_err *err, uint64_t id,
                       struct ctl_share ret[SHARES_MAX], unsigned *ret_n)
{
    int r = ctl_sql_run(
        sql, err,
        "select number, weight from targets where function_id = $1 order by weight desc, number",
        CTL_PARAMS(CTL_INT(id)));

    *ret_n = 0;
    while (r >= 0 && (r = ctl_sql_next(sql, err)) > 0) {
        if (*ret_n < SHARES_MAX)
            ret[(*ret_n)++] =
                (struct ctl_share){(uint32_t)ctl_sql_int(sql, 0), (uint32_t)ctl_sql_int(sql, 1)};
    }
    return r;
}

/* Shares of their sum become weights, whose sum is CTL_WEIGHT_ALL; what rounding leaves is the
 * first one's. */
static int write_shares(struct ctl_sql *sql, struct sv_err *err, uint64_t id,
                        const struct ctl_share *shares, unsigned n)
{
    uint64_t sum = 0;
    uint32_t left = CTL_WEIGHT_ALL;
    int r;

    for (unsigned i = 0; i < n; i++)
        sum += shares[i].weight;
    if (sum == 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "no version would get any requests");
    r = clear_targets(sql, err, id);
    for (unsigned i = n; i-- > 0 && r >= 0;) {
        uint32_t weight = i ? (uint32_t)((uint64_t)shares[i].weight * CTL_WEIGHT_ALL / sum) : left;

        left -= weight;
        if (weight > 0)
            r = set_target(sql, err, id, shares[i].number, weight);
    }
    return r;
}

int ctl_change_share(struct ctl_sql *sql, struct sv_err *err, uint64_t id, uint32_t number,
                     uint32_t weight)
{
    struct ctl_share shares[SHARES_MAX + 1];
    uint64_t others = 0;
    unsigned n, kept = 0;
    int r = read_shares(sql, err, id, shares, &n);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < n; i++) {
        if (shares[i].number == number)
            continue;
        shares[kept++] = shares[i];
        others += shares[i].weight;
    }
    if (others == 0 || weight >= CTL_WEIGHT_ALL)
        return ctl_change_activate(sql, err, id, number);
    if (kept == SHARES_MAX)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "at most %d versions can share the requests",
                       SHARES_MAX);
    for (unsigned i = 0; i < kept; i++)
        shares[i].weight =
            (uint32_t)((uint64_t)shares[i].weight * (CTL_WEIGHT_ALL - weight) / others);
    shares[kept] = (struct ctl_share){number, weight};
    return write_shares(sql, err, id, shares, kept + 1);
}

int ctl_change_alias(struct ctl_sql *sql, struct sv_err *err, uint64_t id, const char *alias,
                     uint32_t number)
{
    if (number == 0)
        return ctl_sql_run(sql, err, "delete from aliases where function_id = $1 and alias = $2",
                           CTL_PARAMS(CTL_INT(id), CTL_TEXT(alias)));
    return ctl_sql_run(sql, err,
                       "insert into aliases (function_id, alias, number) values ($1, $2, $3) "
                       "on conflict (function_id, alias) do update set number = excluded.number",
                       CTL_PARAMS(CTL_INT(id), CTL_TEXT(alias), CTL_INT(number)));
}

/* ---- A change ---- */

struct change {
    const char *tenant, *name;
    ctl_change_fn fn;
    void *data;
    uint64_t id;
};

static int change(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct change *c = data;
    int r = ctl_change_find(sql, err, c->tenant, c->name, &c->id);

    if (r < 0)
        return r;
    if (c->id == 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no function '%s'", c->name);
    r = c->fn(sql, err, c->id, c->data);
    if (r >= 0)
        r = ctl_cron_follow(sql, err, c->id);
    if (r < 0)
        return r;
    r = ctl_sql_run(sql, err, "update functions set updated_ms = $2 where id = $1",
                    CTL_PARAMS(CTL_INT(c->id), CTL_INT(sv_clock_wall_ns() / NS_PER_MS)));
    ctl_registry_note(sql, c->id);
    return r;
}

int ctl_change(struct ctl_server *server, struct sv_err *err, const char *tenant, const char *name,
               ctl_change_fn fn, void *data, uint64_t *ret_id)
{
    struct change c = {.tenant = tenant, .name = name, .fn = fn, .data = data};
    int r = ctl_db_write(server->db, err, change, &c);

    if (r < 0)
        return r;
    if (ret_id)
        *ret_id = c.id;
    return ctl_registry_refresh(server, err, c.id);
}

/* ---- The changes ---- */

struct split {
    const struct ctl_share *shares;
    unsigned n;
};

static int split(struct ctl_sql *sql, struct sv_err *err, uint64_t id, void *data)
{
    const struct split *s = data;
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < s->n; i++)
        r = need_version(sql, err, id, s->shares[i].number);
    if (r < 0)
        return r;
    if (s->n == 1)
        return ctl_change_activate(sql, err, id, s->shares[0].number);
    return write_shares(sql, err, id, s->shares, s->n);
}

int ctl_registry_split(struct ctl_server *server, struct sv_err *err, const char *tenant,
                       const char *name, const struct ctl_share *shares, unsigned n)
{
    struct split s = {shares, n};

    if (n == 0 || n > SHARES_MAX)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "1 to %d versions can share the requests",
                       SHARES_MAX);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (shares[i].number == shares[k].number)
                return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "version %u is named twice",
                               shares[i].number);
        }
    }
    return ctl_change(server, err, tenant, name, split, &s, NULL);
}

struct alias {
    const char *alias;
    uint32_t number;
};

static int set_alias(struct ctl_sql *sql, struct sv_err *err, uint64_t id, void *data)
{
    const struct alias *a = data;
    int r = a->number ? need_version(sql, err, id, a->number) : 0;

    return r < 0 ? r : ctl_change_alias(sql, err, id, a->alias, a->number);
}

int ctl_registry_alias(struct ctl_server *server, struct sv_err *err, const char *tenant,
                       const char *name, const char *alias, uint32_t number)
{
    struct alias a = {alias, number};

    if (!plat_name_valid(alias, strlen(alias)))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' is no name for an alias", alias);
    return ctl_change(server, err, tenant, name, set_alias, &a, NULL);
}

/* Its row stays, for the ledger; all else goes. */
static int delete_function(struct ctl_sql *sql, struct sv_err *err, uint64_t id, void *data)
{
    static const char *const statements[] = {"delete from targets where function_id = $1",
                                             "delete from aliases where function_id = $1",
                                             "delete from versions where function_id = $1"};
    int r = 0;

    (void)data;
    for (size_t i = 0; r >= 0 && i < SV_COUNT(statements); i++)
        r = ctl_sql_run(sql, err, statements[i], CTL_PARAMS(CTL_INT(id)));
    if (r >= 0)
        r = ctl_sql_run(sql, err, "update functions set deleted = $2 where id = $1",
                        CTL_PARAMS(CTL_INT(id), CTL_INT(sv_clock_wall_ns() / NS_PER_MS)));
    return r;
}

int ctl_registry_delete(struct ctl_server *server, struct sv_err *err, const char *tenant,
                        const char *name)
{
    return ctl_change(server, err, tenant, name, delete_function, NULL, NULL);
}

static int set_key(struct ctl_sql *sql, struct sv_err *err, uint64_t id, void *data)
{
    return ctl_sql_run(sql, err, "update functions set usage_key = $2 where id = $1",
                       CTL_PARAMS(CTL_INT(id), data ? CTL_BLOB(data, PLAT_KEY_BYTES) : CTL_NULL));
}

int ctl_registry_set_key(struct ctl_server *server, struct sv_err *err, const char *tenant,
                         const char *name, const uint8_t *digest)
{
    uint8_t copy[PLAT_KEY_BYTES];

    if (digest)
        memcpy(copy, digest, sizeof copy);
    return ctl_change(server, err, tenant, name, set_key, digest ? copy : NULL, NULL);
}

struct text {
    enum ctl_function_text which;
    const char *text;
};

static int set_text(struct ctl_sql *sql, struct sv_err *err, uint64_t id, void *data)
{
    static const char *const statements[] = {
        [CTL_FUNCTION_STATE] = "update functions set state = $2 where id = $1",
        [CTL_FUNCTION_CALLBACK] = "update functions set callback = $2 where id = $1",
        [CTL_FUNCTION_DESCRIPTION] = "update functions set description = $2 where id = $1"};
    const struct text *t = data;

    return ctl_sql_run(sql, err, statements[t->which], CTL_PARAMS(CTL_INT(id), CTL_TEXT(t->text)));
}

int ctl_registry_set_text(struct ctl_server *server, struct sv_err *err, const char *tenant,
                          const char *name, enum ctl_function_text which, const char *text)
{
    struct text t = {which, text};

    return ctl_change(server, err, tenant, name, set_text, &t, NULL);
}
