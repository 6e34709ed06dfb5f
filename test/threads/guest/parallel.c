/* Work shared by threads: `parallel mandelbrot N THREADS`, `parallel sort N THREADS`, natively and
 * as a guest. Prints a checksum that does not depend on the number of threads, the nanoseconds that
 * the work took, and the CPU time of its longest way: of the thread that had most to do, and of
 * what the first one did alone. On a machine with nothing else to do the two are the same. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __wasi__
#include <wasi/api.h>
#endif

#define THREADS_MAX 64
#define LIMIT 200

struct part {
    pthread_t thread;
    uint32_t *from, *scratch;
    uint32_t first, end;
    uint64_t sum, cpu;
};

static uint32_t size, nthreads;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t total;

/* Of this thread. */
static uint64_t cpu_ns(void)
{
#ifdef __wasi__
    uint64_t ns = 0;

    (void)__wasi_clock_time_get(3, 1, &ns); /* wasi-libc has no name for it any more */
    return ns;
#else
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
#endif
}

static void *mandelbrot(void *arg)
{
    struct part *p = arg;
    uint64_t began = cpu_ns();

    for (uint32_t y = p->first; y < size; y += nthreads) {
        double ci = 2.0 * y / size - 1.0;

        for (uint32_t x = 0; x < size; x++) {
            double cr = 2.0 * x / size - 1.5, r = 0, i = 0, rr = 0, ii = 0;
            uint32_t n = 0;

            for (; n < LIMIT && rr + ii <= 4.0; n++) {
                i = 2.0 * r * i + ci;
                r = rr - ii + cr;
                rr = r * r;
                ii = i * i;
            }
            p->sum += n;
        }
    }
    pthread_mutex_lock(&lock);
    total += p->sum;
    pthread_mutex_unlock(&lock);
    p->cpu = cpu_ns() - began;
    return NULL;
}

static void merge(uint32_t *to, const uint32_t *a, const uint32_t *a_end, const uint32_t *b,
                  const uint32_t *b_end)
{
    while (a < a_end && b < b_end)
        *to++ = *a <= *b ? *a++ : *b++;
    memcpy(to, a, (size_t)(a_end - a) * sizeof *to);
    memcpy(to + (a_end - a), b, (size_t)(b_end - b) * sizeof *to);
}

static void sort(uint32_t *v, uint32_t *scratch, uint32_t n)
{
    uint32_t half = n / 2;

    if (n < 2)
        return;
    sort(v, scratch, half);
    sort(v + half, scratch + half, n - half);
    merge(scratch, v, v + half, v + half, v + n);
    memcpy(v, scratch, (size_t)n * sizeof *v);
}

static void *sort_part(void *arg)
{
    struct part *p = arg;
    uint64_t began = cpu_ns();

    sort(p->from + p->first, p->scratch + p->first, p->end - p->first);
    p->cpu = cpu_ns() - began;
    return NULL;
}

static void run(struct part *parts, void *(*work)(void *))
{
    /* The first does its part too. */
    for (uint32_t i = 1; i < nthreads; i++) {
        if (pthread_create(&parts[i].thread, NULL, work, &parts[i])) {
            fprintf(stderr, "no thread\n");
            exit(3);
        }
    }
    work(&parts[0]);
    for (uint32_t i = 1; i < nthreads; i++)
        pthread_join(parts[i].thread, NULL);
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sort_all(struct part *parts)
{
    uint32_t *v = parts[0].from, *scratch = parts[0].scratch;

    run(parts, sort_part);
    /* Few parts: merged by one. */
    for (uint32_t i = 1; i < nthreads; i++) {
        merge(scratch, v, v + parts[i].first, v + parts[i].first, v + parts[i].end);
        memcpy(v, scratch, (size_t)parts[i].end * sizeof *v);
    }
}

int main(int argc, char **argv)
{
    static struct part parts[THREADS_MAX];
    uint32_t *v = NULL, state = 42;
    uint64_t began, cpu, longest = 0;

    if (argc != 4)
        return 2;
    size = (uint32_t)atoi(argv[2]);
    nthreads = (uint32_t)atoi(argv[3]);
    if (!nthreads || nthreads > THREADS_MAX)
        return 2;
    if (strcmp(argv[1], "sort") == 0) {
        v = malloc((size_t)size * 2 * sizeof *v);
        if (!v)
            return 3;
        for (uint32_t i = 0; i < size; i++)
            v[i] = state = state * 1664525 + 1013904223;
        memset(v + size, 0, (size_t)size * sizeof *v);
        for (uint32_t i = 0; i < nthreads; i++)
            parts[i] = (struct part){.from = v,
                                     .scratch = v + size,
                                     .first = (uint32_t)((uint64_t)size * i / nthreads),
                                     .end = (uint32_t)((uint64_t)size * (i + 1) / nthreads)};
    }
    for (uint32_t i = 0; !v && i < nthreads; i++)
        parts[i].first = i;
    began = now();
    cpu = cpu_ns();
    if (v)
        sort_all(parts);
    else
        run(parts, mandelbrot);
    began = now() - began;
    cpu = cpu_ns() - cpu - parts[0].cpu;
    for (uint32_t i = 0; i < nthreads; i++)
        longest = parts[i].cpu > longest ? parts[i].cpu : longest;
    for (uint32_t i = 0; v && i < size; i++)
        total = total * 31 + v[i];
    printf("%llu\n%llu\n%llu\n", (unsigned long long)total, (unsigned long long)began,
           (unsigned long long)(cpu + longest));
    free(v);
    return 0;
}
