/* The token of examples/ethereum: deployed by a transaction, used, its gas counted by hand. */
#include <stdlib.h>

#include "test.h"

#define TRANSFER 0xa9059cbb
#define BALANCE_OF 0x70a08231
#define TOTAL_SUPPLY 0x18160ddd
#define APPROVE 0x095ea7b3
#define ALLOWANCE 0xdd62ed3e
#define TRANSFER_FROM 0x23b872dd

/* What functions of eei.def cost in it. */
#define KECCAK (700 + 3 * 2) /* of 64 bytes */
#define COPY_WORD (3 + 3)
#define KEY (KECCAK + COPY_WORD)
#define LOAD 200
#define STORE 5000
#define STORE_NEW (5000 + 15000)
#define LOG (375 + 3 * 375 + 8 * 32)
#define START(bytes)                                                                               \
    (2 + 3 + 3 * (((bytes) + 31) / 32) + 2) /* getCallDataSize, callDataCopy, getCaller */

struct token {
    struct host h;
    evmc_address address;
};

struct answer {
    int status;
    int64_t used;
    size_t size;
    uint8_t bytes[32];
};

static struct answer ask(struct token *t, uint8_t who, uint32_t selector, int nargs,
                         const evmc_uint256be *args)
{
    uint8_t data[4 + 3 * 32];
    struct evmc_message m = {.kind = EVMC_CALL,
                             .gas = 1000000,
                             .recipient = t->address,
                             .code_address = t->address,
                             .sender = host_address(who),
                             .input_data = data,
                             .input_size = 4 + 32 * (size_t)nargs};
    struct answer a = {0};
    struct evmc_result r;

    for (int i = 0; i < 4; i++)
        data[i] = (uint8_t)(selector >> (24 - 8 * i));
    for (int i = 0; i < nargs; i++)
        memcpy(data + 4 + 32 * i, &args[i], 32);
    r = host_message(&t->h, &m);
    a.status = r.status_code;
    a.used = m.gas - r.gas_left;
    a.size = r.output_size;
    if (r.output_size)
        memcpy(a.bytes, r.output_data, r.output_size < 32 ? r.output_size : 32);
    host_release_result(&r);
    return a;
}

static evmc_uint256be word_of(uint8_t who)
{
    evmc_address a = host_address(who);
    evmc_uint256be w = {{0}};

    memcpy(w.bytes + 12, &a, sizeof a);
    return w;
}

static uint64_t balance_of(struct token *t, uint8_t who)
{
    evmc_uint256be args[] = {word_of(who)}, n;
    struct answer a = ask(t, 2, BALANCE_OF, 1, args);

    CHECK_EQ(a.status, EVMC_SUCCESS);
    CHECK_EQ(a.used, START(36) + KEY + LOAD);
    memcpy(&n, a.bytes, 32);
    return host_number(&n);
}

static void deploy(struct token *t, struct evmc_vm *vm)
{
    struct evmc_message m = {.kind = EVMC_CREATE,
                             .gas = 1000000,
                             .sender = host_address(2),
                             .input_data = test_deploy.bytes,
                             .input_size = test_deploy.size};
    struct evmc_result r;

    host_init(&t->h, vm);
    r = host_message(&t->h, &m);
    CHECK_EQ(r.status_code, EVMC_SUCCESS);
    CHECK_EQ(m.gas - r.gas_left, 2 + KEY + 2 * STORE_NEW);
    t->address = r.create_address;
    host_release_result(&r);
}

static void check_transfer(struct token *t)
{
    evmc_uint256be args[] = {word_of(4), host_word(1000)};
    const struct record *record;
    struct answer a = ask(t, 2, TRANSFER, 2, args);

    /* Two balances, of which the second is new, and a record. */
    CHECK_EQ(a.status, EVMC_SUCCESS);
    CHECK_EQ(a.used, START(68) + 2 * (KEY + LOAD) + STORE + STORE_NEW + LOG);
    CHECK_EQ(a.used, 28596); /* the same, added up on paper */
    CHECK(a.size == 32 && a.bytes[31] == 1);
    CHECK_EQ(balance_of(t, 4), 1000);
    CHECK_EQ(t->h.state.nrecords, 1);
    record = &t->h.state.records[0];
    CHECK_EQ(record->ntopics, 3);
    CHECK(record->topics[0].bytes[0] == 0xdd && record->topics[0].bytes[31] == 0xef);
    CHECK(memcmp(&record->topics[2], &args[0], 32) == 0);
    CHECK(record->size == 32 && memcmp(record->data, &args[1], 32) == 0);
    a = ask(t, 2, TRANSFER, 2, args); /* now both are there */
    CHECK_EQ(a.used, START(68) + 2 * (KEY + LOAD) + 2 * STORE + LOG);
    CHECK_EQ(balance_of(t, 4), 2000);
}

static void check_too_much(struct token *t)
{
    evmc_uint256be args[] = {word_of(5), host_word(2001)};
    struct answer a = ask(t, 4, TRANSFER, 2, args);

    CHECK_EQ(a.status, EVMC_REVERT);
    CHECK(a.size == 7 && memcmp(a.bytes, "balance", 7) == 0);
    CHECK_EQ(a.used, START(68) + KEY + LOAD); /* a revert gives the rest back */
    CHECK_EQ(balance_of(t, 4), 2000);
    CHECK_EQ(balance_of(t, 5), 0);
    memset(&args[1], 0xff, 32);
    CHECK_EQ(ask(t, 2, TRANSFER, 2, args).status, EVMC_REVERT);
    CHECK_EQ(ask(t, 2, 0x12345678, 2, args).status, EVMC_REVERT);
    CHECK_EQ(ask(t, 2, TRANSFER, 1, args).status, EVMC_REVERT);
}

static void check_allowance(struct token *t)
{
    evmc_uint256be approve[] = {word_of(6), host_word(500)};
    evmc_uint256be move[] = {word_of(4), word_of(5), host_word(300)};
    evmc_uint256be ask_for[] = {word_of(4), word_of(6)};
    struct answer a = ask(t, 4, APPROVE, 2, approve);

    CHECK_EQ(a.status, EVMC_SUCCESS);
    CHECK_EQ(a.used, START(68) + KEY + STORE_NEW + LOG);
    a = ask(t, 6, TRANSFER_FROM, 3, move);
    CHECK_EQ(a.status, EVMC_SUCCESS);
    CHECK_EQ(a.used, START(100) + 3 * (KEY + LOAD) + 2 * STORE + STORE_NEW + LOG);
    a = ask(t, 6, ALLOWANCE, 2, ask_for);
    CHECK(a.size == 32 && a.bytes[31] == 200);
    a = ask(t, 6, TRANSFER_FROM, 3, move); /* 200 are left */
    CHECK_EQ(a.status, EVMC_REVERT);
    CHECK_EQ(balance_of(t, 5), 300);
    CHECK_EQ(balance_of(t, 4), 1700);
    a = ask(t, 6, TOTAL_SUPPLY, 0, NULL);
    CHECK(a.size == 32 && a.bytes[22] == 0xd3 && a.bytes[23] == 0xc2);
}

void test_token_contract(struct evmc_vm *vm)
{
    struct token *t = calloc(1, sizeof *t);

    deploy(t, vm);
    check_transfer(t);
    check_too_much(t);
    check_allowance(t);
    host_release(&t->h);
    free(t);
}
