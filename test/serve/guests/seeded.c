/* A reactor whose _initialize asks the host for random bytes. Built with -nostdlib. */
#define EXPORT(name) __attribute__((export_name(#name)))

__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get"))) int
random_get(void *to, unsigned long len);

static int value;

EXPORT(_initialize) void initialize(void)
{
    if (random_get(&value, sizeof value))
        __builtin_trap();
}

EXPORT(seed) int seed(void)
{
    return value;
}
