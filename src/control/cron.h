/* Calls of functions by the clock. A time table is five fields (minute hour day month weekday), a
 * word (@hourly) or a period (`every 10s`), in UTC. When a run is due, one node puts a job into the
 * queue and the next time into the table, in one transaction: over any number of nodes a run is
 * made once. */
#ifndef CONTROL_CRON_H
#define CONTROL_CRON_H

#include "control/control.h"

#define CTL_CRON_TEXT_MAX 128
#define CTL_CRON_EVERY_MIN_MS 1000
#define CTL_CRON_PER_FUNCTION_MAX 32

/* A parsed time table: bits of the numbers that match. */
struct ctl_cron {
    uint64_t every_ms; /* a period, from 1970; 0: the fields */
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* weekdays: 0 is Sunday */
    bool any_day, any_weekday; /* all of them: else a day that matches one of both will do */
};

/* SV_EUSAGE with a sentence that names the field. */
int ctl_cron_parse(struct sv_err *, const char *text, struct ctl_cron *ret);
/* The first time after `after_ms` (wall clock, ms since 1970); -1: never (30 February). */
int64_t ctl_cron_next(const struct ctl_cron *, int64_t after_ms);

/* What becomes of runs whose time passed while no node was there. */
enum ctl_cron_missed {
    CTL_CRON_MISSED_ONCE, /* one run makes up for all */
    CTL_CRON_MISSED_SKIP, /* none */
    CTL_CRON_MISSED_COUNT
};

struct ctl_cron_entry {
    const char *schedule; /* the text */
    const char *path;     /* behind the function's own, NULL: "" */
    struct sv_str body;   /* {NULL, 0}: none */
    enum ctl_cron_missed missed;
    /* Of an entry that is listed. */
    int64_t id;
    const char *tenant, *function;
    int64_t next_ms, last_ms; /* last_ms 0: none yet */
};

/* Make these the function's entries, in a transaction of the caller's (a deployment, a removal with
 * n = 0). One that stays as it was keeps its times. SV_ENOTFOUND: there is no such function. */
int ctl_cron_set(struct ctl_sql *, struct sv_err *, const char *tenant, const char *function,
                 const struct ctl_cron_entry *, unsigned n);
/* Make the entries those of the manifest of the function's main version, in a transaction that
 * changed which that is. */
int ctl_cron_follow(struct ctl_sql *, struct sv_err *, uint64_t function_id);
/* function NULL: all of the tenant's; tenant NULL: of all. The entry is `each`'s for the call. */
int ctl_cron_list(struct ctl_server *, struct sv_err *, const char *tenant, const char *function,
                  void (*each)(void *data, const struct ctl_cron_entry *), void *data);

#endif
