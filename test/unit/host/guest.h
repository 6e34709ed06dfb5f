/* A guest without an engine: a memory that ends at a page without access, and calls of host
 * functions by name through the module's table. For the unit tests of host modules. */
#ifndef TEST_UNIT_HOST_GUEST_H
#define TEST_UNIT_HOST_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/wasi/vfs.h"

#define GUEST_SIZE (4u << 16)
/* Above bit 31 of an i32 argument there may be anything. */
#define GUEST_JUNK ((uint64_t)0xdeadbeef << 32)

struct guest {
    struct sv_store store;
    struct sv_instance inst;
    struct sv_memory memory;
    const struct sv_host_module *module;
    void *state;
    struct sv_thread *th; /* &store.thread unless the test has a real one */
    unsigned era;         /* bit of sv_host_func.names */
};

static inline void guest_open(struct guest *g, const struct sv_host_module *m, const void *grant)
{
    struct sv_err err = {0};

    memset(g, 0, sizeof *g);
    g->memory.base = mmap(NULL, 2 * GUEST_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g->memory.base, MAP_FAILED);
    assert_int_equal(mprotect(g->memory.base, GUEST_SIZE, PROT_READ | PROT_WRITE), 0);
    g->memory.size = GUEST_SIZE;
    g->inst.memory0 = &g->memory;
    g->store.thread.store = &g->store;
    g->store.first = &g->store;
    g->store.thread.wake_fd = -1;
    g->store.thread.cpu_left_ns = UINT64_MAX;
    g->store.limits.memory_bytes = UINT64_C(1) << 30;
    g->th = &g->store.thread;
    g->module = m;
    g->era = 1;
    if (m->open(&err, &g->store, grant, &g->state) < 0)
        fail_msg("open: %s", err.text);
}

static inline void guest_close(struct guest *g)
{
    g->module->close(g->state);
    if (g->store.thread.wake_fd >= 0)
        close(g->store.thread.wake_fd);
    munmap(g->memory.base, 2 * GUEST_SIZE);
}

/* Call the era's function of this name: 0, its first result to *ret, or a negative code of the
 * engine. */
static inline int guest_call_wide(struct guest *g, const char *name, const uint64_t *args,
                                  size_t nargs, uint64_t *ret)
{
    struct sv_call c = {.th = g->th, .inst = &g->inst, .data = g->state};
    union sv_slot slots[16];
    unsigned i;
    size_t j;
    int r;

    for (i = 0; i < g->module->nfuncs; i++) {
        const struct sv_host_func *f = &g->module->funcs[i];

        if (strcmp(f->name, name) != 0 || (f->names && !(f->names & g->era)))
            continue;
        assert_int_equal(strcspn(f->sig, ":"), nargs);
        for (j = 0; j < nargs; j++)
            slots[j].i64 = f->sig[j] == 'i' ? GUEST_JUNK | (uint32_t)args[j] : args[j];
        r = f->fn(&c, slots, slots);
        *ret = f->sig[nargs + 1] == 'I' ? slots[0].i64 : slots[0].i32;
        return r;
    }
    fail_msg("no function '%s'", name);
    return 0;
}
/* The function's errno, or a negative code of the engine. */
static inline int guest_call_n(struct guest *g, const char *name, const uint64_t *args,
                               size_t nargs)
{
    uint64_t ret = 0;
    int r = guest_call_wide(g, name, args, nargs, &ret);

    return r < 0 ? r : (int)ret;
}
/* The same for results of 64 bits, where 0 means failure; it fails on the engine's codes. */
static inline uint64_t guest_handle(struct guest *g, const char *name, const uint64_t *args,
                                    size_t nargs)
{
    uint64_t ret = 0;

    assert_int_equal(guest_call_wide(g, name, args, nargs, &ret), 0);
    return ret;
}
#define CALL(g, name, ...)                                                                         \
    guest_call_n((g), (name), (const uint64_t[]){__VA_ARGS__},                                     \
                 sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static inline void guest_put(struct guest *g, uint32_t at, const void *bytes, size_t len)
{
    memcpy(g->memory.base + at, bytes, len);
}
static inline uint32_t guest_u32(const struct guest *g, uint32_t at)
{
    uint32_t v;

    memcpy(&v, g->memory.base + at, 4);
    return v;
}
static inline uint64_t guest_u64(const struct guest *g, uint32_t at)
{
    uint64_t v;

    memcpy(&v, g->memory.base + at, 8);
    return v;
}

/* Places in the guest's memory that the helpers below use. */
enum {
    AT_RET = 64,
    AT_IOVS = 256,
    AT_PATH = 16 << 10,
    AT_PATH2 = 24 << 10,
    AT_STAT = 32 << 10,
    AT_DATA = 64 << 10
};

static inline int guest_write(struct guest *g, uint32_t fd, const void *bytes, size_t len)
{
    uint32_t v[2] = {AT_DATA, (uint32_t)len};

    guest_put(g, AT_DATA, bytes, len);
    guest_put(g, AT_IOVS, v, sizeof v);
    return CALL(g, "fd_write", fd, AT_IOVS, 1, AT_RET);
}
/* Bytes read at AT_DATA, or minus the errno. */
static inline long guest_read(struct guest *g, uint32_t fd, size_t len)
{
    uint32_t v[2] = {AT_DATA, (uint32_t)len};
    int r;

    guest_put(g, AT_IOVS, v, sizeof v);
    r = CALL(g, "fd_read", fd, AT_IOVS, 1, AT_RET);
    return r ? -r : (long)guest_u32(g, AT_RET);
}
/* A path at AT_PATH: its length. */
static inline uint64_t guest_path(struct guest *g, const char *path)
{
    guest_put(g, AT_PATH, path, strlen(path));
    return strlen(path);
}
static inline uint64_t guest_path2(struct guest *g, const char *path)
{
    guest_put(g, AT_PATH2, path, strlen(path));
    return strlen(path);
}
/* Descriptor, or minus the errno. */
static inline int guest_open_at(struct guest *g, uint32_t dir, const char *path, uint32_t oflags,
                                uint64_t rights, uint32_t fdflags)
{
    uint64_t len = guest_path(g, path);
    int r = CALL(g, "path_open", dir, SV_WASI_LOOKUP_FOLLOW, AT_PATH, len, oflags, rights, 0,
                 fdflags, AT_RET);

    return r ? -r : (int)guest_u32(g, AT_RET);
}

/* A scratch directory, removed with all that is in it. */
static inline void scratch_make(char *path, size_t size)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(path, size, "%s/ssvm-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
}
static inline void scratch_remove(const char *path)
{
    char command[512];

    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

#endif
