/* Functions of `ethereum`: calls of other contracts, and new contracts. */
#include <string.h>

#include "evmc/eth.h"

#define GAS_VALUE 9000 /* for a value that goes along */
#define GAS_NEW_ACCOUNT 25000
#define GAS_STIPEND 2300 /* what the callee has, whatever its caller gives */

/* What the contract sees of a call's end. */
enum outcome { OUTCOME_SUCCESS = 0, OUTCOME_FAILURE = 1, OUTCOME_REVERT = 2 };

static const evmc_address keccak_address = {{[19] = 9}};

/* What a call may have: all but a 64th of what is left. */
static int64_t most(int64_t left)
{
    return left - left / 64;
}

static bool is_less(const evmc_uint256be *a, const evmc_uint256be *b)
{
    return memcmp(a, b, sizeof *a) < 0;
}

/* Too deep, or more than there is: such calls fail and cost nothing more. */
static bool is_possible(struct eth_frame *f, const struct evmc_message *m)
{
    evmc_uint256be balance;

    if (f->msg->depth >= ETH_DEPTH_MAX)
        return false;
    if (m->kind == EVMC_DELEGATECALL || eth_is_zero(&m->value, sizeof m->value))
        return true;
    balance = f->host->get_balance(f->context, &f->msg->recipient);
    return !is_less(&balance, &m->value);
}

/* A host's answer is taken as it is only where it can be right. */
static void correct(struct evmc_result *r, int64_t gas)
{
    bool ended_well = r->status_code == EVMC_SUCCESS || r->status_code == EVMC_REVERT;

    if (!ended_well || r->gas_left < 0)
        r->gas_left = 0;
    if (r->gas_left > gas)
        r->gas_left = gas;
    if (!r->output_data)
        r->output_size = 0;
    if (r->status_code != EVMC_SUCCESS)
        r->gas_refund = 0;
}

/* Has the host make the call. The contract pays `cost`, and what the callee used of its gas beyond
 * `stipend`; of the stipend, what is left is the caller's. 0, or the status that ends the contract.
 */
static int make_call(struct eth_frame *f, const struct evmc_message *m, int64_t cost,
                     int64_t stipend, enum outcome *ret)
{
    enum evmc_status_code status;

    eth_frame_drop_returned(f);
    if (!is_possible(f, m))
        return eth_frame_charge(f, (uint64_t)cost);
    f->returned = f->host->call(f->context, m);
    correct(&f->returned, m->gas);
    status = f->returned.status_code;
    /* The machine's failures are not the contract's to see: they depend on the machine. */
    if (status < 0 && status != EVMC_REJECTED)
        return status == EVMC_OUT_OF_MEMORY ? EVMC_OUT_OF_MEMORY : EVMC_INTERNAL_ERROR;
    if (__builtin_add_overflow(f->refund, f->returned.gas_refund, &f->refund))
        return EVMC_INTERNAL_ERROR;
    if (status == EVMC_SUCCESS)
        *ret = OUTCOME_SUCCESS;
    else if (status == EVMC_REVERT)
        *ret = OUTCOME_REVERT;
    return eth_frame_charge(f, (uint64_t)(cost + m->gas - stipend - f->returned.gas_left));
}

/* Keccak-256, at the place of a contract. */
static int hash(struct eth_frame *f, const uint8_t *data, size_t len, ssvm_val *ret)
{
    uint8_t *digest;
    int r = eth_frame_charge(f, eth_copy_gas(len));

    if (r != 0)
        return r;
    eth_frame_drop_returned(f);
    digest = sv_alloc(32);
    if (!digest)
        return EVMC_OUT_OF_MEMORY;
    eth_keccak256(data, len, digest);
    f->returned = (struct evmc_result){
        .output_data = digest, .output_size = 32, .release = eth_release_output};
    ret[0].of.i32 = OUTCOME_SUCCESS;
    return 0;
}

/* The callee's gas; what the call costs beside it is looked at, and paid with the callee's. */
static int give_gas(struct eth_frame *f, struct evmc_message *m, int64_t asked, int64_t *ret_cost,
                    int64_t *ret_stipend)
{
    bool value = m->kind != EVMC_DELEGATECALL && !eth_is_zero(&m->value, sizeof m->value);
    int64_t cost = value ? GAS_VALUE : 0, left = eth_frame_gas(f);

    if (value && m->kind == EVMC_CALL && !f->host->account_exists(f->context, &m->recipient))
        cost += GAS_NEW_ACCOUNT;
    if (cost > left)
        return EVMC_OUT_OF_GAS;
    *ret_cost = cost;
    *ret_stipend = value ? GAS_STIPEND : 0;
    m->gas = (asked < most(left - cost) ? asked : most(left - cost)) + *ret_stipend;
    return 0;
}

/* The arguments that all calls have: gas, address, [value,] data, len. `m` has kind and flags. */
static int call(struct eth_frame *f, const ssvm_val *arg, bool with_value, struct evmc_message *m,
                ssvm_val *ret)
{
    const ssvm_val *data_arg = with_value ? &arg[3] : &arg[2];
    uint64_t len = (uint32_t)data_arg[1].of.i32;
    const uint8_t *address, *value, *data;
    enum outcome outcome = OUTCOME_FAILURE;
    int64_t cost, stipend;
    int r;

    if (arg[0].of.i64 < 0)
        return EVMC_ARGUMENT_OUT_OF_RANGE;
    r = eth_slice(f, &arg[1], sizeof m->code_address, &address);
    if (r == 0 && with_value)
        r = eth_slice(f, &arg[2], 16, &value);
    if (r == 0)
        r = eth_slice(f, data_arg, len, &data);
    if (r != 0)
        return r;
    memcpy(&m->code_address, address, sizeof m->code_address);
    m->recipient = m->kind == EVMC_CALL ? m->code_address : f->msg->recipient;
    m->sender = m->kind == EVMC_DELEGATECALL ? f->msg->sender : f->msg->recipient;
    m->depth = f->msg->depth + 1;
    if (with_value)
        eth_read_number(value, 16, &m->value);
    if (with_value && eth_frame_is_static(f) && !eth_is_zero(&m->value, sizeof m->value))
        return EVMC_STATIC_MODE_VIOLATION;
    if (m->flags & EVMC_STATIC && !with_value && m->kind == EVMC_CALL &&
        memcmp(&m->recipient, &keccak_address, sizeof keccak_address) == 0)
        return hash(f, data, len, ret);
    r = give_gas(f, m, arg[0].of.i64, &cost, &stipend);
    if (r != 0)
        return r;
    m->input_data = len ? data : NULL;
    m->input_size = len;
    r = make_call(f, m, cost, stipend, &outcome);
    ret[0].of.i32 = outcome;
    return r;
}

int eth_call(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    struct evmc_message m = {.kind = EVMC_CALL, .flags = f->msg->flags & EVMC_STATIC};

    return call(f, arg, true, &m, ret);
}

int eth_call_code(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    struct evmc_message m = {.kind = EVMC_CALLCODE, .flags = f->msg->flags & EVMC_STATIC};

    return call(f, arg, true, &m, ret);
}

int eth_call_delegate(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    struct evmc_message m = {
        .kind = EVMC_DELEGATECALL, .flags = f->msg->flags & EVMC_STATIC, .value = f->msg->value};

    return call(f, arg, false, &m, ret);
}

int eth_call_static(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    struct evmc_message m = {.kind = EVMC_CALL, .flags = EVMC_STATIC};

    return call(f, arg, false, &m, ret);
}

/* ---- New contracts ---- */

/* The arguments of both: value, data, len, [salt,] address. `m` has the kind. */
static int create(struct eth_frame *f, const ssvm_val *arg, struct evmc_message *m, ssvm_val *ret)
{
    const ssvm_val *result = m->kind == EVMC_CREATE2 ? &arg[4] : &arg[3];
    uint64_t len = (uint32_t)arg[2].of.i32;
    const uint8_t *value, *data, *salt;
    enum outcome outcome = OUTCOME_FAILURE;
    uint8_t *address;
    int r;

    if (eth_frame_is_static(f))
        return EVMC_STATIC_MODE_VIOLATION;
    r = eth_slice(f, &arg[0], 16, &value);
    if (r == 0)
        r = eth_slice(f, &arg[1], len, &data);
    if (r == 0 && m->kind == EVMC_CREATE2)
        r = eth_slice(f, &arg[3], 32, &salt);
    if (r == 0)
        r = eth_slice(f, result, sizeof m->recipient, &address);
    if (r != 0)
        return r;
    eth_read_number(value, 16, &m->value);
    if (m->kind == EVMC_CREATE2)
        eth_read_number(salt, 32, &m->create2_salt);
    m->depth = f->msg->depth + 1;
    m->sender = f->msg->recipient;
    m->gas = most(eth_frame_gas(f));
    m->input_data = len ? data : NULL;
    m->input_size = len;
    r = make_call(f, m, 0, 0, &outcome);
    ret[0].of.i32 = outcome;
    if (r != 0 || outcome != OUTCOME_SUCCESS)
        return r;
    r = eth_slice(f, result, sizeof m->recipient, &address);
    if (r == 0)
        memcpy(address, &f->returned.create_address, sizeof m->recipient);
    eth_frame_drop_returned(f); /* the code is not for the contract */
    return r;
}

int eth_create(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    struct evmc_message m = {.kind = EVMC_CREATE};

    return create(f, arg, &m, ret);
}

int eth_create2(struct eth_frame *f, const ssvm_val *arg, ssvm_val *ret)
{
    struct evmc_message m = {.kind = EVMC_CREATE2};

    return create(f, arg, &m, ret);
}
