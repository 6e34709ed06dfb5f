/* Images whose seal is right and whose tables lie: what is opened, runs, traps, prints a backtrace,
 * is sampled, mapped for perf and told to debuggers stays whole whatever lines, unwind rows,
 * frames, places of functions, initial data and the header's list of parts say. The code itself is
 * believed, so what it consists of (text, constants, where a function begins) is left alone. More
 * of it: SSVM_IMAGES_ROUNDS, SSVM_IMAGES_SEED. */
#include "must.h"

#include "guest.h"

#ifdef SV_TEST_NATIVE

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tsan.h"

#include "runtime/image.h"
#include "ssvm.h"

#define ROUNDS 600
#define ENGINE_ROUNDS 50 /* what debuggers were told of stays until the engine's end */

static const char source[] =
    "unsigned char bytes[40000] = {1, 2, 3, [39999] = 7};\n"
    "static volatile int sink;\n"
    "__attribute__((noinline)) static int one(int n) { return n + (int)bytes[n & 16383]; }\n"
    "__attribute__((noinline)) static int two(int n) { return n * 3 ^ one(n); }\n"
    "static int (*const table[])(int) = {one, two};\n"
    "__attribute__((export_name(\"sum\"))) int sum(int n) {\n"
    "  int x = 0; for (int i = 0; i < 40000; i++) x += bytes[i] * n + table[i & 1](i); return x; "
    "}\n"
    "__attribute__((noinline, export_name(\"load\"))) int load(int n) {\n"
    "  if (n <= 0) return *(volatile int *)0x7ffffff0; int r = load(n - 1); sink = r; return r + "
    "n; }\n"
    "__attribute__((noinline, export_name(\"divide\"))) int divide(int n) {\n"
    "  volatile int room[100]; room[n] = 0; if (n <= 0) return 5 / room[0];\n"
    "  int r = divide(n - 1); sink = r; return r + room[n]; }\n"
    "__attribute__((noinline, export_name(\"deep\"))) int deep(int n) { int r = deep(n + 1); sink "
    "= r; return r + n; }\n"
    "__attribute__((export_name(\"spin\"))) int spin(int n) { for (;;) sink += two(n); }\n";

static uint64_t random_state;
static uint32_t below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 10) : otherwise;
}

/* ---- The files ---- */

struct file {
    uint8_t *bytes;
    size_t len;
    struct sv_image_place place; /* of the image in it */
    struct sv_image_header header;
};

static char scratch[64];

static const char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static uint8_t *read_file(const char *name, size_t *ret_len)
{
    FILE *f = fopen(path_of(name), "rb");
    uint8_t *bytes;

    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    bytes = malloc(*ret_len);
    assert_int_equal(fread(bytes, 1, *ret_len, f), *ret_len);
    fclose(f);
    return bytes;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static ssvm_engine *new_engine(bool debug, bool perf)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_engine *engine = NULL;

    must_handle_faults();
    config.tier = "auto";
    config.cache_dir = path_of("cache");
    config.debug = debug;
    config.perf_map = perf;
    ok(ssvm_engine_new(&config, &engine));
    return engine;
}

/* With its perf map. */
static void delete_engine(ssvm_engine *engine)
{
    char map[64];

    ssvm_engine_delete(engine);
    snprintf(map, sizeof map, "/tmp/perf-%d.map", (int)getpid());
    unlink(map);
}

/* The module, compiled, in one file. */
static void make_file(const char *wasm, bool debug, struct file *ret)
{
    ssvm_compile_options options = SSVM_COMPILE_OPTIONS_INIT;
    ssvm_engine *engine = new_engine(debug, false);
    ssvm_module *module = NULL;
    char *bytes;

    options.optimise = debug ? 0 : 2;
    options.debug = debug;
    ok(ssvm_module_open(engine, path_of(wasm), &module));
    ok(ssvm_module_compile(module, &options, &bytes, &ret->len, NULL));
    ret->bytes = malloc(ret->len);
    memcpy(ret->bytes, bytes, ret->len);
    ssvm_string_delete(bytes);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    assert_true(sv_image_find(ret->bytes, ret->len, &ret->place));
    memcpy(&ret->header, ret->bytes + ret->place.offset, sizeof ret->header);
    for (int i = 0; i < SV_IMAGE_DWARF; i++)
        assert_true(ret->header.parts[i].len > 0 || i == SV_IMAGE_RODATA || i == SV_IMAGE_TRAPS ||
                    i == SV_IMAGE_NAMES || i == SV_IMAGE_DATA_DIGESTS);
}

/* ---- Damage ---- */

static uint32_t bad_number(void)
{
    static const uint32_t values[] = {0,  1,  6,   7,    8,     16,         24,         29,
                                      31, 64, 256, 4096, 70000, 0x7ffffff8, 0x80000000, UINT32_MAX};

    switch (below(4)) {
    case 0:
        return below(1u << 31) * 2 + below(2);
    case 1:
        return below(8192);
    default:
        return values[below(SV_COUNT(values))];
    }
}

/* Rows and frames: any number may be anything. */
static void damage_words(uint8_t *part, uint64_t len)
{
    uint32_t n = (uint32_t)(len / sizeof(uint32_t));

    for (uint32_t i = 1 + below(below(3) ? 8 : n); i > 0; i--) {
        uint32_t v = bad_number();

        memcpy(part + sizeof v * below(n), &v, sizeof v);
    }
}

/* Where functions and thunks begin: none, or outside. */
static void damage_places(uint8_t *part, uint64_t len, uint64_t text_len)
{
    uint32_t n = (uint32_t)(len / sizeof(uint32_t));

    for (uint32_t i = 1 + below(n); i > 0; i--) {
        uint32_t v = below(2) ? 0 : (uint32_t)text_len + below(UINT32_MAX - (uint32_t)text_len);

        memcpy(part + sizeof v * below(n), &v, sizeof v);
    }
}

static void damage_bytes(uint8_t *part, uint64_t len)
{
    for (uint32_t i = 1 + below(2000); i > 0; i--)
        part[below((uint32_t)len)] = (uint8_t)below(256);
}

/* A part's place or length: by little, so that some of them pass, or by much. */
static void damage_part(struct sv_image_part *p)
{
    uint64_t v = below(2) ? bad_number() : (uint64_t)bad_number() << below(33);

    switch (below(5)) {
    case 0:
        p->offset = v;
        break;
    case 1:
        p->offset += (uint64_t)4096 * (below(5) - 2);
        break;
    case 2:
        p->len = v;
        break;
    default:
        p->len += 4 * (uint64_t)(below(101) - 50);
        break;
    }
}

static void seal(uint8_t *image, size_t len, const uint8_t *key)
{
    struct sv_image_header h;
    struct sv_hmac m;

    if (sv_image_check(NULL, image, len, NULL, &h) == 0) {
        sv_image_seal(image, key);
        return;
    }
    memset(image + offsetof(struct sv_image_header, mac), 0, SV_SHA256_LEN);
    sv_hmac_init(&m, key, SV_IMAGE_KEY_LEN);
    sv_hmac_add(&m, image, sizeof h);
    sv_hmac_end(&m, h.mac);
    memcpy(image + offsetof(struct sv_image_header, mac), h.mac, SV_SHA256_LEN);
}

static void damage(const struct file *f, const uint8_t *key, uint8_t *bytes)
{
    static const uint8_t tables[] = {SV_IMAGE_LINES, SV_IMAGE_UNWIND, SV_IMAGE_FRAMES};
    uint8_t *image = bytes + f->place.offset;
    struct sv_image_header h = f->header;
    uint64_t text_len = h.parts[SV_IMAGE_TEXT].len;
    enum sv_image_part_kind kind;

    memcpy(bytes, f->bytes, f->len);
    for (unsigned i = 1 + below(3); i > 0; i--) {
        switch (below(8)) {
        case 0:
            kind = below(2) ? SV_IMAGE_FUNCTIONS : SV_IMAGE_THUNKS;
            damage_places(image + h.parts[kind].offset, h.parts[kind].len, text_len);
            break;
        case 1:
            damage_bytes(image + h.parts[SV_IMAGE_DATA].offset, h.parts[SV_IMAGE_DATA].len);
            break;
        case 2:
            /* What the text's length says is where code may be: it only becomes less. */
            kind = (enum sv_image_part_kind)(SV_IMAGE_RODATA + below(SV_IMAGE_PART_COUNT - 1));
            damage_part(&((struct sv_image_header *)(void *)image)->parts[kind]);
            break;
        default:
            kind = (enum sv_image_part_kind)tables[below(SV_COUNT(tables))];
            damage_words(image + h.parts[kind].offset, h.parts[kind].len);
            break;
        }
    }
    seal(image, f->place.len, key);
}

/* ---- Use ---- */

struct found {
    unsigned native, traps, frames, refused;
};

/* Ends with the trap `code`; 0: ends. */
static void call(struct guest *g, const char *name, int arg, int code, struct found *found)
{
    ssvm_val in = {.kind = SSVM_I32, .of.i32 = arg}, out;
    ssvm_func *f = ssvm_instance_func(g->instance, name);
    ssvm_error *e;

    assert_non_null(f);
    e = ssvm_func_call(g->store, f, &in, 1, &out, 1);
    if (!e && code)
        fail_msg("%s: no trap", name);
    if (!e)
        return;
    found->traps++;
    for (const char *p = ssvm_error_backtrace(e); p && *p; p++)
        found->frames += *p == '\n';
    if (code && ssvm_error_trap_code(e) != code)
        fail_msg("%s: %s", name, ssvm_error_message(e));
    ssvm_error_delete(e);
}

static void run(ssvm_engine *engine, ssvm_module *module, unsigned long round, struct found *found)
{
    struct guest g = {.engine = engine, .module = module};
    ssvm_limits limits = SSVM_LIMITS_INIT;
    char *profile = NULL;
    size_t len;

    limits.stack_bytes = 64 << 10;
    limits.wall_ms = round % 4 == 0 && !TSAN ? 3 : 0;
    ok(ssvm_store_new(engine, &limits, &g.store));
    ok(ssvm_linker_new(g.store, &g.linker));
    ok(ssvm_linker_instantiate(g.linker, module, &g.instance));
    if (round % 8 == 0 && !TSAN)
        ok(ssvm_store_profile_start(g.store));
    if (limits.wall_ms) {
        call(&g, "spin", 1, SSVM_TRAP_DEADLINE, found);
    } else {
        call(&g, "divide", 9, SSVM_TRAP_DIVIDE_BY_ZERO, found);
        call(&g, "load", 9, SSVM_TRAP_MEMORY_BOUNDS, found);
        call(&g, "sum", 3, 0, found);
    }
    if (round % 16 == 1)
        call(&g, "deep", 1, SSVM_TRAP_STACK, found);
    if (round % 8 == 0 && !TSAN) {
        ok(ssvm_store_profile_end(g.store, SSVM_PROFILE_SVG, &profile, &len));
        ssvm_string_delete(profile);
    }
    ssvm_linker_delete(g.linker);
    ssvm_store_delete(g.store);
}

/* By a copy in memory, or by a file whose pages are used where they lie. */
static ssvm_module *open_module(ssvm_engine *engine, const uint8_t *bytes, size_t len, bool file)
{
    ssvm_module *module = NULL;

    if (file) {
        write_file("damaged.wasm", bytes, len);
        ok(ssvm_module_open(engine, path_of("damaged.wasm"), &module));
    } else {
        ok(ssvm_module_new(engine, bytes, len, &module));
    }
    return module;
}

static void try_all(const struct file *f, bool debug)
{
    unsigned long rounds = number("SSVM_IMAGES_ROUNDS", ROUNDS), key_len;
    uint8_t *bytes = malloc(f->len), *key = read_file("cache/key", &key_len);
    ssvm_engine *engine = NULL;
    struct found found = {0};
    ssvm_module *module;

    for (unsigned long round = 0; round < rounds; round++) {
        random_state = number("SSVM_IMAGES_SEED", 1) * 1000003 + round;
        if (round % ENGINE_ROUNDS == 0) {
            delete_engine(engine);
            engine = new_engine(debug, !debug);
        }
        damage(f, key, bytes);
        if (round == 0)
            memcpy(bytes, f->bytes, f->len);
        module = open_module(engine, bytes, f->len, round % 3 == 0);
        found.native += ssvm_module_is_native(module, 0);
        found.refused += ssvm_module_refusal(module) != NULL;
        if (round == 0)
            assert_true(ssvm_module_is_native(module, 0));
        if (ssvm_module_is_native(module, 0))
            run(engine, module, round, &found);
        ssvm_module_delete(module);
    }
    delete_engine(engine);
    print_message("%lu images: %u run, %u refused, %u traps, %u lines of backtraces\n", rounds,
                  found.native, found.refused, found.traps, found.frames);
    assert_true(found.native > rounds / 2 && found.refused > 0 && found.frames > found.traps);
    free(bytes);
    free(key);
}

static void damaged(void **state)
{
    char command[512];
    struct file f = {0};

    (void)state;
    if (system("command -v clang-22 >/dev/null && command -v wasm-ld-22 >/dev/null") != 0)
        skip();
    write_file("guest.c", source, strlen(source));
    snprintf(command, sizeof command,
             "cd '%s' && clang-22 --target=wasm32 -g -O1 -fno-optimize-sibling-calls -nostdlib "
             "-Wl,--no-entry guest.c -o guest.wasm",
             scratch);
    assert_int_equal(system(command), 0);
    for (int debug = 0; debug < 2; debug++) {
        make_file("guest.wasm", debug, &f);
        try_all(&f, debug);
        free(f.bytes);
    }
}

static int make_scratch(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/ssvm-images-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damaged, make_scratch, remove_scratch),
    };

    return cmocka_run_group_tests_name("must/images", tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* no compiler */
}

#endif
