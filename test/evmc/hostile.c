/* Contracts that want to break out or never to end, and hosts that talk nonsense. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "test.h"

#define TO SCRATCH
#define VALUE (SCRATCH + 0x20)

static long peak_kib(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* ---- Without end ---- */

/* A contract that calls itself with all of its gas: 1024 calls deep it cannot. */
static void check_depth(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_number(s, DEEP, INT64_MAX, 8);
    r = probe_run(&h, s, INT64_MAX, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(h.deepest, 1024);
    CHECK_EQ(h.calls, 1025);
    CHECK_EQ(run_number(&r, 0), 0);
    run_release(&r);
    /* With little gas it ends before. */
    h.deepest = 0;
    r = probe_run(&h, s, 100000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK(h.deepest > 20 && h.deepest < 1024);
    run_release(&r);
    host_release(&h);
    free(s);
}

/* The same on a thread whose stack cannot hold 1024 calls: the machine says so, and lives. */
static void *run_deep(void *arg)
{
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;

    probe_init(&h, arg);
    step_number(s, DEEP, INT64_MAX, 8);
    r = probe_run(&h, s, INT64_MAX, 0);
    CHECK_EQ(r.result.status_code, EVMC_INTERNAL_ERROR);
    CHECK(h.deepest > 20 && h.deepest < 1024);
    run_release(&r);
    host_release(&h);
    free(s);
    return NULL;
}

static void check_small_stack(struct evmc_vm *vm)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 << 10);
    CHECK_EQ(pthread_create(&thread, &attr, run_deep, vm), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

static struct run run_plain(struct evmc_vm *vm, enum step step, int64_t gas)
{
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_plain(s, step);
    r = probe_run(&h, s, gas, 0);
    host_release(&h);
    free(s);
    return r;
}

static void check_traps(struct evmc_vm *vm)
{
    struct run r = run_plain(vm, UNREACHABLE, 1000);

    CHECK_EQ(r.result.status_code, EVMC_WASM_UNREACHABLE_INSTRUCTION);
    CHECK_EQ(r.result.gas_left, 0);
    CHECK(!r.result.release && !r.result.output_data);
    run_release(&r);
    r = run_plain(vm, DIVE, 1000);
    CHECK_EQ(r.result.status_code, EVMC_WASM_TRAP);
    CHECK_EQ(r.result.gas_left, 0);
    run_release(&r);
    r = run_plain(vm, RETURN, 1000);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(r.result.gas_left, 1000 - 2 - 3 - 3);
    CHECK_EQ(r.result.output_size, 0);
    run_release(&r);
}

/* Instructions cost gas where the client wants it: then nothing runs for ever. */
static void check_instruction_gas(struct evmc_vm *vm)
{
    struct run r, again;

    CHECK_EQ(vm->set_option(vm, "instruction-gas", "on"), EVMC_SET_OPTION_SUCCESS);
    r = run_plain(vm, LOOP, 10000000);
    CHECK_EQ(r.result.status_code, EVMC_OUT_OF_GAS);
    CHECK_EQ(r.result.gas_left, 0);
    run_release(&r);
    r = run_plain(vm, RETURN, 10000000);
    again = run_plain(vm, RETURN, r.used);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK(r.used > 2 + 3 + 3);
    CHECK_EQ(again.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(again.result.gas_left, 0);
    run_release(&again);
    again = run_plain(vm, RETURN, r.used - 1);
    CHECK_EQ(again.result.status_code, EVMC_OUT_OF_GAS);
    run_release(&again);
    run_release(&r);
    r = run_plain(vm, RETURN, 0);
    CHECK_EQ(r.result.status_code, EVMC_OUT_OF_GAS);
    run_release(&r);
    CHECK_EQ(vm->set_option(vm, "instruction-gas", "off"), EVMC_SET_OPTION_SUCCESS);
}

/* The same where a callee loops: its caller goes on with a 64th. */
static void check_callee_loops(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    evmc_address self = host_address(1);
    uint8_t loop = LOOP;
    struct host h;
    struct run r;

    CHECK_EQ(vm->set_option(vm, "instruction-gas", "on"), EVMC_SET_OPTION_SUCCESS);
    probe_init(&h, vm);
    step_set(s, TO, &self, sizeof self);
    step_set(s, VALUE + 16, &loop, 1);
    step_call(s, FN_call, INT64_MAX, (int64_t)TO, (int64_t)VALUE, (int64_t)VALUE + 16, INT64_C(1));
    r = probe_run(&h, s, 10000000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(run_number(&r, 0), 1);
    CHECK(r.result.gas_left > 100000 && r.result.gas_left < 10000000 / 64);
    run_release(&r);
    host_release(&h);
    free(s);
    CHECK_EQ(vm->set_option(vm, "instruction-gas", "off"), EVMC_SET_OPTION_SUCCESS);
}

static void check_time(struct evmc_vm *vm)
{
    struct run r;

    CHECK_EQ(vm->set_option(vm, "time-ms", "50"), EVMC_SET_OPTION_SUCCESS);
    r = run_plain(vm, LOOP, 1000);
    CHECK_EQ(r.result.status_code, EVMC_INTERNAL_ERROR); /* not the contract's end: the machine's */
    CHECK_EQ(r.result.gas_left, 0);
    run_release(&r);
    CHECK_EQ(vm->set_option(vm, "time-ms", "0"), EVMC_SET_OPTION_SUCCESS);
}

/* ---- Memory ---- */

/* Each of 100 calls inside of calls wants 16 MiB; together they get what one transaction may. */
static void check_memory(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;
    long before;

    CHECK_EQ(vm->set_option(vm, "memory-bytes", "67108864"), EVMC_SET_OPTION_SUCCESS);
    probe_init(&h, vm);
    step_number(s, GROW, 2000, 4);
    r = probe_run(&h, s, 100000, 0);
    CHECK_EQ(run_number(&r, 0), -1);
    run_release(&r);
    s->n = 0;
    step_number(s, GROW, 256, 4);
    step_number(s, DEEP, INT64_MAX, 8);
    before = peak_kib();
    r = probe_run(&h, s, 10000000, 0);
    /* The last one that had no memory for itself ends all: it is no matter of the contract. */
    CHECK_EQ(r.result.status_code, EVMC_OUT_OF_MEMORY);
    CHECK(h.deepest > 50);
    CHECK(peak_kib() - before < 1 << 20);
    run_release(&r);
    host_release(&h);
    free(s);
    CHECK_EQ(vm->set_option(vm, "memory-bytes", "268435456"), EVMC_SET_OPTION_SUCCESS);
}

/* Returns as large as memory, again and again. */
static void check_huge_returns(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s), *inner = calloc(1, sizeof *inner);
    evmc_address self = host_address(1);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_number(inner, GROW, 1000, 4);
    step_call(inner, FN_finish, INT64_C(0), (int64_t)MEMORY_SIZE + 1000 * 65536);
    step_set(s, TO, &self, sizeof self);
    step_set(s, VALUE + 16, inner->bytes, (uint32_t)inner->n);
    for (int i = 0; i < 20; i++)
        step_call(s, FN_call, INT64_C(100000), (int64_t)TO, (int64_t)VALUE, (int64_t)VALUE + 16,
                  (int64_t)inner->n);
    step_call(s, FN_get_return_data_size);
    step_call(s, FN_return_data_copy, (int64_t)SCRATCH, (int64_t)MEMORY_SIZE + 1000 * 65536 - 8,
              INT64_C(8));
    r = probe_run(&h, s, 100000000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(run_number(&r, 20), MEMORY_SIZE + 1000 * 65536);
    CHECK_EQ(h.returned_max, MEMORY_SIZE + 1000 * 65536);
    CHECK(peak_kib() < 2 << 20);
    run_release(&r);
    host_release(&h);
    free(inner);
    free(s);
}

/* ---- Hosts ---- */

/* A call, then the gas that is left and what was returned. */
static struct run run_nonsense(struct evmc_vm *vm, enum nonsense nonsense)
{
    struct script *s = calloc(1, sizeof *s);
    evmc_address other = host_address(3);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    host_put_code(&h, &other, test_probe.bytes, test_probe.size);
    h.nonsense = nonsense;
    step_set(s, TO, &other, sizeof other);
    for (int i = 0; i < 2; i++)
        step_call(s, FN_call, INT64_C(50000), (int64_t)TO, (int64_t)VALUE, (int64_t)VALUE,
                  INT64_C(0));
    step_call(s, FN_get_gas_left);
    step_call(s, FN_get_return_data_size);
    r = probe_run(&h, s, 1000000, 0);
    host_release(&h);
    free(s);
    return r;
}

static void check_nonsense(struct evmc_vm *vm)
{
    static const struct {
        enum nonsense nonsense;
        enum evmc_status_code status;
        int64_t outcome, used_more; /* by a call; -1: ends at once */
    } rows[] = {{NO_NONSENSE, EVMC_SUCCESS, 0, 0},
                {GAS_TOO_MUCH, EVMC_SUCCESS, 0, -5}, /* as if it had used none */
                {GAS_NEGATIVE, EVMC_SUCCESS, 0, 50000 - 5},
                {OUTPUT_MISSING, EVMC_SUCCESS, 0, 50000 - 5},
                {STATUS_UNKNOWN, EVMC_SUCCESS, 1, 50000 - 5},
                {STATUS_REJECTED, EVMC_SUCCESS, 1, 50000 - 5},
                {STATUS_INTERNAL, EVMC_INTERNAL_ERROR, 0, 0},
                {STATUS_MEMORY, EVMC_OUT_OF_MEMORY, 0, 0},
                {REFUND_HUGE, EVMC_INTERNAL_ERROR, 0, 0}};
    int64_t usual = 0;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct run r = run_nonsense(vm, rows[i].nonsense);

        CHECK_EQ(r.result.status_code, rows[i].status);
        if (rows[i].nonsense == NO_NONSENSE)
            usual = r.used;
        if (rows[i].status == EVMC_SUCCESS) {
            CHECK_EQ(run_number(&r, 0), rows[i].outcome);
            CHECK_EQ(run_number(&r, 1), rows[i].outcome);
            CHECK_EQ(run_number(&r, 3), 0);
            CHECK_EQ(r.used, usual + 2 * rows[i].used_more);
        } else {
            CHECK_EQ(r.result.gas_left, 0);
            CHECK_EQ(r.result.gas_refund, 0);
        }
        run_release(&r);
    }
}

static void check_nonsense_values(struct evmc_vm *vm)
{
    static const struct {
        enum nonsense nonsense;
        enum function f;
        int64_t args[4];
        enum evmc_status_code status;
        int64_t result;
    } rows[] = {
        {BALANCE_HUGE, FN_get_external_balance, {TO, VALUE}, EVMC_ARGUMENT_OUT_OF_RANGE, 0},
        {CONTEXT_NEGATIVE, FN_get_tx_gas_price, {TO}, EVMC_ARGUMENT_OUT_OF_RANGE, 0},
        {CONTEXT_NEGATIVE, FN_get_chain_id, {TO}, EVMC_ARGUMENT_OUT_OF_RANGE, 0},
        {CONTEXT_NEGATIVE, FN_get_block_number, {0}, EVMC_SUCCESS, INT64_MIN},
        {CONTEXT_NEGATIVE, FN_get_block_hash, {1, TO}, EVMC_SUCCESS, 1},
        {CODE_SIZE_HUGE, FN_get_external_code_size, {TO}, EVMC_SUCCESS, UINT32_MAX},
        {COPY_TOO_MUCH, FN_external_code_copy, {TO, VALUE, 0, 1}, EVMC_INVALID_MEMORY_ACCESS, 0}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct script *s = calloc(1, sizeof *s);
        evmc_address self = host_address(1);
        struct host h;
        struct run r;

        probe_init(&h, vm);
        h.nonsense = rows[i].nonsense;
        step_set(s, TO, &self, sizeof self);
        step_call(s, rows[i].f, rows[i].args[0], rows[i].args[1], rows[i].args[2], rows[i].args[3]);
        r = probe_run(&h, s, 1000000, 0);
        CHECK_EQ(r.result.status_code, rows[i].status);
        if (rows[i].status == EVMC_SUCCESS)
            CHECK_EQ(run_number(&r, 0), rows[i].result);
        run_release(&r);
        host_release(&h);
        free(s);
    }
}

/* A value above 128 bits cannot be told to a contract. */
static void check_value_told(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    struct evmc_message m = {.kind = EVMC_DELEGATECALL, /* moves none */
                             .gas = 10000,
                             .recipient = host_address(1),
                             .code_address = host_address(1)};
    struct evmc_result r;
    struct host h;

    probe_init(&h, vm);
    step_call(s, FN_get_call_value, (int64_t)TO);
    m.input_data = s->bytes;
    m.input_size = s->n;
    memset(&m.value, 0xff, 32);
    r = host_message(&h, &m);
    CHECK_EQ(r.status_code, EVMC_ARGUMENT_OUT_OF_RANGE);
    host_release_result(&r);
    memset(&m.value, 0, 16);
    r = host_message(&h, &m);
    CHECK_EQ(r.status_code, EVMC_SUCCESS);
    host_release_result(&r);
    host_release(&h);
    free(s);
}

static int execute(struct evmc_vm *vm, const struct evmc_host_interface *host,
                   const struct evmc_message *m, const uint8_t *code, size_t size)
{
    struct host h;
    struct evmc_result r;
    int status;

    host_init(&h, vm);
    r = vm->execute(vm, host, (struct evmc_host_context *)&h, (enum evmc_revision) - 1, m, code,
                    size);
    status = r.status_code;
    CHECK(status == EVMC_SUCCESS || (r.gas_left == 0 && !r.output_data && r.output_size == 0));
    host_release_result(&r);
    host_release(&h);
    return status;
}

static void check_messages(struct evmc_vm *vm)
{
    struct code c = test_module(PART_MEMORY | PART_MAIN);
    struct evmc_host_interface lacking = host_interface;
    struct evmc_message m = {.kind = EVMC_CALL, .gas = 1000}, bad;

    CHECK_EQ(execute(vm, &host_interface, &m, c.bytes, c.size), EVMC_SUCCESS);
    CHECK_EQ(execute(vm, NULL, &m, c.bytes, c.size), EVMC_INTERNAL_ERROR);
    CHECK_EQ(execute(vm, &host_interface, NULL, c.bytes, c.size), EVMC_INTERNAL_ERROR);
    CHECK_EQ(execute(vm, &host_interface, &m, NULL, 0), EVMC_REJECTED);
    CHECK_EQ(execute(vm, &host_interface, &m, NULL, 10), EVMC_INTERNAL_ERROR);
    CHECK_EQ(execute(vm, &host_interface, &m, c.bytes, 7), EVMC_REJECTED);
    CHECK_EQ(execute(vm, &host_interface, &m, c.bytes, c.size - 1),
             EVMC_CONTRACT_VALIDATION_FAILURE);
    lacking.call = NULL;
    CHECK_EQ(execute(vm, &lacking, &m, c.bytes, c.size), EVMC_INTERNAL_ERROR);
    bad = m, bad.gas = -1;
    CHECK_EQ(execute(vm, &host_interface, &bad, c.bytes, c.size), EVMC_OUT_OF_GAS);
    bad = m, bad.depth = -1;
    CHECK_EQ(execute(vm, &host_interface, &bad, c.bytes, c.size), EVMC_INTERNAL_ERROR);
    bad = m, bad.depth = 1025;
    CHECK_EQ(execute(vm, &host_interface, &bad, c.bytes, c.size), EVMC_CALL_DEPTH_EXCEEDED);
    bad = m, bad.kind = EVMC_EOFCREATE;
    CHECK_EQ(execute(vm, &host_interface, &bad, c.bytes, c.size), EVMC_REJECTED);
    bad = m, bad.kind = (enum evmc_call_kind)99;
    CHECK_EQ(execute(vm, &host_interface, &bad, c.bytes, c.size), EVMC_REJECTED);
    bad = m, bad.input_size = 5;
    CHECK_EQ(execute(vm, &host_interface, &bad, c.bytes, c.size), EVMC_INTERNAL_ERROR);
    bad = m, bad.flags = UINT32_MAX;
    CHECK_EQ(execute(vm, &host_interface, &bad, c.bytes, c.size), EVMC_SUCCESS);
}

/* More contracts than are kept: the first ones are made again. */
static void check_cache(struct evmc_vm *vm)
{
    struct evmc_message m = {.kind = EVMC_CALL, .gas = 1000};
    struct code c = test_module(PART_MEMORY | PART_MAIN);
    uint8_t code[300];

    CHECK_EQ(vm->set_option(vm, "cache-bytes", "200000"), EVMC_SET_OPTION_SUCCESS);
    memcpy(code, c.bytes, c.size);
    memcpy(code + c.size, "\0\5\1xabc", 7); /* a custom section, which makes another code of it */
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 200; i++) {
            code[c.size + 4] = (uint8_t)i;
            CHECK_EQ(execute(vm, &host_interface, &m, code, c.size + 7), EVMC_SUCCESS);
        }
    }
    CHECK_EQ(vm->set_option(vm, "cache-bytes", "0"), EVMC_SET_OPTION_SUCCESS);
    CHECK_EQ(execute(vm, &host_interface, &m, code, c.size + 7), EVMC_SUCCESS);
    CHECK_EQ(execute(vm, &host_interface, &m, code, c.size + 7), EVMC_SUCCESS);
    CHECK_EQ(vm->set_option(vm, "cache-bytes", "67108864"), EVMC_SET_OPTION_SUCCESS);
}

/* A host that changes the machine while it runs something is told no. */
static struct evmc_vm *busy;
static int refused;
static bool exists_and_changes(struct evmc_host_context *c, const evmc_address *a)
{
    (void)c;
    (void)a;
    refused = busy->set_option(busy, "tier", "interp");
    return true;
}

static void check_option_while_running(struct evmc_vm *vm)
{
    struct evmc_host_interface host = host_interface;
    struct script *s = calloc(1, sizeof *s);
    struct evmc_message m = {.kind = EVMC_CALL, .gas = 100000};
    struct evmc_result r;
    struct host h;

    probe_init(&h, vm);
    host.account_exists = exists_and_changes;
    busy = vm;
    refused = EVMC_SET_OPTION_SUCCESS;
    step_call(s, FN_self_destruct, (int64_t)TO);
    m.input_data = s->bytes;
    m.input_size = s->n;
    r = vm->execute(vm, &host, (struct evmc_host_context *)&h, EVMC_CANCUN, &m, test_probe.bytes,
                    test_probe.size);
    CHECK_EQ(r.status_code, EVMC_SUCCESS);
    CHECK_EQ(refused, EVMC_SET_OPTION_INVALID_VALUE);
    host_release_result(&r);
    host_release(&h);
    free(s);
}

void test_hostile(struct evmc_vm *vm)
{
    check_depth(vm);
    check_small_stack(vm);
    check_traps(vm);
    check_instruction_gas(vm);
    check_callee_loops(vm);
    check_time(vm);
    check_memory(vm);
    check_huge_returns(vm);
    check_nonsense(vm);
    check_nonsense_values(vm);
    check_value_told(vm);
    check_messages(vm);
    check_cache(vm);
    check_option_while_running(vm);
}
