/* WASI: listing directories: many entries, small buffers, entries that go while they are listed,
 * any cookie. */
#include "guest.h"

#include <fcntl.h>

#define MANY 20000

static char scratch[256];
static const struct sv_wasi_dir here = {"/", scratch, false};

static int make_many(void **state)
{
    char name[32];
    int dir, i, fd;

    (void)state;
    scratch_make(scratch, sizeof scratch);
    dir = open(scratch, O_RDONLY | O_DIRECTORY);
    for (i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "entry-%d", i);
        fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    close(dir);
    return 0;
}
static int remove_many(void **state)
{
    (void)state;
    scratch_remove(scratch);
    return 0;
}

struct entry {
    uint64_t next;
    char name[64];
};

/* Entries of one call that are whole; false at the end of the directory. */
static bool list(struct guest *g, uint64_t cookie, uint32_t size, struct entry *ret,
                 unsigned *ret_n)
{
    struct sv_wasi_abi_dirent d;
    uint32_t used, at = 0;

    *ret_n = 0;
    assert_int_equal(CALL(g, "fd_readdir", 3, AT_DATA, size, cookie, AT_RET), 0);
    used = guest_u32(g, AT_RET);
    assert_true(used <= size);
    while (at + sizeof d <= used) {
        memcpy(&d, g->memory.base + AT_DATA + at, sizeof d);
        if (at + sizeof d + d.name_len > used)
            break;
        assert_true(d.name_len < sizeof ret->name);
        memcpy(ret[*ret_n].name, g->memory.base + AT_DATA + at + sizeof d, d.name_len);
        ret[*ret_n].name[d.name_len] = '\0';
        ret[(*ret_n)++].next = d.next;
        at += (uint32_t)sizeof d + d.name_len;
    }
    return used == size;
}

static bool seen[MANY];

static void see(const struct entry *e)
{
    int i;

    if (sscanf(e->name, "entry-%d", &i) != 1)
        return;
    assert_in_range(i, 0, MANY - 1);
    assert_false(seen[i]);
    seen[i] = true;
}

/* must-pass 39: many entries. */
static void walks(void **state)
{
    static const uint32_t sizes[] = {64, 333, 4096, 65536};
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    static struct entry entries[4096];
    static uint64_t cookies[MANY + 3];
    struct guest g;
    unsigned n, i, j, count;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    for (i = 0; i < SV_COUNT(sizes); i++) {
        uint64_t cookie = 0;
        bool more = true;

        memset(seen, 0, sizeof seen);
        for (count = 0; more; cookie = n ? entries[n - 1].next : cookie) {
            more = list(&g, cookie, sizes[i], entries, &n);
            assert_true(n > 0 || !more);
            for (j = 0; j < n; j++) {
                see(&entries[j]);
                cookies[count++] = entries[j].next;
            }
        }
        assert_int_equal(count, MANY + 2);
    }
    /* small numbers, and each leads back to where it was given (telldir and seekdir) */
    for (i = 0; i < 200; i++) {
        unsigned at = (unsigned)rand() % (MANY + 1);
        struct entry again;

        assert_int_equal(cookies[at], at + 1);
        memset(seen, 0, sizeof seen);
        list(&g, cookies[at], 100, entries, &n);
        assert_true(n > 0);
        again = entries[0];
        list(&g, cookies[at], 4096, entries, &n);
        assert_string_equal(again.name, entries[0].name);
        assert_int_equal(again.next, at + 2);
    }
    /* cookies that were never given */
    list(&g, UINT64_MAX, 4096, entries, &n);
    assert_int_equal(n, 0);
    list(&g, MANY + 3, 4096, entries, &n);
    assert_int_equal(n, 0);
    list(&g, (uint64_t)1 << 63, 4096, entries, &n);
    assert_int_equal(n, 0);
    list(&g, 0, 4096, entries, &n);
    assert_true(n > 10);
    atomic_store(&g.store.thread.interrupt, SV_INTERRUPT_CANCEL);
    assert_int_equal(CALL(&g, "fd_readdir", 3, AT_DATA, 4096, MANY, AT_RET), SV_ETRAP);
    guest_close(&g);
}

/* What `rm -r` does: remove what was listed, go on from the last cookie. Nothing is missed. */
static void removed_while_listed(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    static struct entry entries[4096];
    struct guest g;
    uint64_t cookie = 0, len;
    unsigned n, j, removed = 0;
    bool more = true;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    while (more) {
        more = list(&g, cookie, 4096, entries, &n);
        for (j = 0; j < n; j++) {
            if (entries[j].name[0] != 'e')
                continue;
            len = guest_path(&g, entries[j].name);
            assert_int_equal(CALL(&g, "path_unlink_file", 3, AT_PATH, len), 0);
            removed++;
        }
        cookie = n ? entries[n - 1].next : cookie;
    }
    assert_int_equal(removed, MANY);
    guest_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks),
        cmocka_unit_test(removed_while_listed),
    };
    return cmocka_run_group_tests(tests, make_many, remove_many);
}
