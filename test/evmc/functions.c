/* Every function of `ethereum`: what it gives, what it costs to the unit, what it says to bad
 * pointers and to too little gas. */
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#define A SCRATCH /* three places, 256 bytes each */
#define B (SCRATCH + 0x100)
#define C (SCRATCH + 0x200)

/* How to call each function so that it succeeds. The pointers: argument number and size; a size of
 * -1 is that of the argument after it, -2 of the one after the next. `extra` is what the table
 * leaves to the arguments. */
struct sample {
    int64_t args[7];
    struct {
        signed char arg, size;
    } pointers[6];
    unsigned npointers;
    int64_t extra;
    int status;
    bool is_static; /* allowed in a static call */
};
/* A has an address: that of an account without code. */
static const struct sample samples[FN_COUNT] = {
    [FN_use_gas] = {.args = {1234}, .extra = 1234, .is_static = true},
    [FN_get_gas_left] = {.is_static = true},
    [FN_get_address] = {.args = {B}, .pointers = {{0, 20}}, .npointers = 1, .is_static = true},
    [FN_get_caller] = {.args = {B}, .pointers = {{0, 20}}, .npointers = 1, .is_static = true},
    [FN_get_tx_origin] = {.args = {B}, .pointers = {{0, 20}}, .npointers = 1, .is_static = true},
    [FN_get_block_coinbase] = {.args = {B},
                               .pointers = {{0, 20}},
                               .npointers = 1,
                               .is_static = true},
    [FN_get_call_value] = {.args = {B}, .pointers = {{0, 16}}, .npointers = 1, .is_static = true},
    [FN_get_tx_gas_price] = {.args = {B}, .pointers = {{0, 16}}, .npointers = 1, .is_static = true},
    [FN_get_chain_id] = {.args = {B}, .pointers = {{0, 16}}, .npointers = 1, .is_static = true},
    [FN_get_block_difficulty] = {.args = {B},
                                 .pointers = {{0, 32}},
                                 .npointers = 1,
                                 .is_static = true},
    [FN_get_block_number] = {.is_static = true},
    [FN_get_block_timestamp] = {.is_static = true},
    [FN_get_block_gas_limit] = {.is_static = true},
    [FN_get_block_hash] = {.args = {999, B},
                           .pointers = {{1, 32}},
                           .npointers = 1,
                           .is_static = true},
    [FN_get_external_balance] = {.args = {A, B},
                                 .pointers = {{0, 20}, {1, 16}},
                                 .npointers = 2,
                                 .is_static = true},
    [FN_get_call_data_size] = {.is_static = true},
    [FN_call_data_copy] =
        {.args = {B, 0, 33}, .pointers = {{0, -2}}, .npointers = 1, .extra = 6, .is_static = true},
    [FN_get_code_size] = {.is_static = true},
    [FN_code_copy] =
        {.args = {B, 0, 64}, .pointers = {{0, -2}}, .npointers = 1, .extra = 6, .is_static = true},
    [FN_get_external_code_size] = {.args = {A},
                                   .pointers = {{0, 20}},
                                   .npointers = 1,
                                   .is_static = true},
    [FN_external_code_copy] = {.args = {A, B, 0, 0},
                               .pointers = {{0, 20}, {1, -2}},
                               .npointers = 2,
                               .is_static = true},
    [FN_get_return_data_size] = {.is_static = true},
    [FN_return_data_copy] = {.args = {B, 0, 0},
                             .pointers = {{0, -2}},
                             .npointers = 1,
                             .is_static = true},
    [FN_call] = {.args = {1000, A, B, C, 100},
                 .pointers = {{1, 20}, {2, 16}, {3, -1}},
                 .npointers = 3,
                 .is_static = true},
    [FN_call_code] = {.args = {1000, A, B, C, 100},
                      .pointers = {{1, 20}, {2, 16}, {3, -1}},
                      .npointers = 3,
                      .is_static = true},
    [FN_call_delegate] = {.args = {1000, A, C, 100},
                          .pointers = {{1, 20}, {2, -1}},
                          .npointers = 2,
                          .is_static = true},
    [FN_call_static] = {.args = {1000, A, C, 100},
                        .pointers = {{1, 20}, {2, -1}},
                        .npointers = 2,
                        .is_static = true},
    [FN_create] = {.args = {B, C, 10, A}, .pointers = {{0, 16}, {1, -1}, {3, 20}}, .npointers = 3},
    [FN_create2] = {.args = {B, C, 10, C, A},
                    .pointers = {{0, 16}, {1, -1}, {3, 32}, {4, 20}},
                    .npointers = 4},
    [FN_storage_load] = {.args = {A, B},
                         .pointers = {{0, 32}, {1, 32}},
                         .npointers = 2,
                         .is_static = true},
    [FN_storage_store] = {.args = {A, A},
                          .pointers = {{0, 32}, {1, 32}},
                          .npointers = 2,
                          .extra = 15000},
    [FN_log] = {.args = {C, 10, 4, A, B, C, C},
                .pointers = {{0, -1}, {3, 32}, {4, 32}, {5, 32}, {6, 32}},
                .npointers = 5,
                375 * 4 + 80},
    [FN_finish] = {.args = {A, 20}, .pointers = {{0, -1}}, .npointers = 1, .is_static = true},
    [FN_revert] = {.args = {A, 20},
                   .pointers = {{0, -1}},
                   .npointers = 1,
                   .status = EVMC_REVERT,
                   .is_static = true},
    [FN_self_destruct] = {.args = {A}, .pointers = {{0, 20}}, .npointers = 1, .extra = 25000},
};

static void sample_script(struct script *s, enum function f, const int64_t args[7])
{
    evmc_address nobody = host_address(9);

    s->n = 0;
    step_set(s, A, &nobody, sizeof nobody);
    step_call(s, f, args[0], args[1], args[2], args[3], args[4], args[5], args[6]);
}

static struct run sample_run(struct evmc_vm *vm, enum function f, const int64_t args[7],
                             int64_t gas, uint32_t flags, int64_t *ret_gas)
{
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    sample_script(s, f, args);
    *ret_gas = script_gas(s) + functions[f].gas + samples[f].extra;
    r = probe_run(&h, s, gas ? gas : *ret_gas, flags);
    host_release(&h);
    free(s);
    return r;
}

/* A creation takes all but a 64th, and gives back nothing when what is created is none. */
static bool is_create(enum function f)
{
    return f == FN_create || f == FN_create2;
}

static void check_gas(struct evmc_vm *vm, enum function f)
{
    const struct sample *sample = &samples[f];
    int64_t gas, ignored;
    struct run r = sample_run(vm, f, sample->args, GAS_PLENTY, 0, &gas);

    test_check((int)r.result.status_code == sample->status && (is_create(f) || r.used == gas),
               __FILE__, __LINE__, "%s: status %d, %lld gas, not %lld", functions[f].name,
               r.result.status_code, (long long)r.used, (long long)gas);
    run_release(&r);
    r = sample_run(vm, f, sample->args, gas, 0, &ignored);
    test_check((int)r.result.status_code == sample->status && r.used == gas, __FILE__, __LINE__,
               "%s: status %d with just enough gas", functions[f].name, r.result.status_code);
    run_release(&r);
    r = sample_run(vm, f, sample->args, gas - 1, 0, &ignored);
    test_check(r.result.status_code == EVMC_OUT_OF_GAS && r.result.gas_left == 0 &&
                   r.result.output_size == 0,
               __FILE__, __LINE__, "%s: status %d with one gas too little", functions[f].name,
               r.result.status_code);
    run_release(&r);
}

static void check_pointer(struct evmc_vm *vm, enum function f, unsigned p)
{
    const struct sample *sample = &samples[f];
    int size = sample->pointers[p].size, at = sample->pointers[p].arg;
    int64_t args[7], ignored, len = size < 0 ? sample->args[at - size] : size;
    const int64_t places[] = {MEMORY_SIZE - len + 1, MEMORY_SIZE, UINT32_MAX,
                              UINT32_MAX - len,      INT32_MAX,   INT32_MIN};
    struct run r;

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (len == 0 && places[i] <= MEMORY_SIZE)
            continue;
        memcpy(args, sample->args, sizeof args);
        args[at] = places[i];
        r = sample_run(vm, f, args, GAS_PLENTY, 0, &ignored);
        test_check(r.result.status_code == EVMC_INVALID_MEMORY_ACCESS && r.result.gas_left == 0,
                   __FILE__, __LINE__, "%s: argument %d of %llx: status %d", functions[f].name, at,
                   (unsigned long long)places[i], r.result.status_code);
        run_release(&r);
    }
    if (size > 0)
        return;
    memcpy(args, sample->args, sizeof args);
    args[at - size] = UINT32_MAX; /* around the end of 32 bits */
    r = sample_run(vm, f, args, GAS_PLENTY, 0, &ignored);
    test_check(r.result.status_code == EVMC_INVALID_MEMORY_ACCESS, __FILE__, __LINE__,
               "%s: a length of 2^32-1: status %d", functions[f].name, r.result.status_code);
    run_release(&r);
}

static void check_static(struct evmc_vm *vm, enum function f)
{
    int64_t ignored;
    struct run r = sample_run(vm, f, samples[f].args, GAS_PLENTY, EVMC_STATIC, &ignored);
    int expected = samples[f].is_static ? samples[f].status : EVMC_STATIC_MODE_VIOLATION;

    test_check((int)r.result.status_code == expected, __FILE__, __LINE__,
               "%s: status %d in a static call", functions[f].name, r.result.status_code);
    run_release(&r);
}

/* ---- Values ---- */

static void check_numbers(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_call(s, FN_get_block_number);
    step_call(s, FN_get_block_timestamp);
    step_call(s, FN_get_block_gas_limit);
    step_call(s, FN_get_call_data_size);
    step_call(s, FN_get_code_size);
    step_call(s, FN_get_return_data_size);
    step_call(s, FN_get_gas_left);
    r = probe_run(&h, s, 10000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(run_number(&r, 0), 1000);
    CHECK_EQ(run_number(&r, 1), 1600000000);
    CHECK_EQ(run_number(&r, 2), 30000000);
    CHECK_EQ(run_number(&r, 3), s->n);
    CHECK_EQ(run_number(&r, 4), test_probe.size);
    CHECK_EQ(run_number(&r, 5), 0);
    CHECK_EQ(run_number(&r, 6), 10000 - script_gas(s) - 7 * 2);
    run_release(&r);
    host_release(&h);
    free(s);
}

static void check_addresses(struct evmc_vm *vm)
{
    static const enum function f[] = {FN_get_address, FN_get_caller, FN_get_tx_origin,
                                      FN_get_block_coinbase};
    const evmc_address expected[] = {host_address(1), host_address(2), host_address(0xee),
                                     host_address(0xcb)};
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    for (int i = 0; i < 4; i++) {
        step_call(s, f[i], (int64_t)A);
        step_give(s, A, 20);
    }
    r = probe_run(&h, s, 10000, 0);
    CHECK_EQ(r.result.output_size, 80);
    CHECK(r.result.output_size == 80 && memcmp(r.result.output_data, expected, 80) == 0);
    run_release(&r);
    host_release(&h);
    free(s);
}

/* Numbers in memory have their least significant byte first. */
static void check_wide_numbers(struct evmc_vm *vm)
{
    static const uint8_t expected[16 * 3 + 32] = {
        7, [16] = 1, [32] = 0xe8, 3, [48] = 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    struct script *s = calloc(1, sizeof *s);
    evmc_address self = host_address(1);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_call(s, FN_get_tx_gas_price, (int64_t)A);
    step_call(s, FN_get_chain_id, (int64_t)A + 16);
    step_set(s, B, &self, sizeof self);
    step_call(s, FN_get_external_balance, (int64_t)B, (int64_t)A + 32);
    step_call(s, FN_get_block_difficulty, (int64_t)A + 48);
    step_give(s, A, sizeof expected);
    r = probe_run(&h, s, 10000, 0);
    CHECK(r.result.output_size == sizeof expected &&
          memcmp(r.result.output_data, expected, sizeof expected) == 0);
    run_release(&r);
    host_release(&h);
    free(s);
}

static void check_block_hash(struct evmc_vm *vm)
{
    static const struct {
        int64_t number, found;
    } rows[] = {{999, 0},
                {744, 0},
                {743, 1},
                {1000, 1},
                {1001, 1},
                {-1, 1},
                {990, 1} /* the host has none */,
                {INT64_MAX, 1},
                {INT64_MIN, 1}};
    struct script *s = calloc(1, sizeof *s);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        step_call(s, FN_get_block_hash, rows[i].number, (int64_t)A);
    step_give(s, A, 32);
    r = probe_run(&h, s, 100000, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ(run_number(&r, i), rows[i].found);
    CHECK(r.result.output_size == 8 * 9 + 32 && r.result.output_data[8 * 9 + 31] == (744 & 0xff));
    run_release(&r);
    host_release(&h);
    free(s);
}

static void check_copies(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    evmc_address self = host_address(1);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_set(s, A, &self, sizeof self);
    step_call(s, FN_get_external_code_size, (int64_t)A);
    step_call(s, FN_external_code_copy, (int64_t)A, (int64_t)B, INT64_C(1), INT64_C(40));
    step_give(s, B, 40);
    step_call(s, FN_code_copy, (int64_t)B, (int64_t)test_probe.size - 5, INT64_C(5));
    step_give(s, B, 5);
    step_call(s, FN_call_data_copy, (int64_t)B, INT64_C(0), INT64_C(9));
    step_give(s, B, 9);
    r = probe_run(&h, s, 100000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(r.used, script_gas(s) + 700 + 700 + 6 + 3 + 3 + 3 + 3);
    CHECK_EQ(run_number(&r, 0), test_probe.size);
    CHECK_EQ(r.result.output_size, 8 + 40 + 5 + 9);
    if (r.result.output_size == 8 + 40 + 5 + 9) {
        CHECK(memcmp(r.result.output_data + 8, test_probe.bytes + 1, 40) == 0);
        CHECK(memcmp(r.result.output_data + 48, test_probe.bytes + test_probe.size - 5, 5) == 0);
        CHECK(memcmp(r.result.output_data + 53, s->bytes, 9) == 0);
    }
    run_release(&r);
    host_release(&h);
    free(s);
}

/* What lies beyond the end of the source is not made up. */
static void check_copies_beyond(struct evmc_vm *vm)
{
    const struct {
        enum function f;
        int64_t offset, len;
    } rows[] = {{FN_call_data_copy, 26, 100},      {FN_code_copy, (int64_t)test_probe.size, 1},
                {FN_code_copy, UINT32_MAX, 1},     {FN_code_copy, UINT32_MAX, 0},
                {FN_return_data_copy, 0, 1},       {FN_return_data_copy, 1, 0},
                {FN_call_data_copy, UINT32_MAX, 1}};
    struct host h;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct script *s = calloc(1, sizeof *s);
        struct run r;

        probe_init(&h, vm);
        step_call(s, rows[i].f, (int64_t)B, rows[i].offset, rows[i].len);
        r = probe_run(&h, s, GAS_PLENTY, 0);
        CHECK_EQ(r.result.status_code, EVMC_INVALID_MEMORY_ACCESS);
        run_release(&r);
        host_release(&h);
        free(s);
    }
}

static void check_storage(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    evmc_bytes32 one = host_word(1), two = host_word(2), zero = host_word(0);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_set(s, A, &one, 32);
    step_set(s, B, &two, 32);
    step_call(s, FN_storage_store, (int64_t)A, (int64_t)B); /* 0 to 2 */
    step_call(s, FN_storage_store, (int64_t)A, (int64_t)A); /* 2 to 1 */
    step_call(s, FN_storage_load, (int64_t)A, (int64_t)C);
    step_give(s, C, 32);
    step_set(s, B, &zero, 32);
    step_call(s, FN_storage_store, (int64_t)A, (int64_t)B); /* 1 to 0 */
    step_call(s, FN_storage_store, (int64_t)A, (int64_t)B); /* 0 to 0 */
    step_call(s, FN_storage_store, (int64_t)A, (int64_t)A); /* 0 to 1 */
    step_call(s, FN_storage_load, (int64_t)B, (int64_t)C);  /* another key */
    step_give(s, C, 32);
    r = probe_run(&h, s, 1000000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(r.used, script_gas(s) + 5 * 5000 + 2 * 15000 + 2 * 200);
    CHECK(r.result.output_size == 64 && memcmp(r.result.output_data, &one, 32) == 0 &&
          memcmp(r.result.output_data + 32, &zero, 32) == 0);
    run_release(&r);
    host_release(&h);
    free(s);
}

static void check_logs(struct evmc_vm *vm)
{
    struct script *s = calloc(1, sizeof *s);
    evmc_bytes32 topic = host_word(77);
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_set(s, A, &topic, 32);
    step_set(s, B, "hello", 5);
    for (int64_t n = 0; n <= 4; n++)
        step_call(s, FN_log, (int64_t)B, INT64_C(5), n, n > 0 ? (int64_t)A : -1,
                  n > 1 ? (int64_t)A : -1, n > 2 ? (int64_t)A : -1, n > 3 ? (int64_t)A : -1);
    r = probe_run(&h, s, 1000000, 0);
    CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
    CHECK_EQ(r.used, script_gas(s) + 5 * 375 + 10 * 375 + 5 * 40);
    CHECK_EQ(h.state.nrecords, 5);
    for (unsigned i = 0; i < h.state.nrecords; i++) {
        CHECK_EQ(h.state.records[i].ntopics, i);
        CHECK(memcmp(h.state.records[i].data, "hello", 5) == 0);
    }
    CHECK(memcmp(&h.state.records[4].topics[3], &topic, 32) == 0);
    run_release(&r);
    s->n = 0;
    step_call(s, FN_log, (int64_t)B, INT64_C(5), INT64_C(5), (int64_t)A, (int64_t)A, (int64_t)A,
              (int64_t)A);
    r = probe_run(&h, s, 1000000, 0);
    CHECK_EQ(r.result.status_code, EVMC_ARGUMENT_OUT_OF_RANGE);
    run_release(&r);
    host_release(&h);
    free(s);
}

static void check_arguments(struct evmc_vm *vm)
{
    const struct {
        enum function f;
        int64_t first;
    } rows[] = {{FN_use_gas, -1},
                {FN_use_gas, INT64_MIN},
                {FN_call, -1},
                {FN_call, INT64_MIN},
                {FN_call_static, -1}};
    int64_t args[7], ignored;
    struct run r;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(args, samples[rows[i].f].args, sizeof args);
        args[0] = rows[i].first;
        r = sample_run(vm, rows[i].f, args, GAS_PLENTY, 0, &ignored);
        CHECK_EQ(r.result.status_code, EVMC_ARGUMENT_OUT_OF_RANGE);
        run_release(&r);
    }
    memcpy(args, samples[FN_use_gas].args, sizeof args);
    args[0] = INT64_MAX;
    r = sample_run(vm, FN_use_gas, args, GAS_PLENTY, 0, &ignored);
    CHECK_EQ(r.result.status_code, EVMC_OUT_OF_GAS);
    run_release(&r);
}

void test_functions(struct evmc_vm *vm)
{
    for (int f = 0; f < FN_COUNT; f++) {
        check_gas(vm, (enum function)f);
        check_static(vm, (enum function)f);
        for (unsigned p = 0; p < samples[f].npointers; p++)
            check_pointer(vm, (enum function)f, p);
    }
    check_numbers(vm);
    check_addresses(vm);
    check_wide_numbers(vm);
    check_block_hash(vm);
    check_copies(vm);
    check_copies_beyond(vm);
    check_storage(vm);
    check_logs(vm);
    check_arguments(vm);
}
