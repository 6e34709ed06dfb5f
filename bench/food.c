/* The demo's function against the same done natively, in turn, in one process:
 *
 *   food NAME FILE MODEL THREADS RUNS WASM FOLDER CACHE PICTURE...
 *
 * NAME and FILE: the library, as for nn.c, which does the native runs; MODEL: the file that WASM
 * has inside; FOLDER: where ssvm finds the library; CACHE: a folder for native code. Decoding is by
 * the same Rust crates on both sides (food-native/). Each call has a store and an instance of its
 * own, as in the server. Prints one line of JSON for each picture: medians in milliseconds. */
#define main nn_main
#include "nn.c" /* the native side: its functions are one program's */
#undef main

#include <ssvm.h>

void food_decode(const void *picture, size_t len, float *ret); /* of food-native */

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

/* What is measured; each has the times of all rounds. */
enum what { NATIVE, NATIVE_DECODE, NATIVE_RUN, WARM, FRESH, GUEST_DECODE, GUEST_RUN, WHATS };
static const char *const names[WHATS] = {"native",     "native_decode", "native_run", "ssvm",
                                         "ssvm_fresh", "ssvm_decode",   "ssvm_run"};
static double wall[WHATS][RUNS_MAX], cpu[WHATS][RUNS_MAX];

static void end(enum what what, int i, struct span from)
{
    cpu[what][i] = cpu_ms() - from.cpu;
    wall[what][i] = now_ms() - from.wall;
}

static double median(double *times, int runs)
{
    qsort(times, (size_t)runs, sizeof *times, by_value);
    return times[runs / 2];
}

static void round_native(float (*run)(void), const void *picture, size_t len, int i)
{
    struct span whole = begin(), part = begin();

    food_decode(picture, len, input);
    end(NATIVE_DECODE, i, part);
    part = begin();
    (void)run();
    end(NATIVE_RUN, i, part);
    end(NATIVE, i, whole);
}

static void round_guest(ssvm_instance *warm, const void *picture, size_t len, int i)
{
    struct span from = begin();
    ssvm_store *store;
    char *answer = ask(warm, "infer", picture, len);

    end(WARM, i, from);
    ssvm_string_delete(answer);
    from = begin();
    answer = ask(instance_new(&store), "infer", picture, len);
    ssvm_store_delete(store);
    end(FRESH, i, from);
    ssvm_string_delete(answer);
    answer = ask(warm, "classify", picture, len);
    wall[GUEST_RUN][i] = number_of(answer, "\"run\":");
    wall[GUEST_DECODE][i] = number_of(answer, "\"decode\":");
    ssvm_string_delete(answer);
}

static void measure(const char *name, float (*run)(void), const char *file, int runs)
{
    double native, native_cpu, warm, fresh;
    ssvm_store *store;
    ssvm_instance *instance = instance_new(&store);
    size_t len;
    void *picture = read_file(file, &len);

    for (int n = -5; n < runs; n++) { /* five rounds before it counts */
        round_native(run, picture, len, n < 0 ? 0 : n);
        round_guest(instance, picture, len, n < 0 ? 0 : n);
    }
    ssvm_store_delete(store);
    printf("{\"library\": \"%s\", \"threads\": %d, \"picture\": \"%s\"", name, threads,
           strrchr(file, '/') ? strrchr(file, '/') + 1 : file);
    for (int i = 0; i < WHATS; i++) {
        printf(", \"%s_ms\": %.3f", names[i], median(wall[i], runs));
        if (i < GUEST_DECODE)
            printf(", \"%s_cpu_ms\": %.3f", names[i], median(cpu[i], runs));
    }
    native = wall[NATIVE][runs / 2];
    native_cpu = cpu[NATIVE][runs / 2];
    warm = cpu[WARM][runs / 2] / native_cpu;
    fresh = cpu[FRESH][runs / 2] / native_cpu;
    printf(
        ", \"ratio\": %.3f, \"run_ratio\": %.3f, \"cpu_ratio\": %.3f, \"fresh_cpu_ratio\": %.3f}\n",
        wall[WARM][runs / 2] / native, wall[GUEST_RUN][runs / 2] / wall[NATIVE_RUN][runs / 2], warm,
        fresh);
    fflush(stdout);
    free(picture);
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
