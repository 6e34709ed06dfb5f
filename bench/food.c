/* The demo's function against the same done natively, in turn, in one process:
 *
 *   food NAME FILE MODEL THREADS RUNS WASM FOLDER CACHE PICTURE...
 *
 * NAME and FILE: the library, as for nn.c, which does the native runs; MODEL: the file that WASM
 * has inside; FOLDER: where ssvm finds the library; CACHE: a folder for native code. Decoding is by
 * the same Rust crates on both sides (food-native/). Each call has a store and an instance of its
 * own, as in the server. Prints one line of JSON for each picture: medians in milliseconds, ratios.
 */
#define main nn_main
#include "nn.c" /* the native side: its functions are one program's */
#undef main

#include <ssvm.h>

/* Of food-native. */
void *food_decode(const void *picture, size_t len);
void food_copy(const void *pixels, float *ret);
void food_drop(void *pixels);

#define WARMING 6 /* rounds before they count */

static ssvm_engine *engine;
static ssvm_module *module;
static ssvm_template *template;

static void check(ssvm_error *e)
{
    if (e)
        die(ssvm_error_message(e));
}

static void say(void *data, const char *line)
{
    (void)data;
    fprintf(stderr, "food: %s\n", line);
}

static void guest_ready(const char *file, const char *backends, const char *cache)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_nn_config nn_config = SSVM_NN_CONFIG_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_nn *nn;

    config.tier = "aot";
    config.cache_dir = cache;
    nn_config.backends = backends;
    nn_config.threads = (uint32_t)threads;
    nn_config.log = say;
    check(ssvm_engine_new(&config, &engine));
    check(ssvm_module_open(engine, file, &module));
    check(ssvm_nn_new(&nn_config, &nn));
    check(ssvm_store_new(engine, NULL, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &wasi));
    check(ssvm_linker_define_bindgen(linker));
    check(ssvm_linker_define_nn(linker, nn));
    check(ssvm_template_new(linker, module, &template));
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
}

static ssvm_instance *instance_new(ssvm_store **ret_store)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_instance *instance;

    check(ssvm_store_new(engine, &limits, ret_store));
    check(ssvm_template_instantiate(template, *ret_store, &wasi, &instance));
    return instance;
}

/* The text is the caller's, for ssvm_string_delete. */
static char *ask(ssvm_instance *instance, const char *function, const void *picture, size_t len)
{
    ssvm_arg arg = {.kind = SSVM_ARG_BYTES, .bytes = picture, .len = len};
    ssvm_result result = SSVM_RESULT_INIT;

    check(ssvm_instance_call(instance, function, &arg, 1, SSVM_RESULT_AUTO, &result));
    return result.bytes;
}

/* The number behind `key` in a text of JSON. */
static double number_of(const char *json, const char *key)
{
    const char *p = strstr(json, key);

    return p ? strtod(p + strlen(key), NULL) : -1;
}

/* Wall and processor time of something, all threads together. */
struct span {
    double wall, cpu;
};
static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
static struct span begin(void)
{
    return (struct span){now_ms(), cpu_ms()};
}

/* What is measured; each has the times of all rounds. "Again" is native code once more: what its
 * ratio to the other is away from 1 is the machine's. A session is from the decoded picture to the
 * answer: on both sides its numbers are in a vector, which nothing aligns, and are copied to where
 * the library can use them. "Bare" is without that copy. */
enum what {
    NATIVE,
    NATIVE_DECODE,
    NATIVE_RUN,
    NATIVE_BARE,
    AGAIN,
    AGAIN_DECODE,
    AGAIN_RUN,
    AGAIN_BARE,
    WARM,
    FRESH,
    GUEST_DECODE,
    GUEST_RUN,
    WHATS
};
static const char *const names[WHATS] = {"native", "native_decode", "native_run",  "native_bare",
                                         "again",  "again_decode",  "again_run",   "again_bare",
                                         "ssvm",   "ssvm_fresh",    "ssvm_decode", "ssvm_run"};
static double wall[WHATS][RUNS_MAX], cpu[WHATS][RUNS_MAX];

static void end(enum what what, int i, struct span from)
{
    cpu[what][i] = cpu_ms() - from.cpu;
    wall[what][i] = now_ms() - from.wall;
}

static double median(const double *times, int n)
{
    static double sorted[RUNS_MAX];

    memcpy(sorted, times, (size_t)n * sizeof *times);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return sorted[n / 2];
}

/* The median of what each round gives: the machine is the same within one. */
static double ratio(const double *a, const double *b, int n)
{
    static double each[RUNS_MAX];

    for (int i = 0; i < n; i++)
        each[i] = a[i] / b[i];
    return median(each, n);
}

/* One picture. */
struct subject {
    float (*run)(void);
    const void *picture;
    size_t len;
    ssvm_store *store; /* of the warm instance */
    ssvm_instance *warm;
};

static void native_step(const struct subject *s, enum what what, int i)
{
    struct span whole = begin(), part = begin(), bare;
    void *pixels = food_decode(s->picture, s->len);

    end(what + NATIVE_DECODE, i, part);
    part = begin();
    food_copy(pixels, input);
    bare = begin();
    (void)s->run();
    end(what + NATIVE_BARE, i, bare);
    end(what + NATIVE_RUN, i, part);
    food_drop(pixels);
    end(what, i, whole);
}

static void native(const struct subject *s, int i)
{
    native_step(s, NATIVE, i);
}

static void again(const struct subject *s, int i)
{
    native_step(s, AGAIN, i);
}

static void warm(const struct subject *s, int i)
{
    struct span from = begin();
    char *answer = ask(s->warm, "infer", s->picture, s->len);

    end(WARM, i, from);
    ssvm_string_delete(answer);
}

static void fresh(const struct subject *s, int i)
{
    struct span from = begin();
    ssvm_store *store;
    char *answer = ask(instance_new(&store), "infer", s->picture, s->len);

    ssvm_store_delete(store);
    end(FRESH, i, from);
    ssvm_string_delete(answer);
}

/* By the guest's own clock: the session is all from its making to its outputs. */
static void parts(const struct subject *s, int i)
{
    char *answer = ask(s->warm, "classify", s->picture, s->len);

    wall[GUEST_RUN][i] = number_of(answer, "\"run\":");
    wall[GUEST_DECODE][i] = number_of(answer, "\"decode\":");
    ssvm_string_delete(answer);
}

/* The first instance of a module is not like those behind it: their data are pages of one file. */
static void open_warm(struct subject *s)
{
    (void)instance_new(&s->store);
    ssvm_store_delete(s->store);
    s->warm = instance_new(&s->store);
}

/* Each round has them in another order, every other one backwards: none is always behind the same,
 * whose memory and caches it would have. */
static void one_round(const struct subject *s, int n)
{
    static void (*const steps[])(const struct subject *, int) = {native, parts, again, warm, fresh};
    const int nsteps = sizeof steps / sizeof steps[0];
    int from = n + WARMING;

    for (int k = 0; k < nsteps; k++)
        steps[(from / 2 + (from % 2 ? k : nsteps - k)) % nsteps](s, n < 0 ? 0 : n);
}

static void print_times(int runs)
{
    for (int i = 0; i < WHATS; i++) {
        printf(", \"%s_ms\": %.3f", names[i], median(wall[i], runs));
        if (i < GUEST_DECODE)
            printf(", \"%s_cpu_ms\": %.3f", names[i], median(cpu[i], runs));
    }
}

/* A ratio, and the lowest and highest of ten parts of the rounds. */
static void print_ratio(const char *name, const double *a, const double *b, int runs)
{
    double low = 1e9, high = 0;
    int n = runs / 10;

    for (int i = 0; n > 0 && i < 10; i++) {
        double r = ratio(a + i * n, b + i * n, n);

        low = r < low ? r : low;
        high = r > high ? r : high;
    }
    printf(", \"%s\": %.3f, \"%s_range\": [%.3f, %.3f]", name, ratio(a, b, runs), name, low, high);
}

static void measure(const char *name, float (*run)(void), const char *file, int runs)
{
    struct subject s = {.run = run};

    s.picture = read_file(file, &s.len);
    open_warm(&s);
    for (int n = -WARMING; n < runs; n++)
        one_round(&s, n);
    ssvm_store_delete(s.store);
    printf("{\"library\": \"%s\", \"threads\": %d, \"picture\": \"%s\"", name, threads,
           strrchr(file, '/') ? strrchr(file, '/') + 1 : file);
    print_times(runs);
    print_ratio("ratio", wall[WARM], wall[NATIVE], runs);
    print_ratio("again_ratio", wall[AGAIN], wall[NATIVE], runs);
    print_ratio("run_ratio", wall[GUEST_RUN], wall[NATIVE_RUN], runs);
    print_ratio("bare_run_ratio", wall[GUEST_RUN], wall[NATIVE_BARE], runs);
    print_ratio("again_run_ratio", wall[AGAIN_RUN], wall[NATIVE_RUN], runs);
    print_ratio("cpu_ratio", cpu[WARM], cpu[NATIVE], runs);
    print_ratio("again_cpu_ratio", cpu[AGAIN], cpu[NATIVE], runs);
    print_ratio("fresh_cpu_ratio", cpu[FRESH], cpu[NATIVE], runs);
    printf("}\n");
    fflush(stdout);
    free((void *)s.picture);
}

int main(int argc, char **argv)
{
    char backends[4096];
    float (*run)(void);
    int runs;

    if (argc < 10)
        die("NAME FILE MODEL THREADS RUNS WASM FOLDER CACHE PICTURE...");
    run = native_ready(argv[1], argv[2], argv[3], argv[4]);
    runs = (int)strtol(argv[5], NULL, 10);
    if (runs < 1 || runs > RUNS_MAX)
        die("RUNS is not right");
    snprintf(backends, sizeof backends, "%s=%s", argv[1], argv[7]);
    guest_ready(argv[6], backends, argv[8]);
    for (int i = 9; i < argc; i++)
        measure(argv[1], run, argv[i], runs);
    _exit(0); /* the libraries' threads are theirs */
}
