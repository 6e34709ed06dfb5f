/* The host module `image`: every function and form, what is left as it was, pointers at the edges,
 * limits, time. Pixels against other decoders: test/image. */
#include "guest.h"

#include "base/library.h"
#include "host/image/image.h"

enum { ERA_SSVM = 1, ERA_WASMEDGE = 2, ERA_PLAIN = 4 };
enum { AT_PICTURE = 4 << 10, AT_PIXELS = 128 << 10, SIZE = 2 };

static char lines[8192];
static unsigned nlines;

static void log_add(void *arg, const char *line)
{
    (void)arg;
    nlines++;
    snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%s\n", line);
}

static void log_clear(void)
{
    nlines = 0;
    lines[0] = 0;
}

static const struct sv_image_grant logged = {.log = log_add};

static void big_endian(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* CRC-32 of PNG. */
static uint32_t crc(const uint8_t *p, size_t len)
{
    uint32_t c = ~0u;

    for (size_t i = 0; i < len; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    }
    return ~c;
}

static size_t chunk(uint8_t *to, const char *name, const uint8_t *data, size_t len)
{
    big_endian(to, (uint32_t)len);
    memcpy(to + 4, name, 4);
    memcpy(to + 8, data, len);
    big_endian(to + 8 + len, crc(to + 4, len + 4));
    return len + 12;
}

static const uint8_t colors[SIZE * SIZE * 3] = {250, 1, 2, 3, 251, 4, 5, 6, 252, 7, 8, 9};

/* A PNG of w x h whose data is that of SIZE x SIZE, not packed. */
static size_t png(uint8_t *to, uint32_t w, uint32_t h)
{
    enum { ROW = 1 + SIZE * 3, RAW = SIZE * ROW };
    uint8_t head[13] = {0, 0, 0, 0, 0, 0, 0, 0, 8, 2}, data[2 + 5 + RAW + 4] = {0x78, 1, 1, RAW, 0};
    uint32_t a = 1, b = 0;
    size_t n = 8;

    big_endian(head, w);
    big_endian(head + 4, h);
    data[5] = (uint8_t)~RAW;
    data[6] = 0xff;
    for (int y = 0; y < SIZE; y++)
        memcpy(data + 7 + y * ROW + 1, colors + y * SIZE * 3, SIZE * 3);
    for (int i = 0; i < RAW; i++) {
        a = (a + data[7 + i]) % 65521;
        b = (b + a) % 65521;
    }
    big_endian(data + 7 + RAW, b << 16 | a);
    memcpy(to, "\x89PNG\r\n\x1a\n", 8);
    n += chunk(to + n, "IHDR", head, sizeof head);
    n += chunk(to + n, "IDAT", data, sizeof data);
    return n + chunk(to + n, "IEND", data, 0);
}

static uint32_t put_png(struct guest *g)
{
    return (uint32_t)png(g->memory.base + AT_PICTURE, SIZE, SIZE);
}

static uint32_t put_jpeg(struct guest *g)
{
    FILE *f = fopen(SV_TEST_PICTURES "/ycck.jpg", "rb");
    size_t n;

    assert_non_null(f);
    n = fread(g->memory.base + AT_PICTURE, 1, 8192, f);
    fclose(f);
    return (uint32_t)n;
}

static void open_logged(struct guest *g, unsigned era)
{
    guest_open(g, &sv_host_image, &logged);
    g->era = era;
    log_clear();
    memset(g->memory.base + AT_PIXELS, 0xa5, 4096);
}

static bool untouched(const struct guest *g)
{
    for (size_t i = 0; i < 4096; i++)
        if (g->memory.base[AT_PIXELS + i] != 0xa5)
            return false;
    return true;
}

/* The pixels at AT_PIXELS are `want` in the form, and nothing behind them was written. */
static void same_pixels(const struct guest *g, const uint8_t *want, size_t n, int form)
{
    const uint8_t *got = g->memory.base + AT_PIXELS;
    size_t size = form < 2 ? 1 : 4;

    for (size_t i = 0; i < n; i++) {
        uint8_t byte = want[form % 2 ? i / 3 * 3 + 2 - i % 3 : i];
        float value;

        if (form < 2) {
            assert_int_equal(got[i], byte);
            continue;
        }
        memcpy(&value, got + i * 4, 4);
        assert_true(value == (float)byte / 255.0F);
    }
    assert_int_equal(got[n * size], 0xa5);
}

static const char *const forms[] = {"rgb8", "bgr8", "rgb32f", "bgr32f"};

static void every_form(void **state)
{
    uint8_t jpeg[SIZE * SIZE * 3];
    char name[64];

    (void)state;
    for (unsigned era = ERA_SSVM; era <= ERA_PLAIN; era <<= 1)
        for (int kind = 0; kind < 2; kind++)
            for (int form = 0; form < 4; form++) {
                struct guest g;
                uint32_t len;

                open_logged(&g, era);
                len = kind ? put_png(&g) : put_jpeg(&g);
                snprintf(name, sizeof name, "load_%s_to_%s", kind ? "png" : "jpg", forms[form]);
                if (era == ERA_PLAIN)
                    assert_int_equal(CALL(&g,
                                          form == 3 ? "load_image"
                                          : kind    ? "load_png"
                                                    : "load_jpg",
                                          AT_PICTURE, len, SIZE, SIZE, (unsigned)form, AT_PIXELS,
                                          SIZE * SIZE * 3 * 4),
                                     0);
                else
                    assert_int_equal(CALL(&g, name, AT_PICTURE, len, SIZE, SIZE, AT_PIXELS), 0);
                if (!kind && form == 0)
                    memcpy(jpeg, g.memory.base + AT_PIXELS, sizeof jpeg);
                same_pixels(&g, kind ? colors : jpeg, sizeof colors, form);
                assert_int_equal(nlines, 0);
                assert_int_equal(g.store.memory_used, 0);
                guest_close(&g);
            }
    /* The JPEG has a ramp of red to the right that ends dark: not gray, not one color. */
    assert_true(jpeg[0] != jpeg[1] && jpeg[0] != jpeg[3]);
}

static void fails(struct guest *g, uint32_t len, uint32_t w, uint32_t h, const char *why)
{
    log_clear();
    assert_int_equal(CALL(g, "load_png_to_rgb8", AT_PICTURE, len, w, h, AT_PIXELS), 1);
    if (!strstr(lines, why))
        fail_msg("'%s' is not in '%s'", why, lines);
    assert_int_equal(nlines, 1);
    assert_true(untouched(g));
    assert_int_equal(g->store.memory_used, 0);
}

static void stays_untouched(void **state)
{
    struct guest g;
    uint32_t len;

    (void)state;
    open_logged(&g, ERA_SSVM);
    len = put_png(&g);
    fails(&g, len - 30, SIZE, SIZE, "not a PNG picture that can be read");
    fails(&g, 0, SIZE, SIZE, "neither");
    fails(&g, 5, SIZE, SIZE, "neither");
    fails(&g, len, 0, SIZE, "outside");
    fails(&g, len, SIZE, 0, "outside");
    fails(&g, len, 1 << 16, 1 << 16, "outside");
    fails(&g, len, 0xffffffff, 0xffffffff, "outside");
    fails(&g, put_jpeg(&g), SIZE, SIZE, "not a PNG picture");
    fails(&g, (uint32_t)png(g.memory.base + AT_PICTURE, 100000, 100000), SIZE, SIZE, "too large");
    fails(&g, (uint32_t)png(g.memory.base + AT_PICTURE, 9000, 9000), SIZE, SIZE, "too large");
    fails(&g, (uint32_t)png(g.memory.base + AT_PICTURE, 8000, 8000), SIZE, SIZE, "too short");
    guest_close(&g);

    open_logged(&g, ERA_PLAIN);
    len = put_png(&g);
    assert_int_equal(
        CALL(&g, "load_png", AT_PICTURE, len, SIZE, SIZE, 0, AT_PIXELS, SIZE * SIZE * 3 - 1), 1);
    assert_int_equal(CALL(&g, "load_png", AT_PICTURE, len, SIZE, SIZE, 4, AT_PIXELS, 4096), 1);
    assert_int_equal(CALL(&g, "load_image", AT_PICTURE, 3, SIZE, SIZE, 0, AT_PIXELS, 4096), 1);
    assert_true(untouched(&g));
    guest_close(&g);
}

static uint64_t edge(unsigned long r)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     7,
                                     16,
                                     AT_PICTURE,
                                     AT_PIXELS,
                                     255,
                                     1024,
                                     65535,
                                     65536,
                                     GUEST_SIZE - 12,
                                     GUEST_SIZE - 1,
                                     GUEST_SIZE,
                                     GUEST_SIZE + 1,
                                     0x55555555,
                                     0x55555556,
                                     0x7fffffff,
                                     0x80000000,
                                     0xfffffff0,
                                     0xffffffff};

    return edges[r % SV_COUNT(edges)];
}

/* Behind the memory lie pages without access; what is before and behind the result stays. */
static void edges(void **state)
{
    unsigned decoded = 0;

    (void)state;
    srandom(1);
    for (unsigned f = 0; f < sv_host_image.nfuncs; f++) {
        const struct sv_host_func *h = &sv_host_image.funcs[f];
        size_t n = strcspn(h->sig, ":");
        struct guest g;
        uint32_t len;

        open_logged(&g, h->names & (unsigned)-(int)h->names);
        for (unsigned i = 0; i < 2000; i++) {
            uint64_t args[8];
            int r;

            len = strncmp(h->name, "load_jpg", 8) == 0 ? put_jpeg(&g) : put_png(&g);
            for (size_t j = 0; j < n; j++)
                args[j] = edge((unsigned long)random());
            if (i % 2) { /* a picture, at least */
                args[0] = AT_PICTURE;
                args[1] = len;
                args[2] &= 0xff;
                args[3] &= 0xff;
            }
            r = guest_call_n(&g, h->name, args, n);
            assert_true(r == 0 || r == 1);
            decoded += r == 0;
            log_clear();
        }
        assert_int_equal(g.store.memory_used, 0);
        guest_close(&g);
    }
    assert_true(decoded > 1000);
}

static void limits(void **state)
{
    const struct sv_image_grant small = {.max_side = 1, .log = log_add};
    struct guest g;
    uint32_t len;

    (void)state;
    open_logged(&g, ERA_SSVM);
    g.store.limits.memory_bytes = 11; /* one byte less than the result */
    len = put_png(&g);
    fails(&g, len, SIZE, SIZE, "beyond the guest's memory limit");
    g.store.limits.memory_bytes = 4096;
    fails(&g, len, SIZE, SIZE, "too much");
    g.store.limits.memory_bytes = 64 << 20;
    assert_int_equal(CALL(&g, "load_png_to_rgb8", AT_PICTURE, len, SIZE, SIZE, AT_PIXELS), 0);
    assert_int_equal(g.store.peak_memory, SIZE * SIZE * 3);
    guest_close(&g);

    guest_open(&g, &sv_host_image, &small);
    memset(g.memory.base + AT_PIXELS, 0xa5, 4096);
    fails(&g, put_png(&g), SIZE, SIZE, "too large");
    guest_close(&g);
}

static void time_is_over(void **state)
{
    struct guest g;
    uint32_t len;

    (void)state;
    open_logged(&g, ERA_SSVM);
    len = put_png(&g);
    g.store.thread.deadline_ns = 1;
    assert_int_equal(CALL(&g, "load_png_to_rgb8", AT_PICTURE, len, SIZE, SIZE, AT_PIXELS),
                     SV_ETRAP);
    assert_int_equal(g.store.thread.trap.code, SV_TRAP_DEADLINE);
    assert_true(untouched(&g));
    assert_int_equal(g.store.memory_used, 0);
    guest_close(&g);
}

/* Other threads of the guest write to shared memory: the decoder gets a copy. */
static void shared_memory(void **state)
{
    struct guest g;
    uint32_t len;

    (void)state;
    open_logged(&g, ERA_SSVM);
    g.memory.shared = true;
    len = put_png(&g);
    assert_int_equal(CALL(&g, "load_png_to_rgb8", AT_PICTURE, len, SIZE, SIZE, AT_PIXELS), 0);
    same_pixels(&g, colors, sizeof colors, 0);
    assert_int_equal(g.store.peak_memory, SIZE * SIZE * 3 + len);
    assert_int_equal(g.store.memory_used, 0);
    guest_close(&g);
}

static void no_plugin(void **state)
{
    const struct sv_image_grant grant = {.plugin = "/nowhere/host-image.so", .log = log_add};
    struct guest g;
    uint32_t len;

    (void)state;
    guest_open(&g, &sv_host_image, &grant);
    memset(g.memory.base + AT_PIXELS, 0xa5, 4096);
    len = put_png(&g);
    fails(&g, len, SIZE, SIZE, "host-image.so cannot be opened");
    log_clear();
    assert_int_equal(CALL(&g, "load_png_to_rgb8", AT_PICTURE, len, SIZE, SIZE, AT_PIXELS), 1);
    assert_int_equal(nlines, 0);
    guest_close(&g);
}

static void names(void **state)
{
    static const struct {
        const char *module, *name;
        bool there;
    } cases[] = {{"ssvm_image", "ssvm_image_load_jpg_to_rgb8", true},
                 {"wasmedge_image", "wasmedge_image_load_png_to_bgr32f", true},
                 {"wasmedge_image", "load_image", true},
                 {"ssvm_image", "load_image", false},
                 {"wasmedge_image", "wasmedge_image_load_image", false},
                 {"wasmedge_image", "load_png_to_rgb8", false}};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        const struct sv_host_module *m = NULL;
        const struct sv_host_func *f =
            sv_host_find(sv_str_of(cases[i].module), sv_str_of(cases[i].name), &m);

        assert_int_equal(f != NULL, cases[i].there);
        if (f)
            assert_ptr_equal(m, &sv_host_image);
    }
    for (unsigned i = 1; i < sv_host_image.nfuncs; i++)
        assert_true(strcmp(sv_host_image.funcs[i - 1].name, sv_host_image.funcs[i].name) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),        cmocka_unit_test(no_plugin),
        cmocka_unit_test(every_form),   cmocka_unit_test(stays_untouched),
        cmocka_unit_test(edges),        cmocka_unit_test(limits),
        cmocka_unit_test(time_is_over), cmocka_unit_test(shared_memory),
    };
    const struct CMUnitTest without[] = {cmocka_unit_test(names), cmocka_unit_test(no_plugin)};
    char path[512];

    if (!sv_library_find("host-image.so", path, sizeof path)) {
        print_message("host-image.so is not built: its tests are left out\n");
        return cmocka_run_group_tests_name("image", without, NULL, NULL);
    }
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
