/* Tenants' schemas out of a backup, into PostgreSQL. Statements may need what a later one makes (a
 * function that is a default of a table whose type it takes): one that fails is tried again when
 * others have been done. */
#include <stdlib.h>

#include "control/backup_file.h"
#include "control/state_sql.h"

#define ROWS_MAX 100         /* of an insert */
#define ROWS_BYTES (4 << 20) /* after which it is sent */

struct fill {
    struct ctl_server *server;
    struct ctl_sql_session *session; /* NULL: no schema has come yet */
    char tenant[CTL_SECTION_NAME_MAX + 1];
    struct sv_buf bytes; /* of a section */
    struct sv_buf later; /* statements that failed, with a NUL behind each */
    struct sv_buf table; /* as it came: name, columns, the same of a row */
    struct sv_buf rows;
    size_t starts[ROWS_MAX + 1];
    unsigned nrows;
};

static struct sv_str text_of(const struct sv_buf *b)
{
    return (struct sv_str){(const char *)b->data, b->len};
}

/* ---- Statements ---- */

static int run_or_keep(struct fill *f, struct sv_err *err, struct sv_str text)
{
    const struct ctl_statement statement = {.text = text};
    struct sv_err why = {0};
    int r = ctl_sql_fill(f->session, &why, &statement);

    if (r == SV_EGUEST) {
        sv_buf_append(&f->later, text.ptr, text.len);
        sv_buf_putc(&f->later, '\0');
        r = f->later.failed ? sv_fail_nomem(&why, "a statement") : 0;
    }
    if (r < 0)
        return sv_fail(err, why.code, SV_NO_OFFSET, "%s", why.text);
    return r;
}

/* Those that failed again, until it is always the same ones. */
static int run_later(struct fill *f, struct sv_err *err)
{
    size_t before = SIZE_MAX;
    int r = 0;

    while (r == 0 && f->later.len > 0 && f->later.len < before) {
        size_t len = before = f->later.len;
        char *all = sv_buf_take(&f->later, NULL);

        if (!all)
            return sv_fail_nomem(err, "a statement");
        for (size_t at = 0; r == 0 && at < len; at += strlen(all + at) + 1)
            r = run_or_keep(f, err, sv_str_of(all + at));
        sv_free(all);
    }
    return r;
}

/* What is left is told by what the first of them says. */
static int fail_later(struct fill *f, struct sv_err *err)
{
    const struct ctl_statement statement = {.text = sv_str_of(sv_buf_cstr(&f->later))};
    int r = ctl_sql_fill(f->session, err, &statement);

    return r < 0 ? r : sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "statements cannot be ordered");
}

/* ---- Rows ---- */

static int flush_rows(struct fill *f, struct sv_err *err)
{
    const char *table = sv_buf_cstr(&f->table), *columns, *parts;
    struct ctl_cell cells[ROWS_MAX];
    struct ctl_statement insert = {.params = cells, .count = f->nrows};
    struct sv_buf text;
    int r;

    if (f->nrows == 0)
        return 0;
    columns = table + strlen(table) + 1;
    parts = columns + strlen(columns) + 1;
    sv_buf_init(&text, CTL_SECTION_ROW_MAX);
    sv_buf_printf(&text, "insert into %s (%s) overriding system value select %s from (values ",
                  table, columns, parts);
    for (unsigned i = 0; i < f->nrows; i++) {
        sv_buf_printf(&text, "%s($%u::%s)", i ? ", " : "", i + 1, table);
        cells[i] = (struct ctl_cell){
            .type = 't',
            .bytes = {(const char *)f->rows.data + f->starts[i], f->starts[i + 1] - f->starts[i]}};
    }
    sv_buf_puts(&text, ") as v (r)");
    insert.text = text_of(&text);
    r = text.failed ? sv_fail_nomem(err, "rows of a table")
                    : ctl_sql_fill(f->session, err, &insert);
    sv_buf_release(&text);
    sv_buf_clear(&f->rows);
    f->nrows = 0;
    return r;
}

static int take_row(struct fill *f, struct sv_err *err)
{
    int r;

    if (f->table.len == 0)
        return ctl_backup_not_whole(err);
    r = f->nrows == ROWS_MAX || f->rows.len > ROWS_BYTES ? flush_rows(f, err) : 0;
    f->starts[f->nrows] = f->rows.len;
    if (r == 0 && !sv_buf_append(&f->rows, f->bytes.data, f->bytes.len))
        r = sv_fail_nomem(err, "rows of a table");
    f->starts[++f->nrows] = f->rows.len;
    return r;
}

/* Three strings with their NULs, else the backup is not ours. */
static int take_table(struct fill *f, struct sv_err *err)
{
    unsigned strings = 0;
    int r = flush_rows(f, err);

    for (size_t i = 0; i < f->bytes.len; i++)
        strings += f->bytes.data[i] == '\0';
    if (r == 0 && (strings != 3 || f->bytes.data[f->bytes.len - 1] != '\0'))
        r = ctl_backup_not_whole(err);
    sv_buf_clear(&f->table);
    if (r == 0 && !sv_buf_append(&f->table, f->bytes.data, f->bytes.len))
        r = sv_fail_nomem(err, "a table's name");
    return r < 0 ? r : run_later(f, err);
}

/* ---- Schemas ---- */

static int end_schema(struct fill *f, struct sv_err *err)
{
    struct ctl_sql_session *session = f->session;
    int r;

    if (!session)
        return 0;
    r = flush_rows(f, err);
    if (r == 0)
        r = run_later(f, err);
    if (r == 0 && f->later.len > 0)
        r = fail_later(f, err);
    f->session = NULL;
    if (r == 0)
        return ctl_sql_fill_end(session, err, true);
    (void)ctl_sql_fill_end(session, NULL, false);
    return r;
}

static int take_section(struct fill *f, struct sv_err *err, const struct ctl_reader *in)
{
    int r;

    switch ((int)in->type) {
    case CTL_SECTION_SQL:
        r = end_schema(f, err);
        if (r < 0)
            return r;
        memcpy(f->tenant, in->name, sizeof f->tenant);
        sv_buf_clear(&f->table);
        return ctl_sql_fill_begin(f->server, err, f->tenant, &f->session);
    case CTL_SECTION_SQL_BEFORE:
        return run_or_keep(f, err, text_of(&f->bytes));
    case CTL_SECTION_SQL_TABLE:
        return take_table(f, err);
    case CTL_SECTION_SQL_ROW:
        return take_row(f, err);
    default:
        r = flush_rows(f, err);
        return r < 0 ? r : run_or_keep(f, err, text_of(&f->bytes));
    }
}

static bool is_of_schema(const struct ctl_reader *in)
{
    return in->type == CTL_SECTION_SQL || in->type == CTL_SECTION_SQL_BEFORE ||
           in->type == CTL_SECTION_SQL_TABLE || in->type == CTL_SECTION_SQL_ROW ||
           in->type == CTL_SECTION_SQL_BEHIND;
}

static int run(struct fill *f, struct sv_err *err, struct ctl_reader *in)
{
    int r;

    while ((r = ctl_backup_read_head(in, err)) == 0 && in->type != 'E') {
        if (!is_of_schema(in)) {
            r = ctl_backup_skip(in, err);
        } else {
            r = ctl_backup_read_bytes(in, err, &f->bytes);
            if (r == 0 && !f->session && in->type != CTL_SECTION_SQL)
                r = ctl_backup_not_whole(err);
            if (r == 0)
                r = take_section(f, err, in);
        }
        if (r < 0)
            return r;
    }
    return r < 0 ? r : end_schema(f, err);
}

int ctl_backup_restore_schemas(struct ctl_server *server, struct sv_err *err, struct ctl_reader *in)
{
    struct fill *f = sv_alloc_zero(sizeof *f);
    struct sv_err why = {0};
    int r;

    if (!f)
        return sv_fail_nomem(err, "a schema");
    f->server = server;
    sv_buf_init(&f->bytes, CTL_SECTION_ROW_MAX + 1);
    sv_buf_init(&f->later, CTL_SECTION_ROW_MAX);
    sv_buf_init(&f->table, CTL_SECTION_ROW_MAX);
    sv_buf_init(&f->rows, 2 * CTL_SECTION_ROW_MAX);
    r = run(f, &why, in);
    if (f->session)
        (void)ctl_sql_fill_end(f->session, NULL, false);
    if (r < 0)
        sv_fail(err, why.code, SV_NO_OFFSET, f->tenant[0] ? "SQL of tenant '%s': %s" : "%s%s",
                f->tenant, why.text);
    sv_buf_release(&f->bytes);
    sv_buf_release(&f->later);
    sv_buf_release(&f->table);
    sv_buf_release(&f->rows);
    sv_free(f);
    return r;
}
