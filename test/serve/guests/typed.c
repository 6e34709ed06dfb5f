/* Typed functions without a library: numbers, endless loops, traps, memory. Built with -nostdlib.
 */
#define EXPORT(name) __attribute__((export_name(#name)))

static int counter;

EXPORT(add) int add(int a, int b)
{
    return a + b;
}

EXPORT(half) double half(double x)
{
    return x / 2;
}

EXPORT(nothing) void nothing(void)
{
}

/* 1 in a fresh instance. */
EXPORT(count) int count(void)
{
    return ++counter;
}

EXPORT(spin) void spin(void)
{
    for (volatile int i = 0;; i++)
        ;
}

EXPORT(work) int work(int n)
{
    unsigned x = 1;

    for (int i = 0; i < n; i++)
        x = x * 1664525 + 1013904223;
    return (int)(x | 1);
}

EXPORT(trap) void trap(void)
{
    __builtin_trap();
}

/* Pages that could be had. */
EXPORT(grow) int grow(void)
{
    int n = 0;

    while (__builtin_wasm_memory_grow(0, 16) != (unsigned long)-1)
        n += 16;
    return n;
}

/* The 64 KiB pages that it grows by have something in them: how many of their words; then all of
 * them are written. */
EXPORT(fill) int fill(int n)
{
    unsigned long first = __builtin_wasm_memory_grow(0, (unsigned long)n), words = n * 16384ul;
    volatile int *at = (volatile int *)(first << 16);
    int found = 0;

    if (first == (unsigned long)-1)
        return -1;
    for (unsigned long i = 0; i < words; i++)
        found += at[i] != 0;
    for (unsigned long i = 0; i < words; i++)
        at[i] = 0x5eed;
    return found;
}

EXPORT(deep) int deep(int n)
{
    volatile int x = n;

    return x < 0 ? 0 : deep(x + 1) + 1;
}
