/* What becomes inlined, in a folder of its own. */
#define INLINE static inline __attribute__((always_inline))

INLINE int divide(int a, int b)
{
    return a / b;
}

INLINE int twice(int a, int b)
{
    int x = divide(a, b);

    for (int i = 0; i < b; i++)
        x += divide(x, b - i);
    return x;
}
