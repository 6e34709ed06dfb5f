/* Host functions by number, and how often each function has called each of them. How a worker
 * numbers them in its ring is platform/record.c's. */
#include "control/hostcalls.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/str.h"
#include "control/part.h"
#include "control/shape.h"

#define OTHER "other"
#define UNKNOWN UINT16_MAX /* in `known`: there is no number for it */
_Static_assert(CTL_HOSTCALLS_NAMES < UNKNOWN, "numbers fit");

/* A host function at one cost; where tables of costs differ, one name is there several times. */
struct name {
    uint32_t cost;                     /* with `text` the key in by_name */
    char text[PLAT_HOST_NAME_MAX + 1]; /* right behind it */
    uint16_t first;                    /* the first one of this text */
};

struct calls {
    uint16_t number;
    uint64_t count;
};

struct function {
    SV_VEC(struct calls) calls;
    size_t tenant_len;
    char key[]; /* tenant, 0, function, 0 */
};

struct ctl_hostcalls {
    pthread_mutex_t lock;
    int64_t since_ms;
    struct sv_map by_name, by_function;
    SV_VEC(own struct function *) functions; /* [0]: all others */
    struct function *recent;                 /* that the last record was of */
    unsigned nnames;
    struct name names[CTL_HOSTCALLS_NAMES]; /* [0]: all others */
};

/* ---- Numbers ---- */

/* Holds the lock. 0: there is no room. */
static unsigned find_name(struct ctl_hostcalls *h, const char *text, uint32_t cost)
{
    struct name key = {.cost = cost}, *name;
    struct sv_str bytes = {(const char *)&key, offsetof(struct name, text) + strlen(text)};
    unsigned first = 0;

    memcpy(key.text, text, strlen(text) + 1);
    name = sv_map_find(&h->by_name, bytes);
    if (name)
        return (unsigned)(name - h->names);
    if (h->nnames == CTL_HOSTCALLS_NAMES)
        return 0;
    while (first < h->nnames && strcmp(h->names[first].text, text) != 0)
        first++;
    name = &h->names[h->nnames];
    *name = key;
    name->first = (uint16_t)first;
    bytes.ptr = (const char *)name;
    return sv_map_put(&h->by_name, bytes, name) ? h->nnames++ : 0;
}

static void clean(char *text)
{
    for (; *text; text++) {
        if (!plat_record_in_name(*text))
            *text = '?';
    }
}

static unsigned number_of(struct ctl_hostcalls *h, const struct plat_ring *ring, unsigned theirs,
                          uint16_t *known)
{
    char text[PLAT_HOST_NAME_MAX + 1];
    uint32_t cost;
    unsigned ours;

    if (theirs == 0 || theirs >= PLAT_RING_HOSTS)
        return 0;
    if (known[theirs] == 0) {
        if (!plat_ring_host_read(ring, theirs, text, &cost))
            return 0;
        clean(text);
        pthread_mutex_lock(&h->lock);
        ours = find_name(h, text, cost);
        pthread_mutex_unlock(&h->lock);
        known[theirs] = ours ? (uint16_t)ours : UNKNOWN;
    }
    return known[theirs] == UNKNOWN ? 0 : known[theirs];
}

void ctl_hostcalls_translate(struct ctl_server *server, const struct plat_ring *ring,
                             uint16_t *known, struct plat_record *r)
{
    for (unsigned i = 0; i < PLAT_RECORD_HOSTS && r->hosts[i]; i++) {
        unsigned theirs = (unsigned)(r->hosts[i] >> PLAT_HOST_SHIFT);
        uint64_t ours = number_of(server->hostcalls, ring, theirs, known);

        r->hosts[i] = ours << PLAT_HOST_SHIFT | (r->hosts[i] & PLAT_HOST_CALLS_MAX);
    }
}

/* ---- Counting ---- */

static own struct function *function_new(const char *tenant, const char *function)
{
    size_t tenant_len = strlen(tenant), len = strlen(function);
    struct function *f = sv_alloc_zero(sizeof *f + tenant_len + len + 2);

    if (!f)
        return NULL;
    f->tenant_len = tenant_len;
    memcpy(f->key, tenant, tenant_len);
    memcpy(f->key + tenant_len + 1, function, len);
    return f;
}

static struct sv_str key_of(const struct function *f)
{
    return (struct sv_str){f->key, f->tenant_len + 1 + strlen(f->key + f->tenant_len + 1)};
}

/* Where there is room; NULL: there is none (yet). Holds the lock. */
static struct function *find_function(struct ctl_hostcalls *h, const char *tenant,
                                      const char *function)
{
    char key[2 * sizeof(((struct plat_record *)0)->tenant)];
    size_t tenant_len = strlen(tenant), len = strlen(function);

    if (tenant_len + 1 + len > sizeof key)
        return NULL;
    memcpy(key, tenant, tenant_len + 1);
    memcpy(key + tenant_len + 1, function, len);
    return sv_map_find(&h->by_function, (struct sv_str){key, tenant_len + 1 + len});
}

/* The others' for those that find no room. Holds the lock. */
static struct function *function_of(struct ctl_hostcalls *h, const struct plat_record *r)
{
    struct function *f = h->recent;

    if (f && strcmp(f->key, r->tenant) == 0 && strcmp(f->key + f->tenant_len + 1, r->function) == 0)
        return f;
    f = find_function(h, r->tenant, r->function);
    if (f)
        return h->recent = f;
    f = function_new(r->tenant, r->function);
    if (f && SV_VEC_PUSH(&h->functions, CTL_HOSTCALLS_FUNCTIONS + 1, f)) {
        if (sv_map_put(&h->by_function, key_of(f), f))
            return h->recent = f;
        h->functions.len--;
    }
    sv_free(f);
    return h->functions.data[0];
}

static void add(struct function *f, unsigned number, uint64_t count)
{
    size_t i = 0;

    while (i < f->calls.len && f->calls.data[i].number != number)
        i++;
    if (i == f->calls.len &&
        !SV_VEC_PUSH(&f->calls, CTL_HOSTCALLS_NAMES, (struct calls){(uint16_t)number, 0}))
        return; /* out of memory */
    if (count > PLAT_RECORD_NUMBER_MAX - f->calls.data[i].count)
        count = PLAT_RECORD_NUMBER_MAX - f->calls.data[i].count;
    f->calls.data[i].count += count;
}

void ctl_hostcalls_count(struct ctl_server *server, const struct plat_record *r)
{
    struct ctl_hostcalls *h = server->hostcalls;
    struct function *f;

    if (!r->hosts[0])
        return;
    pthread_mutex_lock(&h->lock);
    f = function_of(h, r);
    for (unsigned i = 0; i < PLAT_RECORD_HOSTS && r->hosts[i]; i++)
        add(f, (unsigned)(r->hosts[i] >> PLAT_HOST_SHIFT), r->hosts[i] & PLAT_HOST_CALLS_MAX);
    pthread_mutex_unlock(&h->lock);
}

/* ---- Telling ---- */

/* By name, whatever it cost. */
struct sum {
    uint16_t first;
    uint64_t calls, gas;
};

/* Holds the lock. */
static void add_sums(const struct ctl_hostcalls *h, const struct function *f, struct sum *sums)
{
    for (size_t i = 0; i < f->calls.len; i++) {
        const struct name *name = &h->names[f->calls.data[i].number];
        struct sum *sum = &sums[name->first];

        sum->first = name->first;
        sum->calls += f->calls.data[i].count;
        sum->gas += f->calls.data[i].count * name->cost;
    }
}

static int compare(const void *a, const void *b)
{
    const struct sum *x = a, *y = b;

    if (x->calls != y->calls)
        return x->calls < y->calls ? 1 : -1;
    return x->first - y->first;
}

int ctl_hostcalls_get(struct ctl_server *server, struct sv_err *err, const char *tenant,
                      const char *function, own json_t **ret)
{
    struct ctl_hostcalls *h = server->hostcalls;
    struct sum *sums = sv_alloc_array_zero(CTL_HOSTCALLS_NAMES, sizeof *sums);
    json_t *list = json_array();
    const struct function *f;
    uint64_t calls = 0;

    if (!sums || !list) {
        sv_free(sums);
        json_decref(list);
        return sv_fail_nomem(err, "the calls of the host");
    }
    pthread_mutex_lock(&h->lock);
    f = find_function(h, tenant, function);
    if (f)
        add_sums(h, f, sums);
    pthread_mutex_unlock(&h->lock);
    qsort(sums, CTL_HOSTCALLS_NAMES, sizeof *sums, compare);
    for (size_t i = 0; i < CTL_HOSTCALLS_NAMES && sums[i].calls; i++) {
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I}", "name", h->names[sums[i].first].text, "calls",
                            (json_int_t)sums[i].calls, "gas", (json_int_t)sums[i].gas));
        calls += sums[i].calls;
    }
    sv_free(sums);
    *ret = json_pack("{s:s, s:o, s:I, s:o}", "node", server->node, "since",
                     ctl_json_time(h->since_ms), "calls", (json_int_t)calls, "functions", list);
    return *ret ? 0 : sv_fail_nomem(err, "the calls of the host");
}

void ctl_hostcalls_write(struct ctl_server *server, const char *tenant, struct sv_buf *ret)
{
    struct ctl_hostcalls *h = server->hostcalls;
    struct sum *sums = sv_alloc_array_zero(CTL_HOSTCALLS_NAMES, sizeof *sums);

    if (!sums) {
        ret->failed = true;
        return;
    }
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->functions.len; i++) {
        if (!tenant || strcmp(h->functions.data[i]->key, tenant) == 0)
            add_sums(h, h->functions.data[i], sums);
    }
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < CTL_HOSTCALLS_NAMES; i++) {
        if (sums[i].calls)
            sv_buf_printf(ret, "ssvm_host_function_calls_total{name=\"%s\"} %" PRIu64 "\n",
                          h->names[i].text, sums[i].calls);
    }
    sv_free(sums);
}

/* ---- The part ---- */

int ctl_hostcalls_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_hostcalls *h = sv_alloc_zero(sizeof *h);
    struct function *others = function_new("", OTHER);

    if (!h || !others || !SV_VEC_PUSH(&h->functions, 1, others)) {
        sv_free(h);
        sv_free(others);
        return sv_fail_nomem(err, "the calls of the host");
    }
    pthread_mutex_init(&h->lock, NULL);
    sv_map_init(&h->by_name);
    sv_map_init(&h->by_function);
    h->since_ms = sv_clock_wall_ms();
    h->names[0] = (struct name){.text = OTHER};
    h->nnames = 1;
    server->hostcalls = h;
    return 0;
}

void ctl_hostcalls_stop(struct ctl_server *server)
{
    (void)server; /* threads of the pool may still come by */
}
