/* Functions of `ethereum`: bytes that are copied, storage, records, and the ends of a contract. */
#include <string.h>

#include "evmc/eth.h"

#define TOPICS_MAX 4

/* Copies [offset, offset + len) of `size` bytes to the contract's memory. */
static int copy(struct eth_frame *f, const ssvm_val *dst, const ssvm_val *offset,
                const ssvm_val *len, const uint8_t *bytes, size_t size)
{
    uint64_t from = (uint32_t)offset->of.i32, n = (uint32_t)len->of.i32;
    uint8_t *out;
    int r = eth_frame_charge(f, eth_copy_gas(n));

    if (r == 0)
        r = eth_slice(f, dst, n, &out);
    if (r == 0 && from + n > size)
        r = EVMC_INVALID_MEMORY_ACCESS;
    if (r == 0 && n)
        memcpy(out, bytes + from, n);
    return r;
}

/* What is larger than 32 bits tell is told as that much. */
static void give_size(size_t size, ssvm_val *ret)
{
    ret[0].of.i32 = (int32_t)(size > UINT32_MAX ? UINT32_MAX : (uint32_t)size);
}

int eth_get_call_data_size(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)arg;
    give_size(f->msg->input_size, ret);
    return 0;
}

int eth_call_data_copy(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return copy(f, &arg[0], &arg[1], &arg[2], f->msg->input_data, f->msg->input_size);
}

int eth_get_code_size(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)arg;
    give_size(f->code_size, ret);
    return 0;
}

int eth_code_copy(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return copy(f, &arg[0], &arg[1], &arg[2], f->code, f->code_size);
}

int eth_get_return_data_size(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)arg;
    give_size(f->returned.output_size, ret);
    return 0;
}

int eth_return_data_copy(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return copy(f, &arg[0], &arg[1], &arg[2], f->returned.output_data, f->returned.output_size);
}

/* ---- Other accounts ---- */

static int read_address(struct eth_frame *f, const ssvm_val *ptr, evmc_address *ret)
{
    const uint8_t *in;
    int r = eth_slice(f, ptr, sizeof *ret, &in);

    if (r == 0)
        memcpy(ret, in, sizeof *ret);
    return r;
}

int eth_get_external_balance(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    evmc_uint256be balance;
    evmc_address address;
    uint8_t *out;
    int r = read_address(f, &arg[0], &address);

    (void)ret;
    if (r == 0)
        r = eth_slice(f, &arg[1], 16, &out);
    if (r != 0)
        return r;
    balance = f->host->get_balance(f->context, &address);
    return eth_write_number(&balance, out, 16);
}

int eth_get_external_code_size(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    evmc_address address;
    int r = read_address(f, &arg[0], &address);

    if (r == 0)
        give_size(f->host->get_code_size(f->context, &address), ret);
    return r;
}

int eth_external_code_copy(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    uint64_t from = (uint32_t)arg[2].of.i32, n = (uint32_t)arg[3].of.i32;
    evmc_address address;
    uint8_t *out;
    int r = eth_frame_charge(f, eth_copy_gas(n));

    (void)ret;
    if (r == 0)
        r = read_address(f, &arg[0], &address);
    if (r == 0)
        r = eth_slice(f, &arg[1], n, &out);
    if (r == 0 && n && f->host->copy_code(f->context, &address, from, out, n) != n)
        r = EVMC_INVALID_MEMORY_ACCESS;
    return r;
}

/* ---- Storage ---- */

static int read_word(struct eth_frame *f, const ssvm_val *ptr, evmc_bytes32 *ret)
{
    const uint8_t *in;
    int r = eth_slice(f, ptr, sizeof *ret, &in);

    if (r == 0)
        memcpy(ret, in, sizeof *ret);
    return r;
}

int eth_storage_load(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    evmc_bytes32 key, value;
    uint8_t *out;
    int r = read_word(f, &arg[0], &key);

    (void)ret;
    if (r == 0)
        r = eth_slice(f, &arg[1], sizeof value, &out);
    if (r != 0)
        return r;
    value = f->host->get_storage(f->context, &f->msg->recipient, &key);
    memcpy(out, &value, sizeof value);
    return 0;
}

int eth_storage_store(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    evmc_bytes32 key, value, old;
    int r = 0;

    (void)ret;
    if (eth_frame_is_static(f))
        return EVMC_STATIC_MODE_VIOLATION;
    r = read_word(f, &arg[0], &key);
    if (r == 0)
        r = read_word(f, &arg[1], &value);
    if (r != 0)
        return r;
    if (!eth_is_zero(&value, sizeof value)) {
        old = f->host->get_storage(f->context, &f->msg->recipient, &key);
        if (eth_is_zero(&old, sizeof old))
            r = eth_frame_charge(f, 15000);
    }
    if (r == 0)
        f->host->set_storage(f->context, &f->msg->recipient, &key, &value);
    return r;
}

/* ---- Records ---- */

int eth_log(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    uint64_t len = (uint32_t)arg[1].of.i32;
    uint32_t n = (uint32_t)arg[2].of.i32;
    evmc_bytes32 topics[TOPICS_MAX];
    const uint8_t *data;
    int r;

    (void)ret;
    if (eth_frame_is_static(f))
        return EVMC_STATIC_MODE_VIOLATION;
    if (n > TOPICS_MAX)
        return EVMC_ARGUMENT_OUT_OF_RANGE;
    r = eth_frame_charge(f, 375 * (uint64_t)n + 8 * len);
    if (r == 0)
        r = eth_slice(f, &arg[0], len, &data);
    for (uint32_t i = 0; i < n && r == 0; i++)
        r = read_word(f, &arg[3 + i], &topics[i]);
    if (r == 0)
        f->host->emit_log(f->context, &f->msg->recipient, len ? data : NULL, len, topics, n);
    return r;
}

/* ---- Ends ---- */

static int end(struct eth_frame *f, const ssvm_val *ptr, const ssvm_val *len, int status)
{
    uint64_t n = (uint32_t)len->of.i32;
    const uint8_t *data;
    int r = eth_slice(f, ptr, n, &data);

    if (r != 0)
        return r;
    if (n) {
        f->output = sv_alloc(n);
        if (!f->output)
            return EVMC_OUT_OF_MEMORY;
        memcpy(f->output, data, n);
        f->output_size = n;
    }
    return status;
}

int eth_finish(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return end(f, &arg[0], &arg[1], ETH_FINISHED);
}

int eth_revert(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    (void)ret;
    return end(f, &arg[0], &arg[1], EVMC_REVERT);
}

int eth_self_destruct(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    evmc_address to;
    int r;

    (void)ret;
    if (eth_frame_is_static(f))
        return EVMC_STATIC_MODE_VIOLATION;
    r = read_address(f, &arg[0], &to);
    if (r == 0 && !f->host->account_exists(f->context, &to))
        r = eth_frame_charge(f, 25000);
    if (r != 0)
        return r;
    f->host->selfdestruct(f->context, &f->msg->recipient, &to);
    f->destroyed = true;
    return ETH_FINISHED;
}
