/* Tiers: whether, from where and when a module gets native code. The first instance of a form asks
 * (sv_engine.find_native); nothing here is on the way of a start that finds its image. */
#include "api/tier.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool copy(char **to, const char *from)
{
    size_t n = from ? strlen(from) + 1 : 0;

    *to = NULL;
    if (!from)
        return true;
    *to = sv_alloc(n);
    if (*to)
        memcpy(*to, from, n);
    return *to != NULL;
}

own ssvm_error *sv_tier_new(const ssvm_config *c, own struct sv_tier **ret)
{
    struct sv_tier *t = sv_alloc_zero(sizeof *t);
    struct sv_err err = {0};
    ssvm_error *error = NULL;

    if (!t)
        return sv_api_nomem();
    t->perf_fd = -1;
    pthread_mutex_init(&t->lock, NULL);
    t->stop_fd = eventfd(0, EFD_CLOEXEC);
    t->opt_level = 3;
    t->trust = c->trust_native;
    t->run = c->compiler_run;
    t->parent = (pid_t)c->parent;
    t->run_data = c->compiler_data;
    t->mode = !c->tier || strcmp(c->tier, "auto") == 0 ? SV_TIER_AUTO
              : strcmp(c->tier, "aot") == 0            ? SV_TIER_AOT
                                                       : SV_TIER_INTERP;
    t->debug = c->debug;
    if (t->debug) {
        /* What is stepped through should be what is written; and all of it. */
        t->opt_level = 0;
        t->mode = t->mode == SV_TIER_AUTO ? SV_TIER_AOT : t->mode;
    }
    if (!copy(&t->library, c->compiler_library) || !copy(&t->program, c->compiler_program) ||
        !copy(&t->cache_dir, c->cache_dir)) {
        sv_tier_delete(t);
        return sv_api_nomem();
    }
    if (c->perf_map)
        error = sv_perf_map_open(&t->perf_fd);
    if (error) {
        sv_tier_delete(t);
        return error;
    }
    /* Without a cache all else goes on. */
    if (c->cache_dir && t->mode != SV_TIER_INTERP)
        sv_cache_open(&err, c->cache_dir, c->cache_bytes, &t->cache);
    *ret = t;
    return NULL;
}

void sv_tier_delete(own struct sv_tier *t)
{
    if (!t)
        return;
    sv_gdb_remove_all(t->debug_images);
    sv_cache_close(t->cache);
    if (t->stop_fd >= 0)
        close(t->stop_fd);
    if (t->perf_fd >= 0)
        close(t->perf_fd);
    pthread_mutex_destroy(&t->lock);
    sv_free(t->library);
    sv_free(t->program);
    sv_free(t->cache_dir);
    sv_free(t);
}

static void need_digest(struct sv_tier *t, struct sv_module *m)
{
    pthread_mutex_lock(&t->lock);
    if (!m->has_digest)
        sv_sha256(m->bytes, m->wasm_len, m->digest);
    m->has_digest = true;
    pthread_mutex_unlock(&t->lock);
}

/* ---- The image of a module in a form ---- */

static struct sv_image_id image_id(const struct sv_tier *t, const struct sv_module *m,
                                   const struct sv_tier_code *c)
{
    struct sv_image_id id = {.arch = SV_NATIVE_ARCH, .cpu = "native"};

    sv_native_build_id(id.build_id);
    memcpy(id.wasm_digest, m->digest, sizeof id.wasm_digest);
    id.flags =
        sv_native_image_flags(m->features, c->form & SV_NATIVE_CHECKED, c->form & SV_NATIVE_METERED,
                              c->form & SV_NATIVE_DETERMINISTIC) |
        (c->offset ? (uint32_t)SV_IMAGE_OSR : 0) | (t->debug ? (uint32_t)SV_IMAGE_DEBUG : 0);
    sv_native_cpu(id.features_digest);
    return id;
}

static struct sv_cache_name entry_name(const struct sv_tier *t, const struct sv_module *m,
                                       const struct sv_tier_code *c)
{
    char options[64];
    const char *level = t->debug ? "O0" : "O3";
    struct sv_image_id id = image_id(t, m, c);
    int n = c->offset ? snprintf(options, sizeof options, "%s %u:%u", level, c->func, c->offset)
                      : snprintf(options, sizeof options, "%s", level);

    return sv_cache_name_of(&id, options, (size_t)n + 1);
}

static enum sv_native_kind kind_of(const struct sv_tier_code *c)
{
    return c->offset ? SV_NATIVE_LOOP : SV_NATIVE_WHOLE;
}

/* What has to be compared: all of it once, if that is remembered. */
static enum sv_native_depth depth_of(struct sv_tier *t, const struct sv_cache_file *file, bool seen)
{
    if (seen)
        return SV_NATIVE_SEEN;
    return sv_cache_remembers(t->cache, file) ? SV_NATIVE_ENTIRE : SV_NATIVE_CODE;
}

own struct sv_native *sv_tier_take_cached(struct sv_tier *t, struct sv_module *m,
                                          const struct sv_tier_code *c)
{
    struct sv_cache_name name = entry_name(t, m, c);
    struct sv_native *native = NULL;
    enum sv_native_depth depth;
    struct sv_cache_entry entry;
    uint8_t key[SV_IMAGE_KEY_LEN] = {0};
    struct sv_err err = {0};
    int r;

    if (!t->cache || sv_cache_find(&err, t->cache, &name, &entry) < 0 || entry.file.fd < 0)
        return NULL;
    depth = depth_of(t, &entry.file, entry.verified);
    /* Five system calls that a marked entry can do without. */
    if (depth == SV_NATIVE_SEEN || sv_cache_key(&err, t->cache, key) == 0) {
        r = sv_native_open(&err, entry.file.fd, 0, (size_t)entry.len, m, m->digest, key, depth,
                           kind_of(c), &native);
        if (r == 0 && depth == SV_NATIVE_ENTIRE)
            sv_cache_mark(t->cache, &name, &entry);
        if (r < 0 && r != SV_EIO)
            sv_cache_remove(t->cache, &name);
    }
    close(entry.file.fd);
    return native;
}

static void tell_debugger(struct sv_tier *t, const struct sv_module *m, struct sv_native *native)
{
    if (!t->debug)
        return;
    pthread_mutex_lock(&t->lock);
    t->debug_images = sv_gdb_add(m, native, t->debug_images);
    pthread_mutex_unlock(&t->lock);
}

bool sv_tier_set(struct sv_tier *t, struct sv_module *m, own struct sv_native *native)
{
    if (!native)
        return false;
    if (sv_module_set_native(m, native)) {
        sv_perf_map_add(t, m, native, SV_NATIVE_WHOLE);
        tell_debugger(t, m, native);
    }
    sv_native_unref(native);
    return true;
}

void sv_tier_note_file(struct sv_tier *t, struct sv_module *m, const struct sv_cache_file *file)
{
    if (!t->cache)
        return;
    sv_cache_digest(t->cache, file, m->bytes, m->wasm_len, m->digest);
    m->has_digest = true;
}

bool sv_tier_find_valid(struct sv_tier *t, const struct sv_cache_file *file, size_t len,
                        uint64_t *ret_used)
{
    uint8_t engine[SV_SHA256_LEN];

    if (!t->cache)
        return false;
    sv_native_build_id(engine);
    return sv_cache_find_valid(t->cache, file, len, engine, ret_used);
}

void sv_tier_put_valid(struct sv_tier *t, const struct sv_cache_file *file,
                       const struct sv_module *m)
{
    uint8_t engine[SV_SHA256_LEN];

    if (!t->cache)
        return;
    sv_native_build_id(engine);
    sv_cache_put_valid(t->cache, file, m->len, engine, m->features);
}

/* The image in a file whose pages may be used where they lie. */
static int open_section(struct sv_err *err, struct sv_tier *t, struct sv_module *m,
                        const struct sv_image_place *place, const struct sv_cache_file *file,
                        const uint8_t *key, own struct sv_native **ret)
{
    const uint8_t *mac = m->bytes + place->offset + offsetof(struct sv_image_header, mac);
    enum sv_native_depth depth = SV_NATIVE_CODE;
    int r;

    if (place->len < sizeof(struct sv_image_header))
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "damaged native image: unexpected end");
    if (key) /* what was believed without a seal is not remembered */
        depth = depth_of(t, file, sv_cache_find_sealed(t->cache, file, place->offset, mac, key));
    r = sv_native_open(err, file->fd, place->offset, place->len, m, m->digest, key, depth,
                       SV_NATIVE_WHOLE, ret);
    if (r == 0 && depth == SV_NATIVE_ENTIRE)
        sv_cache_put_sealed(t->cache, file, place->offset, mac, key);
    return r;
}

/* Is the image of a module's file such that debuggers can follow it? */
static bool is_for_debuggers(const struct sv_module *m, const struct sv_image_place *place)
{
    struct sv_image_header h;

    if (place->len < sizeof h)
        return false;
    memcpy(&h, m->bytes + place->offset, sizeof h);
    return (h.id.flags & SV_IMAGE_DEBUG) != 0;
}

int sv_tier_take_image(struct sv_err *err, struct sv_tier *t, struct sv_module *m,
                       const struct sv_image_place *place, const struct sv_cache_file *file)
{
    uint8_t bytes[SV_IMAGE_KEY_LEN];
    const uint8_t *key = t->trust ? NULL : bytes;
    struct sv_native *native = NULL;
    int r;

    if (place->len == 0)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "damaged native image: unexpected end");
    if (t->debug && !is_for_debuggers(m, place))
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "it was not compiled for debuggers");
    if (key && !t->cache)
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "there is no cache folder, and so no key to tell what is trusted");
    if (key && (r = sv_cache_key(err, t->cache, bytes)) < 0)
        return r;
    need_digest(t, m);
    if (file && sv_cache_file_private(&file->stat, geteuid()) && place->offset % SV_IMAGE_PAGE == 0)
        r = open_section(err, t, m, place, file, key, &native);
    else
        r = sv_native_new(err, m->bytes + place->offset, place->len, m, m->digest, key,
                          SV_NATIVE_WHOLE, &native);
    if (r == 0)
        sv_tier_set(t, m, native);
    return r;
}

static bool go_on(void *arg, uint32_t done, uint32_t total)
{
    struct sv_tier *t = arg;
    bool stop;

    (void)done;
    (void)total;
    pthread_mutex_lock(&t->lock);
    stop = t->stop;
    pthread_mutex_unlock(&t->lock);
    return !stop;
}

static struct sv_aot_options options_of(struct sv_tier *t, const struct sv_module *m,
                                        uint64_t features, const struct sv_tier_code *c)
{
    return (struct sv_aot_options){.opt_level = t->opt_level,
                                   .verify = t->verify,
                                   .checked = c->form & SV_NATIVE_CHECKED,
                                   .metered = c->form & SV_NATIVE_METERED,
                                   .deterministic = c->form & SV_NATIVE_DETERMINISTIC,
                                   .debug = t->debug,
                                   .features = features | (m->features & SV_FEATURES_COSTS),
                                   .processes = c->processes,
                                   .osr_func = c->func,
                                   .osr_offset = c->offset,
                                   .progress = go_on,
                                   .progress_arg = t};
}

static void store(struct sv_tier *t, const struct sv_module *m, const struct sv_tier_code *c,
                  const uint8_t *image, size_t len)
{
    struct sv_cache_name name = entry_name(t, m, c);
    struct iovec io = {.iov_base = (void *)(uintptr_t)image, .iov_len = len};
    struct sv_err err = {0};

    sv_cache_store(&err, t->cache, &name, &io, 1);
}

/* Compile, and into the cache if there is one. */
static int compile(struct sv_err *err, struct sv_tier *t, const struct sv_module *m,
                   const struct sv_tier_code *c, uint64_t features, own uint8_t **ret,
                   size_t *ret_len)
{
    struct sv_aot_options opts = options_of(t, m, features, c);
    uint8_t key[SV_IMAGE_KEY_LEN];
    struct sv_aot_report report;
    struct sv_err no_key;
    bool keep = t->cache && sv_cache_key(&no_key, t->cache, key) == 0;
    int r =
        sv_tier_compile(err, t, m, m->wasm_len, &opts, keep ? key : NULL, ret, ret_len, &report);

    if (r == 0 && keep)
        store(t, m, c, *ret, *ret_len);
    return r;
}

int sv_tier_use(struct sv_err *err, const struct sv_module *m, const struct sv_tier_code *c,
                const uint8_t *image, size_t len, own struct sv_native **ret)
{
    return sv_native_new(err, image, len, m, m->digest, NULL, kind_of(c), ret);
}

int sv_tier_make(struct sv_err *err, struct sv_tier *t, struct sv_module *m,
                 const struct sv_tier_code *c, uint64_t features, own struct sv_native **ret)
{
    uint8_t *image = NULL;
    size_t len = 0;
    int r = compile(err, t, m, c, features, &image, &len);

    if (r < 0)
        return r;
    /* Pages of the cache's file rather than a copy. */
    *ret = sv_tier_take_cached(t, m, c);
    if (!*ret)
        r = sv_tier_use(err, m, c, image, len, ret);
    sv_tier_free(t, image);
    return r;
}

/* One that is at it already is waited for, as long as the parent is there to want it: starts of one
 * program while it is compiled must not pile up here. */
static int lock_entry(struct sv_err *err, struct sv_tier *t, const struct sv_cache_name *name,
                      int *ret)
{
    int r = sv_cache_lock(err, t->cache, name, false, ret);

    if (r < 0 || *ret >= 0)
        return r;
    if (t->parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (t->parent && getppid() != t->parent)
        raise(SIGTERM); /* it had gone before we asked to be told */
    r = sv_cache_lock(err, t->cache, name, true, ret);
    if (t->parent)
        prctl(PR_SET_PDEATHSIG, 0);
    return r;
}

int sv_tier_fill_cache(struct sv_err *err, struct sv_tier *t, struct sv_module *m,
                       const struct sv_tier_code *c, own uint8_t **ret, size_t *ret_len)
{
    struct sv_native *native = NULL;
    uint8_t *image = NULL;
    struct sv_err no_lock;
    size_t len = 0;
    int lock = -1, r = 0;

    need_digest(t, m);
    if (t->cache) {
        struct sv_cache_name name = entry_name(t, m, c);

        /* Without it two may compile the same. */
        lock_entry(&no_lock, t, &name, &lock);
        native = sv_tier_take_cached(t, m, c);
    }
    if (!native) {
        r = compile(err, t, m, c, sv_features_default, &image, &len);
        native = r < 0 ? NULL : sv_tier_take_cached(t, m, c);
    }
    if (native) {
        sv_tier_free(t, image);
        image = NULL;
        len = 0;
    }
    if (r == 0) {
        *ret = image;
        *ret_len = len;
    }
    sv_native_unref(native);
    if (lock >= 0)
        close(lock);
    return r;
}

int sv_tier_find(struct sv_err *err, struct sv_engine *e, struct sv_module *m, uint32_t form)
{
    struct sv_tier *t = e->tier;
    struct sv_tier_code code = {.form = form};
    struct sv_native *native = NULL;
    uint32_t bit = 1u << form;
    int r;

    if (t->mode == SV_TIER_INTERP || m->nfuncs == m->nimports_of[SV_EXTERN_FUNC])
        return 0;
    if (t->mode == SV_TIER_AUTO && atomic_fetch_or(&m->native_asked, bit) & bit)
        return 0;
    need_digest(t, m);
    if (sv_tier_set(t, m, sv_tier_take_cached(t, m, &code)))
        return 0;
    if (t->mode == SV_TIER_AUTO) {
        sv_tier_start(t, e, m, form);
        return 0;
    }
    r = t->program ? sv_tier_run_program(err, t, m, &code, &native)
                   : sv_tier_make(err, t, m, &code, e->features, &native);
    sv_tier_set(t, m, native);
    return r;
}
