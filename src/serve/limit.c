/* Limits of functions. */
#include "serve/limit.h"

#include "serve/config.h"
#include "serve/tally.h"

#define NS_PER_S 1000000000U

static uint64_t least(uint64_t asked, uint64_t most)
{
    return asked && (asked < most || most == 0) ? asked : most;
}

/* Of the calls beside the loops, so that no function and no tenant has them all. */
static uint64_t default_concurrency(const struct srv_config *config)
{
    return config->calls - config->calls / 4;
}

void srv_limits_find(const struct srv_config *config, const struct plat_limits *asked,
                     struct plat_limits *ret)
{
    static const struct plat_limits none;

    if (!asked)
        asked = &none;
    *ret = *asked;
    ret->wall_ms = least(asked->wall_ms, config->call_ms);
    ret->memory = least(asked->memory, config->memory);
    ret->gas = least(asked->gas, config->gas);
    ret->body = least(asked->body, config->body);
    ret->output = least(asked->output, config->output);
    ret->log = least(asked->log, config->errors);
    ret->queue = least(asked->queue, config->queue);
    ret->concurrency =
        asked->concurrency ? least(asked->concurrency, config->calls) : default_concurrency(config);
}

static bool take_own(struct srv_quota *q, uint64_t most)
{
    if (atomic_load_explicit(&q->running, memory_order_relaxed) >= most)
        return false;
    atomic_fetch_add_explicit(&q->running, 1, memory_order_relaxed);
    return true;
}

bool srv_quota_take(struct srv_quota *q, bool placed, uint64_t most)
{
    return placed ? srv_place_take(q->tally, q->place, most) : take_own(q, most);
}

bool srv_quota_take_waiting(struct srv_quota *q, bool placed, uint64_t most)
{
    return placed ? srv_place_take_waiting(q->tally, q->place, most) : take_own(q, most);
}

void srv_quota_go_on(struct srv_quota *q, bool placed)
{
    if (placed)
        srv_place_go_on(q->tally, q->place);
    else
        atomic_fetch_add_explicit(&q->running, 1, memory_order_relaxed);
}

void srv_quota_give(struct srv_quota *q, bool placed)
{
    if (placed)
        srv_place_give(q->tally, q->place);
    else
        atomic_fetch_sub_explicit(&q->running, 1, memory_order_relaxed);
}

/* A bucket of tokens as one number: the time at which it would be full of calls again. It holds as
 * many as come in a second. */
unsigned srv_quota_pass(struct srv_quota *q, uint64_t rate, uint64_t now_ns)
{
    struct srv_place *shared = atomic_load_explicit(&q->place, memory_order_relaxed);
    _Atomic uint64_t *place = shared ? srv_place_due(shared) : &q->next_ns;
    uint64_t next, after;

    if (rate == 0)
        return 0;
    next = atomic_load_explicit(place, memory_order_relaxed);
    do {
        after = (next > now_ns ? next : now_ns) + NS_PER_S / rate;
        if (after > now_ns + NS_PER_S)
            return (unsigned)((after - now_ns - 1) / NS_PER_S);
    } while (!atomic_compare_exchange_weak_explicit(place, &next, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 0;
}
