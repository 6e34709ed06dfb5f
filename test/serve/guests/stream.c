/* A command whose reply goes while it runs, as its query string says: `echo` gives the body back as
 * it comes, `count` counts it, `events` sends three events with a pause, `big` writes 8 MB,
 * `forever` does not end, `fail` fails after its reply has begun, `flush` writes a word, flushes,
 * and sleeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void rest(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static void copy(void)
{
    static char bytes[65536];
    ssize_t n;

    while ((n = read(0, bytes, sizeof bytes)) > 0) {
        if (write(1, bytes, (size_t)n) != n)
            exit(1);
    }
    if (n < 0)
        exit(2);
}

static void count(void)
{
    static char bytes[65536];
    unsigned long long total = 0;
    ssize_t n;

    while ((n = read(0, bytes, sizeof bytes)) > 0)
        total += (unsigned long long)n;
    if (n < 0)
        exit(2);
    printf("%llu", total);
}

int main(void)
{
    const char *how = getenv("QUERY_STRING");
    static char block[65536];

    how = how ? how : "";
    memset(block, 'x', sizeof block);
    printf("Content-Type: %s\n\n", strcmp(how, "events") == 0 ? "text/event-stream" : "text/plain");
    fflush(stdout);
    if (strcmp(how, "echo") == 0) {
        copy();
    } else if (strcmp(how, "count") == 0) {
        count();
    } else if (strcmp(how, "events") == 0) {
        for (int i = 0; i < 3; i++) {
            printf("data: %d\n\n", i);
            fflush(stdout);
            rest(300);
        }
    } else if (strcmp(how, "big") == 0) {
        for (int i = 0; i < 128; i++)
            fwrite(block, 1, sizeof block, stdout);
    } else if (strcmp(how, "forever") == 0) {
        while (fwrite(block, 1, sizeof block, stdout) > 0)
            ;
    } else if (strcmp(how, "fail") == 0) {
        for (int i = 0; i < 4; i++)
            fwrite(block, 1, sizeof block, stdout);
        fflush(stdout);
        abort();
    } else if (strcmp(how, "flush") == 0) {
        printf("first");
        fflush(stdout);
        fsync(1);
        rest(1000);
        printf("second");
    }
    return 0;
}
