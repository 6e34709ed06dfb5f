/* Scripts, runs and small modules for the tests. */
#include <stdarg.h>

#include "test.h"

const struct function_info functions[FN_COUNT] = {
#define EEI(name, fn, sig, gas, doc) {name, sig, gas},
#include "evmc/eei.def"
#undef EEI
};

static void put(struct script *s, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && s->n < sizeof s->bytes; i++)
        s->bytes[s->n++] = (uint8_t)(v >> 8 * i);
}

void step_call(struct script *s, enum function f, ...)
{
    size_t n = strcspn(functions[f].sig, ":");
    va_list ap;

    put(s, f, 1);
    va_start(ap, f);
    while (n--)
        put(s, (uint64_t)va_arg(ap, int64_t), 8);
    va_end(ap);
}

void step_set(struct script *s, uint32_t to, const void *bytes, uint32_t len)
{
    const uint8_t *p = bytes;

    put(s, SET, 1);
    put(s, to, 4);
    put(s, len, 4);
    while (len--)
        put(s, *p++, 1);
}

void step_give(struct script *s, uint32_t from, uint32_t len)
{
    put(s, GIVE, 1);
    put(s, from, 4);
    put(s, len, 4);
}

void step_plain(struct script *s, enum step step)
{
    put(s, step, 1);
}

void step_number(struct script *s, enum step step, uint64_t n, unsigned bytes)
{
    put(s, step, 1);
    put(s, n, bytes);
}

int64_t script_gas(const struct script *s)
{
    return 2 + 3 + 3 * (int64_t)((s->n + 31) / 32); /* getCallDataSize, callDataCopy */
}

void probe_init(struct host *h, struct evmc_vm *vm)
{
    evmc_address self = host_address(1), caller = host_address(2);

    host_init(h, vm);
    host_put_code(h, &self, test_probe.bytes, test_probe.size);
    host_account(h, &self)->balance = 1000;
    host_account(h, &caller)->balance = 1000;
}

struct run probe_run(struct host *h, const struct script *s, int64_t gas, uint32_t flags)
{
    struct evmc_message m = {.kind = EVMC_CALL,
                             .flags = flags,
                             .gas = gas,
                             .recipient = host_address(1),
                             .sender = host_address(2),
                             .input_data = s->bytes,
                             .input_size = s->n,
                             .code_address = host_address(1)};
    struct run r = {.result = host_message(h, &m)};

    r.used = gas - r.result.gas_left;
    return r;
}

void run_release(struct run *r)
{
    host_release_result(&r->result);
}

int64_t run_number(const struct run *r, size_t n)
{
    uint64_t v = 0;

    if (r->result.output_size < 8 * n + 8)
        return INT64_MIN;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | r->result.output_data[8 * n + (size_t)i];
    return (int64_t)v;
}

struct code test_module(unsigned parts)
{
    static uint8_t bytes[256];
    size_t n = 0;
    unsigned imports = parts & (PART_ENV | PART_WRONG_TYPE | PART_METER) ? 1 : 0;
#define BYTES(...)                                                                                 \
    do {                                                                                           \
        static const uint8_t part[] = {__VA_ARGS__};                                               \
        memcpy(bytes + n, part, sizeof part);                                                      \
        n += sizeof part;                                                                          \
    } while (0)
#define NAME(text)                                                                                 \
    do {                                                                                           \
        bytes[n++] = sizeof text - 1;                                                              \
        memcpy(bytes + n, text, sizeof text - 1);                                                  \
        n += sizeof text - 1;                                                                      \
    } while (0)

    BYTES(0, 'a', 's', 'm', 1, 0, 0, 0);
    /* () -> (), () -> (i32), () -> (i64) */
    BYTES(1, 12, 3, 0x60, 0, 0, 0x60, 0, 1, 0x7f, 0x60, 0, 1, 0x7e);
    if (parts & PART_ENV) {
        BYTES(2, 9, 1, 3, 'e', 'n', 'v', 1, 'f', 0, 0);
    } else if (parts & PART_WRONG_TYPE) {
        BYTES(2, 19, 1);
        NAME("ethereum");
        NAME("finish");
        BYTES(0, 0);
    } else if (parts & PART_METER) {
        BYTES(2, 23, 1);
        NAME("ssvm_meter");
        NAME("gas_used");
        BYTES(0, 2);
    }
    BYTES(3, 2, 1);
    bytes[n++] = parts & PART_MAIN_RESULT ? 1 : 0;
    if (parts & PART_HUGE)
        BYTES(5, 5, 1, 0, 0x80, 0x80, 4);
    else
        BYTES(5, 3, 1, 0, 1);
    BYTES(7);
    bytes[n++] = (uint8_t)(1 + (parts & PART_MEMORY ? 9 : 0) + (parts & PART_MAIN ? 7 : 0));
    bytes[n++] = (uint8_t)((parts & PART_MEMORY ? 1 : 0) + (parts & PART_MAIN ? 1 : 0));
    if (parts & PART_MEMORY) {
        NAME("memory");
        BYTES(2, 0);
    }
    if (parts & PART_MAIN) {
        NAME("main");
        BYTES(0);
        bytes[n++] = (uint8_t)imports;
    }
    if (parts & PART_START) {
        BYTES(8, 1);
        bytes[n++] = (uint8_t)imports;
    }
    if (parts & PART_MAIN_RESULT)
        BYTES(10, 6, 1, 4, 0, 0x41, 0, 0x0b);
    else
        BYTES(10, 4, 1, 2, 0, 0x0b);
    if (parts & PART_SEGMENT)
        BYTES(11, 9, 1, 0, 0x41, 0x80, 0x80, 4, 0x0b, 1, 7);
    return (struct code){bytes, n};
}
