/* A contract that does what its call's data says, so that tests can make any call of any function
 * with any argument: steps, one after the other, until the data ends; then what they gave is the
 * output. A step is a byte, and:
 *
 *     0..N-1   the function of that place in src/evmc/eei.def, with arguments of 8 bytes each; what
 *              it returns goes to the output, 8 bytes
 *     SET      u32 to, u32 len, bytes: write them to memory
 *     GIVE     u32 from, u32 len: memory to the output
 *     LOOP     run for ever
 *     DIVE     call itself until the stack ends
 *     GROW     u32 pages: memory.grow; the result goes to the output
 *     UNREACHABLE
 *     RETURN   return from main
 *     DEEP     u64 gas: call this contract with the same data and so much gas, then go on
 *
 * Numbers have their least significant byte first. */
#include "ssvm_ethereum.h"

enum step {
    SET = 0x80,
    GIVE,
    LOOP,
    DIVE,
    GROW,
    UNREACHABLE,
    RETURN,
    DEEP,
};

static uint8_t data[65536], output[65536];
static uint32_t at, end, given;
static volatile uint32_t depth;

static uint64_t take(uint32_t n)
{
    uint64_t v = 0;

    for (uint32_t i = 0; i < n && at < end; i++)
        v |= (uint64_t)data[at++] << 8 * i;
    return v;
}

static void give(const uint8_t *from, uint32_t len)
{
    for (uint32_t i = 0; i < len && given < sizeof output; i++)
        output[given++] = from[i];
}

static void give_number(int64_t v)
{
    give((const uint8_t *)&v, 8);
}

static __attribute__((noinline)) uint32_t dive(uint32_t n)
{
    depth++;
    return dive(n + 1) + depth;
}

/* The same imports, of numbers instead of pointers. */
#define IMPORT(name) __attribute__((import_module("ethereum"), import_name(#name)))
IMPORT(useGas) void useGas(int64_t);
IMPORT(getGasLeft) int64_t getGasLeft(void);
#define OUT1(name) IMPORT(name) void name(int32_t);
OUT1(getAddress)
OUT1(getCaller)
OUT1(getTxOrigin)
OUT1(getBlockCoinbase)
OUT1(getCallValue)
OUT1(getTxGasPrice)
OUT1(getChainId)
OUT1(getBlockDifficulty)
IMPORT(getBlockNumber) int64_t getBlockNumber(void);
IMPORT(getBlockTimestamp) int64_t getBlockTimestamp(void);
IMPORT(getBlockGasLimit) int64_t getBlockGasLimit(void);
IMPORT(getBlockHash) int32_t getBlockHash(int64_t, int32_t);
IMPORT(getExternalBalance) void getExternalBalance(int32_t, int32_t);
IMPORT(getCallDataSize) int32_t getCallDataSize(void);
IMPORT(callDataCopy) void callDataCopy(int32_t, int32_t, int32_t);
IMPORT(getCodeSize) int32_t getCodeSize(void);
IMPORT(codeCopy) void codeCopy(int32_t, int32_t, int32_t);
IMPORT(getExternalCodeSize) int32_t getExternalCodeSize(int32_t);
IMPORT(externalCodeCopy) void externalCodeCopy(int32_t, int32_t, int32_t, int32_t);
IMPORT(getReturnDataSize) int32_t getReturnDataSize(void);
IMPORT(returnDataCopy) void returnDataCopy(int32_t, int32_t, int32_t);
IMPORT(call) int32_t call(int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(callCode) int32_t callCode(int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(callDelegate) int32_t callDelegate(int64_t, int32_t, int32_t, int32_t);
IMPORT(callStatic) int32_t callStatic(int64_t, int32_t, int32_t, int32_t);
IMPORT(create) int32_t create(int32_t, int32_t, int32_t, int32_t);
IMPORT(create2) int32_t create2(int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(storageLoad) void storageLoad(int32_t, int32_t);
IMPORT(storageStore) void storageStore(int32_t, int32_t);
IMPORT(log) void log_(int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(finish) void finish(int32_t, int32_t);
IMPORT(revert) void revert(int32_t, int32_t);
IMPORT(selfDestruct) void selfDestruct(int32_t);

#define A0 ((int32_t)a[0])
#define A1 ((int32_t)a[1])
#define A2 ((int32_t)a[2])
#define A3 ((int32_t)a[3])
#define A4 ((int32_t)a[4])
#define A5 ((int32_t)a[5])
#define A6 ((int32_t)a[6])

static void run_function(unsigned n)
{
    static const uint8_t nargs[] = {1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 2, 2, 0, 3, 0,
                                    3, 1, 4, 0, 3, 5, 5, 4, 4, 4, 5, 2, 2, 7, 2, 2, 1};
    uint64_t a[7] = {0};
    int64_t r = -1;

    for (unsigned i = 0; i < nargs[n]; i++)
        a[i] = take(8);
    switch (n) {
        /* clang-format off */
    case 0: useGas((int64_t)a[0]); return;
    case 1: r = getGasLeft(); break;
    case 2: getAddress(A0); return;
    case 3: getCaller(A0); return;
    case 4: getTxOrigin(A0); return;
    case 5: getBlockCoinbase(A0); return;
    case 6: getCallValue(A0); return;
    case 7: getTxGasPrice(A0); return;
    case 8: getChainId(A0); return;
    case 9: getBlockDifficulty(A0); return;
    case 10: r = getBlockNumber(); break;
    case 11: r = getBlockTimestamp(); break;
    case 12: r = getBlockGasLimit(); break;
    case 13: r = getBlockHash((int64_t)a[0], A1); break;
    case 14: getExternalBalance(A0, A1); return;
    case 15: r = (uint32_t)getCallDataSize(); break;
    case 16: callDataCopy(A0, A1, A2); return;
    case 17: r = (uint32_t)getCodeSize(); break;
    case 18: codeCopy(A0, A1, A2); return;
    case 19: r = (uint32_t)getExternalCodeSize(A0); break;
    case 20: externalCodeCopy(A0, A1, A2, A3); return;
    case 21: r = (uint32_t)getReturnDataSize(); break;
    case 22: returnDataCopy(A0, A1, A2); return;
    case 23: r = call((int64_t)a[0], A1, A2, A3, A4); break;
    case 24: r = callCode((int64_t)a[0], A1, A2, A3, A4); break;
    case 25: r = callDelegate((int64_t)a[0], A1, A2, A3); break;
    case 26: r = callStatic((int64_t)a[0], A1, A2, A3); break;
    case 27: r = create(A0, A1, A2, A3); break;
    case 28: r = create2(A0, A1, A2, A3, A4); break;
    case 29: storageLoad(A0, A1); return;
    case 30: storageStore(A0, A1); return;
    case 31: log_(A0, A1, A2, A3, A4, A5, A6); return;
    case 32: finish(A0, A1); return;
    case 33: revert(A0, A1); return;
    case 34: selfDestruct(A0); return;
        /* clang-format on */
    }
    give_number(r);
}

static void call_itself(int64_t gas)
{
    static const uint8_t nothing[16];
    static uint8_t self[20];

    eth_address(self);
    give_number(eth_call(gas, self, nothing, data, end));
}

static void run_other(unsigned step)
{
    uint32_t to, len;

    switch (step) {
    case SET:
        to = (uint32_t)take(4);
        len = (uint32_t)take(4);
        for (uint32_t i = 0; i < len && at < end; i++)
            ((volatile uint8_t *)to)[i] = data[at++];
        break;
    case GIVE:
        to = (uint32_t)take(4);
        give((const uint8_t *)to, (uint32_t)take(4));
        break;
    case LOOP:
        for (;;)
            depth++;
    case DIVE:
        give_number(dive(0));
        break;
    case GROW:
        give_number((int32_t)__builtin_wasm_memory_grow(0, (unsigned long)take(4)));
        break;
    case DEEP:
        call_itself((int64_t)take(8));
        break;
    default:
        __builtin_trap();
    }
}

void main(void)
{
    end = eth_call_data_size();
    if (end > sizeof data)
        end = sizeof data;
    eth_call_data_copy(data, 0, end);
    while (at < end) {
        unsigned step = (unsigned)take(1);

        if (step == RETURN)
            return;
        if (step < 35)
            run_function(step);
        else
            run_other(step);
    }
    eth_finish(output, given);
}
