/* Functions of `ethereum`: what all of them use, gas, and what is known of transaction and block.
 */
#include <string.h>

#include "evmc/eth.h"

#define BLOCKS_KNOWN 256 /* blocks whose hashes can be asked for */

int eth_slice(struct eth_frame *f, const ssvm_val *ptr, uint64_t len, void *ret)
{
    void *p = ssvm_caller_slice(f->caller, (uint32_t)ptr->of.i32, len);

    if (!p)
        return EVMC_INVALID_MEMORY_ACCESS;
    *(void **)ret = p;
    return 0;
}

void eth_read_number(const uint8_t *in, size_t len, evmc_uint256be *ret)
{
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < len; i++)
        ret->bytes[31 - i] = in[i];
}

int eth_write_number(const evmc_uint256be *n, uint8_t *out, size_t len)
{
    if (!eth_is_zero(n->bytes, 32 - len))
        return EVMC_ARGUMENT_OUT_OF_RANGE;
    for (size_t i = 0; i < len; i++)
        out[i] = n->bytes[31 - i];
    return 0;
}

bool eth_is_zero(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

/* ---- Gas ---- */

int eth_use_gas(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    if (arg[0].of.i64 < 0)
        return EVMC_ARGUMENT_OUT_OF_RANGE;
    return eth_frame_charge(f, (uint64_t)arg[0].of.i64);
}

int eth_get_gas_left(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)arg;
    ret[0].of.i64 = eth_frame_gas(f);
    return 0;
}

/* ---- The message ---- */

static int write_address(struct eth_frame *f, const ssvm_val *ptr, const evmc_address *address)
{
    uint8_t *out;
    int r = eth_slice(f, ptr, sizeof *address, &out);

    if (r == 0)
        memcpy(out, address, sizeof *address);
    return r;
}

static int write_number(struct eth_frame *f, const ssvm_val *ptr, const evmc_uint256be *n,
                        size_t len)
{
    uint8_t *out;
    int r = eth_slice(f, ptr, len, &out);

    return r ? r : eth_write_number(n, out, len);
}

int eth_get_address(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_address(f, &arg[0], &f->msg->recipient);
}

int eth_get_caller(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_address(f, &arg[0], &f->msg->sender);
}

int eth_get_call_value(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_number(f, &arg[0], &f->msg->value, 16);
}

/* ---- Transaction and block ---- */

/* Asked for once: it is large, and the same for all of a transaction. */
static const struct evmc_tx_context *tx(struct eth_frame *f)
{
    if (!f->has_tx) {
        f->tx = f->host->get_tx_context(f->context);
        f->has_tx = true;
    }
    return &f->tx;
}

int eth_get_tx_origin(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_address(f, &arg[0], &tx(f)->tx_origin);
}

int eth_get_block_coinbase(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_address(f, &arg[0], &tx(f)->block_coinbase);
}

int eth_get_tx_gas_price(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_number(f, &arg[0], &tx(f)->tx_gas_price, 16);
}

int eth_get_chain_id(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_number(f, &arg[0], &tx(f)->chain_id, 16);
}

int eth_get_block_difficulty(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return write_number(f, &arg[0], &tx(f)->block_prev_randao, 32);
}

int eth_get_block_number(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)arg;
    ret[0].of.i64 = tx(f)->block_number;
    return 0;
}

int eth_get_block_timestamp(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)arg;
    ret[0].of.i64 = tx(f)->block_timestamp;
    return 0;
}

int eth_get_block_gas_limit(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)arg;
    ret[0].of.i64 = tx(f)->block_gas_limit;
    return 0;
}

int eth_get_block_hash(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    int64_t number = arg[0].of.i64, now = tx(f)->block_number;
    evmc_bytes32 hash = {{0}};
    uint8_t *out;
    int r = eth_slice(f, &arg[1], sizeof hash, &out);

    if (r != 0)
        return r;
    if (number >= 0 && number < now && now - number <= BLOCKS_KNOWN)
        hash = f->host->get_block_hash(f->context, number);
    ret[0].of.i32 = eth_is_zero(&hash, sizeof hash);
    if (!ret[0].of.i32)
        memcpy(out, &hash, sizeof hash);
    return 0;
}
