/* A guest with debug information. */
#include "deep.h"

int second(int n);
static int numbers[16];

int first(int n)
{
    int sum = 0;

    for (int i = 0; i < n; i++) {
        numbers[i & 15] += i;
        if (i == 7)
            sum += twice(n, i);
    }
    return sum + second(sum);
}

int main(void)
{
    int n = first(10);

    return twice(n, second(n) - 3);
}
