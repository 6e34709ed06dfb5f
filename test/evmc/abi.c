/* What a machine says of itself, its options, and Keccak-256. */
#include <stdlib.h>

#include "test.h"

static const struct {
    const char *name, *value;
    enum evmc_set_option_result expected;
} options[] = {
    {"tier", "aot", EVMC_SET_OPTION_SUCCESS},
    {"tier", "auto", EVMC_SET_OPTION_SUCCESS},
    {"tier", "fast", EVMC_SET_OPTION_INVALID_VALUE},
    {"tier", "", EVMC_SET_OPTION_INVALID_VALUE},
    {"guard", "off", EVMC_SET_OPTION_SUCCESS},
    {"guard", "on", EVMC_SET_OPTION_SUCCESS},
    {"guard", "1", EVMC_SET_OPTION_INVALID_VALUE},
    {"instruction-gas", "on", EVMC_SET_OPTION_SUCCESS},
    {"instruction-gas", "off", EVMC_SET_OPTION_SUCCESS},
    {"instruction-gas", "yes", EVMC_SET_OPTION_INVALID_VALUE},
    {"memory-bytes", "268435456", EVMC_SET_OPTION_SUCCESS},
    {"memory-bytes", "1", EVMC_SET_OPTION_INVALID_VALUE},
    {"memory-bytes", "-1", EVMC_SET_OPTION_INVALID_VALUE},
    {"memory-bytes", "99999999999999999999999", EVMC_SET_OPTION_INVALID_VALUE},
    {"memory-bytes", "65536x", EVMC_SET_OPTION_INVALID_VALUE},
    {"memory-bytes", " 65536", EVMC_SET_OPTION_INVALID_VALUE},
    {"cache-bytes", "0", EVMC_SET_OPTION_SUCCESS},
    {"cache-bytes", "67108864", EVMC_SET_OPTION_SUCCESS},
    {"time-ms", "0", EVMC_SET_OPTION_SUCCESS},
    {"time-ms", "", EVMC_SET_OPTION_INVALID_VALUE},
    {"", "", EVMC_SET_OPTION_INVALID_NAME},
    {"trace", "on", EVMC_SET_OPTION_INVALID_NAME},
    {"tier", "interp", EVMC_SET_OPTION_SUCCESS},
};

static void check_options(struct evmc_vm *vm)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        test_check(vm->set_option(vm, options[i].name, options[i].value) == options[i].expected,
                   __FILE__, __LINE__, "option '%s' of '%s'", options[i].name, options[i].value);
}

/* keccak256 of the data that the script passes. */
static void hash_by_contract(struct evmc_vm *vm, const uint8_t *data, uint32_t len, uint8_t ret[32])
{
    struct script *s = calloc(1, sizeof *s);
    evmc_address nine = {{[19] = 9}};
    struct host h;
    struct run r;

    probe_init(&h, vm);
    step_set(s, SCRATCH, &nine, sizeof nine);
    step_set(s, SCRATCH + 32, data, len);
    step_call(s, FN_call_static, INT64_C(0), (int64_t)SCRATCH, (int64_t)SCRATCH + 32, (int64_t)len);
    step_call(s, FN_return_data_copy, (int64_t)SCRATCH, INT64_C(0), INT64_C(32));
    step_give(s, SCRATCH, 32);
    r = probe_run(&h, s, 1000000, 0);
    CHECK_EQ(r.used, script_gas(s) + 700 + 3 * ((len + 31) / 32) + 6);
    CHECK_EQ(r.result.output_size, 40);
    CHECK_EQ(run_number(&r, 0), 0);
    if (r.result.output_size == 40)
        memcpy(ret, r.result.output_data + 8, 32);
    run_release(&r);
    host_release(&h);
    free(s);
}

static void check_keccak(struct evmc_vm *vm)
{
    static const uint8_t empty[] = {0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c};
    static const uint8_t abc[] = {0x4e, 0x03, 0x65, 0x7a, 0xea, 0x45, 0xa9, 0x4f};
    static const uint8_t transfer[] = {0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b};
    /* The exclusive or of the hashes of the first n bytes of 0, 7, 14, ... mod 256, n = 0 to 409,
     * made with another program (PyCryptodome 4.4). */
    static const uint8_t sum[32] = {0x36, 0x7c, 0xa2, 0x44, 0x92, 0xd2, 0xf9, 0x63,
                                    0xc2, 0x85, 0x62, 0xd4, 0x19, 0x7d, 0x04, 0xd8,
                                    0x6c, 0x28, 0x52, 0xa8, 0x5f, 0x1a, 0xb9, 0x06,
                                    0x44, 0x02, 0x07, 0xba, 0x58, 0x48, 0xf0, 0xcb};
    uint8_t data[409], digest[32], all[32] = {0};

    hash_by_contract(vm, NULL, 0, digest);
    CHECK(memcmp(digest, empty, sizeof empty) == 0);
    hash_by_contract(vm, (const uint8_t *)"abc", 3, digest);
    CHECK(memcmp(digest, abc, sizeof abc) == 0);
    hash_by_contract(vm, (const uint8_t *)"Transfer(address,address,uint256)", 33, digest);
    CHECK(memcmp(digest, transfer, sizeof transfer) == 0);
    for (uint32_t n = 0; n <= sizeof data; n++) {
        if (n < sizeof data)
            data[n] = (uint8_t)(7 * n);
        hash_by_contract(vm, data, n, digest);
        for (int i = 0; i < 32; i++)
            all[i] ^= digest[i];
    }
    CHECK(memcmp(all, sum, sizeof sum) == 0);
}

void test_abi(struct evmc_vm *vm)
{
    CHECK_EQ(vm->abi_version, 12);
    CHECK_EQ(vm->get_capabilities(vm), EVMC_CAPABILITY_EWASM);
    CHECK(vm->set_option != NULL);
    check_options(vm);
    check_keccak(vm);
}
