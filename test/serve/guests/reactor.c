/* A reactor whose _initialize takes long and needs nobody. Built with -nostdlib. */
#define EXPORT(name) __attribute__((export_name(#name)))
#define STEPS 50000000

static unsigned table[4096];
static int changes;

EXPORT(_initialize) void initialize(void)
{
    unsigned x = 1;

    for (int i = 0; i < STEPS; i++) {
        x = x * 1664525 + 1013904223;
        table[x >> 20] += x & 15;
    }
}

EXPORT(sum) int sum(void)
{
    unsigned s = 0;

    for (int i = 0; i < 4096; i++)
        s = s * 31 + table[i];
    return (int)(s >> 1);
}

/* 1 in a fresh instance. */
EXPORT(changed) int changed(void)
{
    return ++changes;
}

EXPORT(steps) int steps(void)
{
    return STEPS;
}
