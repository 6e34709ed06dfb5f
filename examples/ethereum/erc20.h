/* Where the token keeps what it knows: what its initialiser writes and the contract reads. */
#ifndef ERC20_H
#define ERC20_H

#include "ssvm_ethereum.h"

static const uint8_t supply_key[32] = {[31] = 1};

/* A balance is at the hash of its owner's address (as 32 bytes) and a number of its own. */
static inline void balance_key(const uint8_t owner[32], uint8_t ret[32])
{
    uint8_t both[64] = {[63] = 2};

    __builtin_memcpy(both, owner, 32);
    eth_keccak256(both, sizeof both, ret);
}

#endif
