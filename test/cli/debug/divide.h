/* Inlined everywhere. */
static inline __attribute__((always_inline)) int divide(int a, int b)
{
    return a / b;
}
