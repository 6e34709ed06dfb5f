/* Prints where the members of EVMC's structs lie, by src/evmc/abi.h or, with -DOTHER='"FILE"', by
 * another header: what both have must lie in the same places. Of an older ABI, what its structs
 * begin with (evmc_message.recipient was called destination before ABI 10). */
#include <stdio.h>

#ifdef OTHER
#include OTHER
#define RECIPIENT destination
#define BLOCK_RANDOM block_difficulty
#else
#include "evmc/abi.h"
#define RECIPIENT recipient
#define BLOCK_RANDOM block_prev_randao
#endif
#define AT(type, member) AT_AS(type, member, #member)
#define AT_AS(type, member, name)                                                                  \
    printf(#type ".%s %zu %zu\n", name, offsetof(struct type, member),                             \
           sizeof((struct type *)0)->member)
#define VALUE(name) printf(#name " %d\n", (int)(name))

static void print_message(void)
{
    AT(evmc_message, kind);
    AT(evmc_message, flags);
    AT(evmc_message, depth);
    AT(evmc_message, gas);
    AT_AS(evmc_message, RECIPIENT, "recipient");
    AT(evmc_message, sender);
    AT(evmc_message, input_data);
    AT(evmc_message, input_size);
    AT(evmc_message, value);
    AT(evmc_message, create2_salt);
    AT(evmc_tx_context, tx_gas_price);
    AT(evmc_tx_context, tx_origin);
    AT(evmc_tx_context, block_coinbase);
    AT(evmc_tx_context, block_number);
    AT(evmc_tx_context, block_timestamp);
    AT(evmc_tx_context, block_gas_limit);
    AT_AS(evmc_tx_context, BLOCK_RANDOM, "block_prev_randao");
    AT(evmc_tx_context, chain_id);
    AT(evmc_tx_context, block_base_fee);
    AT(evmc_result, status_code);
    AT(evmc_result, gas_left);
}

static void print_tables(void)
{
    AT(evmc_host_interface, account_exists);
    AT(evmc_host_interface, get_storage);
    AT(evmc_host_interface, set_storage);
    AT(evmc_host_interface, get_balance);
    AT(evmc_host_interface, get_code_size);
    AT(evmc_host_interface, get_code_hash);
    AT(evmc_host_interface, copy_code);
    AT(evmc_host_interface, selfdestruct);
    AT(evmc_host_interface, call);
    AT(evmc_host_interface, get_tx_context);
    AT(evmc_host_interface, get_block_hash);
    AT(evmc_host_interface, emit_log);
    AT(evmc_host_interface, access_account);
    AT(evmc_host_interface, access_storage);
    AT(evmc_vm, abi_version);
    AT(evmc_vm, name);
    AT(evmc_vm, version);
    AT(evmc_vm, destroy);
    AT(evmc_vm, execute);
    AT(evmc_vm, get_capabilities);
    AT(evmc_vm, set_option);
    printf("evmc_vm %zu\n", sizeof(struct evmc_vm));
}

static void print_values(void)
{
    VALUE(EVMC_CALL);
    VALUE(EVMC_DELEGATECALL);
    VALUE(EVMC_CALLCODE);
    VALUE(EVMC_CREATE);
    VALUE(EVMC_CREATE2);
    VALUE(EVMC_STATIC);
    VALUE(EVMC_SUCCESS);
    VALUE(EVMC_FAILURE);
    VALUE(EVMC_REVERT);
    VALUE(EVMC_OUT_OF_GAS);
    VALUE(EVMC_INVALID_MEMORY_ACCESS);
    VALUE(EVMC_CALL_DEPTH_EXCEEDED);
    VALUE(EVMC_STATIC_MODE_VIOLATION);
    VALUE(EVMC_CONTRACT_VALIDATION_FAILURE);
    VALUE(EVMC_ARGUMENT_OUT_OF_RANGE);
    VALUE(EVMC_WASM_UNREACHABLE_INSTRUCTION);
    VALUE(EVMC_WASM_TRAP);
    VALUE(EVMC_INSUFFICIENT_BALANCE);
    VALUE(EVMC_INTERNAL_ERROR);
    VALUE(EVMC_REJECTED);
    VALUE(EVMC_OUT_OF_MEMORY);
    VALUE(EVMC_CAPABILITY_EVM1);
    VALUE(EVMC_CAPABILITY_EWASM);
    VALUE(EVMC_CAPABILITY_PRECOMPILES);
    VALUE(EVMC_SET_OPTION_SUCCESS);
    VALUE(EVMC_SET_OPTION_INVALID_NAME);
    VALUE(EVMC_SET_OPTION_INVALID_VALUE);
}

int main(void)
{
    print_message();
    print_tables();
    print_values();
    return 0;
}
