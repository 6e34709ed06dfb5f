/* The host module `image`: pointers, limits and forms of the result. Decoding and resizing are the
 * plugin's (host-image.so), which is opened when a guest first decodes something. */
#include "host/image/image.h"

#include <dlfcn.h>
#include <stdio.h>

#include "base/library.h"
#include "ssvm_image.h"

#define SIDE_MAX 16384
#define PIXELS_MAX ((uint64_t)64 << 20)
#define HOLD_MAX ((uint64_t)256 << 20) /* bytes that decoding one picture may hold */
#define LINE_MAX_BYTES 512
#define PIECE ((uint64_t)1 << 16) /* pixels between two looks at the time */

/* Forms of the result: the `type` of wasmedge_image. */
enum form { RGB8, BGR8, RGB32F, BGR32F, FORMS };

struct state {
    struct sv_image_grant grant;
    struct sv_store *store;
    const struct ssvm_image *image;
    bool missing; /* and said so */
};

static void log_line(const struct state *s, const char *what)
{
    char line[LINE_MAX_BYTES];

    if (!s->grant.log)
        return;
    snprintf(line, sizeof line, "image: %.*s", LINE_MAX_BYTES - 16, what);
    s->grant.log(s->grant.arg, line);
}

/* The library stays loaded when the store goes: the next one has it at once. */
static const struct ssvm_image *find_plugin(struct state *s)
{
    ssvm_image_fn *get = NULL;
    struct sv_err err = {0};
    void *library;

    if (s->image || s->missing)
        return s->image;
    if (sv_library_open(&err, "host-image.so", s->grant.plugin, &library) == 0) {
        *(void **)&get = dlsym(library, SSVM_IMAGE_SYMBOL);
        if (!get || get()->abi != SSVM_IMAGE_ABI)
            sv_fail(&err, SV_ENOTFOUND, SV_NO_OFFSET, "host-image.so is of another version");
        else
            s->image = get();
    }
    if (!s->image) {
        s->missing = true;
        log_line(s, err.text);
    }
    return s->image;
}

static int stop(void *arg)
{
    struct sv_thread *th = arg;

    return !sv_thread_ok(th) || sv_thread_time_left(th) == 0;
}

/* Some pixels, in the form that is wanted. */
static void put(uint8_t *to, const uint8_t *rgb, uint64_t pixels, enum form form)
{
    unsigned swap = form == BGR8 || form == BGR32F ? 2 : 0;

    for (uint64_t i = 0; i < pixels * 3; i += 3)
        for (unsigned k = 0; k < 3; k++) {
            uint8_t byte = rgb[i + (k ^ (k != 1 ? swap : 0))];
            float value = (float)byte / 255.0F;

            if (form < RGB32F)
                to[i + k] = byte;
            else
                memcpy(to + (i + k) * sizeof value, &value, sizeof value);
        }
}

/* One call: what the arguments say. */
struct request {
    enum ssvm_image_format format;
    enum form form;
    uint32_t w, h;
    const uint8_t *picture;
    size_t len;
    uint8_t *to;
};

/* All of them. False: time is over. */
static bool put_all(struct sv_thread *th, const struct request *r, const uint8_t *rgb)
{
    uint64_t pixels = (uint64_t)r->w * r->h, size = r->form < RGB32F ? 1 : sizeof(float), n;

    for (uint64_t at = 0; at < pixels; at += n) {
        n = pixels - at < PIECE ? pixels - at : PIECE;
        put(r->to + at * 3 * size, rgb + at * 3, n, r->form);
        if (stop(th))
            return false;
    }
    return true;
}

/* Decode into memory of ours, so that what the guest has stays as it is when that fails. A picture
 * in shared memory is copied: other threads may write to it. */
static bool decode(struct state *s, struct sv_thread *th, const struct request *r, bool shared)
{
    uint64_t pixels = (uint64_t)r->w * r->h, used = sv_store_memory_used(s->store);
    uint64_t room = s->store->limits.memory_bytes - used;
    uint64_t mine = pixels * 3 + (shared ? r->len : 0);
    struct ssvm_image_limits limits = {s->grant.max_side, s->grant.max_pixels, HOLD_MAX};
    char error[SSVM_IMAGE_ERROR_MAX] = "out of memory for a picture";
    uint8_t *rgb, *copy = NULL;
    bool ok;

    if (!sv_host_take_memory(s->store, mine)) {
        log_line(s, "a picture is beyond the guest's memory limit");
        return false;
    }
    if (room - mine < limits.max_bytes)
        limits.max_bytes = room - mine;
    rgb = sv_alloc((size_t)pixels * 3);
    if (rgb && shared)
        copy = sv_alloc(r->len ? r->len : 1);
    if (copy)
        memcpy(copy, r->picture, r->len);
    ok = rgb && (copy || !shared) &&
         s->image->decode(copy ? copy : r->picture, r->len, r->format, &limits, stop, th, r->w,
                          r->h, rgb, error) == 0;
    if (ok)
        ok = put_all(th, r, rgb);
    else
        log_line(s, error);
    sv_free(rgb);
    sv_free(copy);
    sv_host_give_memory(s->store, mine);
    return ok;
}

/* arg: picture, its length, width, height. Result 0 or 1; the engine's code when time is over. */
static int load(struct sv_call *c, const union sv_slot *arg, uint32_t dst, uint64_t dst_len,
                enum ssvm_image_format format, enum form form, union sv_slot *ret)
{
    struct state *s = c->data;
    struct request r = {.format = format, .form = form, .w = arg[2].i32, .h = arg[3].i32};
    uint64_t pixels = (uint64_t)r.w * r.h, size;
    bool ok;

    r.len = arg[1].i32;
    size = pixels > UINT32_MAX ? UINT64_MAX : pixels * 3 * (form < RGB32F ? 1 : sizeof(float));
    ok = pixels > 0 && size <= dst_len && sv_call_slice(c, arg[0].i32, r.len, &r.picture) &&
         sv_call_slice(c, dst, size, &r.to);
    if (!ok)
        log_line(s, "a picture, or the place for it, is outside of the guest's memory or empty");
    ok = ok && find_plugin(s) && decode(s, c->th, &r, c->inst->memory0->shared);
    if (!ok && stop(c->th)) {
        if (sv_thread_ok(c->th))
            atomic_fetch_or(&c->th->interrupt, SV_INTERRUPT_DEADLINE);
        return sv_thread_interrupted(c->th);
    }
    ret->i32 = !ok;
    return 0;
}

#define PREFIXED_FUNC(name, format, form)                                                          \
    static int name(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)               \
    {                                                                                              \
        return load(c, arg, arg[4].i32, UINT64_MAX - 1, format, form, ret);                        \
    }
PREFIXED_FUNC(load_jpg_to_bgr32f, SSVM_IMAGE_JPEG, BGR32F)
PREFIXED_FUNC(load_jpg_to_bgr8, SSVM_IMAGE_JPEG, BGR8)
PREFIXED_FUNC(load_jpg_to_rgb32f, SSVM_IMAGE_JPEG, RGB32F)
PREFIXED_FUNC(load_jpg_to_rgb8, SSVM_IMAGE_JPEG, RGB8)
PREFIXED_FUNC(load_png_to_bgr32f, SSVM_IMAGE_PNG, BGR32F)
PREFIXED_FUNC(load_png_to_bgr8, SSVM_IMAGE_PNG, BGR8)
PREFIXED_FUNC(load_png_to_rgb32f, SSVM_IMAGE_PNG, RGB32F)
PREFIXED_FUNC(load_png_to_rgb8, SSVM_IMAGE_PNG, RGB8)

/* arg: picture, its length, width, height, form, place, its length. */
static int load_plain(struct sv_call *c, const union sv_slot *arg, enum ssvm_image_format format,
                      union sv_slot *ret)
{
    if (arg[4].i32 < FORMS)
        return load(c, arg, arg[5].i32, arg[6].i32, format, (enum form)arg[4].i32, ret);
    log_line(c->data, "an unknown form of pixels is wanted");
    ret->i32 = 1;
    return 0;
}

static int load_jpg(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return load_plain(c, arg, SSVM_IMAGE_JPEG, ret);
}

static int load_png(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return load_plain(c, arg, SSVM_IMAGE_PNG, ret);
}

static int load_image(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return load_plain(c, arg, SSVM_IMAGE_ANY, ret);
}

static int image_open(struct sv_err *err, struct sv_store *store, const void *grant, void **ret)
{
    struct state *s = sv_alloc_zero(sizeof *s);

    if (!s)
        return sv_fail_nomem(err, "host module");
    if (grant)
        s->grant = *(const struct sv_image_grant *)grant;
    if (!s->grant.max_side)
        s->grant.max_side = SIDE_MAX;
    if (!s->grant.max_pixels)
        s->grant.max_pixels = PIXELS_MAX;
    s->store = store;
    *ret = s;
    return 0;
}

static void image_close(void *state)
{
    sv_free(state);
}

enum { PREFIXED = 1 | 2, PLAIN = 4 }; /* bits of names[] */
static const struct sv_host_func image_funcs[] = {
#define FUNC(name, impl, eras, sig, cost, doc) {#name, impl, sig, cost, doc, eras},
#include "host/image/image.def"
#undef FUNC
};
const struct sv_host_module sv_host_image = {
    .id = "image",
    .grant = "--image",
    .names = {{"ssvm_image", "ssvm_image_"},
              {"wasmedge_image", "wasmedge_image_"},
              {"wasmedge_image", ""}},
    .funcs = image_funcs,
    .nfuncs = SV_COUNT(image_funcs),
    .open = image_open,
    .close = image_close,
};
