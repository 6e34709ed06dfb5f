/* Calls of other contracts, values, gas that is passed on, new contracts, and their ends. */
#include <stdlib.h>

#include "test.h"

#define TO SCRATCH             /* an address */
#define VALUE (SCRATCH + 0x20) /* 16 bytes */
#define DATA (SCRATCH + 0x40)  /* what is passed on */

/* A script that calls `to` with `value` and the other script as its data. */
static void step_message(struct script *s, enum function f, int64_t gas, uint8_t to, uint64_t value,
                         const struct script *inner)
{
    evmc_address address = host_address(to);
    uint8_t number[16] = {0};

    memcpy(number, &value, 8);
    step_set(s, TO, &address, sizeof address);
    step_set(s, VALUE, number, sizeof number);
    if (inner)
        step_set(s, DATA, inner->bytes, (uint32_t)inner->n);
    if (f == FN_call || f == FN_call_code)
        step_call(s, f, gas, (int64_t)TO, (int64_t)VALUE, (int64_t)DATA,
                  inner ? (int64_t)inner->n : INT64_C(0));
    else
        step_call(s, f, gas, (int64_t)TO, (int64_t)DATA, inner ? (int64_t)inner->n : INT64_C(0));
}

struct call_test {
    struct host h;
    struct script outer, inner;
};

/* A second probe is at host_address(3). */
static struct call_test *call_new(struct evmc_vm *vm)
{
    struct call_test *t = calloc(1, sizeof *t);
    evmc_address other = host_address(3);

    probe_init(&t->h, vm);
    host_put_code(&t->h, &other, test_probe.bytes, test_probe.size);
    return t;
}

static void call_delete(struct call_test *t)
{
    host_release(&t->h);
    free(t);
}

static uint64_t balance(struct call_test *t, uint8_t n)
{
    evmc_address a = host_address(n);

    return host_account(&t->h, &a)->balance;
}

/* Who is told to the callee as itself, its caller and its value. */
static void check_kinds(struct evmc_vm *vm)
{
    static const struct {
        enum function f;
        uint64_t value;
        uint8_t self, caller, told;
    } rows[] = {{FN_call, 5, 3, 1, 5},
                {FN_call_code, 5, 1, 1, 5},
                {FN_call_delegate, 0, 1, 2, 0},
                {FN_call_static, 0, 3, 1, 0}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call_test *t = call_new(vm);
        const evmc_address self = host_address(rows[i].self), caller = host_address(rows[i].caller);
        struct run r;
        const uint8_t *out;

        step_call(&t->inner, FN_get_address, (int64_t)SCRATCH);
        step_call(&t->inner, FN_get_caller, (int64_t)SCRATCH + 20);
        step_call(&t->inner, FN_get_call_value, (int64_t)SCRATCH + 40);
        step_give(&t->inner, SCRATCH, 56);
        step_message(&t->outer, rows[i].f, 1000000, 3, rows[i].value, &t->inner);
        step_call(&t->outer, FN_return_data_copy, (int64_t)DATA, INT64_C(0), INT64_C(56));
        step_give(&t->outer, DATA, 56);
        r = probe_run(&t->h, &t->outer, GAS_PLENTY, 0);
        CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
        CHECK_EQ(r.result.output_size, 64);
        /* of the stipend, what was left is the caller's */
        CHECK_EQ(r.used, script_gas(&t->outer) + 700 + (rows[i].value ? 9000 - 2300 : 0) + 3 + 6 +
                             script_gas(&t->inner) + 6);
        out = r.result.output_data + 8;
        if (r.result.output_size == 64) {
            CHECK_EQ(run_number(&r, 0), 0);
            CHECK(memcmp(out, &self, 20) == 0);
            CHECK(memcmp(out + 20, &caller, 20) == 0);
            CHECK_EQ(out[40], rows[i].told);
        }
        run_release(&r);
        CHECK_EQ(balance(t, 3), rows[i].f == FN_call ? 5 : 0);
        call_delete(t);
    }
}

/* The callee's own view of its gas: min(asked, 63/64 of what is left), and the stipend. */
static void check_gas_given(struct evmc_vm *vm)
{
    static const struct {
        int64_t asked;
        uint64_t value;
    } rows[] = {{5000, 0}, {INT64_MAX, 0}, {5000, 1}, {INT64_MAX, 1}, {0, 1}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call_test *t = call_new(vm);
        int64_t before, left, given, gas = 1000000;
        struct run r;

        step_call(&t->inner, FN_get_gas_left);
        step_message(&t->outer, FN_call, rows[i].asked, 3, rows[i].value, &t->inner);
        step_call(&t->outer, FN_return_data_copy, (int64_t)DATA, INT64_C(0), INT64_C(8));
        step_give(&t->outer, DATA, 8);
        r = probe_run(&t->h, &t->outer, gas, 0);
        before = gas - script_gas(&t->outer) - 700 - (rows[i].value ? 9000 : 0);
        left = before - before / 64;
        given = (rows[i].asked < left ? rows[i].asked : left) + (rows[i].value ? 2300 : 0);
        CHECK_EQ(run_number(&r, 0), 0);
        CHECK_EQ(run_number(&r, 1), given - script_gas(&t->inner) - 2);
        /* What was left of the stipend is the caller's. */
        CHECK_EQ(r.used, gas - before + script_gas(&t->inner) + 2 + 6 - (rows[i].value ? 2300 : 0));
        run_release(&r);
        call_delete(t);
    }
}

/* A value costs 9000, and 25000 more where nobody was; more than there is fails, and moves none. */
static void check_values(struct evmc_vm *vm)
{
    static const struct {
        uint8_t to;
        uint64_t value;
        int64_t outcome, gas;
        uint64_t left, arrived;
    } rows[] = {{3, 1000, 0, 9000 - 2300, 0, 1000},
                {3, 1001, 1, 9000, 1000, 0},
                {9, 1, 0, 9000 + 25000 - 2300, 999, 1},
                {9, 1001, 1, 9000 + 25000, 1000, 0},
                {9, 0, 0, 0, 1000, 0},
                {1, 7, 0, 9000 - 2300, 1000, 1000}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call_test *t = call_new(vm);
        struct run r;
        int64_t inner = rows[i].to == 9 || rows[i].outcome ? 0 : 5;

        step_message(&t->outer, FN_call, 100000, rows[i].to, rows[i].value, NULL);
        r = probe_run(&t->h, &t->outer, 1000000, 0);
        CHECK_EQ(run_number(&r, 0), rows[i].outcome);
        CHECK_EQ(r.used, script_gas(&t->outer) + 700 + rows[i].gas + inner);
        CHECK_EQ(balance(t, 1), rows[i].left);
        CHECK_EQ(balance(t, rows[i].to), rows[i].arrived);
        run_release(&r);
        call_delete(t);
    }
}

/* A value of 2^127 is read whole. */
static void check_value_wide(struct evmc_vm *vm)
{
    struct call_test *t = call_new(vm);
    uint8_t number[16] = {[15] = 0x80};
    struct run r;

    step_message(&t->outer, FN_call, 100000, 3, 0, NULL);
    step_set(&t->outer, VALUE, number, sizeof number);
    step_call(&t->outer, FN_call, INT64_C(1000), (int64_t)TO, (int64_t)VALUE, (int64_t)DATA,
              INT64_C(0));
    r = probe_run(&t->h, &t->outer, 1000000, 0);
    CHECK_EQ(run_number(&r, 1), 1);
    run_release(&r);
    call_delete(t);
}

/* How the callee ends, and what the caller sees of it. */
static void check_ends(struct evmc_vm *vm)
{
    static const struct {
        enum step step;
        enum function f;
        int64_t outcome;
        bool keeps_gas, changes;
        size_t returned;
    } rows[] = {{RETURN, FN_COUNT, 0, true, true, 0},
                {UNREACHABLE, FN_COUNT, 1, false, false, 0},
                {SET, FN_revert, 2, true, false, 11},
                {SET, FN_finish, 0, true, true, 11},
                {DIVE, FN_COUNT, 1, false, false, 0}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call_test *t = call_new(vm);
        evmc_bytes32 key = host_word(5);
        evmc_address other = host_address(3);
        struct run r;

        step_set(&t->inner, SCRATCH, &key, sizeof key);
        step_call(&t->inner, FN_storage_store, (int64_t)SCRATCH, (int64_t)SCRATCH);
        step_call(&t->inner, FN_log, (int64_t)SCRATCH, INT64_C(3), INT64_C(0), INT64_C(0),
                  INT64_C(0), INT64_C(0), INT64_C(0));
        if (rows[i].f != FN_COUNT)
            step_call(&t->inner, rows[i].f, (int64_t)SCRATCH, INT64_C(11));
        else
            step_plain(&t->inner, rows[i].step);
        step_message(&t->outer, FN_call, 200000, 3, 0, &t->inner);
        step_call(&t->outer, FN_get_return_data_size);
        r = probe_run(&t->h, &t->outer, 1000000, 0);
        CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
        CHECK_EQ(run_number(&r, 0), rows[i].outcome);
        CHECK_EQ(run_number(&r, 1), rows[i].returned);
        CHECK((r.used < 200000) == rows[i].keeps_gas);
        CHECK_EQ(host_account(&t->h, &other)->nslots, rows[i].changes);
        CHECK_EQ(t->h.state.nrecords, rows[i].changes);
        run_release(&r);
        call_delete(t);
    }
}

/* A static call stays one in what the callee calls. */
static void check_static_below(struct evmc_vm *vm)
{
    struct call_test *t = call_new(vm);
    struct script *deepest = calloc(1, sizeof *deepest);
    struct run r;

    step_call(deepest, FN_storage_store, (int64_t)SCRATCH, (int64_t)SCRATCH);
    step_message(&t->inner, FN_call, 100000, 1, 0, deepest);
    step_message(&t->outer, FN_call_static, 1000000, 3, 0, &t->inner);
    step_call(&t->outer, FN_return_data_copy, (int64_t)DATA, INT64_C(0), INT64_C(8));
    step_give(&t->outer, DATA, 8);
    r = probe_run(&t->h, &t->outer, GAS_PLENTY, 0);
    CHECK_EQ(run_number(&r, 0), 0);
    CHECK_EQ(run_number(&r, 1), 1); /* the innermost broke the rule */
    run_release(&r);
    t->outer.n = 0;
    step_message(&t->outer, FN_call, 1000, 3, 1, NULL); /* a value */
    r = probe_run(&t->h, &t->outer, GAS_PLENTY, EVMC_STATIC);
    CHECK_EQ(r.result.status_code, EVMC_STATIC_MODE_VIOLATION);
    run_release(&r);
    free(deepest);
    call_delete(t);
}

/* ---- New contracts ---- */

/* create or create2 of `code`; the new account, or NULL. */
static const struct account *make(struct call_test *t, enum function f, struct code code,
                                  uint64_t value, int64_t *ret_outcome, int64_t *ret_used)
{
    uint32_t at = SCRATCH + 0x100;
    uint8_t number[16] = {0}, salt[32] = {1, 2, [31] = 3};
    const struct account *made = NULL;
    evmc_address address;
    struct run r;

    memcpy(number, &value, 8);
    t->outer.n = 0;
    step_set(&t->outer, VALUE, number, sizeof number);
    step_set(&t->outer, SCRATCH, salt, sizeof salt);
    step_set(&t->outer, at, code.bytes, (uint32_t)code.size);
    if (f == FN_create)
        step_call(&t->outer, f, (int64_t)VALUE, (int64_t)at, (int64_t)code.size, (int64_t)DATA);
    else
        step_call(&t->outer, f, (int64_t)VALUE, (int64_t)at, (int64_t)code.size, (int64_t)SCRATCH,
                  (int64_t)DATA);
    step_give(&t->outer, DATA, 20);
    step_call(&t->outer, FN_get_return_data_size);
    r = probe_run(&t->h, &t->outer, 10000000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    *ret_outcome = run_number(&r, 0);
    *ret_used = r.used - script_gas(&t->outer) - 2;
    if (r.result.output_size >= 28) {
        memcpy(&address, r.result.output_data + 8, sizeof address);
        if (*ret_outcome == 0)
            made = host_account(&t->h, &address);
    }
    run_release(&r);
    return made;
}

static void check_create(struct evmc_vm *vm)
{
    static const enum function f[] = {FN_create, FN_create2};
    const struct account *made;
    int64_t outcome, used;

    for (int i = 0; i < 2; i++) {
        struct call_test *t = call_new(vm);

        made = make(t, f[i], test_deploy, 3, &outcome, &used);
        CHECK_EQ(outcome, 0);
        CHECK(made && made->code_size == test_token.size &&
              memcmp(made->code, test_token.bytes, test_token.size) == 0);
        CHECK(made && made->address.bytes[0] == (i ? 0xc2 : 0xc1));
        CHECK(!i || !made || made->address.bytes[18] == 2); /* the salt, turned round */
        CHECK_EQ(made ? made->balance : 0, 3);
        CHECK_EQ(balance(t, 1), 997);
        /* 32000; of the initialiser: getCaller, keccak256 of 64 bytes and its copy, two new words
         */
        CHECK_EQ(used, 32000 + 2 + 706 + 6 + 40000);
        make(t, f[i], test_deploy, 1000, &outcome, &used);
        CHECK_EQ(outcome, 1); /* more than there is */
        CHECK_EQ(used, 32000);
        call_delete(t);
    }
}

/* What is no contract is not made, and takes the gas that it was given. */
static void check_create_bad(struct evmc_vm *vm)
{
    static const unsigned bad[] = {PART_MEMORY,
                                   PART_MAIN,
                                   PART_MEMORY | PART_MAIN | PART_START,
                                   PART_MEMORY | PART_MAIN | PART_MAIN_RESULT,
                                   PART_MEMORY | PART_MAIN | PART_ENV,
                                   PART_MEMORY | PART_MAIN | PART_WRONG_TYPE,
                                   PART_MEMORY | PART_MAIN | PART_SEGMENT,
                                   PART_MEMORY | PART_MAIN}; /* which gives no code */
    struct call_test *t = call_new(vm);
    int64_t outcome, used;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!make(t, FN_create, test_module(bad[i]), 0, &outcome, &used));
        CHECK_EQ(outcome, 1);
        CHECK(used > 9000000);
    }
    CHECK(!make(t, FN_create, (struct code){(uint8_t *)"\x60\x00\x60\x00\xf3", 5}, 0, &outcome,
                &used)); /* of the EVM */
    CHECK_EQ(outcome, 1);
    CHECK(!make(t, FN_create, (struct code){(uint8_t *)"\0asm\2\0\0\0", 8}, 0, &outcome, &used));
    CHECK_EQ(outcome, 1);
    CHECK(!make(t, FN_create, (struct code){NULL, 0}, 0, &outcome, &used));
    CHECK_EQ(outcome, 1);
    call_delete(t);
}

/* The codes of what cannot run. */
static void check_statuses(struct evmc_vm *vm)
{
    static const struct {
        unsigned parts;
        enum evmc_status_code status;
    } rows[] = {{PART_MEMORY | PART_MAIN, EVMC_SUCCESS},
                {PART_MEMORY, EVMC_CONTRACT_VALIDATION_FAILURE},
                {PART_MEMORY | PART_MAIN | PART_START, EVMC_CONTRACT_VALIDATION_FAILURE},
                {PART_MEMORY | PART_MAIN | PART_ENV, EVMC_CONTRACT_VALIDATION_FAILURE},
                {PART_MEMORY | PART_MAIN | PART_METER, EVMC_CONTRACT_VALIDATION_FAILURE},
                {PART_MEMORY | PART_MAIN | PART_SEGMENT, EVMC_WASM_TRAP},
                {PART_MEMORY | PART_MAIN | PART_HUGE, EVMC_OUT_OF_MEMORY}};
    struct host h;

    host_init(&h, vm);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct code c = test_module(rows[i].parts);
        struct evmc_message m = {.kind = EVMC_CALL, .gas = 100};
        struct evmc_result r = vm->execute(vm, &host_interface, (struct evmc_host_context *)&h,
                                           EVMC_CANCUN, &m, c.bytes, c.size);

        CHECK_EQ(r.status_code, rows[i].status);
        CHECK_EQ(r.gas_left, rows[i].status == EVMC_SUCCESS ? 100 : 0);
        host_release_result(&r);
    }
    host_release(&h);
}

/* A contract that ends itself gives all it has away; while it is made, too. */
static void check_self_destruct(struct evmc_vm *vm)
{
    struct call_test *t = call_new(vm);
    evmc_address heir = host_address(7), self = host_address(1);
    struct run r;

    step_set(&t->outer, TO, &heir, sizeof heir);
    step_call(&t->outer, FN_self_destruct, (int64_t)TO);
    step_plain(&t->outer, UNREACHABLE);
    r = probe_run(&t->h, &t->outer, 1000000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(r.used, script_gas(&t->outer) + 5000 + 25000);
    CHECK_EQ(balance(t, 7), 1000);
    CHECK(host_account(&t->h, &self)->destroyed);
    run_release(&r);
    r = probe_run(&t->h, &t->outer, 1000000, 0); /* the heir is there by now */
    CHECK_EQ(r.used, script_gas(&t->outer) + 5000);
    run_release(&r);
    call_delete(t);
}

void test_calls(struct evmc_vm *vm)
{
    check_kinds(vm);
    check_gas_given(vm);
    check_values(vm);
    check_value_wide(vm);
    check_ends(vm);
    check_static_below(vm);
    check_create(vm);
    check_create_bad(vm);
    check_statuses(vm);
    check_self_destruct(vm);
}
