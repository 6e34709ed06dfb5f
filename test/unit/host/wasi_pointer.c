/* must-pass 29: every function with every argument at the edges of memory and of its type: an
 * errno, never a fault (behind the memory lie pages without access). */
#include "guest.h"

static char scratch[256];

static uint64_t edge(unsigned long r)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        3,
        4,
        7,
        8,
        16,
        24,
        31,
        32,
        47,
        48,
        64,
        255,
        1024,
        4095,
        4096,
        GUEST_SIZE - 64,
        GUEST_SIZE - 8,
        GUEST_SIZE - 4,
        GUEST_SIZE - 1,
        GUEST_SIZE,
        GUEST_SIZE + 1,
        0x7fffffff,
        0x80000000,
        0xfffffff0,
        0xffffffff,
        0x100000000,
        0x7fffffffffffffff,
        0x8000000000000000,
        UINT64_MAX,
    };

    return edges[r % SV_COUNT(edges)];
}

static void edges(void **state)
{
    struct sv_wasi_dir dirs[] = {{"/", scratch, false}, {"/ro", scratch, true}};
    struct sv_wasi_grant grant = {.dirs = dirs, .ndirs = 2, .max_fds = 16};
    unsigned f, i, j;

    (void)state;
    srandom(1);
    for (f = 0; f < sv_host_wasi.nfuncs; f++) {
        const struct sv_host_func *h = &sv_host_wasi.funcs[f];
        size_t n = strcspn(h->sig, ":");
        uint64_t args[16];
        struct guest g;

        guest_open(&g, &sv_host_wasi, &grant);
        g.era = h->names ? h->names & (unsigned)-(int)h->names : 1;
        memset(g.memory.base, 0x5a, GUEST_SIZE);
        guest_put(&g, AT_PATH, "a/b", 3);
        for (i = 0; i < 3000; i++) {
            int r;

            /* something that sleeps for ever is cut off */
            g.store.thread.deadline_ns = 1;
            atomic_store(&g.store.thread.interrupt, 0);
            for (j = 0; j < n; j++)
                args[j] = edge((unsigned long)random());
            if (strncmp(h->name, "path_", 5) == 0 && i % 3 == 0) {
                args[0] = 3 + i % 2;
                args[2] = AT_PATH;
                args[3] = 3;
            }
            r = guest_call_n(&g, h->name, args, n);
            assert_true(r <= SV_WASI_ENOTCAPABLE);
        }
        guest_close(&g);
    }
}

static int make(void **state)
{
    (void)state;
    scratch_make(scratch, sizeof scratch);
    return 0;
}
static int clean(void **state)
{
    (void)state;
    scratch_remove(scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(edges)};

    return cmocka_run_group_tests(tests, make, clean);
}
