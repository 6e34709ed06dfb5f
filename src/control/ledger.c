/* The ledger's making: the rings are read, records become rows, rows are added to the database in
 * the transaction that moves the rings' positions. What is made of it for people is
 * ledger_export.c's. */
#include "control/ledger.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/hostcalls.h"
#include "control/ledger_row.h"
#include "control/live.h"
#include "control/log.h"
#include "control/metrics.h"
#include "control/part.h"
#include "control/workers.h"

#define BATCH_RECORDS 4096 /* of all rings, in one transaction */
#define ROUNDS_MAX 64      /* transactions of one call */
#define ROWS_MAX 8192      /* a power of two, above BATCH_RECORDS */
#define RINGS_MAX 4096
#define KEPT_DAYS 30 /* the position of a ring that nobody writes into */
#define FORGET_MS 3600000
#define FOLDED_HOURS 48 /* of the ledger, each time */

struct ring {
    struct plat_ring *ring;
    uint64_t id, position, next; /* next: behind what the batch has of it */
    bool placed;                 /* `position` is the database's */
    own uint16_t *known;         /* its host functions (hostcalls.h) */
};

struct ctl_ledger {
    pthread_mutex_t lock; /* of all */
    SV_VEC(struct ring) rings;
    own struct plat_record *records; /* the batch */
    size_t nrecords, first_ring;     /* first_ring: whose turn it is to be read first */
    own struct ctl_ledger_row *rows;
    uint32_t nrows, last; /* last: of the record before */
    own uint32_t *places; /* hash table of rows: index + 1 */
    bool failing;         /* told in the log already */
    bool stopped;
};

/* ---- Rows ---- */

static uint64_t hash_text(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3U;
    return h;
}

static bool same_row(const struct ctl_ledger_row *row, const struct plat_record *r, uint64_t minute)
{
    return row->minute == minute && row->of->function_id == r->function_id &&
           strcmp(row->of->function, r->function) == 0 && strcmp(row->of->tenant, r->tenant) == 0 &&
           strcmp(row->of->digest, r->digest) == 0;
}

/* There are fewer records in a batch than places. */
static struct ctl_ledger_row *find_row(struct ctl_ledger *l, const struct plat_record *r)
{
    uint64_t minute = r->time_ns / 1000000000 / 60, h;
    uint32_t at;

    if (l->nrows > 0 && same_row(&l->rows[l->last], r, minute))
        return &l->rows[l->last];
    h = hash_text(hash_text(hash_text(minute ^ r->function_id << 32, r->function), r->tenant),
                  r->digest);
    at = (uint32_t)(h ^ h >> 32) & (ROWS_MAX - 1);
    while (l->places[at] && !same_row(&l->rows[l->places[at] - 1], r, minute))
        at = (at + 1) & (ROWS_MAX - 1);
    if (l->places[at] == 0) {
        l->rows[l->nrows] = (struct ctl_ledger_row){.of = r, .minute = minute};
        l->places[at] = ++l->nrows;
    }
    l->last = l->places[at] - 1;
    return &l->rows[l->last];
}

/* Sums end where the database's do (ledger_row.c). */
static void add(uint64_t *sum, uint64_t n)
{
    *sum = n < PLAT_RECORD_NUMBER_MAX - *sum ? *sum + n : PLAT_RECORD_NUMBER_MAX;
}

static void add_record(struct ctl_ledger *l, const struct plat_record *r)
{
    struct ctl_ledger_row *row = find_row(l, r);
    unsigned __int128 byte_ms = (unsigned __int128)r->memory_peak * r->run_ns / 1000000;

    add(&row->bytes_in, r->bytes_in);
    add(&row->bytes_out, r->bytes_out);
    if (r->run_ns == 0) { /* it was refused before the function could run */
        row->rejected++;
        return;
    }
    row->calls++;
    row->errors += r->status >= 500;
    add(&row->gas, r->gas);
    add(&row->cpu_ns, r->cpu_ns);
    add(&row->wall_ns, r->run_ns);
    add(&row->byte_ms,
        byte_ms < PLAT_RECORD_NUMBER_MAX ? (uint64_t)byte_ms : PLAT_RECORD_NUMBER_MAX);
}

/* ---- The batch ---- */

static int compare_rows(const void *a, const void *b)
{
    const struct ctl_ledger_row *x = a, *y = b;
    int r = strcmp(x->of->tenant, y->of->tenant);

    if (r == 0)
        r = strcmp(x->of->function, y->of->function);
    if (r == 0)
        r = strcmp(x->of->digest, y->of->digest);
    if (r == 0)
        r = (x->of->function_id > y->of->function_id) - (x->of->function_id < y->of->function_id);
    return r ? r : (x->minute > y->minute) - (x->minute < y->minute);
}

/* What the worker of one tenant writes of others is nothing: it may be its guest that writes. */
static size_t read_ring(struct ctl_server *server, struct ring *ring, struct plat_record *to,
                        size_t most)
{
    size_t n = plat_ring_read(ring->ring, &ring->next, to, most), kept = 0;
    char tenant[CTL_TENANT_SIZE];

    if (n == 0)
        return 0;
    ctl_workers_ring_tenant(server, ring->ring, tenant);
    for (size_t i = 0; i < n; i++) {
        if (!tenant[0] || strcmp(to[i].tenant, tenant) == 0)
            to[kept++] = to[i];
    }
    for (size_t i = 0; i < kept; i++)
        ctl_hostcalls_translate(server, ring->ring, ring->known, &to[i]);
    return kept;
}

/* Of the rings in turn, so that none waits for another that is always full. */
static void take_batch(struct ctl_server *server)
{
    struct ctl_ledger *l = server->ledger;

    l->nrecords = 0;
    l->nrows = 0;
    memset(l->places, 0, ROWS_MAX * sizeof *l->places);
    for (size_t i = 0; i < l->rings.len; i++) {
        struct ring *ring = &l->rings.data[(l->first_ring + i) % l->rings.len];

        ring->next = ring->position;
        if (ring->placed && l->nrecords < BATCH_RECORDS)
            l->nrecords +=
                read_ring(server, ring, l->records + l->nrecords, BATCH_RECORDS - l->nrecords);
    }
    l->first_ring++;
    for (size_t i = 0; i < l->nrecords; i++)
        add_record(l, &l->records[i]);
    /* All nodes add to the same rows: in one order, so that no two wait for each other. */
    qsort(l->rows, l->nrows, sizeof *l->rows, compare_rows);
}

/* Only from where it was: should another control process still be at work, one of the two counts
 * these records, and the other's transaction comes to nothing. */
static int move_position(struct ctl_sql *sql, struct sv_err *err, const struct ring *ring)
{
    int r = ctl_sql_run(
        sql, err,
        "update ring_positions set position = $1, seen_ms = $2 where ring = $3 and position = $4",
        CTL_PARAMS(CTL_INT(ring->next), CTL_INT(sv_clock_wall_ms()), CTL_INT(ring->id),
                   CTL_INT(ring->position)));

    if (r == 0 && ctl_sql_changes(sql) != 1)
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "somebody else has counted these records");
    return r;
}

static int write_batch(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct ctl_ledger *l = data;
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->rings.len; i++) {
        if (l->rings.data[i].next != l->rings.data[i].position)
            r = move_position(sql, err, &l->rings.data[i]);
    }
    for (uint32_t i = 0; r == 0 && i < l->nrows; i++)
        r = ctl_ledger_row_add(sql, err, &l->rows[i]);
    return r;
}

/* ---- Rings ---- */

/* Rings stay as long as the process lives. */
static void add_ring(void *data, struct plat_ring *ring)
{
    struct ctl_ledger *l = data;
    uint64_t id = plat_ring_id(ring);
    uint16_t *known;

    for (size_t i = 0; i < l->rings.len; i++) {
        /* Who writes into a ring can write its id: two that are the same (no two are, by chance)
         * would have one position, and no batch would ever be counted. */
        if (l->rings.data[i].ring == ring || l->rings.data[i].id == id)
            return;
    }
    /* Without memory it is not read yet: its worker waits. */
    known = sv_alloc_array_zero(PLAT_RING_HOSTS, sizeof *known);
    if (!known ||
        !SV_VEC_PUSH(&l->rings, RINGS_MAX, (struct ring){.ring = ring, .id = id, .known = known}))
        sv_free(known);
}

static int read_position(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct ring *ring = data;
    int r = ctl_sql_run(sql, err,
                        "insert into ring_positions (ring, position, seen_ms) values ($1, 0, $2)"
                        " on conflict (ring) do nothing",
                        CTL_PARAMS(CTL_INT(ring->id), CTL_INT(sv_clock_wall_ms())));

    if (r == 0)
        r = ctl_sql_run(sql, err, "select position from ring_positions where ring = $1",
                        CTL_PARAMS(CTL_INT(ring->id)));
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r == 0)
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "a ring has no position");
    if (r < 0)
        return r;
    ring->position = (uint64_t)ctl_sql_int(sql, 0);
    return 0;
}

/* Learn where we were: after a start, and after a transaction that failed. */
static int place_rings(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_ledger *l = server->ledger;
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->rings.len; i++) {
        struct ring *ring = &l->rings.data[i];

        if (ring->placed)
            continue;
        r = ctl_db_write(server->db, err, read_position, ring);
        ring->placed = r == 0;
        if (r == 0)
            plat_ring_free(ring->ring, ring->position);
    }
    return r;
}

/* Of servers that are long gone. Where one comes back after all, the ring itself knows what is
 * counted (plat_ring_free). */
static int forget_positions(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const int64_t *before_ms = data;

    return ctl_sql_run(sql, err, "delete from ring_positions where seen_ms < $1",
                       CTL_PARAMS(CTL_INT(*before_ms)));
}

static void forget_old(struct ctl_server *server, void *data)
{
    uint64_t now_ms = sv_clock_wall_ns() / 1000000;
    int64_t before_ms = (int64_t)now_ms - KEPT_DAYS * 86400000LL;
    struct ctl_ledger *l = server->ledger;
    bool stopped;

    (void)data;
    pthread_mutex_lock(&l->lock);
    stopped = l->stopped;
    if (!stopped)
        ctl_db_write(server->db, NULL, forget_positions, &before_ms);
    for (unsigned i = 0; !stopped && i < FOLDED_HOURS; i++) {
        ctl_ledger_fold(server, NULL, now_ms / 60000 - CTL_LEDGER_MINUTES_DAYS * 1440, 1);
        pthread_mutex_unlock(&l->lock); /* records need not wait for all of it */
        pthread_mutex_lock(&l->lock);
        stopped = l->stopped;
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- Draining ---- */

/* One transaction. 0: there was nothing; 1: there may be more. Holds the lock. */
static int drain_batch(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_ledger *l = server->ledger;
    bool moved = false;
    int r;

    ctl_workers_rings(server, add_ring, l);
    r = place_rings(server, err);
    if (r < 0)
        return r;
    take_batch(server);
    for (size_t i = 0; i < l->rings.len; i++)
        moved |= l->rings.data[i].next != l->rings.data[i].position;
    if (!moved)
        return 0;
    r = ctl_db_write_in_turn(server->db, err, "ledger", write_batch, l);
    if (r < 0) { /* whether it is done is not always known: look again */
        for (size_t i = 0; i < l->rings.len; i++)
            l->rings.data[i].placed = false;
        return r;
    }
    for (size_t i = 0; i < l->rings.len; i++) {
        struct ring *ring = &l->rings.data[i];

        ring->position = ring->next;
        plat_ring_free(ring->ring, ring->position);
    }
    for (size_t i = 0; i < l->nrecords; i++) {
        ctl_metrics_count(server, &l->records[i]);
        ctl_hostcalls_count(server, &l->records[i]);
        ctl_live_count(server, &l->records[i]);
        ctl_log_record(server, &l->records[i]);
    }
    return l->nrecords == BATCH_RECORDS;
}

int ctl_ledger_drain(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_ledger *l = server->ledger;
    int r;

    pthread_mutex_lock(&l->lock);
    r = !l->stopped;
    for (unsigned i = 0; i < ROUNDS_MAX && r > 0; i++)
        r = drain_batch(server, err);
    if (r < 0 && !l->failing)
        ctl_log_event(server, CTL_LOG_ERROR, "ledger_fails", NULL, NULL, NULL, err->text);
    else if (r >= 0 && l->failing)
        ctl_log_event(server, CTL_LOG_INFO, "ledger_works", NULL, NULL, NULL,
                      "records are counted again");
    l->failing = r < 0;
    pthread_mutex_unlock(&l->lock);
    return r < 0 ? r : 0;
}

static void drain_now_and_then(struct ctl_server *server, void *data)
{
    struct sv_err err = {0};

    (void)data;
    ctl_ledger_drain(server, &err);
}

/* ---- The part ---- */

int ctl_ledger_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_ledger *l = sv_alloc_zero(sizeof *l);
    int r;

    if (!l)
        return sv_fail_nomem(err, "the ledger");
    pthread_mutex_init(&l->lock, NULL);
    server->ledger = l;
    l->records = sv_alloc_array(BATCH_RECORDS, sizeof *l->records);
    l->rows = sv_alloc_array(BATCH_RECORDS, sizeof *l->rows);
    l->places = sv_alloc_array_zero(ROWS_MAX, sizeof *l->places);
    if (!l->records || !l->rows || !l->places)
        return sv_fail_nomem(err, "the ledger");
    r = ctl_pool_every(server, CTL_LEDGER_DRAIN_MS, drain_now_and_then, NULL);
    return r < 0 ? r : ctl_pool_every(server, FORGET_MS, forget_old, NULL);
}

/* Threads of the pool may still come by. */
void ctl_ledger_stop(struct ctl_server *server)
{
    drain_now_and_then(server, NULL);
    pthread_mutex_lock(&server->ledger->lock);
    server->ledger->stopped = true;
    pthread_mutex_unlock(&server->ledger->lock);
}
