/* The other half of it. */
#include "deep.h"

int second(int n)
{
    if (n > 100)
        return divide(n, 0);
    switch (n % 5) {
    case 0:
        return twice(n, 3);
    case 1:
        return n * n;
    default:
        return n - 1;
    }
}
