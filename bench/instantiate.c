/* What a fresh sandbox costs: store + WASI + instance + `_start` + delete, in us of CPU a request.
 * Not a test.
 *
 *   instantiate [--cache DIR] [FILE...]   the files (none: a tiny guest), whole requests by a
 *                                         template; interpreted, with DIR native: an image in the
 *                                         file is used if DIR has the key that it was made with
 *
 * Where wasmtime-run (see its head; $PEER_WASMTIME_RUN or PATH) is found, the same by wasmtime's
 * pooling allocator in alternating rounds, and the ratio. */
#include <fcntl.h>
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 9
#define REQUESTS 10000
#define TEXT_MAX 4096

/* Imports fd_write and proc_exit, has a memory of one page, 8 bytes of data, and a `_start` that
 * returns. */
static const unsigned char guest[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, /* magic, version */
    0x01, 0x10, 0x03, 0x60, 0x04, 0x7f, 0x7f, 0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x01, 0x7f, /* types */
    0x00, 0x60, 0x00, 0x00,                                                             /* */
    0x02, 0x46, 0x02, /* imports */
    0x16, 'w',  'a',  's',  'i',  '_',  's',  'n',  'a',  'p',  's',  'h',  'o',  't',
    '_', /* */
    'p',  'r',  'e',  'v',  'i',  'e',  'w',  '1',  0x08, 'f',  'd',  '_',  'w',  'r',
    'i',                    /* */
    't',  'e',  0x00, 0x00, /* */
    0x16, 'w',  'a',  's',  'i',  '_',  's',  'n',  'a',  'p',  's',  'h',  'o',  't',
    '_', /* */
    'p',  'r',  'e',  'v',  'i',  'e',  'w',  '1',  0x09, 'p',  'r',  'o',  'c',  '_',
    'e',                          /* */
    'x',  'i',  't',  0x00, 0x01, /* */
    0x03, 0x02, 0x01, 0x02,       /* functions */
    0x05, 0x03, 0x01, 0x00, 0x01, /* memory */
    0x07, 0x13, 0x02, 0x06, 'm',  'e',  'm',  'o',  'r',  'y',  0x02, 0x00, 0x06, '_',
    's',                                /* exports */
    't',  'a',  'r',  't',  0x00, 0x02, /* */
    0x0a, 0x04, 0x01, 0x02, 0x00, 0x0b, /* code */
    0x0b, 0x0e, 0x01, 0x00, 0x41, 0x08, 0x0b, 0x08, 'd',  'a',  't',  'a',  'd',  'a',
    't', /* data */
    'a',
};

static ssvm_engine *engine;
static ssvm_module *module;
static ssvm_template *template;
static ssvm_limits limits = SSVM_LIMITS_INIT;
static const char *program; /* argv[0] of the guest */
static FILE *report;        /* guests write to /dev/null */

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "instantiate: %s\n", ssvm_error_message(error));
    exit(1);
}

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static ssvm_wasi grant(void)
{
    ssvm_wasi wasi = SSVM_WASI_INIT;

    wasi.args = &program;
    wasi.nargs = 1;
    wasi.in.kind = wasi.out.kind = wasi.err.kind = SSVM_STREAM_INHERIT;
    return wasi;
}

static void by_store(void)
{
    ssvm_store *store;

    check(ssvm_store_new(engine, &limits, &store));
    ssvm_store_delete(store);
}

static void by_linker(void)
{
    ssvm_wasi wasi = grant();
    ssvm_instance *instance;
    ssvm_linker *linker;
    ssvm_store *store;

    check(ssvm_store_new(engine, &limits, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &wasi));
    check(ssvm_linker_instantiate(linker, module, &instance));
    check(ssvm_instance_start(instance));
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
}

static void by_template(void)
{
    ssvm_wasi wasi = grant();
    ssvm_instance *instance;
    ssvm_store *store;

    check(ssvm_store_new(engine, &limits, &store));
    check(ssvm_template_instantiate(template, store, &wasi, &instance));
    check(ssvm_instance_start(instance));
    ssvm_store_delete(store);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double round_of(void (*fn)(void))
{
    double start = cpu_us();

    for (int i = 0; i < REQUESTS; i++)
        fn();
    return (cpu_us() - start) / REQUESTS;
}

static const char *tier(void)
{
    return ssvm_module_is_native(module, 0) ? "native" : "interpreted";
}

static void measure(const char *name, void (*fn)(void))
{
    double us[ROUNDS];

    for (int r = 0; r < ROUNDS; r++)
        us[r] = round_of(fn);
    qsort(us, ROUNDS, sizeof us[0], compare);
    fprintf(report, "%-28s %s, least %6.2f us, median %6.2f us\n", name, tier(), us[0],
            us[ROUNDS / 2]);
}

/* us of a request in wasmtime; 0: it cannot be run. */
static double peer(const char *runner, const char *image)
{
    char line[TEXT_MAX];
    double us = 0;
    FILE *p;

    snprintf(line, sizeof line, "'%s' requests %d '%s' 2>&1 >/dev/null", runner, REQUESTS, image);
    p = popen(line, "r");
    if (!p)
        return 0;
    if (!fgets(line, sizeof line, p) || sscanf(line, "%lf us", &us) != 1)
        us = 0;
    pclose(p);
    return us;
}

static void beside_peer(const char *runner, const char *path)
{
    char image[] = "/tmp/instantiate-XXXXXX", line[TEXT_MAX];
    double ours[ROUNDS], theirs[ROUNDS];
    int fd = mkstemp(image), r;

    if (fd < 0)
        return;
    close(fd);
    snprintf(line, sizeof line, "'%s' compile '%s' '%s' >/dev/null 2>&1", runner, path, image);
    if (system(line) != 0) {
        fprintf(report, "%-28s wasmtime-run cannot compile it\n", path);
        goto out;
    }
    for (r = 0; r < ROUNDS; r++) {
        ours[r] = round_of(by_template);
        theirs[r] = peer(runner, image);
    }
    qsort(ours, ROUNDS, sizeof ours[0], compare);
    qsort(theirs, ROUNDS, sizeof theirs[0], compare);
    fprintf(report, "%-28s %s, median %6.2f us, wasmtime pooled %6.2f us, ratio %.2f\n", path,
            tier(), ours[ROUNDS / 2], theirs[ROUNDS / 2], ours[ROUNDS / 2] / theirs[ROUNDS / 2]);
out:
    unlink(image);
}

static void open_module(const void *bytes, size_t len)
{
    ssvm_wasi wasi = grant();
    ssvm_linker *linker;
    ssvm_store *store;

    check(ssvm_module_new(engine, bytes, len, &module));
    check(ssvm_store_new(engine, NULL, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &wasi));
    check(ssvm_template_new(linker, module, &template));
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
}

static void close_module(void)
{
    ssvm_template_delete(template);
    ssvm_module_delete(module);
}

static void measure_file(const char *runner, const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes;
    long len;

    if (!f || fseek(f, 0, SEEK_END) || (len = ftell(f)) < 0) {
        fprintf(stderr, "instantiate: cannot read '%s'\n", path);
        exit(1);
    }
    rewind(f);
    bytes = malloc((size_t)len + 1);
    if (!bytes || fread(bytes, 1, (size_t)len, f) != (size_t)len)
        exit(1);
    fclose(f);
    program = path;
    open_module(bytes, (size_t)len);
    free(bytes);
    measure(path, by_template);
    if (runner)
        beside_peer(runner, path);
    close_module();
}

int main(int argc, char **argv)
{
    const char *runner = getenv("PEER_WASMTIME_RUN");
    int null = open("/dev/null", O_WRONLY), first = 1;
    ssvm_config config = {.size = sizeof config, .tier = "interp"};

    if (!runner && system("command -v wasmtime-run >/dev/null 2>&1") == 0)
        runner = "wasmtime-run";
    report = fdopen(dup(1), "w");
    if (!report || null < 0 || dup2(null, 1) < 0)
        return 1;
    setvbuf(report, NULL, _IOLBF, 0);
    limits.wall_ms = 10000;
    program = "guest";
    if (argc > 2 && strcmp(argv[1], "--cache") == 0) {
        config.tier = "aot";
        config.cache_dir = argv[2];
        first = 3;
    }
    check(ssvm_engine_new(&config, &engine));
    for (int i = first; i < argc; i++)
        measure_file(runner, argv[i]);
    if (argc == first) {
        open_module(guest, sizeof guest);
        measure("store", by_store);
        measure("linker, whole request", by_linker);
        measure("template, whole request", by_template);
        close_module();
    }
    ssvm_engine_delete(engine);
    fclose(report);
    return 0;
}
