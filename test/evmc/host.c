#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define CREATE_NONCE_AT 12 /* where the address of a new contract has its creator's nonce */

static struct host *host_of(struct evmc_host_context *c)
{
    return (struct host *)c;
}

/* ---- Loading ---- */

/* "libssvm-evmc.so.1" to "evmc_create_ssvm_evmc": no folder, no "lib", nothing from the first dot
 * on, hyphens as underscores. */
static void create_name(const char *path, char *ret, size_t size)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

    if (strncmp(base, "lib", 3) == 0)
        base += 3;
    snprintf(ret, size, "evmc_create_%s", base);
    ret[strcspn(ret, ".")] = 0;
    for (char *p = ret; *p; p++) {
        if (*p == '-')
            *p = '_';
    }
}

struct evmc_vm *host_load(const char *path)
{
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    struct evmc_vm *(*create)(void);
    struct evmc_vm *vm;
    char name[128];

    if (!library) {
        printf("%s\n", dlerror());
        return NULL;
    }
    create_name(path, name, sizeof name);
    *(void **)&create = dlsym(library, name);
    if (!create)
        *(void **)&create = dlsym(library, "evmc_create");
    vm = create ? create() : NULL;
    if (!vm)
        printf("%s: no function %s, or it made nothing\n", path, name);
    else if (vm->abi_version != EVMC_ABI_VERSION)
        printf("%s: ABI version %d\n", path, vm->abi_version);
    else if (!vm->name || !vm->name[0] || !vm->version || !vm->version[0] || !vm->destroy ||
             !vm->execute || !vm->get_capabilities)
        printf("%s: something is missing\n", path);
    else if (!(vm->get_capabilities(vm) & EVMC_CAPABILITY_EWASM))
        printf("%s: it cannot run wasm\n", path);
    else
        return vm;
    return NULL;
}

/* ---- State ---- */

evmc_address host_address(uint8_t n)
{
    return (evmc_address){{[0] = 0x10, [19] = n}};
}

uint64_t host_number(const evmc_uint256be *n)
{
    uint64_t v = 0;

    for (int i = 24; i < 32; i++)
        v = v << 8 | n->bytes[i];
    return v;
}

evmc_uint256be host_word(uint64_t v)
{
    evmc_uint256be n = {{0}};

    for (int i = 31; i >= 24; i--, v >>= 8)
        n.bytes[i] = (uint8_t)v;
    return n;
}

static struct account *find(struct host *h, const evmc_address *a)
{
    for (unsigned i = 0; i < h->state.naccounts; i++) {
        if (memcmp(&h->state.accounts[i].address, a, sizeof *a) == 0)
            return &h->state.accounts[i];
    }
    return NULL;
}

struct account *host_account(struct host *h, const evmc_address *a)
{
    struct account *found = find(h, a);

    if (found || h->state.naccounts == ACCOUNTS_MAX)
        return found ? found : &h->state.accounts[ACCOUNTS_MAX - 1];
    found = &h->state.accounts[h->state.naccounts++];
    memset(found, 0, sizeof *found);
    found->there = true;
    found->address = *a;
    return found;
}

void host_put_code(struct host *h, const evmc_address *a, const uint8_t *code, size_t size)
{
    struct account *account = host_account(h, a);
    uint8_t *copy = malloc(size ? size : 1);

    if (size)
        memcpy(copy, code, size);
    h->codes = realloc(h->codes, (h->ncodes + 1) * sizeof *h->codes);
    h->codes[h->ncodes++] = copy;
    account->code = copy;
    account->code_size = size;
}

void host_init(struct host *h, struct evmc_vm *vm)
{
    memset(h, 0, sizeof *h);
    h->vm = vm;
    h->tx = (struct evmc_tx_context){.tx_gas_price = host_word(7),
                                     .tx_origin = host_address(0xee),
                                     .block_coinbase = host_address(0xcb),
                                     .block_number = 1000,
                                     .block_timestamp = 1600000000,
                                     .block_gas_limit = 30000000,
                                     .block_prev_randao = host_word(UINT64_C(0x1122334455667788)),
                                     .chain_id = host_word(1)};
}

void host_release(struct host *h)
{
    for (unsigned i = 0; i < h->ncodes; i++)
        free(h->codes[i]);
    free(h->codes);
}

void host_release_result(struct evmc_result *r)
{
    if (r->release)
        r->release(r);
    memset(r, 0, sizeof *r);
}

/* ---- The interface ---- */

static bool account_exists(struct evmc_host_context *c, const evmc_address *a)
{
    return find(host_of(c), a) != NULL;
}

static struct slot *find_slot(struct account *a, const evmc_bytes32 *key)
{
    for (unsigned i = 0; a && i < a->nslots; i++) {
        if (memcmp(&a->slots[i].key, key, sizeof *key) == 0)
            return &a->slots[i];
    }
    return NULL;
}

static evmc_bytes32 get_storage(struct evmc_host_context *c, const evmc_address *a,
                                const evmc_bytes32 *key)
{
    struct slot *s = find_slot(find(host_of(c), a), key);

    return s ? s->value : (evmc_bytes32){{0}};
}

static enum evmc_storage_status set_storage(struct evmc_host_context *c, const evmc_address *a,
                                            const evmc_bytes32 *key, const evmc_bytes32 *value)
{
    struct account *account = host_account(host_of(c), a);
    struct slot *s = find_slot(account, key);

    if (!s && account->nslots < SLOTS_MAX) {
        s = &account->slots[account->nslots++];
        s->key = *key;
    }
    if (s)
        s->value = *value;
    return EVMC_STORAGE_MODIFIED;
}

static evmc_uint256be get_balance(struct evmc_host_context *c, const evmc_address *a)
{
    struct account *account = find(host_of(c), a);
    evmc_uint256be n = host_word(account ? account->balance : 0);

    if (host_of(c)->nonsense == BALANCE_HUGE)
        n.bytes[15] = 1;
    return n;
}

static size_t get_code_size(struct evmc_host_context *c, const evmc_address *a)
{
    struct account *account = find(host_of(c), a);

    if (host_of(c)->nonsense == CODE_SIZE_HUGE)
        return (size_t)UINT32_MAX + 10;
    return account ? account->code_size : 0;
}

static evmc_bytes32 get_code_hash(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    (void)a;
    return (evmc_bytes32){{0}};
}

static size_t copy_code(struct evmc_host_context *c, const evmc_address *a, size_t offset,
                        uint8_t *buffer, size_t size)
{
    struct account *account = find(host_of(c), a);
    size_t n = account && offset < account->code_size ? account->code_size - offset : 0;

    if (n > size)
        n = size;
    if (n)
        memcpy(buffer, account->code + offset, n);
    return host_of(c)->nonsense == COPY_TOO_MUCH ? size + 1 : n;
}

static bool selfdestruct(struct evmc_host_context *c, const evmc_address *a, const evmc_address *to)
{
    struct account *from = host_account(host_of(c), a);
    bool first = !from->destroyed;
    uint64_t all = from->balance;

    from->balance = 0;
    host_account(host_of(c), to)->balance += all;
    from->destroyed = true;
    return first;
}

static struct evmc_tx_context get_tx_context(struct evmc_host_context *c)
{
    struct evmc_tx_context tx = host_of(c)->tx;

    if (host_of(c)->nonsense == CONTEXT_NEGATIVE) {
        tx.block_number = tx.block_timestamp = tx.block_gas_limit = INT64_MIN;
        memset(&tx.tx_gas_price, 0xff, sizeof tx.tx_gas_price);
        memset(&tx.chain_id, 0xff, sizeof tx.chain_id);
    }
    return tx;
}

static evmc_bytes32 get_block_hash(struct evmc_host_context *c, int64_t number)
{
    (void)c;
    return number % 10 ? host_word((uint64_t)number) : (evmc_bytes32){{0}};
}

static void emit_log(struct evmc_host_context *c, const evmc_address *a, const uint8_t *data,
                     size_t size, const evmc_bytes32 topics[], size_t ntopics)
{
    struct state *s = &host_of(c)->state;
    struct record *r;

    if (s->nrecords == RECORDS_MAX)
        return;
    r = &s->records[s->nrecords++];
    r->address = *a;
    r->size = size;
    r->ntopics = ntopics;
    memcpy(r->topics, topics, ntopics * sizeof topics[0]);
    if (size)
        memcpy(r->data, data, size < sizeof r->data ? size : sizeof r->data);
}

static enum evmc_access_status access_account(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    (void)a;
    return EVMC_ACCESS_COLD;
}

static enum evmc_access_status access_storage(struct evmc_host_context *c, const evmc_address *a,
                                              const evmc_bytes32 *key)
{
    (void)c;
    (void)a;
    (void)key;
    return EVMC_ACCESS_COLD;
}

/* ---- Messages ---- */

/* The creator, its nonce and the salt: unlike the chain's, but as much their function. */
static evmc_address new_address(const struct evmc_message *m, uint64_t nonce)
{
    evmc_address a = m->sender;

    a.bytes[0] = m->kind == EVMC_CREATE2 ? 0xc2 : 0xc1;
    for (int i = 0; i < 8; i++)
        a.bytes[CREATE_NONCE_AT + i] ^= m->kind == EVMC_CREATE2 ? m->create2_salt.bytes[24 + i]
                                                                : (uint8_t)(nonce >> 8 * (7 - i));
    return a;
}

static bool is_create(const struct evmc_message *m)
{
    return m->kind == EVMC_CREATE || m->kind == EVMC_CREATE2;
}

static struct evmc_result run(struct host *h, const struct evmc_message *m)
{
    const uint8_t *code = m->input_data;
    size_t code_size = m->input_size;
    struct evmc_message inner = *m;
    struct account *account;

    if (is_create(m)) {
        inner.input_data = NULL;
        inner.input_size = 0;
    } else {
        account = find(h, &m->code_address);
        code = account ? account->code : NULL;
        code_size = account ? account->code_size : 0;
        if (code_size == 0)
            return (struct evmc_result){.status_code = EVMC_SUCCESS, .gas_left = m->gas};
    }
    return h->vm->execute(h->vm, &host_interface, (struct evmc_host_context *)h, EVMC_CANCUN,
                          &inner, code, code_size);
}

static bool move_value(struct host *h, const struct evmc_message *m)
{
    uint64_t value = host_number(&m->value);
    struct account *from;

    if (m->kind == EVMC_DELEGATECALL || m->kind == EVMC_CALLCODE || value == 0)
        return true;
    from = host_account(h, &m->sender);
    if (from->balance < value)
        return false;
    from->balance -= value;
    host_account(h, &m->recipient)->balance += value;
    return true;
}

struct evmc_result host_message(struct host *h, const struct evmc_message *m)
{
    struct state *before = malloc(sizeof *before);
    struct evmc_message msg = *m;
    struct evmc_result r;

    h->calls++;
    if (m->depth > h->deepest)
        h->deepest = m->depth;
    if (is_create(m))
        msg.recipient = msg.code_address = new_address(m, host_account(h, &m->sender)->nonce++);
    memcpy(before, &h->state, sizeof *before);
    if (!move_value(h, &msg))
        r = (struct evmc_result){.status_code = EVMC_INSUFFICIENT_BALANCE};
    else
        r = run(h, &msg);
    if (r.status_code != EVMC_SUCCESS) {
        memcpy(&h->state, before, sizeof *before);
    } else if (is_create(m)) {
        host_put_code(h, &msg.recipient, r.output_data, r.output_size);
        r.create_address = msg.recipient;
    }
    free(before);
    if (r.output_size > h->returned_max)
        h->returned_max = r.output_size;
    return r;
}

/* A call by a contract, whose result may be made wrong. */
static struct evmc_result call(struct evmc_host_context *c, const struct evmc_message *m)
{
    struct host *h = host_of(c);
    struct evmc_result r = host_message(h, m);

    switch (h->nonsense) {
    case GAS_TOO_MUCH:
        r.gas_left = INT64_MAX;
        break;
    case GAS_NEGATIVE:
        r.gas_left = INT64_MIN;
        break;
    case OUTPUT_MISSING:
        host_release_result(&r);
        r.output_size = SIZE_MAX;
        break;
    case STATUS_UNKNOWN:
        r.status_code = (enum evmc_status_code)12345;
        break;
    case STATUS_INTERNAL:
        r.status_code = EVMC_INTERNAL_ERROR;
        break;
    case STATUS_MEMORY:
        r.status_code = EVMC_OUT_OF_MEMORY;
        break;
    case STATUS_REJECTED:
        r.status_code = EVMC_REJECTED;
        break;
    case REFUND_HUGE:
        r.gas_refund = INT64_MAX;
        break;
    default:
        break;
    }
    return r;
}

const struct evmc_host_interface host_interface = {.account_exists = account_exists,
                                                   .get_storage = get_storage,
                                                   .set_storage = set_storage,
                                                   .get_balance = get_balance,
                                                   .get_code_size = get_code_size,
                                                   .get_code_hash = get_code_hash,
                                                   .copy_code = copy_code,
                                                   .selfdestruct = selfdestruct,
                                                   .call = call,
                                                   .get_tx_context = get_tx_context,
                                                   .get_block_hash = get_block_hash,
                                                   .emit_log = emit_log,
                                                   .access_account = access_account,
                                                   .access_storage = access_storage};
