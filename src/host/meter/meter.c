/* The meter: what the store and its thread know of a run, told to the guest. Counts nothing itself;
 * being opened makes the runtime note when calls begin. */
#include "host/meter/meter.h"

#include "base/clock.h"

#define NONE UINT64_MAX /* -1 of the guest: there is no such number */
#define COARSE_NS UINT64_C(1000000)

/* As fine as the clocks that the store has anyway. */
static uint64_t down(const struct sv_call *c, uint64_t ns)
{
    return c->th->store->fine_clock ? ns : ns - ns % COARSE_NS;
}

static uint64_t up(const struct sv_call *c, uint64_t ns)
{
    return ns > NONE - COARSE_NS ? ns
                                 : down(c, ns + (c->th->store->fine_clock ? 0 : COARSE_NS - 1));
}

static uint64_t gas_used(const struct sv_call *c)
{
    return c->th->store->metered ? sv_store_gas_used(c->th->store) : NONE;
}

static uint64_t gas_left(const struct sv_call *c)
{
    return sv_store_gas_left(c->th->store);
}

static uint64_t cpu_since_begin(const struct sv_call *c)
{
    return sv_clock_thread_ns() - c->th->cpu_start_ns;
}

static uint64_t cpu_used(const struct sv_call *c)
{
    return down(c, cpu_since_begin(c));
}

static uint64_t cpu_left(const struct sv_call *c)
{
    uint64_t left;

    if (c->th->cpu_left_ns == UINT64_MAX)
        return NONE;
    left = sv_thread_cpu_left(c->th);
    return left ? up(c, left) : 0;
}

static uint64_t wall_used(const struct sv_call *c)
{
    return down(c, sv_clock_ns() - c->th->wall_start_ns);
}

static uint64_t wall_left(const struct sv_call *c)
{
    uint64_t deadline = c->th->deadline_ns, now = sv_clock_ns();

    if (!deadline)
        return NONE;
    return now < deadline ? up(c, deadline - now) : 0;
}

static uint64_t memory_used(const struct sv_call *c)
{
    return sv_store_memory_now(c->th->store);
}

static uint64_t memory_peak(const struct sv_call *c)
{
    return sv_store_memory_peak(c->th->store);
}

static uint64_t memory_limit(const struct sv_call *c)
{
    return c->th->store->limits.memory_bytes;
}

/* One C signature for the linker around each function. */
#define FUNC(name, impl, sig, cost, doc)                                                           \
    static int call_##impl(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)        \
    {                                                                                              \
        (void)arg;                                                                                 \
        ret->i64 = impl(c);                                                                        \
        return 0;                                                                                  \
    }
#include "host/meter/meter.def"
#undef FUNC

static const struct sv_host_func meter_funcs[] = {
#define FUNC(name, impl, sig, cost, doc) {#name, call_##impl, sig, cost, doc, 0},
#include "host/meter/meter.def"
#undef FUNC
};

/* The state is the store: there is nothing to close. */
static int meter_open(struct sv_err *err, struct sv_store *store, const void *grant,
                      void **ret_state)
{
    (void)err;
    (void)grant;
    sv_interrupt_note_begin(&store->thread);
    *ret_state = store;
    return 0;
}

static void meter_close(void *state)
{
    (void)state;
}

const struct sv_host_module sv_host_meter = {
    .id = "meter",
    .grant = "always there",
    .names = {{"ssvm_meter", ""}},
    .funcs = meter_funcs,
    .nfuncs = SV_COUNT(meter_funcs),
    .open = meter_open,
    .close = meter_close,
    .always = true,
};
