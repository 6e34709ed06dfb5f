/* A token (ERC-20) as a contract in wasm:
 *
 *     clang --target=wasm32 -O2 -nostdlib -Isdk/c examples/ethereum/erc20.c -o erc20.wasm \
 *         -Wl,--no-entry,--export=main,-z,stack-size=4096
 *     clang --target=wasm32 -O2 -nostdlib -std=c23 -Isdk/c -DRUNTIME='"erc20.wasm"' \
 *         examples/ethereum/deploy.c -o deploy.wasm -Wl,--no-entry,--export=main
 *
 * deploy.wasm is what a transaction without a recipient carries: it gives all tokens to its sender,
 * and erc20.wasm to the chain. */
#include "erc20.h"

#define SELECTOR(a, b, c, d) ((uint32_t)a << 24 | b << 16 | c << 8 | d)
#define TOTAL_SUPPLY SELECTOR(0x18, 0x16, 0x0d, 0xdd)
#define BALANCE_OF SELECTOR(0x70, 0xa0, 0x82, 0x31)
#define ALLOWANCE SELECTOR(0xdd, 0x62, 0xed, 0x3e)
#define TRANSFER SELECTOR(0xa9, 0x05, 0x9c, 0xbb)
#define APPROVE SELECTOR(0x09, 0x5e, 0xa7, 0xb3)
#define TRANSFER_FROM SELECTOR(0x23, 0xb8, 0x72, 0xdd)

/* keccak256("Transfer(address,address,uint256)") and that of Approval */
static const uint8_t transfer_topic[32] = {
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa,
    0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef};
static const uint8_t approval_topic[32] = {
    0x8c, 0x5b, 0xe1, 0xe5, 0xeb, 0xec, 0x7d, 0x5b, 0xd1, 0x4f, 0x71, 0x42, 0x7d, 0x1e, 0x84, 0xf3,
    0xdd, 0x03, 0x14, 0xc0, 0xf7, 0xb2, 0x29, 0x1e, 0x5b, 0x20, 0x0a, 0xc8, 0xc7, 0xc3, 0xb9, 0x25};

/* a += b, or a -= b, of numbers with the most significant byte first; 1 when it does not fit. */
static int add(uint8_t a[32], const uint8_t b[32])
{
    unsigned carry = 0;

    for (int i = 31; i >= 0; i--) {
        carry += (unsigned)a[i] + b[i];
        a[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return (int)carry;
}

static int subtract(uint8_t a[32], const uint8_t b[32])
{
    int borrow = 0;

    for (int i = 31; i >= 0; i--) {
        int d = a[i] - b[i] - borrow;

        borrow = d < 0;
        a[i] = (uint8_t)d;
    }
    return borrow;
}

static void move(const uint8_t from[32], const uint8_t to[32], const uint8_t amount[32])
{
    uint8_t key[32], balance[32];

    balance_key(from, key);
    eth_storage_load(key, balance);
    if (subtract(balance, amount))
        eth_revert("balance", 7);
    eth_storage_store(key, balance);
    balance_key(to, key);
    eth_storage_load(key, balance);
    if (add(balance, amount))
        eth_revert("overflow", 8);
    eth_storage_store(key, balance);
    eth_log(amount, 32, 3, transfer_topic, from, to, 0);
}

static void give(const uint8_t key[32])
{
    uint8_t value[32];

    eth_storage_load(key, value);
    eth_finish(value, 32);
}

static void give_true(void)
{
    static const uint8_t yes[32] = {[31] = 1};

    eth_finish(yes, 32);
}

/* How much `spender` may move of the owner's: at the hash of both. */
static void allowance_key(const uint8_t owner[32], const uint8_t spender[32], uint8_t ret[32])
{
    uint8_t both[64];

    __builtin_memcpy(both, owner, 32);
    __builtin_memcpy(both + 32, spender, 32);
    eth_keccak256(both, sizeof both, ret);
}

static void transfer_from(const uint8_t caller[32], const uint8_t *args)
{
    uint8_t key[32], allowed[32];

    allowance_key(args, caller, key);
    eth_storage_load(key, allowed);
    if (subtract(allowed, args + 64))
        eth_revert("allowance", 9);
    eth_storage_store(key, allowed);
    move(args, args + 32, args + 64);
    give_true();
}

void main(void)
{
    uint8_t data[4 + 96] = {0}, caller[32] = {0}, key[32];
    uint32_t len = eth_call_data_size(), selector;
    const uint8_t *args = data + 4;

    if (len < 4 || len > sizeof data)
        eth_revert("data", 4);
    eth_call_data_copy(data, 0, len);
    eth_caller(caller + 12);
    selector = SELECTOR(data[0], data[1], data[2], data[3]);
    if (selector == TOTAL_SUPPLY) {
        give(supply_key);
    } else if (selector == BALANCE_OF && len == 36) {
        balance_key(args, key);
        give(key);
    } else if (selector == TRANSFER && len == 68) {
        move(caller, args, args + 32);
        give_true();
    } else if (selector == ALLOWANCE && len == 68) {
        allowance_key(args, args + 32, key);
        give(key);
    } else if (selector == APPROVE && len == 68) {
        allowance_key(caller, args, key);
        eth_storage_store(key, args + 32);
        eth_log(args + 32, 32, 3, approval_topic, caller, args, 0);
        give_true();
    } else if (selector == TRANSFER_FROM && len == 100) {
        transfer_from(caller, args);
    }
    eth_revert("function", 8);
}
