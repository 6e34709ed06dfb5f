/* Images of native code: mapped, given to modules, attached to instances. How the code is entered
 * and left is native_entry.c's; who checks that an image may be believed is above. */
#include "runtime/native.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pages.h"

/* ---- Images ---- */

static bool part_fits(uint64_t at, uint64_t n, uint64_t size, uint64_t len)
{
    return at <= len && n <= (len - at) / size && at % (size < 4 ? 1 : 4) == 0;
}

static bool layout_fits(const struct sv_native_layout *l, uint64_t len)
{
    return l->text % sv_page_size() == 0 && l->text_len > 0 && l->text_len <= UINT32_MAX &&
           l->nlines <= UINT32_MAX && l->nunwind <= UINT32_MAX && l->nframes <= UINT32_MAX &&
           part_fits(l->text, l->text_len, 1, len) &&
           part_fits(l->entries, l->nfuncs, sizeof(uint32_t), len) &&
           part_fits(l->thunks, l->nfuncs, sizeof(uint32_t), len) &&
           part_fits(l->lines, l->nlines, sizeof(struct sv_native_line), len) &&
           part_fits(l->unwind, l->nunwind, sizeof(struct sv_native_unwind), len) &&
           part_fits(l->frames, l->nframes, sizeof(struct sv_native_frame), len);
}

/* Over a mapping of the bytes, which it takes whatever happens. */
static int make(struct sv_err *err, own void *map, size_t len, const struct sv_native_layout *l,
                own struct sv_native **ret)
{
    struct sv_native *n = NULL;
    uint8_t *base = map;
    int r;

    if (!layout_fits(l, len)) {
        r = sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "native image: parts lie outside of it");
        goto fail;
    }
    n = sv_alloc_zero(sizeof *n);
    if (!n) {
        r = sv_fail_nomem(err, "a native image");
        goto fail;
    }
    /* Never writable and executable at once: it has been read-only until here. */
    if (mprotect(base + l->text, l->text_len, PROT_READ | PROT_EXEC)) {
        r = sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "native code cannot be made executable: %s",
                    strerror(errno));
        goto fail;
    }
    n->text = base + l->text;
    n->text_len = (uint32_t)l->text_len;
    n->nfuncs = l->nfuncs;
    n->entry = (const uint32_t *)(const void *)(base + l->entries);
    n->thunk = (const uint32_t *)(const void *)(base + l->thunks);
    n->lines = (const struct sv_native_line *)(const void *)(base + l->lines);
    n->nlines = (uint32_t)l->nlines;
    n->unwind = (const struct sv_native_unwind *)(const void *)(base + l->unwind);
    n->nunwind = (uint32_t)l->nunwind;
    n->frames = (const struct sv_native_frame *)(const void *)(base + l->frames);
    n->nframes = (uint32_t)l->nframes;
    n->flags = l->flags;
    n->map = map;
    n->map_len = len;
    atomic_init(&n->refs, 1);
    *ret = n;
    return 0;
fail:
    sv_free(n);
    munmap(map, len);
    return r;
}

static void *map_anonymous(struct sv_err *err, size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (len == 0 || p == MAP_FAILED) {
        sv_fail(err, SV_ENOMEM, SV_NO_OFFSET, "no address space for a native image of %zu bytes",
                len);
        return NULL;
    }
    return p;
}

/* The written copy becomes read-only. */
static int seal(struct sv_err *err, own void *map, size_t len, const struct sv_native_layout *l,
                own struct sv_native **ret)
{
    if (mprotect(map, len, PROT_READ)) {
        munmap(map, len);
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "a native image cannot be protected: %s",
                       strerror(errno));
    }
    return make(err, map, len, l, ret);
}

int sv_native_from_memory(struct sv_err *err, const void *bytes, size_t len,
                          const struct sv_native_layout *l, own struct sv_native **ret)
{
    void *map = map_anonymous(err, len);

    if (!map)
        return SV_ENOMEM;
    memcpy(map, bytes, len);
    return seal(err, map, len, l, ret);
}

static int read_whole(struct sv_err *err, int fd, uint64_t at, uint8_t *p, size_t len)
{
    while (len) {
        ssize_t n = pread(fd, p, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "native image: %s",
                           n < 0 ? strerror(errno) : "the file is too short");
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int sv_native_map(struct sv_err *err, int fd, uint64_t at, size_t len,
                  const struct sv_native_layout *l, own struct sv_native **ret)
{
    void *map;
    int r;

    if (len && at % sv_page_size() == 0) {
        map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, (off_t)at);
        if (map == MAP_FAILED)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "native image: cannot be mapped: %s",
                           strerror(errno));
        return make(err, map, len, l, ret);
    }
    map = map_anonymous(err, len);
    if (!map)
        return SV_ENOMEM;
    r = read_whole(err, fd, at, map, len);
    if (r < 0) {
        munmap(map, len);
        return r;
    }
    return seal(err, map, len, l, ret);
}

struct sv_native *sv_native_ref(struct sv_native *n)
{
    atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    return n;
}

void sv_native_unref(own struct sv_native *n)
{
    if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) > 1)
        return;
    munmap(n->map, n->map_len);
    sv_free(n);
}

/* ---- Modules and instances ---- */

static unsigned form_of(const struct sv_native *n)
{
    return n->flags & (SV_NATIVE_FORMS - 1);
}

bool sv_module_set_native(struct sv_module *m, struct sv_native *n)
{
    struct sv_native *none = NULL;

    if (n->nfuncs != m->nfuncs)
        return false;
    /* The same value from every thread. */
    __atomic_store_n(&m->native_release, sv_native_unref, __ATOMIC_RELAXED);
    sv_native_ref(n);
    if (atomic_compare_exchange_strong(&m->natives[form_of(n)], &none, n))
        return true;
    sv_native_unref(n);
    return false;
}

/* Is every address that code without checks can reach inside memory 0 or its guards? */
static bool guarded(const struct sv_instance *inst)
{
    const struct sv_memory *m = inst->memory0;

    return !m || (m->guarded &&
                  m->limit_pages << m->type.page_shift <= ((uint64_t)1 << 32) - SV_ADDRESS_ROOM);
}

/* The form that the instance wants, but for the checks. */
static unsigned form_wanted(const struct sv_instance *inst)
{
    return (inst->store->metered ? SV_NATIVE_METERED : 0u) |
           (inst->store->engine->deterministic ? SV_NATIVE_DETERMINISTIC : 0u);
}

static bool fits(const struct sv_instance *inst, const struct sv_native *n)
{
    return n->nfuncs == inst->module->nfuncs &&
           (form_of(n) & ~(unsigned)SV_NATIVE_CHECKED) == form_wanted(inst) &&
           ((n->flags & SV_NATIVE_CHECKED) || guarded(inst));
}

bool sv_native_attach(struct sv_instance *inst, struct sv_native *n)
{
    if (inst->native || !fits(inst, n))
        return false;
    inst->native = sv_native_ref(n);
    for (uint32_t i = inst->module->nimports_of[SV_EXTERN_FUNC]; i < n->nfuncs; i++)
        if (inst->funcs[i])
            sv_native_bind(inst->funcs[i]);
    return true;
}

static struct sv_native *module_native(const struct sv_module *m, unsigned form)
{
    return atomic_load_explicit(&m->natives[form], memory_order_acquire);
}

unsigned sv_native_form(const struct sv_instance *inst)
{
    return form_wanted(inst) | (guarded(inst) ? 0u : SV_NATIVE_CHECKED);
}

bool sv_native_attach_late(struct sv_instance *inst)
{
    unsigned form = sv_native_form(inst);
    struct sv_native *n;

    if (inst->native)
        return true;
    n = module_native(inst->module, form);
    if (!n)
        n = module_native(inst->module, form | SV_NATIVE_CHECKED);
    return n && sv_native_attach(inst, n);
}

int sv_native_attach_module(struct sv_err *err, struct sv_instance *inst)
{
    struct sv_engine *e = inst->store->engine;
    struct sv_module *m = inst->module;
    unsigned form = sv_native_form(inst);
    struct sv_native *n = module_native(m, form);

    if (!n && e->find_native) {
        int r = e->find_native(err, e, m, form);

        if (r < 0)
            return r;
        n = module_native(m, form);
    }
    if (!n)
        n = module_native(m, form | SV_NATIVE_CHECKED);
    if (n)
        inst->native = sv_native_ref(n);
    return 0;
}

const void *sv_native_code(const struct sv_native *n, uint32_t index)
{
    uint32_t entry = n->entry[index];

    return entry && entry < n->text_len && n->thunk[index] < n->text_len ? n->text + entry : NULL;
}

bool sv_native_has(const struct sv_native *n, uint32_t index)
{
    return sv_native_code(n, index) && n->thunk[index] != 0;
}

bool sv_native_bind(struct sv_func *f)
{
    const void *code = f->inst->native ? sv_native_code(f->inst->native, f->index) : NULL;

    f->native = code;
    /* A stub is for native callers; C enters the interpreter. */
    if (!code || !sv_native_has(f->inst->native, f->index))
        return false;
    f->entry = sv_native_entry;
    f->code = NULL;
    return true;
}
