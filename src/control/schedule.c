/* Time tables: parsing, and when the next run is. Knows no clock and no database. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "control/cron.h"

#define MS_PER_DAY 86400000
#define MS_PER_MINUTE 60000
#define DAYS_SEARCHED (366 * 9) /* 29 February may be eight years away */
#define WORDS_MAX 5
#define EVERY_DAY 0xfffffffeU
#define EVERY_WEEKDAY 0x7fU

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct field {
    const char *name;
    unsigned low, high;
    const char *const *names; /* of low, low + 1, ... */
    unsigned nnames;
} fields[WORDS_MAX] = {
    {"minute", 0, 59, NULL, 0},
    {"hour", 0, 23, NULL, 0},
    {"day of the month", 1, 31, NULL, 0},
    {"month", 1, 12, month_names, SV_COUNT(month_names)},
    {"day of the week", 0, 7, day_names, SV_COUNT(day_names)},
};

/* ---- Parsing ---- */

static int fail(struct sv_err *err, const struct field *f, const char *text)
{
    return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                   "the %s '%.40s' is no number from %u to %u, *, "
                   "a range, a list of those, or one of them with /STEP",
                   f->name, text, f->low, f->high);
}

/* A number or a name at *p. False: none. */
static bool read_number(const struct field *f, const char **p, unsigned *ret)
{
    char *end;

    for (unsigned i = 0; i < f->nnames; i++) {
        if (strncasecmp(*p, f->names[i], 3) == 0) {
            *p += 3;
            *ret = f->low + i;
            return true;
        }
    }
    if (**p < '0' || **p > '9')
        return false;
    *ret = (unsigned)strtoul(*p, &end, 10);
    if (end - *p > 4)
        return false;
    *p = end;
    return *ret >= f->low && *ret <= f->high;
}

/* One part of a list: `*`, `a`, `a-b`, each with `/step`. False: it is none. */
static bool read_part(const struct field *f, const char **p, uint64_t *bits)
{
    unsigned from = f->low, to = f->high, step = 1;
    bool stepped = false, single = false;

    if (**p == '*') {
        ++*p;
        to = f->high == 7 ? 6 : f->high;
    } else {
        if (!read_number(f, p, &from))
            return false;
        single = **p != '-';
        to = from;
        if (!single) {
            ++*p;
            if (!read_number(f, p, &to) || to < from)
                return false;
        }
    }
    if (**p == '/') {
        char *end;

        ++*p;
        if (**p < '1' || **p > '9')
            return false;
        step = (unsigned)strtoul(*p, &end, 10);
        if (end - *p > 3)
            return false;
        *p = end;
        stepped = true;
    }
    if (single && stepped) /* from there on */
        to = f->high == 7 ? 6 : f->high;
    for (unsigned i = from; i <= to; i += step)
        *bits |= 1ULL << (f->high == 7 ? i % 7 : i);
    return true;
}

static int read_field(struct sv_err *err, const struct field *f, const char *text, uint64_t *ret)
{
    const char *p = text;

    *ret = 0;
    do {
        if (p != text)
            p++;
        if (!read_part(f, &p, ret))
            return fail(err, f, text);
    } while (*p == ',');
    return *p ? fail(err, f, text) : 0;
}

static int read_every(struct sv_err *err, const char *text, struct ctl_cron *ret)
{
    static const struct {
        char letter;
        uint64_t ms;
    } units[] = {{'s', 1000}, {'m', MS_PER_MINUTE}, {'h', 3600000}, {'d', MS_PER_DAY}};
    char *end;
    unsigned long n = *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;

    for (size_t i = 0; n > 0 && n <= 1000000 && i < SV_COUNT(units); i++) {
        if (end[0] == units[i].letter && end[1] == '\0') {
            ret->every_ms = n * units[i].ms;
            return 0;
        }
    }
    return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                   "'every %.40s' is not a period such as 10s, 5m, 2h or 1d", text);
}

int ctl_cron_parse(struct sv_err *err, const char *text, struct ctl_cron *ret)
{
    static const struct {
        const char *word, *means;
    } words[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    char copy[CTL_CRON_TEXT_MAX + 1], *save = NULL, *part[WORDS_MAX + 1];
    uint64_t bits[WORDS_MAX];
    struct ctl_cron c = {0};
    unsigned n = 0;
    int r = 0;

    if (strlen(text) > CTL_CRON_TEXT_MAX)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a time table of more than %d bytes",
                       CTL_CRON_TEXT_MAX);
    for (size_t i = 0; i < SV_COUNT(words); i++)
        if (strcmp(text, words[i].word) == 0)
            text = words[i].means;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *p = strtok_r(copy, " \t", &save); p && n <= WORDS_MAX;
         p = strtok_r(NULL, " \t", &save))
        part[n++] = p;
    if (n == 2 && strcmp(part[0], "every") == 0) {
        r = read_every(err, part[1], &c);
    } else if (n != WORDS_MAX) {
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                    "'%.60s' has not five fields (minute hour day month weekday) and is neither "
                    "@hourly and the like nor `every 10s`",
                    text);
    } else {
        for (unsigned i = 0; i < WORDS_MAX && r == 0; i++)
            r = read_field(err, &fields[i], part[i], &bits[i]);
        if (r == 0)
            c = (struct ctl_cron){.minutes = bits[0],
                                  .hours = (uint32_t)bits[1],
                                  .days = (uint32_t)bits[2],
                                  .months = (uint32_t)bits[3],
                                  .weekdays = (uint32_t)bits[4],
                                  .any_day = bits[2] == EVERY_DAY,
                                  .any_weekday = bits[4] == EVERY_WEEKDAY};
    }
    if (r == 0)
        *ret = c;
    return r;
}

/* ---- The next run ---- */

/* Month and day of the month of a day since 1970 (the calendar's era begins on 1 March 0000). */
static void civil(int64_t day, unsigned *ret_month, unsigned *ret_day)
{
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *ret_day = doy - (153 * mp + 2) / 5 + 1;
    *ret_month = mp < 10 ? mp + 3 : mp - 9;
}

static bool day_matches(const struct ctl_cron *c, int64_t day)
{
    unsigned month, number, weekday = (unsigned)(((day + 4) % 7 + 7) % 7);
    bool by_number, by_weekday;

    civil(day, &month, &number);
    if (!(c->months >> month & 1))
        return false;
    by_number = c->days >> number & 1;
    by_weekday = c->weekdays >> weekday & 1;
    return c->any_day || c->any_weekday ? by_number && by_weekday : by_number || by_weekday;
}

/* The first minute of the day from `from` on that matches; -1: none. */
static int minute_of_day(const struct ctl_cron *c, int from)
{
    for (int m = from; m < 24 * 60; m++) {
        if (!(c->hours >> (m / 60) & 1))
            m += 59 - m % 60;
        else if (c->minutes >> (m % 60) & 1)
            return m;
    }
    return -1;
}

int64_t ctl_cron_next(const struct ctl_cron *c, int64_t after_ms)
{
    int64_t minute, day;
    int from;

    if (after_ms < 0)
        after_ms = 0;
    if (c->every_ms)
        return (after_ms / (int64_t)c->every_ms + 1) * (int64_t)c->every_ms;
    minute = after_ms / MS_PER_MINUTE + 1;
    day = minute / (24 * 60);
    from = (int)(minute % (24 * 60));
    for (int i = 0; i < DAYS_SEARCHED; i++, day++, from = 0) {
        int m = day_matches(c, day) ? minute_of_day(c, from) : -1;

        if (m >= 0)
            return day * MS_PER_DAY + (int64_t)m * MS_PER_MINUTE;
    }
    return -1;
}
