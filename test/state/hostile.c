/* Calls every function of ssvm_state with arguments that are no good: pointers outside of memory
 * and across its end, lengths without bounds, handles that are none or another's. Whatever comes
 * must be a code of the list or a plain result, and memory that no call was told about must stay as
 * it is. What it must not do is trap. Arguments: how many calls, seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssvm_state.h"

#define GUARD 64

static uint64_t state;
static uint8_t arena[4096 + 2 * GUARD];
static int64_t out[3];

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint32_t end_of_memory(void)
{
    return (uint32_t)__builtin_wasm_memory_size(0) * 65536;
}

/* An address: bad in most ways, good in some. */
static void *ptr(void)
{
    switch (next() % 8) {
    case 0:
        return NULL;
    case 1:
        return (void *)(uintptr_t)(end_of_memory() - next() % 8);
    case 2:
        return (void *)(uintptr_t)(end_of_memory() + next() % 8);
    case 3:
        return (void *)(uintptr_t)(0xffffffffU - next() % 16);
    case 4:
        return (void *)(uintptr_t)(0x80000000U - next() % 4);
    default:
        return arena + GUARD + next() % 512;
    }
}

static uint32_t len(void)
{
    static const uint32_t lens[] = {0, 1, 5, 512, 513, 65536, 0x7fffffff, 0x80000000, 0xffffffff};

    return next() % 2 ? lens[next() % (sizeof lens / sizeof lens[0])] : (uint32_t)(next() % 64);
}

static int32_t handle(void)
{
    static const int32_t handles[] = {0, -1, 1, 256, 0x7fffffff, -0x7fffffff - 1};

    return next() % 2 ? handles[next() % 6] : (int32_t)(next() % 64 + 256 * (next() % 64));
}

static uint64_t number(void)
{
    return next() >> (next() % 64);
}

/* Where results are written: never memory that others use. */
static int64_t *result(void)
{
    int64_t *p = ptr();

    return (uint8_t *)p >= arena && (uint8_t *)p < arena + sizeof arena ? &out[1] : p;
}

#define N 25
static int64_t call_one(unsigned i)
{
    switch (i) {
    case 0:
        return ssvm_state_error((char *)arena + GUARD, (uint32_t)(next() % 4096));
    case 1:
        return ssvm_state_read(handle(), ptr(), len() % 2048);
    case 2:
        return ssvm_state_size(handle());
    case 3:
        return ssvm_state_close(handle());
    case 4:
        return ssvm_http_status(handle());
    case 5:
        return ssvm_http_fields(handle());
    case 6:
        return ssvm_sql_next(handle());
    case 7:
        return ssvm_sql_columns(handle());
    case 8:
        return ssvm_sql_changes(handle());
    case 9:
        return ssvm_sql_name(handle(), len(), ptr(), len() % 2048);
    case 10:
        return ssvm_sql_type(handle(), len());
    case 11:
        ssvm_sql_int(handle(), len());
        return 0;
    case 12:
        ssvm_sql_float(handle(), len());
        return 0;
    case 13:
        return ssvm_sql_bytes(handle(), len(), ptr(), len() % 2048);
#ifndef WITHOUT
    case 14:
        return ssvm_kv_get(ptr(), len());
    case 15:
        return ssvm_kv_set(ptr(), len(), ptr(), len(), number());
    case 16:
        return ssvm_kv_cas(ptr(), len(), ptr(), len(), ptr(), len(), number());
    case 17:
        return ssvm_kv_delete(ptr(), len());
    case 18:
        return ssvm_kv_increment(ptr(), len(), (int64_t)number(), number(), result());
    case 19:
        return ssvm_kv_list(ptr(), len(), ptr(), len(), len());
    case 20:
        return ssvm_sql_query(ptr(), len(), ptr(), len());
    case 21:
        return ssvm_secret_get(ptr(), len());
    case 22:
        return ssvm_http_request(ptr(), len(), ptr(), len(), ptr(), len(), ptr(), len(), number());
#endif
#ifdef SERVED
    case 23:
        return ssvm_queue_push(ptr(), len(), ptr(), len(), ptr(), len(), number(), result());
    case 24:
        return ssvm_call(ptr(), len(), ptr(), len(), ptr(), len(), ptr(), len(), ptr(), len(),
                         number());
#endif
    default:
        return 0;
    }
}

static int guards_stand(void)
{
    for (int i = 0; i < GUARD; i++)
        if (arena[i] != 0xa5 || arena[sizeof arena - 1 - (unsigned)i] != 0xa5)
            return 0;
    return out[0] == 0x5a5a5a5a && out[2] == 0x5a5a5a5a;
}

int main(int argc, char **argv)
{
    const char *count = argc > 1 ? argv[1] : "10000", *seed = argc > 2 ? argv[2] : "1";
    long n, codes[11] = {0}, fine = 0;

#ifdef SERVED
    count = getenv("QUERY_STRING");
    seed = strchr(count, '&') + 1;
    printf("Content-Type: text/plain\n\n");
#endif
    n = atol(count);
    state = strtoull(seed, NULL, 10);
    memset(arena, 0xa5, sizeof arena);
    out[0] = out[2] = 0x5a5a5a5a;
    for (long i = 0; i < n; i++) {
        unsigned which = (unsigned)(next() % N);
        int64_t r = call_one(which);

        if (r < -10 || !guards_stand()) {
            printf("function %u: %lld\n", which, (long long)r);
            return 1;
        }
        if (r < 0)
            codes[-r]++;
        else
            fine++;
        if (r > 0 && next() % 2) /* some stay open, until there are too many */
            ssvm_state_close((int32_t)r);
    }
    printf("%ld calls, %ld not refused:", n, fine);
    for (int i = 1; i <= 10; i++)
        printf(" %d:%ld", -i, codes[i]);
    printf("\n");
    return 0;
}
