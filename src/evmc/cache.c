/* Contracts that were checked, by the hash of their code. */
#include <string.h>

#include "base/sha256.h"
#include "evmc/eth.h"

#define CONTRACTS_MAX 1024
#define CONTRACT_BYTES 16384 /* what one takes beside its code, roughly */

static uint64_t weight(const struct eth_contract *c)
{
    return c->code_size + (uint64_t)CONTRACT_BYTES;
}

/* With the mutex; NULL: not kept. */
static struct eth_contract *find(struct eth_vm *vm, const uint8_t hash[32])
{
    for (struct eth_contract **p = &vm->contracts, *c; (c = *p); p = &c->next) {
        if (memcmp(c->hash, hash, sizeof c->hash) == 0) {
            *p = c->next;
            c->next = vm->contracts;
            vm->contracts = c;
            c->users++;
            return c;
        }
    }
    return NULL;
}

/* Takes out, and gives as a list, those used longest ago that are too many. With the mutex. */
static struct eth_contract *take_old(struct eth_vm *vm)
{
    struct eth_contract **p = &vm->contracts, *old = NULL, *c;
    uint64_t bytes = 0;
    unsigned n = 0;

    while ((c = *p)) {
        bytes += weight(c);
        if (++n <= CONTRACTS_MAX && bytes <= vm->options.cache_bytes) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        vm->kept_bytes -= weight(c);
        c->next = NULL;
        if (--c->users == 0) {
            c->next = old;
            old = c;
        }
    }
    return old;
}

static void delete_all(own struct eth_contract *c)
{
    while (c) {
        struct eth_contract *next = c->next;

        eth_contract_delete(c);
        c = next;
    }
}

/* Keeps `c`, unless another thread has kept the same code: then that one is used. */
static struct eth_contract *keep(struct eth_vm *vm, own struct eth_contract *c)
{
    struct eth_contract *old = NULL, *there;

    pthread_mutex_lock(&vm->mutex);
    there = find(vm, c->hash);
    if (!there) {
        c->users = 2;
        c->next = vm->contracts;
        vm->contracts = c;
        vm->kept_bytes += weight(c);
        if (vm->kept_bytes > vm->options.cache_bytes ||
            vm->kept_bytes > CONTRACTS_MAX * (uint64_t)CONTRACT_BYTES)
            old = take_old(vm);
    }
    pthread_mutex_unlock(&vm->mutex);
    delete_all(old);
    if (there)
        eth_contract_delete(c);
    return there ? there : c;
}

int eth_contract_find(struct eth_vm *vm, const uint8_t *code, size_t code_size,
                      struct eth_contract **ret)
{
    struct eth_contract *c;
    ssvm_engine *engine = NULL;
    uint8_t hash[32];
    int r;

    sv_sha256(code, code_size, hash);
    pthread_mutex_lock(&vm->mutex);
    c = find(vm, hash);
    if (!c)
        engine = eth_vm_engine(vm);
    pthread_mutex_unlock(&vm->mutex);
    if (!c) {
        if (!engine)
            return EVMC_INTERNAL_ERROR;
        r = eth_contract_make(engine, code, code_size, &c);
        if (r != 0)
            return r;
        memcpy(c->hash, hash, sizeof hash);
        c = keep(vm, c);
    }
    *ret = c;
    return 0;
}

void eth_contract_release(struct eth_vm *vm, struct eth_contract *c)
{
    bool last;

    if (!c)
        return;
    pthread_mutex_lock(&vm->mutex);
    last = --c->users == 0;
    pthread_mutex_unlock(&vm->mutex);
    if (last)
        eth_contract_delete(c);
}

void eth_contract_forget(struct eth_vm *vm)
{
    delete_all(vm->contracts);
    vm->contracts = NULL;
    vm->kept_bytes = 0;
}
