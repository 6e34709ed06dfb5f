/* Ethereum for C contracts: the functions of the import module `ethereum`, which an Ethereum client
 * with libssvm-evmc.so gives to contracts. Header only: compile with clang --target=wasm32
 * -nostdlib, link with wasm-ld --no-entry --export=main. What each function does and costs is in
 * doc/format/ethereum.md.
 *
 * Addresses are 20 bytes and words 32; numbers in memory have their least significant byte first:
 * 16 bytes for values, prices and balances, 32 for the difficulty and salts. A contract exports
 * `memory` and `void main(void)`. Calls give 0 for success, 1 for failure, 2 for a revert. */
#ifndef SSVM_ETHEREUM_GUEST_H
#define SSVM_ETHEREUM_GUEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define SSVM_ETH_IMPORT(name) __attribute__((import_module("ethereum"), import_name(name)))
#else
#define SSVM_ETH_IMPORT(name)
#endif

/* ---- Gas ---- */

SSVM_ETH_IMPORT("useGas") void eth_use_gas(int64_t amount);
SSVM_ETH_IMPORT("getGasLeft") int64_t eth_gas_left(void);

/* ---- The call, the transaction, the block ---- */

SSVM_ETH_IMPORT("getAddress") void eth_address(uint8_t ret[20]);
SSVM_ETH_IMPORT("getCaller") void eth_caller(uint8_t ret[20]);
SSVM_ETH_IMPORT("getCallValue") void eth_call_value(uint8_t ret[16]);
SSVM_ETH_IMPORT("getTxOrigin") void eth_tx_origin(uint8_t ret[20]);
SSVM_ETH_IMPORT("getTxGasPrice") void eth_tx_gas_price(uint8_t ret[16]);
SSVM_ETH_IMPORT("getChainId") void eth_chain_id(uint8_t ret[16]);
SSVM_ETH_IMPORT("getBlockCoinbase") void eth_block_coinbase(uint8_t ret[20]);
SSVM_ETH_IMPORT("getBlockDifficulty") void eth_block_difficulty(uint8_t ret[32]);
SSVM_ETH_IMPORT("getBlockNumber") int64_t eth_block_number(void);
SSVM_ETH_IMPORT("getBlockTimestamp") int64_t eth_block_timestamp(void);
SSVM_ETH_IMPORT("getBlockGasLimit") int64_t eth_block_gas_limit(void);
SSVM_ETH_IMPORT("getBlockHash") int32_t eth_block_hash(int64_t number, uint8_t ret[32]);

/* ---- Bytes ---- */

SSVM_ETH_IMPORT("getCallDataSize") uint32_t eth_call_data_size(void);
SSVM_ETH_IMPORT("callDataCopy") void eth_call_data_copy(void *to, uint32_t offset, uint32_t len);
SSVM_ETH_IMPORT("getCodeSize") uint32_t eth_code_size(void);
SSVM_ETH_IMPORT("codeCopy") void eth_code_copy(void *to, uint32_t offset, uint32_t len);
SSVM_ETH_IMPORT("getReturnDataSize") uint32_t eth_return_data_size(void);
SSVM_ETH_IMPORT("returnDataCopy")
void eth_return_data_copy(void *to, uint32_t offset, uint32_t len);

/* ---- Other accounts ---- */

SSVM_ETH_IMPORT("getExternalBalance")
void eth_balance(const uint8_t address[20], uint8_t ret[16]);
SSVM_ETH_IMPORT("getExternalCodeSize") uint32_t eth_external_code_size(const uint8_t address[20]);
SSVM_ETH_IMPORT("externalCodeCopy")
void eth_external_code_copy(const uint8_t address[20], void *to, uint32_t offset, uint32_t len);

/* ---- Calls ---- */

SSVM_ETH_IMPORT("call")
int32_t eth_call(int64_t gas, const uint8_t address[20], const uint8_t value[16], const void *data,
                 uint32_t len);
SSVM_ETH_IMPORT("callCode")
int32_t eth_call_code(int64_t gas, const uint8_t address[20], const uint8_t value[16],
                      const void *data, uint32_t len);
SSVM_ETH_IMPORT("callDelegate")
int32_t eth_call_delegate(int64_t gas, const uint8_t address[20], const void *data, uint32_t len);
SSVM_ETH_IMPORT("callStatic")
int32_t eth_call_static(int64_t gas, const uint8_t address[20], const void *data, uint32_t len);
SSVM_ETH_IMPORT("create")
int32_t eth_create(const uint8_t value[16], const void *code, uint32_t len, uint8_t ret[20]);
SSVM_ETH_IMPORT("create2")
int32_t eth_create2(const uint8_t value[16], const void *code, uint32_t len, const uint8_t salt[32],
                    uint8_t ret[20]);

/* ---- Storage, records, ends ---- */

SSVM_ETH_IMPORT("storageLoad") void eth_storage_load(const uint8_t key[32], uint8_t ret[32]);
SSVM_ETH_IMPORT("storageStore")
void eth_storage_store(const uint8_t key[32], const uint8_t value[32]);
/* Topics beyond n may be NULL. */
SSVM_ETH_IMPORT("log")
void eth_log(const void *data, uint32_t len, uint32_t n, const uint8_t *topic1,
             const uint8_t *topic2, const uint8_t *topic3, const uint8_t *topic4);
SSVM_ETH_IMPORT("finish") __attribute__((noreturn)) void eth_finish(const void *data, uint32_t len);
SSVM_ETH_IMPORT("revert") __attribute__((noreturn)) void eth_revert(const void *data, uint32_t len);
SSVM_ETH_IMPORT("selfDestruct")
__attribute__((noreturn)) void eth_self_destruct(const uint8_t beneficiary[20]);

/* Keccak-256, which the client computes. */
static inline void eth_keccak256(const void *data, uint32_t len, uint8_t ret[32])
{
    static const uint8_t address[20] = {[19] = 9};

    eth_call_static(0, address, data, len);
    eth_return_data_copy(ret, 0, 32);
}

#ifdef __cplusplus
}
#endif

#endif
