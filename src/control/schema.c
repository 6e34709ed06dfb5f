/* Brings a database to the schema of this program. What the tables mean is their owners' to know.
 */
#include "control/schema.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "control/db_backend.h"

#define NODE_LIVES_MS 60000 /* a node that was not seen for so long is gone */

static const struct ctl_schema_step steps_own[] = {
#define STEP(version, sql) {version, sql},
#include "control/schema.def"
#undef STEP
};

unsigned ctl_schema_version(void)
{
    return steps_own[SV_COUNT(steps_own) - 1].version;
}

bool ctl_schema_table(unsigned n, char ret[64], bool *ret_serial)
{
    static const char create[] = "create table ";

    for (size_t i = 0; i < SV_COUNT(steps_own); i++) {
        const char *sql = steps_own[i].sql, *name = sql + sizeof create - 1;

        if (strncmp(sql, create, sizeof create - 1) != 0 || n-- > 0)
            continue;
        snprintf(ret, 64, "%.*s", (int)strcspn(name, " "), name);
        *ret_serial = strstr(sql, "{serial}") != NULL;
        return true;
    }
    return false;
}

struct update {
    const struct ctl_schema_step *steps;
    size_t count;
};

/* 1: there is nothing to do, which most starts find. A database without a table of this fails. */
static int is_done(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct update *u = data;
    int64_t target = u->steps[u->count - 1].version, now;
    int r = ctl_sql_run(sql, err,
                        "select cast(value as {int}), (select count(*) from meta where key = "
                        "'channel') from meta where key = 'schema'",
                        CTL_NO_PARAMS);

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    now = ctl_sql_int(sql, 0);
    return now >= target && now <= target + 1 &&
           (!sql->db->backend->shared || ctl_sql_int(sql, 1) > 0);
}

static int make_meta(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    (void)data;
    return ctl_sql_run(sql, err,
                       "create table if not exists meta (key {text} primary key, value {text} not "
                       "null) {strict}",
                       CTL_NO_PARAMS);
}

/* A node that still runs and would not understand version `target`. */
static int refuse_old_nodes(struct ctl_sql *sql, struct sv_err *err, int64_t target)
{
    struct sv_str id;
    int r =
        ctl_sql_run(sql, err, "select id, schema from nodes where seen_ms > $1 and schema < $2",
                    CTL_PARAMS(CTL_INT(sv_clock_wall_ms() - NODE_LIVES_MS), CTL_INT(target - 1)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    id = ctl_sql_str(sql, 0);
    return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                   "node '%.*s' still runs a program for version %" PRId64
                   " of the database, which version %" PRId64
                   " would break: upgrade it to the version between, or stop it",
                   (int)id.len, id.ptr, ctl_sql_int(sql, 1), target);
}

static int update(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct update *u = data;
    int64_t target = u->steps[u->count - 1].version, now = 0;
    char text[24];
    int r = sql->db->backend->lock(sql, err);

    if (r == 0)
        r = ctl_sql_run(sql, err, "select cast(value as {int}) from meta where key = 'schema'",
                        CTL_NO_PARAMS);
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    if (r)
        now = ctl_sql_int(sql, 0);
    if (now > target + 1)
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "the database is of version %" PRId64
                       ", this program knows it up to %" PRId64 ": use a newer program",
                       now, target + 1);
    if (now >= target)
        return 0;
    r = now > 0 ? refuse_old_nodes(sql, err, target) : 0;
    for (size_t i = 0; r == 0 && i < u->count; i++)
        if (u->steps[i].version > now)
            r = ctl_sql_run(sql, err, u->steps[i].sql, CTL_NO_PARAMS);
    snprintf(text, sizeof text, "%" PRId64, target);
    if (r == 0)
        r = ctl_sql_run(sql, err,
                        "insert into meta (key, value) values ('schema', $1) on conflict (key) do "
                        "update set value = excluded.value",
                        CTL_PARAMS(CTL_TEXT(text)));
    return r;
}

int ctl_schema_update(struct ctl_db *db, struct sv_err *err, const struct ctl_schema_step *steps,
                      size_t count)
{
    struct update u = {steps, count};
    struct sv_err why = {0};
    int r = ctl_db_read(db, &why, is_done, &u);

    if (r > 0)
        return 0;
    if (r == SV_EIO) { /* nothing that a new schema would mend */
        if (err)
            *err = why;
        return r;
    }
    r = ctl_db_write(db, err, make_meta, NULL);
    return r < 0 ? r : ctl_db_write(db, err, update, &u);
}

int ctl_schema_update_own(struct ctl_db *db, struct sv_err *err)
{
    return ctl_schema_update(db, err, steps_own, SV_COUNT(steps_own));
}
