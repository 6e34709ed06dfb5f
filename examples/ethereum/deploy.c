/* The token's initialiser: gives a million tokens (of 10^18 parts) to who sends it, and the
 * contract's code to the chain. See erc20.c. */
#include "erc20.h"

static const uint8_t runtime[] = {
#embed RUNTIME
};
/* 10^24 */
static const uint8_t supply[32] = {[22] = 0xd3, 0xc2, 0x1b, 0xce, 0xcc, 0xed, 0xa1, 0, 0, 0};

void main(void)
{
    uint8_t owner[32] = {0}, key[32];

    eth_caller(owner + 12);
    balance_key(owner, key);
    eth_storage_store(key, supply);
    eth_storage_store(supply_key, supply);
    eth_finish(runtime, sizeof runtime);
}
