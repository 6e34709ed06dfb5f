/* The guest of debug.sh. Lines with a mark in a comment are looked for there. */
#include "divide.h"

static volatile int total;

static __attribute__((noinline)) int inner(int n)
{
    int x = n * 3;

    total += x;
    return divide(100, n); /* divides */
}

static __attribute__((noinline)) int outer(int n)
{
    int sum = 0;

    for (int i = 3; i >= 0; i--) {
        sum += inner(n + i); /* calls inner */
        total = sum;         /* after inner */
    }
    return sum;
}

__attribute__((export_name("work"))) int work(int n)
{
    int result = outer(n); /* calls outer */

    return result + 1; /* ends */
}
