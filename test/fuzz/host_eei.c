/* Functions of contracts for fuzz-host: one contract that never ends, and a chain that knows
 * nothing and answers by chance. */
#include <stdlib.h>
#include <string.h>

#include "evmc/eth.h"
#include "host.h"

static struct {
    struct evmc_message message;
    struct eth_vm vm;
    struct eth_frame frame;
} eei;
static uint8_t bytes[4096];

bool fuzz_eei_get(unsigned i, const char **ret_name, const char **ret_sig)
{
    if (i >= eth_nfuncs)
        return false;
    *ret_name = eth_funcs[i].name;
    *ret_sig = eth_funcs[i].sig;
    return true;
}

void fuzz_eei_define(ssvm_linker *l)
{
    if (eth_define(l) != 0)
        abort();
}

/* ---- The chain ---- */

static unsigned sum(const void *p, size_t len)
{
    const uint8_t *at = p;
    unsigned n = 0;

    for (size_t i = 0; i < len; i++)
        n += at[i];
    return n;
}

static bool chance(void)
{
    return fuzz_next() % 2;
}

/* Small, zero or any: 32 bytes. */
static evmc_bytes32 word(void)
{
    evmc_bytes32 w = {{0}};

    w.bytes[31] = (uint8_t)fuzz_next();
    if (fuzz_next() % 4 == 0)
        memset(&w, (int)(fuzz_next() % 3), sizeof w);
    return w;
}

static bool account_exists(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    return sum(a, sizeof *a) % 2;
}

static evmc_bytes32 get_storage(struct evmc_host_context *c, const evmc_address *a,
                                const evmc_bytes32 *key)
{
    (void)c;
    return sum(a, sizeof *a) + sum(key, sizeof *key) ? word() : (evmc_bytes32){{0}};
}

static enum evmc_storage_status set_storage(struct evmc_host_context *c, const evmc_address *a,
                                            const evmc_bytes32 *key, const evmc_bytes32 *value)
{
    (void)c;
    return (enum evmc_storage_status)(
        (sum(a, sizeof *a) + sum(key, sizeof *key) + sum(value, sizeof *value)) % 10);
}

static evmc_uint256be get_balance(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    (void)a;
    return word();
}

static size_t get_code_size(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    (void)a;
    return fuzz_next() % 8 ? fuzz_next() % sizeof bytes : (size_t)fuzz_next();
}

static evmc_bytes32 get_code_hash(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    (void)a;
    return word();
}

static size_t copy_code(struct evmc_host_context *c, const evmc_address *a, size_t offset,
                        uint8_t *buffer, size_t size)
{
    size_t n = offset < sizeof bytes ? sizeof bytes - offset : 0;

    (void)c;
    (void)a;
    n = n < size ? n : size;
    if (n > 0)
        memcpy(buffer, bytes + offset, n);
    return fuzz_next() % 8 ? n : n + fuzz_next() % 3;
}

static bool selfdestruct(struct evmc_host_context *c, const evmc_address *a, const evmc_address *to)
{
    (void)c;
    return sum(a, sizeof *a) + sum(to, sizeof *to) > 0 && chance();
}

static struct evmc_tx_context get_tx_context(struct evmc_host_context *c)
{
    (void)c;
    return (struct evmc_tx_context){.tx_gas_price = word(),
                                    .block_number = (int64_t)(fuzz_next() % 1000),
                                    .block_gas_limit = (int64_t)fuzz_next(),
                                    .block_prev_randao = word(),
                                    .chain_id = word()};
}

static evmc_bytes32 get_block_hash(struct evmc_host_context *c, int64_t number)
{
    (void)c;
    (void)number;
    return word();
}

static void emit_log(struct evmc_host_context *c, const evmc_address *a, const uint8_t *data,
                     size_t size, const evmc_bytes32 topics[], size_t ntopics)
{
    (void)c;
    eei.frame.refund +=
        sum(a, sizeof *a) + sum(data, size) + sum(topics, ntopics * sizeof topics[0]) ? 1 : 0;
}

static enum evmc_access_status access_account(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    (void)a;
    return EVMC_ACCESS_COLD;
}

static enum evmc_access_status access_storage(struct evmc_host_context *c, const evmc_address *a,
                                              const evmc_bytes32 *key)
{
    (void)c;
    (void)a;
    (void)key;
    return EVMC_ACCESS_WARM;
}

static void release(const struct evmc_result *r)
{
    free((void *)r->output_data);
}

/* What a host may answer, and what it may not. */
static struct evmc_result call(struct evmc_host_context *c, const struct evmc_message *m)
{
    static const int statuses[] = {EVMC_SUCCESS, EVMC_SUCCESS,        EVMC_REVERT,
                                   EVMC_FAILURE, EVMC_INTERNAL_ERROR, EVMC_REJECTED,
                                   12345,        EVMC_OUT_OF_MEMORY};
    struct evmc_result r = {0};
    size_t n = fuzz_next() % 256;

    (void)c;
    r.status_code = (enum evmc_status_code)statuses[fuzz_next() % SV_COUNT(statuses)];
    r.gas_left = chance() ? m->gas / 2 : (int64_t)fuzz_next();
    r.gas_refund = fuzz_next() % 8 ? 0 : (int64_t)fuzz_next();
    r.create_address.bytes[0] = (uint8_t)sum(m->input_data, m->input_size);
    if (chance()) {
        r.output_data = calloc(1, n + 1);
        r.release = release;
    }
    r.output_size = r.output_data ? n : (size_t)(fuzz_next() % 2);
    return r;
}

static const struct evmc_host_interface chain = {.account_exists = account_exists,
                                                 .get_storage = get_storage,
                                                 .set_storage = set_storage,
                                                 .get_balance = get_balance,
                                                 .get_code_size = get_code_size,
                                                 .get_code_hash = get_code_hash,
                                                 .copy_code = copy_code,
                                                 .selfdestruct = selfdestruct,
                                                 .call = call,
                                                 .get_tx_context = get_tx_context,
                                                 .get_block_hash = get_block_hash,
                                                 .emit_log = emit_log,
                                                 .access_account = access_account,
                                                 .access_storage = access_storage};

/* ---- The contract ---- */

void fuzz_eei_begin(ssvm_store *store)
{
    size_t n = fuzz_next() % 600;
    uint8_t *input = malloc(n + 1);

    memset(input, (int)fuzz_next(), n + 1);
    eei.message = (struct evmc_message){.kind = EVMC_CALL,
                                        .flags = fuzz_next() % 4 ? 0 : EVMC_STATIC,
                                        .depth = fuzz_next() % 8 ? 0 : ETH_DEPTH_MAX,
                                        .gas = INT64_MAX,
                                        .input_data = input,
                                        .input_size = n,
                                        .value = word()};
    eei.frame = (struct eth_frame){.vm = &eei.vm,
                                   .host = &chain,
                                   .msg = &eei.message,
                                   .code = bytes,
                                   .code_size = sizeof bytes,
                                   .store = store,
                                   .count = fuzz_next() % 4 == 0};
    ssvm_store_set_data(store, &eei.frame);
    fuzz_eei_called();
}

void fuzz_eei_called(void)
{
    struct eth_frame *f = &eei.frame;

    sv_free(f->output);
    f->output = NULL;
    f->output_size = 0;
    f->ended = f->destroyed = false;
    f->status = 0;
    if (fuzz_next() % 64 == 0)
        f->has_tx = false;
    if (fuzz_next() % 16 == 0)
        f->refund = 0;
    f->gas = fuzz_next() % 8 ? INT64_MAX : (int64_t)(fuzz_next() % 100000);
}

void fuzz_eei_end(void)
{
    eth_frame_drop_returned(&eei.frame);
    sv_free(eei.frame.output);
    eei.frame.output = NULL;
    free((void *)eei.message.input_data);
    eei.message.input_data = NULL;
}
