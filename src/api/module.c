/* Modules of ssvm.h: from bytes and files, and what they import and export. Decoding is wasm/'s. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/tier.h"

/* Largest module that is read from something that cannot be mapped. */
#define PIPE_MAX ((size_t)1 << 30)
/* Below this a file is read: cheaper than a mapping, and safe from a file that shrinks. */
#define READ_BELOW ((size_t)64 << 10)
#define READ_STEP ((size_t)64 << 10)
/* Validating less than this takes no longer than looking whether it was done before. */
#define VALID_FROM ((size_t)8 << 10)

static void free_bytes(void *bytes, size_t len)
{
    (void)len;
    sv_free(bytes);
}

static void unmap_bytes(void *bytes, size_t len)
{
    munmap(bytes, len);
}

/* What was read from a file that was validated before is not validated again: what nobody could
 * have changed unseen, and what uses nothing that is switched off now. */
static void find_valid(ssvm_engine *e, const struct sv_cache_file *file, size_t len,
                       struct sv_decode_options *ret)
{
    struct sv_tier *tier = e->engine->tier;
    uint64_t used;

    if (file && len >= VALID_FROM && tier->mode != SV_TIER_INTERP &&
        sv_tier_find_valid(tier, file, len, &used) && (used & ~ret->features) == 0) {
        ret->valid = true;
        ret->used = used;
    }
}

/* Takes the bytes, whatever happens. `name` goes before messages; may be NULL. */
static own ssvm_error *make(ssvm_engine *e, own void *bytes, size_t len,
                            void (*release)(void *, size_t), const char *name,
                            const struct sv_cache_file *file, own ssvm_module **ret)
{
    struct sv_decode_options opts = {.features = e->engine->features};
    struct sv_tier *tier = e->engine->tier;
    struct sv_image_place place;
    struct sv_err err = {0};
    ssvm_module *m = sv_alloc_zero(sizeof *m);

    if (!m) {
        release(bytes, len);
        return sv_api_nomem();
    }
    find_valid(e, file, len, &opts);
    if (sv_module_new(&err, e->engine->types, bytes, len, release, &opts, &m->module) < 0) {
        sv_free(m);
        if (name)
            sv_err_prefix(&err, name);
        return sv_api_error_of(&err);
    }
    if (tier->mode != SV_TIER_INTERP) {
        bool has_image = sv_image_find(bytes, len, &place);

        if (file && len >= VALID_FROM && !opts.valid)
            sv_tier_put_valid(tier, file, m->module);
        if (has_image)
            m->module->wasm_len = place.wasm_len;
        if (file)
            sv_tier_note_file(tier, m->module, file);
        if (has_image && sv_tier_take_image(&err, tier, m->module, &place, file) < 0)
            m->refusal = sv_strdup(err.text); /* without memory it is not told */
    }
    atomic_init(&m->refs, 1);
    m->engine = sv_engine_ref(e->engine);
    *ret = m;
    return NULL;
}

own ssvm_error *ssvm_module_new(ssvm_engine *e, const void *bytes, size_t len,
                                own ssvm_module **ret)
{
    void *copy;

    if (!e || !ret || (!bytes && len))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_module_new needs an engine, bytes and a place for the module");
    copy = sv_alloc(len ? len : 1);
    if (!copy)
        return sv_api_nomem();
    if (len)
        memcpy(copy, bytes, len);
    return make(e, copy, len, free_bytes, NULL, NULL, ret);
}

static own ssvm_error *io_error(const char *path)
{
    return sv_api_error(SSVM_EIO, "cannot read '%s': %s", path, strerror(errno));
}

/* Everything from fd to its end. */
static own ssvm_error *read_all(int fd, const char *path, own void **ret_bytes, size_t *ret_len)
{
    ssvm_error *error = NULL;
    struct sv_buf buf;
    ssize_t n;

    sv_buf_init(&buf, PIPE_MAX);
    do {
        if (!sv_buf_reserve(&buf, READ_STEP)) {
            error = sv_api_error(SSVM_ELIMIT,
                                 "cannot read '%s': larger than %zu bytes, or out of memory", path,
                                 PIPE_MAX);
            break;
        }
        n = read(fd, buf.data + buf.len, READ_STEP);
        if (n > 0)
            buf.len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            error = io_error(path);
    } while (!error && n != 0);
    if (!error) {
        *ret_bytes = sv_buf_take(&buf, ret_len);
        if (!*ret_bytes)
            error = sv_api_nomem();
    }
    sv_buf_release(&buf);
    return error;
}

own ssvm_error *ssvm_module_open(ssvm_engine *e, const char *path, own ssvm_module **ret)
{
    void (*release)(void *, size_t) = free_bytes;
    ssvm_error *error = NULL;
    struct sv_cache_file file;
    const struct stat *st = &file.stat;
    void *bytes = NULL;
    size_t len = 0;
    int fd;

    if (!e || !ret || !path)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_module_open needs an engine, a path and a place for the module");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return io_error(path);
    if (!sv_cache_file_look(fd, &file)) {
        error = io_error(path);
    } else if (S_ISDIR(st->st_mode)) {
        errno = EISDIR;
        error = io_error(path);
    } else if (S_ISREG(st->st_mode) && (uint64_t)st->st_size >= READ_BELOW) {
        len = (size_t)st->st_size;
        bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
        release = unmap_bytes;
        if (bytes == MAP_FAILED)
            error = io_error(path);
    } else {
        error = read_all(fd, path, &bytes, &len);
    }
    if (!error)
        error = make(e, bytes, len, release, path, S_ISREG(st->st_mode) ? &file : NULL, ret);
    close(fd);
    return error;
}

void ssvm_module_delete(own ssvm_module *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    sv_module_unref(m->module);
    sv_engine_unref(m->engine);
    sv_free(m->refusal);
    sv_free(m);
}

size_t ssvm_module_nexports(const ssvm_module *m)
{
    return m ? m->module->nexports : 0;
}

const char *ssvm_module_export(const ssvm_module *m, size_t i, size_t *ret_len,
                               ssvm_extern_kind *ret_kind, own ssvm_functype **ret_type)
{
    const struct sv_export *x;

    if (!m || i >= m->module->nexports)
        return NULL;
    x = &m->module->exports[i];
    if (ret_len)
        *ret_len = x->name.len;
    if (ret_kind)
        *ret_kind = (ssvm_extern_kind)x->kind;
    if (ret_type)
        *ret_type = x->kind == SV_EXTERN_FUNC
                        ? sv_api_functype_of(m->engine->types, m->module->funcs[x->index].type)
                        : NULL;
    return x->name.ptr;
}

size_t ssvm_module_nimports(const ssvm_module *m)
{
    return m ? m->module->nimports : 0;
}

void ssvm_module_import(const ssvm_module *m, size_t i, const char **ret_module,
                        size_t *ret_module_len, const char **ret_name, size_t *ret_name_len,
                        ssvm_extern_kind *ret_kind)
{
    struct sv_import none = {.module = {"", 0}, .name = {"", 0}};
    const struct sv_import *im = m && i < m->module->nimports ? &m->module->imports[i] : &none;

    if (ret_module)
        *ret_module = im->module.ptr;
    if (ret_module_len)
        *ret_module_len = im->module.len;
    if (ret_name)
        *ret_name = im->name.ptr;
    if (ret_name_len)
        *ret_name_len = im->name.len;
    if (ret_kind)
        *ret_kind = (ssvm_extern_kind)im->kind;
}
