/* Tests of libssvm-evmc.so: scripts for test/evmc/contract/probe.c, and what became of them. */
#ifndef TEST_EVMC_TEST_H
#define TEST_EVMC_TEST_H

#include <string.h>

#include "host.h"

/* ---- Counting ---- */

extern unsigned test_failed, test_passed;
/* Says where and what when `ok` is not so. */
void test_check(bool ok, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define CHECK(cond) test_check((cond), __FILE__, __LINE__, "%s", #cond)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long test_a = (long long)(a), test_b = (long long)(b);                                \
        test_check(test_a == test_b, __FILE__, __LINE__, "%s is %lld, not %lld", #a, test_a,       \
                   test_b);                                                                        \
    } while (0)

/* ---- Contracts ---- */

struct code {
    uint8_t *bytes;
    size_t size;
};
extern struct code test_probe, test_token, test_deploy; /* of test/evmc/contract, examples */
/* A small module: sections as asked for. Static, until the next call. */
enum module_parts {
    PART_MEMORY = 1,
    PART_MAIN = 2,
    PART_START = 4,
    PART_MAIN_RESULT = 8, /* main gives an i32 */
    PART_ENV = 16,        /* imports env.f */
    PART_WRONG_TYPE = 32, /* imports ethereum.finish as () -> () */
    PART_HUGE = 64,       /* of 65536 pages */
    PART_SEGMENT = 128,   /* a data segment outside of memory */
    PART_METER = 256      /* imports ssvm_meter.gas_used, which the library has */
};
struct code test_module(unsigned parts);

/* ---- Scripts ---- */

enum function {
#define EEI(name, fn, sig, gas, doc) FN_##fn,
#include "evmc/eei.def"
#undef EEI
    FN_COUNT
};
struct function_info {
    const char *name, *sig;
    int64_t gas;
};
extern const struct function_info functions[FN_COUNT];
enum step { SET = 0x80, GIVE, LOOP, DIVE, GROW, UNREACHABLE, RETURN, DEEP };

#define MEMORY_SIZE 0x30000
#define SCRATCH 0x28000 /* memory that the probe does not use */
struct script {
    uint8_t bytes[65536];
    size_t n;
};
void step_call(struct script *, enum function, ...); /* with int64_t arguments */
void step_set(struct script *, uint32_t to, const void *bytes, uint32_t len);
void step_give(struct script *, uint32_t from, uint32_t len);
void step_plain(struct script *, enum step); /* LOOP, DIVE, UNREACHABLE, RETURN */
void step_number(struct script *, enum step, uint64_t, unsigned bytes); /* GROW, DEEP */
/* Gas that the probe uses for a script, before what the script does. */
int64_t script_gas(const struct script *);

/* ---- Runs ---- */

#define GAS_PLENTY INT64_C(1000000000000000)
/* The probe is at host_address(1), with a balance of 1000; who calls it is host_address(2). */
void probe_init(struct host *, struct evmc_vm *);
struct run {
    struct evmc_result result;
    int64_t used;
};
struct run probe_run(struct host *, const struct script *, int64_t gas, uint32_t flags);
void run_release(struct run *);
/* The n-th number of the output. */
int64_t run_number(const struct run *, size_t n);

/* ---- Parts ---- */

void test_abi(struct evmc_vm *);
void test_functions(struct evmc_vm *);
void test_calls(struct evmc_vm *);
void test_hostile(struct evmc_vm *);
void test_token_contract(struct evmc_vm *);
void test_threads(struct evmc_vm *);
void test_fuzz(struct evmc_vm *, unsigned long calls, uint64_t seed);

#endif
