/* Limits of functions. */
#include "serve/limit.h"

#include "platform/rate.h"
#include "serve/config.h"

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

/* A bucket of tokens as one number: the time at which it would be full of calls again. It holds as
 * many as come in a second. */
unsigned srv_quota_pass(struct srv_quota *q, uint64_t rate, uint64_t now_ns)
{
    struct plat_rate *shared = atomic_load_explicit(&q->shared, memory_order_relaxed);
    _Atomic uint64_t *place = shared ? &shared->next_ns : &q->next_ns;
    uint64_t next = atomic_load_explicit(place, memory_order_relaxed), after;

    if (rate == 0)
        return 0;
    do {
        after = (next > now_ns ? next : now_ns) + NS_PER_S / rate;
        if (after > now_ns + NS_PER_S)
            return (unsigned)((after - now_ns - 1) / NS_PER_S);
    } while (!atomic_compare_exchange_weak_explicit(place, &next, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 0;
}
