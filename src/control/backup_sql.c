/* Tenants' SQL on PostgreSQL in a backup: for each schema the statements that make what is in it,
 * as the server's own functions print them, and its rows, as text. Read in the transaction of all
 * other rows, so as of the same moment; as the tenant's role, with a search path that has nothing
 * of a tenant's: nothing of his is run. What of PostgreSQL has no statement here is told. */
#include <stdio.h>
#include <stdlib.h>

#include "control/backup.h"
#include "control/backup_file.h"
#include "control/state_sql.h"

#define FETCH "fetch 200 from ssvm_rows"
#define LISTED_MAX (64U << 20) /* bytes of names */

/* Sequences' own settings, of the row `s` of pg_sequence. */
#define SEQUENCE                                                                                   \
    "format('increment %s minvalue %s maxvalue %s start %s cache %s%s', s.seqincrement, "          \
    "s.seqmin, s.seqmax, s.seqstart, s.seqcache, case when s.seqcycle then ' cycle' else '' end)"
/* Of a column `a` of a type `t`; of a relation `c`. */
#define COLLATION                                                                                  \
    "case when a.attcollation <> t.typcollation and a.attcollation <> 0 then ' collate ' || "      \
    "a.attcollation::regcollation else '' end"
#define OPTIONS                                                                                    \
    "case when c.reloptions is null then '' else format(' with (%s)', "                            \
    "array_to_string(c.reloptions, ', ')) end"
#define OF_SCHEMA(column) column " = (select oid from pg_namespace where nspname = $1)"
#define FROM_CLASS(kinds)                                                                          \
    " from pg_class c where " OF_SCHEMA("c.relnamespace") " and c.relkind in (" kinds ")"
#define FROM_INDEXES                                                                               \
    FROM_CLASS("'i', 'I'")                                                                         \
    " and not exists (select 1 from pg_constraint where conindid = c.oid and contype in ('p', "    \
    "'u', 'x'))"

#define BEFORE(what, query)
#define BEHIND(what, query)
#define LEFT(what, query)
static const char *const before[] = {
#undef BEFORE
#define BEFORE(what, query) query,
#include "control/backup_sql.def"
#undef BEFORE
#define BEFORE(what, query)
};
static const char *const behind[] = {
#undef BEHIND
#define BEHIND(what, query) query,
#include "control/backup_sql.def"
#undef BEHIND
#define BEHIND(what, query)
};
static const char left_out[] =
    "select string_agg(distinct what, ', ') from (select '' as what where false"
#undef LEFT
#define LEFT(what, query) " union all select '" what "' from " query
#include "control/backup_sql.def"
    ") as kinds";
#undef BEFORE
#undef BEHIND
#undef LEFT

/* Tables with rows: the name, the columns that are written, the same of a row r. */
static const char tables[] =
    "select c.oid::regclass::text, string_agg(quote_ident(a.attname), ', ' order by a.attnum), "
    "string_agg('(r).' || quote_ident(a.attname), ', ' order by a.attnum) from pg_class c join "
    "pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and "
    "a.attgenerated = '' where " OF_SCHEMA("c.relnamespace") " and c.relkind = 'r' group by c.oid "
                                                             "order by c.oid";
static const char sequences[] = "select c.oid::regclass::text" FROM_CLASS("'S'") " order by c.oid";

struct dump {
    struct ctl_sql *sql;
    struct ctl_backup_to to;
    char role[CTL_SQL_ROLE_TEXT];
};

static struct ctl_param role_param(const struct dump *d)
{
    return CTL_TEXT(d->role);
}

static int put(struct dump *d, struct sv_err *err, char type, struct sv_str s)
{
    return d->to.put(d->to.data, err, type, "", s.ptr, s.len);
}

static int put_statements(struct dump *d, struct sv_err *err, char type, const char *const *queries,
                          size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r >= 0; i++) {
        r = ctl_sql_run(d->sql, err, queries[i], CTL_PARAMS(role_param(d)));
        while (r >= 0 && (r = ctl_sql_next(d->sql, err)) > 0)
            r = put(d, err, type, ctl_sql_str(d->sql, 0));
    }
    return r < 0 ? r : 0;
}

/* All rows of a query, with a NUL behind each cell: the next statement ends them. */
static int list(struct dump *d, struct sv_err *err, const char *query, struct sv_buf *to)
{
    int r = ctl_sql_run(d->sql, err, query, CTL_PARAMS(role_param(d)));

    while (r >= 0 && (r = ctl_sql_next(d->sql, err)) > 0) {
        for (unsigned i = 0; i < ctl_sql_columns(d->sql); i++) {
            struct sv_str s = ctl_sql_str(d->sql, i);

            sv_buf_append(to, s.ptr, s.len);
            sv_buf_putc(to, '\0');
        }
    }
    if (r == 0 && to->failed)
        r = sv_fail_nomem(err, "the names of a schema's tables");
    return r;
}

static int run_text(struct dump *d, struct sv_err *err, struct sv_buf *text)
{
    int r = text->failed ? sv_fail_nomem(err, "a statement")
                         : ctl_sql_run(d->sql, err, sv_buf_cstr(text), CTL_NO_PARAMS);

    sv_buf_clear(text);
    return r;
}

/* A few at a time: a table may be larger than our memory. */
static int put_rows(struct dump *d, struct sv_err *err, const char *table, struct sv_buf *text)
{
    bool more = true;
    int r;

    sv_buf_printf(
        text,
        "declare ssvm_rows no scroll cursor for select \"ssvm row\"::text from only %s as "
        "\"ssvm row\"",
        table);
    r = run_text(d, err, text);
    while (r == 0 && more) {
        r = ctl_sql_run(d->sql, err, FETCH, CTL_NO_PARAMS);
        more = false;
        while (r >= 0 && (r = ctl_sql_next(d->sql, err)) > 0) {
            r = put(d, err, CTL_SECTION_SQL_ROW, ctl_sql_str(d->sql, 0));
            more = true;
        }
    }
    return r < 0 ? r : ctl_sql_run(d->sql, err, "close ssvm_rows", CTL_NO_PARAMS);
}

static int put_tables(struct dump *d, struct sv_err *err, struct sv_buf *names, struct sv_buf *text)
{
    const char *at, *end;
    int r = list(d, err, tables, names);

    end = r < 0 ? NULL : sv_buf_cstr(names) + names->len;
    for (at = r < 0 ? NULL : sv_buf_cstr(names); r == 0 && at < end;) {
        const char *columns = at + strlen(at) + 1, *parts = columns + strlen(columns) + 1;
        const char *next = parts + strlen(parts) + 1;

        r = put(d, err, CTL_SECTION_SQL_TABLE, (struct sv_str){at, (size_t)(next - at)});
        if (r == 0)
            r = put_rows(d, err, at, text);
        at = next;
    }
    return r;
}

static int put_sequences(struct dump *d, struct sv_err *err, struct sv_buf *names,
                         struct sv_buf *text)
{
    const char *at, *end;
    int r;

    sv_buf_clear(names);
    r = list(d, err, sequences, names);
    end = r < 0 ? NULL : sv_buf_cstr(names) + names->len;
    for (at = r < 0 ? NULL : sv_buf_cstr(names); r == 0 && at < end; at += strlen(at) + 1) {
        sv_buf_printf(text,
                      "select format('select pg_catalog.setval(%%L, %%s, %%L)', $1::text, "
                      "last_value, is_called) from %s",
                      at);
        r = text->failed ? sv_fail_nomem(err, "a statement")
                         : ctl_sql_run(d->sql, err, sv_buf_cstr(text), CTL_PARAMS(CTL_TEXT(at)));
        sv_buf_clear(text);
        if (r == 0 && (r = ctl_sql_next(d->sql, err)) > 0)
            r = put(d, err, CTL_SECTION_SQL_BEHIND, ctl_sql_str(d->sql, 0));
    }
    return r;
}

static int tell_left_out(struct dump *d, struct sv_err *err, const char *tenant)
{
    int r = ctl_sql_run(d->sql, err, left_out, CTL_PARAMS(role_param(d)));

    if (r == 0 && (r = ctl_sql_next(d->sql, err)) > 0 && !ctl_sql_null(d->sql, 0)) {
        struct sv_str s = ctl_sql_str(d->sql, 0);

        fprintf(stderr, "ssvm-control: not in the backup, of tenant '%s' in SQL: %.*s\n", tenant,
                (int)s.len, s.ptr);
    }
    return r < 0 ? r : 0;
}

static int put_schema(struct dump *d, struct sv_err *err, const char *tenant)
{
    struct sv_buf names, text;
    int r;

    sv_buf_init(&names, LISTED_MAX);
    sv_buf_init(&text, LISTED_MAX);
    sv_buf_printf(&text, "set local role %s", d->role);
    r = run_text(d, err, &text);
    if (r == 0)
        r = d->to.put(d->to.data, err, CTL_SECTION_SQL, tenant, "", 0);
    if (r == 0)
        r = put_statements(d, err, CTL_SECTION_SQL_BEFORE, before, SV_COUNT(before));
    if (r == 0)
        r = put_tables(d, err, &names, &text);
    if (r == 0)
        r = put_statements(d, err, CTL_SECTION_SQL_BEHIND, behind, SV_COUNT(behind));
    if (r == 0)
        r = put_sequences(d, err, &names, &text);
    if (r == 0)
        r = tell_left_out(d, err, tenant);
    if (r == 0)
        r = ctl_sql_run(d->sql, err, "reset role", CTL_NO_PARAMS);
    sv_buf_release(&text);
    sv_buf_release(&names);
    return r;
}

/* The tenant's schema, if he has one. What fails says whose it is. */
static int put_tenant(struct dump *d, struct sv_err *err, const char *tenant)
{
    struct sv_err why = {0};
    int r;

    ctl_sql_name_role(tenant, d->role);
    r = ctl_sql_run(d->sql, &why, "select 1 from pg_namespace where nspname = $1",
                    CTL_PARAMS(role_param(d)));
    if (r == 0)
        r = ctl_sql_next(d->sql, &why);
    if (r > 0)
        r = put_schema(d, &why, tenant);
    return r < 0 ? sv_fail(err, why.code, SV_NO_OFFSET, "SQL of tenant '%s': %s", tenant, why.text)
                 : 0;
}

int ctl_backup_write_schemas(struct ctl_sql *sql, struct sv_err *err,
                             const struct ctl_backup_to *to)
{
    static const char *const settings[] = {
        "set local search_path = ''",         "set local datestyle = 'ISO, YMD'",
        "set local intervalstyle = postgres", "set local extra_float_digits = 3",
        "set local bytea_output = hex",       "set local row_security = off",
        "set local enable_seqscan = on",
    };
    struct dump d = {.sql = sql, .to = *to};
    struct sv_buf names;
    int r;

    sv_buf_init(&names, LISTED_MAX);
    r = list(&d, err, "select name from tenants where $1::text is not null order by name", &names);
    for (size_t i = 0; r == 0 && i < SV_COUNT(settings); i++)
        r = ctl_sql_run(sql, err, settings[i], CTL_NO_PARAMS);
    for (size_t at = 0; r == 0 && at < names.len; at += strlen(sv_buf_cstr(&names) + at) + 1)
        r = put_tenant(&d, err, sv_buf_cstr(&names) + at);
    sv_buf_release(&names);
    return r;
}
