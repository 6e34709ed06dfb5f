/* libssvm-evmc.so: contracts in wasm for Ethereum clients that speak EVMC. A contract is decoded
 * once and kept (cache.c); each execution is a fresh store (execute.c); what it asks of the chain
 * are the functions of eei.def. */
#ifndef ETH_ETH_H
#define ETH_ETH_H

#include <pthread.h>

#include "base/alloc.h"
#include "evmc/abi.h"
#include "ssvm.h"

#define ETH_DEPTH_MAX 1024 /* calls inside of calls */
/* Ends a contract without being a failure: finish, selfDestruct. Beside the status codes. */
#define ETH_FINISHED 1000

/* ---- Machines (vm.c) ---- */

struct eth_options {
    char tier[8];
    bool guard;
    bool count; /* instructions cost gas, by ssvm's own table */
    uint64_t memory_bytes, cache_bytes, time_ms;
};
struct eth_contract; /* code that was checked, shared by its executions (cache.c) */
struct eth_vm {
    struct evmc_vm vm; /* first: what the host has */
    pthread_mutex_t mutex;
    struct eth_options options;
    ssvm_engine *engine;            /* NULL until something runs */
    struct eth_contract *contracts; /* those used last are first */
    uint64_t kept_bytes;            /* their code */
    struct eth_frame *frames;       /* those that run, the last one first */
};
/* The machine's engine; made now if need be. NULL: it cannot be made. With the mutex. */
ssvm_engine *eth_vm_engine(struct eth_vm *);

/* ---- Contracts (cache.c, contract.c) ---- */

struct eth_contract {
    struct eth_contract *next;
    uint8_t hash[32];
    size_t code_size;
    unsigned users; /* executions, and 1 while it is kept */
    ssvm_module *module;
    ssvm_template *links;
};
/* The contract with this code, from the cache or made. *ret is for eth_contract_release. Returns a
 * status code: EVMC_REJECTED where it is no wasm. */
int eth_contract_find(struct eth_vm *, const uint8_t *code, size_t code_size,
                      struct eth_contract **ret);
void eth_contract_release(struct eth_vm *, struct eth_contract *);
/* All that is kept; nothing runs. */
void eth_contract_forget(struct eth_vm *);
/* Decode, check the rules for contracts, and link. Returns a status code. */
int eth_contract_make(ssvm_engine *, const uint8_t *code, size_t code_size,
                      own struct eth_contract **ret);
void eth_contract_delete(own struct eth_contract *);

/* ---- Executions (execute.c) ---- */

struct eth_frame {
    struct eth_frame *next;
    pthread_t thread;
    struct eth_vm *vm;
    const struct evmc_host_interface *host;
    struct evmc_host_context *context;
    const struct evmc_message *msg;
    const uint8_t *code;
    size_t code_size;
    ssvm_store *store;
    ssvm_caller *caller; /* of the function that runs */
    bool count;          /* the store counts gas; else `gas` is what is left */
    int64_t gas, refund;
    uint64_t memory_below; /* of the executions that wait for this one */
    unsigned level;        /* their number */
    uintptr_t stack_low;   /* where the thread's stack ends; 0: not asked, 1: unknown */
    struct evmc_tx_context tx;
    bool has_tx;
    struct evmc_result returned; /* of the last call; what returnDataCopy reads */
    int status;                  /* with which a function ended it */
    bool ended, destroyed;
    uint8_t *output; /* owned */
    size_t output_size;
};
struct evmc_result eth_execute(struct evmc_vm *, const struct evmc_host_interface *,
                               struct evmc_host_context *, enum evmc_revision,
                               const struct evmc_message *, const uint8_t *code, size_t code_size);
int64_t eth_frame_gas(const struct eth_frame *);
/* 0, or EVMC_OUT_OF_GAS, which ends the contract. */
int eth_frame_charge(struct eth_frame *, uint64_t gas);
/* Frees a result's output that is ours. */
void eth_release_output(const struct evmc_result *);
/* Give the last call's result back to the host. */
void eth_frame_drop_returned(struct eth_frame *);
static inline bool eth_frame_is_static(const struct eth_frame *f)
{
    return (f->msg->flags & EVMC_STATIC) != 0;
}

/* ---- Functions for contracts (eei*.c) ---- */

/* 0, or the status with which the contract ends. */
typedef int eth_fn(struct eth_frame *, const ssvm_val *arg, ssvm_val *ret);
struct eth_func {
    const char *name;
    eth_fn *fn;
    const char *sig;
    uint32_t gas;
};
extern const struct eth_func eth_funcs[];
extern const size_t eth_nfuncs;
/* Define them; the frame is the data of the store that calls one. Returns a status code. */
int eth_define(ssvm_linker *);
#define EEI(name, fn, sig, gas, doc) eth_fn eth_##fn;
#include "evmc/eei.def"
#undef EEI

/* The contract's memory: *ret points to [ptr, ptr + len). 0 or EVMC_INVALID_MEMORY_ACCESS. */
int eth_slice(struct eth_frame *, const ssvm_val *ptr, uint64_t len, void *ret);
/* Numbers of `len` bytes, least significant first in memory, 32 the other way round in EVMC. */
void eth_read_number(const uint8_t *in, size_t len, evmc_uint256be *ret);
/* EVMC_ARGUMENT_OUT_OF_RANGE where it does not fit. */
int eth_write_number(const evmc_uint256be *, uint8_t *out, size_t len);
bool eth_is_zero(const void *bytes, size_t len);
/* Gas of copying: 3 per 32 bytes begun. */
static inline uint64_t eth_copy_gas(uint64_t len)
{
    return (len + 31) / 32 * 3;
}
void eth_keccak256(const void *bytes, size_t len, uint8_t ret[32]);

#endif
