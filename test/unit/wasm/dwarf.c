/* Debug information of clang's guests, compared with what llvm-symbolizer says for every byte of
 * the code; and damaged in every way, for which no more is asked than an end. */
#include "build.h"

#include <time.h>
#include <unistd.h>

#include "wasm/dwarf.h"

static char scratch[256];

static bool run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool run(const char *fmt, ...)
{
    char command[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    return system(command) == 0;
}

static int make_scratch(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(scratch, sizeof scratch, "%s/ssvm-dwarf-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(scratch) ? 0 : -1;
}
static int remove_scratch(void **state)
{
    (void)state;
    return run("rm -rf '%s'", scratch) ? 0 : -1;
}

static uint8_t *read_file(const char *name, size_t *ret_len)
{
    char path[512];
    uint8_t *bytes;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", scratch, name);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    bytes = malloc(*ret_len);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *ret_len, f), *ret_len);
    fclose(f);
    return bytes;
}

/* The guest, named guest.wasm; skips the test where it cannot be made. */
static void build(const char *flags)
{
    if (!run("command -v clang-22 >/dev/null && command -v wasm-ld-22 >/dev/null"))
        skip();
    assert_true(run("cd '%s' && clang-22 --target=wasm32 -nostdlib -fuse-ld=/usr/bin/wasm-ld-22 "
                    "-Wl,--no-entry -Wl,--export=main -g %s -I" SV_TEST_SOURCES
                    "/dwarf/include " SV_TEST_SOURCES "/dwarf/first.c " SV_TEST_SOURCES
                    "/dwarf/second.c -o guest.wasm 2>log.txt || { cat log.txt; false; }",
                    scratch, flags));
}

/* Over the bytes, which the module does not own. */
static struct sv_module *open_module(struct sv_types *types, const uint8_t *bytes, size_t len)
{
    struct sv_decode_options opts = {.features = sv_features_default};
    struct sv_module *m = NULL;
    struct sv_err err = {0};

    assert_int_equal(sv_module_new(&err, types, bytes, len, NULL, &opts, &m), 0);
    return m;
}

/* As llvm-symbolizer prints it: name and file:line of each place, then an empty line. */
static void print_places(struct sv_buf *b, const struct sv_module *m, uint32_t offset)
{
    struct sv_dwarf_place places[SV_DWARF_PLACES];
    uint32_t n = sv_dwarf_places(sv_module_dwarf(m), offset, places);

    for (uint32_t i = 0; i < n; i++) {
        put(b, places[i].func.ptr, places[i].func.len);
        put_byte(b, '\n');
        assert_non_null(places[i].file);
        sv_dwarf_print_file(b, places[i].file, true);
        sv_buf_printf(b, ":%u\n", places[i].line);
    }
    put_byte(b, '\n');
}

/* The other's text up to the empty line; it names the outermost function too, which is ours by
 * another way, and columns. False: it does not know the line. */
static bool read_expected(FILE *f, struct sv_buf *ret)
{
    char name[1024], place[1024], next[1024];
    bool known = true;

    assert_non_null(fgets(name, sizeof name, f));
    for (bool more = true; more;) {
        char *colon;

        assert_non_null(fgets(place, sizeof place, f));
        assert_non_null(fgets(next, sizeof next, f));
        more = next[0] != '\n';
        colon = strrchr(place, ':');
        assert_non_null(colon);
        *colon = '\0';
        known = known && strcmp(strrchr(place, ':'), ":0") != 0;
        sv_buf_printf(ret, "%s%s\n", more ? name : "\n", place);
        memcpy(name, next, sizeof name);
    }
    put_byte(ret, '\n');
    return known;
}

static void check_all(const char *flags)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *m;
    uint8_t *bytes;
    uint32_t known = 0;
    size_t len;
    char path[512];
    FILE *f;

    build(flags);
    bytes = read_file("guest.wasm", &len);
    m = open_module(types, bytes, len);
    snprintf(path, sizeof path, "%s/addresses", scratch);
    f = fopen(path, "w");
    assert_non_null(f);
    for (uint32_t i = 1; i < m->code_len; i++)
        fprintf(f, "0x%x\n", i);
    fclose(f);
    assert_true(run("cd '%s' && llvm-symbolizer-22 --obj=guest.wasm <addresses >places", scratch));
    snprintf(path, sizeof path, "%s/places", scratch);
    f = fopen(path, "r");
    assert_non_null(f);
    for (uint32_t i = 1; i < m->code_len; i++) {
        struct sv_buf got, expected;

        sv_buf_init(&got, 65536);
        sv_buf_init(&expected, 65536);
        print_places(&got, m, m->code_offset + i);
        if (read_expected(f, &expected)) {
            assert_string_equal(sv_buf_cstr(&got), sv_buf_cstr(&expected));
            known++;
        } else {
            assert_string_equal(sv_buf_cstr(&got), "\n");
        }
        sv_buf_release(&got);
        sv_buf_release(&expected);
    }
    fclose(f);
    assert_true(known > m->code_len / 2);
    sv_module_unref(m);
    sv_types_delete(types);
    free(bytes);
}

static void test_every_place(void **state)
{
    static const char *const flags[] = {"-O0 -gdwarf-4",
                                        "-O2 -gdwarf-4",
                                        "-O0 -gdwarf-5",
                                        "-O2 -gdwarf-5",
                                        "-O2 -gdwarf-5 -ffunction-sections -Wl,--gc-sections",
                                        "-O1 -gdwarf-3",
                                        "-O2 -gdwarf-5 -flto"};

    (void)state;
    if (!run("command -v llvm-symbolizer-22 >/dev/null"))
        skip();
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        check_all(flags[i]);
}

/* Ask for places all over a module of such bytes. */
static void ask(struct sv_types *types, const uint8_t *bytes, size_t len)
{
    struct sv_module *m = open_module(types, bytes, len);
    struct sv_dwarf_place places[SV_DWARF_PLACES];
    struct sv_buf b;

    sv_buf_init(&b, 4096);
    for (uint32_t i = 1; i < m->code_len; i += 7) {
        uint32_t n = sv_dwarf_places(sv_module_dwarf(m), m->code_offset + i, places);

        for (uint32_t k = 0; k < n; k++) {
            if (places[k].file)
                sv_dwarf_print_file(&b, places[k].file, true);
            put(&b, "", 0);
            assert_true(places[k].func.len < len);
            sv_buf_clear(&b);
        }
    }
    sv_buf_release(&b);
    sv_module_unref(m);
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Bytes of debug sections changed; SV_TEST_ROUNDS says how many modules (default 3000). */
static void test_damage(void **state)
{
    static const char *const flags[] = {"-O2 -gdwarf-4", "-O2 -gdwarf-5"};
    const char *rounds = getenv("SV_TEST_ROUNDS");
    long n = rounds ? strtol(rounds, NULL, 10) : 3000;
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (unsigned v = 0; v < 2; v++) {
        struct sv_types *types = sv_types_new();
        struct sv_module *m;
        uint8_t *bytes, *copy;
        size_t len;

        build(flags[v]);
        bytes = read_file("guest.wasm", &len);
        copy = malloc(len);
        assert_non_null(copy);
        m = open_module(types, bytes, len);
        for (long i = 0; i < n; i++) {
            memcpy(copy, bytes, len);
            for (unsigned k = (unsigned)random_next(&seed) % 8 + 1; k > 0; k--) {
                static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x40, 0x16, 0x21};
                const struct sv_custom *c = &m->customs[random_next(&seed) % m->ncustoms];
                size_t at = c->offset + random_next(&seed) % (c->len ? c->len : 1);
                uint64_t how = random_next(&seed);

                if (strncmp(c->name.ptr, ".debug_", 7) != 0 || c->len == 0)
                    continue;
                copy[at] = how & 1 ? odd[how >> 1 & 7] : copy[at] ^ (uint8_t)(1u << (how >> 1 & 7));
            }
            ask(types, copy, len);
        }
        sv_module_unref(m);
        sv_types_delete(types);
        free(copy);
        free(bytes);
    }
}

static void put_custom(struct sv_buf *b, const char *name, struct sv_buf *contents)
{
    struct sv_buf s;

    sv_buf_init(&s, SIZE_MAX / 2);
    put_byte(&s, (unsigned)strlen(name));
    put(&s, name, strlen(name));
    put(&s, contents->data, contents->len);
    sv_buf_release(contents);
    put_section(b, 0, &s);
}

static void put_u32(struct sv_buf *b, uint32_t n)
{
    for (unsigned i = 0; i < 4; i++)
        put_byte(b, n >> 8 * i & 0xff);
}

/* An abbreviation with very many attributes of no bytes, and very many entries of it: 10^11 steps.
 */
static void test_bounded(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_buf b, info, abbrev;
    struct timespec from, to;

    (void)state;
    put_header(&b);
    put(&b, BYTES(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 4, 1, 2, 0, 0x0b));
    sv_buf_init(&abbrev, SIZE_MAX / 2);
    put(&abbrev, BYTES(1, 0x11, 1));
    for (unsigned i = 0; i < 200000; i++)
        put(&abbrev, BYTES(0x02, 0x19));
    put(&abbrev, BYTES(0, 0, 0));
    put_custom(&b, ".debug_abbrev", &abbrev);
    sv_buf_init(&info, SIZE_MAX / 2);
    put_u32(&info, 7 + 500000);
    put(&info, BYTES(4, 0, 0, 0, 0, 0, 4));
    for (unsigned i = 0; i < 500000; i++)
        put_byte(&info, 1);
    put_custom(&b, ".debug_info", &info);
    clock_gettime(CLOCK_MONOTONIC, &from);
    ask(types, b.data, b.len);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 10);
    sv_buf_release(&b);
    sv_types_delete(types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bounded),
    };

    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
