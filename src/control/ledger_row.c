/* Rows of the ledger: added, and folded when they are old, so that the ledger of many functions
 * does not grow for ever by the minute. Sums stay what they are. */
#include "control/ledger_row.h"

#include "base/buf.h"

#define ROWS_MAX (1U << 20) /* of an hour */
#define COLUMNS "calls, errors, rejected, gas, cpu_ns, wall_ns, byte_ms, bytes_in, bytes_out"

/* A sum ends at 2^62 (PLAT_RECORD_NUMBER_MAX): one that did not fit would fail, and with it all
 * that is counted with it. */
#define SUM(column)                                                                                \
    #column " = case when ledger." #column " > 4611686018427387904 - excluded." #column            \
            " then 4611686018427387904 else ledger." #column " + excluded." #column " end"

int ctl_ledger_row_add(struct ctl_sql *sql, struct sv_err *err, const struct ctl_ledger_row *row)
{
    static const char
        text[] =
            "insert into ledger (tenant, function_id, function, digest, minute, " COLUMNS ")"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
            " on conflict (tenant, minute, function_id, function, digest) do update set " SUM(calls) ", " SUM(errors) ", " SUM(
                rejected) ", " SUM(gas) ", " SUM(cpu_ns) ", " SUM(wall_ns) ", " SUM(byte_ms) ","
                                                                                             " " SUM(bytes_in) ", " SUM(
                                                                                                 bytes_out);

    return ctl_sql_run(sql, err, text,
                       CTL_PARAMS(CTL_TEXT(row->of->tenant), CTL_INT(row->of->function_id),
                                  CTL_TEXT(row->of->function), CTL_TEXT(row->of->digest),
                                  CTL_INT(row->minute), CTL_INT(row->calls), CTL_INT(row->errors),
                                  CTL_INT(row->rejected), CTL_INT(row->gas), CTL_INT(row->cpu_ns),
                                  CTL_INT(row->wall_ns), CTL_INT(row->byte_ms),
                                  CTL_INT(row->bytes_in), CTL_INT(row->bytes_out)));
}

/* ---- Folding ---- */

struct old_row {
    struct ctl_ledger_row row;
    struct plat_record key;
};

struct fold {
    uint64_t before, hour; /* minutes */
    SV_VEC(struct old_row) rows;
};

/* The hour of the first row that is of a minute. 1: there is one. */
static int find_hour(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct fold *fold = data;
    int r = ctl_sql_run(sql, err,
                        "select minute from ledger where minute < $1 and minute % 60 <> 0"
                        " order by minute limit 1",
                        CTL_PARAMS(CTL_INT(fold->before)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r > 0)
        fold->hour = (uint64_t)ctl_sql_int(sql, 0) / 60 * 60;
    return r;
}

static void copy_text(struct ctl_sql *sql, unsigned column, char *to, size_t size)
{
    struct sv_str s = ctl_sql_str(sql, column);

    if (s.ptr)
        memcpy(to, s.ptr, s.len < size ? s.len : size - 1);
}

static struct old_row read_row(struct ctl_sql *sql, uint64_t hour)
{
    struct old_row old = {.row.minute = hour};
    uint64_t *const sums[] = {&old.row.calls,   &old.row.errors,   &old.row.rejected,
                              &old.row.gas,     &old.row.cpu_ns,   &old.row.wall_ns,
                              &old.row.byte_ms, &old.row.bytes_in, &old.row.bytes_out};

    copy_text(sql, 0, old.key.tenant, sizeof old.key.tenant);
    old.key.function_id = (uint64_t)ctl_sql_int(sql, 1);
    copy_text(sql, 2, old.key.function, sizeof old.key.function);
    copy_text(sql, 3, old.key.digest, sizeof old.key.digest);
    for (unsigned i = 0; i < SV_COUNT(sums); i++) { /* a restored backup's may be anything */
        int64_t n = ctl_sql_int(sql, 4 + i);

        *sums[i] = n < 0                                  ? 0
                   : (uint64_t)n < PLAT_RECORD_NUMBER_MAX ? (uint64_t)n
                                                          : PLAT_RECORD_NUMBER_MAX;
    }
    return old;
}

/* What is deleted is what is added: should another node fold the same hour, each row is one's. */
static int fold_hour(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct fold *fold = data;
    int r = ctl_sql_run(sql, err,
                        "delete from ledger where minute > $1 and minute < $2"
                        " returning tenant, function_id, function, digest, " COLUMNS,
                        CTL_PARAMS(CTL_INT(fold->hour), CTL_INT(fold->hour + 60)));

    fold->rows.len = 0;
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        r = 0;
        if (!SV_VEC_PUSH(&fold->rows, ROWS_MAX, read_row(sql, fold->hour)))
            return sv_fail_nomem(err, "an hour of the ledger");
    }
    for (size_t i = 0; r == 0 && i < fold->rows.len; i++) {
        fold->rows.data[i].row.of = &fold->rows.data[i].key;
        r = ctl_ledger_row_add(sql, err, &fold->rows.data[i].row);
    }
    return r;
}

int ctl_ledger_fold(struct ctl_server *server, struct sv_err *err, uint64_t before, unsigned hours)
{
    struct fold fold = {.before = before / 60 * 60};
    int r = 1;

    for (unsigned i = 0; r > 0 && i < hours; i++) {
        r = ctl_db_read(server->db, err, find_hour, &fold);
        if (r > 0)
            r = ctl_db_write(server->db, err, fold_hour, &fold) < 0 ? -1 : 1;
    }
    sv_free(fold.rows.data);
    return r < 0 ? r : 0;
}
