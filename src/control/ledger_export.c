/* What the ledger says, as JSON and CSV. Sums are exact at any size: each is made of two sums in
 * the database, of the millions and of what is below. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "control/ledger.h"

#define ROWS_DEFAULT 100000
#define TEXT_MAX (256U << 20) /* bytes of an answer */
#define SPLIT 1000000         /* SPLIT_SUM says the same */

/* What is summed: the column of the table, its name in the answer, decimals there. */
static const struct {
    const char *column, *name;
    unsigned decimals;
} sums[] = {
    {"calls", "calls", 0},          {"errors", "errors", 0},
    {"rejected", "rejected", 0},    {"gas", "gas", 0},
    {"cpu_ns", "cpu_ns", 0},        {"wall_ns", "wall_ns", 0},
    {"byte_ms", "byte_seconds", 3}, {"bytes_in", "bytes_in", 0},
    {"bytes_out", "bytes_out", 0},
};

static const struct {
    const char *name;
    int64_t minutes;
} steps[CTL_LEDGER_STEP_COUNT] = {
    [CTL_LEDGER_MINUTE] = {"minute", 1},
    [CTL_LEDGER_HOUR] = {"hour", 60},
    [CTL_LEDGER_DAY] = {"day", 1440},
    [CTL_LEDGER_ALL] = {"all", 0},
};

bool ctl_ledger_step_read(const char *name, enum ctl_ledger_step *ret)
{
    for (unsigned i = 0; i < CTL_LEDGER_STEP_COUNT; i++) {
        if (strcmp(steps[i].name, name) == 0) {
            *ret = (enum ctl_ledger_step)i;
            return true;
        }
    }
    return false;
}

bool ctl_ledger_time_read(const char *text, int64_t *ret_s)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    char *end;
    int hours, minutes, n = 0;
    char sign;

    if (!rest) {
        *ret_s = strtoll(text, &end, 10);
        return end > text && *end == '\0' && *ret_s >= 0 && *ret_s < INT64_MAX / 1000;
    }
    if (*rest == '\0') {
        *ret_s = timegm(&tm);
        return true;
    }
    if (*rest != 'T' && *rest != 't' && *rest != ' ')
        return false;
    rest = strptime(rest + 1, "%H:%M:%S", &tm);
    if (!rest)
        return false;
    if (*rest == '.') /* whole minutes are asked for: nothing is lost */
        rest += 1 + strspn(rest + 1, "0123456789");
    *ret_s = timegm(&tm);
    if ((*rest == 'Z' || *rest == 'z') && rest[1] == '\0')
        return true;
    if (sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &n) != 3 || rest[n] != '\0' ||
        (sign != '+' && sign != '-') || hours > 23 || minutes > 59)
        return false;
    *ret_s += (sign == '+' ? -60 : 60) * (hours * 60 + minutes);
    return true;
}

/* ---- Writing ---- */

struct export {
    const struct ctl_usage *usage;
    struct sv_buf *out;
    size_t begin; /* of `out`, for a transaction that runs again */
};

static void put_time(struct sv_buf *b, int64_t s)
{
    struct tm tm = {0};
    time_t t = (time_t)s;

    if (!gmtime_r(&t, &tm)) /* rows may be from a backup that anybody has written */
        tm = (struct tm){0};
    sv_buf_printf(b, "%04ld-%02d-%02dT%02d:%02d:%02dZ", (long)tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* high * SPLIT + low, which may not fit 64 bits, with a decimal point. */
static void put_sum(struct sv_buf *b, int64_t high, int64_t low, unsigned decimals)
{
    unsigned __int128 n = (unsigned __int128)(uint64_t)high * SPLIT + (uint64_t)low;
    char digits[48], *p = digits + sizeof digits;

    for (unsigned i = 0; n > 0 || i <= decimals; i++) {
        if (decimals > 0 && i == decimals)
            *--p = '.';
        *--p = (char)('0' + (unsigned)(n % 10));
        n /= 10;
    }
    sv_buf_append(b, p, (size_t)(digits + sizeof digits - p));
}

static void put_text(struct sv_buf *b, struct sv_str s, bool csv)
{
    if (!csv) {
        sv_buf_json_string(b, s.ptr ? s.ptr : "", s.len);
        return;
    }
    sv_buf_putc(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            sv_buf_putc(b, '"');
        sv_buf_putc(b, s.ptr[i]);
    }
    sv_buf_putc(b, '"');
}

static void put_name(struct export *e, const char *name, bool first)
{
    if (!first)
        sv_buf_putc(e->out, ',');
    if (!e->usage->csv)
        sv_buf_printf(e->out, "\"%s\":", name);
}

static void put_row(struct export *e, struct ctl_sql *sql)
{
    bool csv = e->usage->csv;
    unsigned column = 2;
    struct sv_buf *b = e->out;

    put_name(e, "time", true);
    sv_buf_putc(b, '"');
    put_time(b, ctl_sql_int(sql, 0) * 60);
    sv_buf_putc(b, '"');
    put_name(e, "tenant", false);
    put_text(b, ctl_sql_str(sql, 1), csv);
    if (e->usage->by_function) {
        put_name(e, "function", false);
        put_text(b, ctl_sql_str(sql, column++), csv);
        put_name(e, "digest", false);
        put_text(b, ctl_sql_str(sql, column++), csv);
    }
    for (size_t i = 0; i < SV_COUNT(sums); i++, column += 2) {
        put_name(e, sums[i].name, false);
        put_sum(b, ctl_sql_int(sql, column), ctl_sql_int(sql, column + 1), sums[i].decimals);
    }
}

static void put_head(struct export *e)
{
    if (!e->usage->csv) {
        sv_buf_puts(e->out, "{\"usage\":[");
        return;
    }
    sv_buf_puts(e->out, e->usage->by_function ? "time,tenant,function,digest" : "time,tenant");
    for (size_t i = 0; i < SV_COUNT(sums); i++)
        sv_buf_printf(e->out, ",%s", sums[i].name);
    sv_buf_puts(e->out, "\r\n");
}

static void put_select(struct sv_buf *text, const struct ctl_usage *u)
{
    int64_t minutes = steps[u->step].minutes;

    sv_buf_puts(text, "select ");
    if (minutes > 0)
        sv_buf_printf(text, "minute - minute %% %" PRId64, minutes);
    else
        sv_buf_puts(text, "min(minute)");
    sv_buf_puts(text, u->by_function ? ", tenant, function, digest" : ", tenant");
    for (size_t i = 0; i < SV_COUNT(sums); i++) {
        sv_buf_printf(text, ", cast(sum(%s / %d) as bigint)", sums[i].column, SPLIT);
        sv_buf_printf(text, ", cast(sum(%s %% %d) as bigint)", sums[i].column, SPLIT);
    }
    sv_buf_puts(text, " from ledger where minute >= $1 and minute < $2");
    if (u->tenant)
        sv_buf_puts(text, " and tenant = $3");
    if (u->function)
        sv_buf_puts(text, u->tenant ? " and function = $4" : " and function = $3");
    sv_buf_puts(text, " group by tenant");
    if (u->by_function)
        sv_buf_puts(text, ", function, digest");
    if (minutes > 0)
        sv_buf_puts(text, ", 1");
    sv_buf_puts(text,
                u->by_function ? " order by 1, tenant, function, digest" : " order by 1, tenant");
    sv_buf_printf(text, " limit %u", u->max > 0 && u->max < ROWS_DEFAULT ? u->max : ROWS_DEFAULT);
}

static int write_rows(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct export *e = data;
    const struct ctl_usage *u = e->usage;
    int64_t until = u->until_s > 0 ? u->until_s / 60 : INT64_MAX / 60;
    struct ctl_param params[5] = {CTL_INT(u->from_s / 60), CTL_INT(until)};
    struct sv_buf text;
    bool first = true;
    unsigned n = 2;
    int r;

    e->out->len = e->begin;
    put_head(e);
    if (u->tenant)
        params[n++] = CTL_TEXT(u->tenant);
    if (u->function)
        params[n++] = CTL_TEXT(u->function);
    params[n].type = CTL_P_END;
    sv_buf_init(&text, 8192);
    put_select(&text, u);
    r = text.failed ? sv_fail_nomem(err, "the usage")
                    : ctl_sql_run(sql, err, sv_buf_cstr(&text), params);
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        sv_buf_puts(e->out, u->csv ? "" : first ? "{" : ",{");
        put_row(e, sql);
        sv_buf_puts(e->out, u->csv ? "\r\n" : "}");
        first = false;
        r = 0;
    }
    sv_buf_release(&text);
    if (!u->csv)
        sv_buf_puts(e->out, "]}");
    return r;
}

int ctl_ledger_export(struct ctl_server *server, struct sv_err *err, const struct ctl_usage *usage,
                      struct sv_buf *ret)
{
    struct export e = {.usage = usage, .out = ret, .begin = ret->len};
    struct sv_err ignored = {0};
    int r;

    /* Where it fails, what is counted is told. */
    ctl_ledger_drain(server, &ignored);
    if (ret->max > TEXT_MAX)
        ret->max = TEXT_MAX;
    r = ctl_db_read(server->db, err, write_rows, &e);
    if (r == 0 && ret->failed)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the usage is too long: ask for less");
    return r;
}

struct sums {
    const char *tenant, *function;
    uint64_t calls, gas, wall_ns;
};

#define SPLIT_SUM(column)                                                                          \
    "cast(sum(" column " / 1000000) as bigint), cast(sum(" column " % 1000000) as bigint)"

/* Where a number of 64 bits ends, it stays. */
static uint64_t whole_sum(struct ctl_sql *sql, unsigned column)
{
    __int128 n = (__int128)ctl_sql_int(sql, column) * SPLIT + ctl_sql_int(sql, column + 1);

    return n < 0 ? 0 : n > INT64_MAX ? INT64_MAX : (uint64_t)n;
}

static int read_sums(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct sums *s = data;
    int r = ctl_sql_run(sql, err,
                        "select " SPLIT_SUM("calls") ", " SPLIT_SUM("gas") ", " SPLIT_SUM(
                            "wall_ns") " from ledger where tenant = $1 and function = $2",
                        CTL_PARAMS(CTL_TEXT(s->tenant), CTL_TEXT(s->function)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    s->calls = whole_sum(sql, 0);
    s->gas = whole_sum(sql, 2);
    s->wall_ns = whole_sum(sql, 4);
    return 0;
}

int ctl_ledger_function(struct ctl_server *server, struct sv_err *err, const char *tenant,
                        const char *function, uint64_t *ret_calls, uint64_t *ret_gas,
                        uint64_t *ret_wall_ns)
{
    struct sums s = {.tenant = tenant, .function = function};
    struct sv_err ignored = {0};
    int r;

    ctl_ledger_drain(server, &ignored);
    r = ctl_db_read(server->db, err, read_sums, &s);
    if (r == 0) {
        *ret_calls = s.calls;
        *ret_gas = s.gas;
        *ret_wall_ns = s.wall_ns;
    }
    return r;
}
