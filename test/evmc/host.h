/* An Ethereum client small enough for tests: accounts, storage, nested calls that are undone when
 * they fail, records; no blocks, no signatures. Speaks EVMC 12 to a machine that it loads by the
 * rules of EVMC's loader. */
#ifndef TEST_EVMC_HOST_H
#define TEST_EVMC_HOST_H

#include "evmc/abi.h"

#define SLOTS_MAX 24
#define ACCOUNTS_MAX 16
#define RECORDS_MAX 16

struct slot {
    evmc_bytes32 key, value;
};
struct account {
    bool there, destroyed;
    evmc_address address;
    uint64_t balance, nonce;
    const uint8_t *code; /* lives as long as the host */
    size_t code_size;
    struct slot slots[SLOTS_MAX];
    unsigned nslots;
};
struct record {
    evmc_address address;
    evmc_bytes32 topics[4];
    size_t ntopics, size;
    uint8_t data[256];
};
/* What a failed call undoes. */
struct state {
    struct account accounts[ACCOUNTS_MAX];
    unsigned naccounts;
    struct record records[RECORDS_MAX];
    unsigned nrecords;
};
/* Ways in which a host may be wrong, one at a time. */
enum nonsense {
    NO_NONSENSE,
    GAS_TOO_MUCH,     /* a call returns more gas than it had */
    GAS_NEGATIVE,     /* ... less than none */
    OUTPUT_MISSING,   /* ... a size without bytes */
    STATUS_UNKNOWN,   /* ... a status that nobody knows */
    STATUS_INTERNAL,  /* ... that the machine failed */
    STATUS_MEMORY,    /* ... that there was no memory */
    STATUS_REJECTED,  /* ... that the code is none */
    REFUND_HUGE,      /* ... a refund near the largest number */
    COPY_TOO_MUCH,    /* more code was copied than asked for */
    CODE_SIZE_HUGE,   /* an account has more code than 32 bits tell */
    BALANCE_HUGE,     /* an account has more than 128 bits tell */
    CONTEXT_NEGATIVE, /* numbers of the block below 0, prices above 128 bits */
    NONSENSE_COUNT
};
/* A host; what the machine knows as evmc_host_context. */
struct host {
    struct evmc_vm *vm;
    struct state state;
    enum nonsense nonsense;
    struct evmc_tx_context tx;
    unsigned calls;      /* of the machine's, to be made */
    int deepest;         /* of messages */
    size_t returned_max; /* bytes */
    uint8_t **codes;     /* all that were deployed, to be freed */
    unsigned ncodes;
};

extern const struct evmc_host_interface host_interface;

/* Loads `path`, finds the function that makes a machine, and checks what it says of itself. NULL:
 * it is none, and why is printed. */
struct evmc_vm *host_load(const char *path);
void host_init(struct host *, struct evmc_vm *);
void host_release(struct host *);
/* The account, made if it is not there. */
struct account *host_account(struct host *, const evmc_address *);
/* Puts code at an address, as if it had been deployed. */
void host_put_code(struct host *, const evmc_address *, const uint8_t *code, size_t size);
/* A message from outside, or from a contract. The result is the caller's to release. */
struct evmc_result host_message(struct host *, const struct evmc_message *);
void host_release_result(struct evmc_result *);

evmc_address host_address(uint8_t n);         /* 0x1000..n, for tests */
uint64_t host_number(const evmc_uint256be *); /* the low 64 bits */
evmc_uint256be host_word(uint64_t);

#endif
