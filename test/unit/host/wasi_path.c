/* WASI: paths. Each case through openat2 and through the walk; read-only grants; what must not be
 * reached. */
#include "guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char scratch[256], root[300], other[300], fixed[300];
static struct guest g;

/* Run in the scratch directory of a test. */
static void shell(const char *commands)
{
    char line[4096];

    snprintf(line, sizeof line, "cd '%s' && { %s; }", scratch, commands);
    assert_int_equal(system(line), 0);
}

/* 3 = root (writable), 4 = other (writable), 5 = fixed (read-only). outside/ is beside them. */
static int set_up(void **state)
{
    struct sv_wasi_dir dirs[] = {
        {"/", root, false}, {"/other", other, false}, {"/ro", fixed, true}};
    struct sv_wasi_grant grant = {.dirs = dirs, .ndirs = 3};

    (void)state;
    scratch_make(scratch, sizeof scratch);
    snprintf(root, sizeof root, "%s/root", scratch);
    snprintf(other, sizeof other, "%s/other", scratch);
    snprintf(fixed, sizeof fixed, "%s/fixed", scratch);
    shell("mkdir -p root/d/deep other fixed/sub outside/dir; echo secret > outside/secret; echo in "
          "> root/in; "
          "echo f > root/d/f; echo fixed > fixed/f; ln -s ../outside root/up; ln -s "
          "../outside/secret root/leak; "
          "ln -s /etc root/abs; ln -s d root/todir; ln -s in root/tofile; ln -s nowhere "
          "root/dangling; "
          "ln -s ../outside/made root/makes; ln -s up root/via; ln -s loop root/loop; ln -s ../in "
          "root/d/back; "
          "ln -s d/../../outside root/zigzag; ln -s f fixed/l; ln -s ../root/in fixed/out");
    guest_open(&g, &sv_host_wasi, &grant);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    guest_close(&g);
    scratch_remove(scratch);
    return 0;
}
static void use(int resolver)
{
    ((struct sv_wasi *)g.state)->resolver = (uint8_t)resolver;
}

static const uint64_t rd = SV_WASI_RIGHT_READ;
static const uint64_t rw = SV_WASI_RIGHT_READ | SV_WASI_RIGHT_WRITE;

static void opens(void **state)
{
    static const struct {
        const char *path;
        uint32_t oflags;
        uint64_t rights;
        int want; /* 0 = opens, or minus the errno */
    } cases[] = {
        {"in", 0, SV_WASI_RIGHT_READ, 0},
        {"./in", 0, SV_WASI_RIGHT_READ, 0},
        {"d/../in", 0, SV_WASI_RIGHT_READ, 0},
        {"d/deep/../../in", 0, SV_WASI_RIGHT_READ, 0},
        {"d//deep///..//../in", 0, SV_WASI_RIGHT_READ, 0},
        {"d/back", 0, SV_WASI_RIGHT_READ, 0},
        {"todir/f", 0, SV_WASI_RIGHT_READ, 0},
        {"todir/", 0, SV_WASI_RIGHT_READ, 0},
        {"todir/back", 0, SV_WASI_RIGHT_READ, 0},
        {"tofile", 0, SV_WASI_RIGHT_READ, 0},
        {".", 0, SV_WASI_RIGHT_READ, 0},
        {"d/..", 0, SV_WASI_RIGHT_READ, 0},
        {"d/.", 0, SV_WASI_RIGHT_READ, 0},
        {"in", SV_WASI_O_CREAT, SV_WASI_RIGHT_READ, 0},
        {"in", SV_WASI_O_CREAT | SV_WASI_O_EXCL, SV_WASI_RIGHT_READ, -SV_WASI_EEXIST},
        {"dangling", SV_WASI_O_CREAT | SV_WASI_O_EXCL, SV_WASI_RIGHT_READ, -SV_WASI_EEXIST},
        {"in/", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTDIR},
        {"in/.", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTDIR},
        {"in/..", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTDIR},
        {"in/x", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTDIR},
        {"tofile/", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTDIR},
        {"tofile/x", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTDIR},
        {"in", SV_WASI_O_DIRECTORY, SV_WASI_RIGHT_READ, -SV_WASI_ENOTDIR},
        {"new/", SV_WASI_O_CREAT, SV_WASI_RIGHT_READ, -SV_WASI_EISDIR},
        {"d", 0, SV_WASI_RIGHT_WRITE, -SV_WASI_EISDIR},
        {"missing", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOENT},
        {"missing/x", SV_WASI_O_CREAT, SV_WASI_RIGHT_READ, -SV_WASI_ENOENT},
        {"dangling", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOENT},
        {"loop", 0, SV_WASI_RIGHT_READ, -SV_WASI_ELOOP},
        {"loop/x", 0, SV_WASI_RIGHT_READ, -SV_WASI_ELOOP},
        {"x", SV_WASI_O_CREAT | SV_WASI_O_DIRECTORY, SV_WASI_RIGHT_READ, -SV_WASI_EINVAL},
        {"x", 16, SV_WASI_RIGHT_READ, -SV_WASI_EINVAL},
        /* outside */
        {"", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOENT},
        {"/", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"/in", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"/etc/passwd", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"..", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"../", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"../.", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"../root/in", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"d/../..", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"d/../../outside/secret", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"up", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"up/", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"up//", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"up/.", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"up/secret", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"up/../root/in", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"via/secret", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"zigzag/secret", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"leak", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"leak/", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"leak", SV_WASI_O_TRUNC, SV_WASI_RIGHT_WRITE, -SV_WASI_ENOTCAPABLE},
        {"makes", SV_WASI_O_CREAT, SV_WASI_RIGHT_WRITE, -SV_WASI_ENOTCAPABLE},
        {"up/made", SV_WASI_O_CREAT, SV_WASI_RIGHT_WRITE, -SV_WASI_ENOTCAPABLE},
        {"abs", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"abs/passwd", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
        {"d/deep/../../../outside/secret", 0, SV_WASI_RIGHT_READ, -SV_WASI_ENOTCAPABLE},
    };
    int resolver, fd;
    size_t i;

    (void)state;
    for (resolver = SV_VFS_OPENAT2_UNTRIED; resolver <= SV_VFS_WALK; resolver++) {
        use(resolver);
        for (i = 0; i < SV_COUNT(cases); i++) {
            fd = guest_open_at(&g, 3, cases[i].path, cases[i].oflags, cases[i].rights, 0);
            if (cases[i].want == 0 ? fd < 0 : fd != cases[i].want)
                fail_msg("resolver %d, open '%s' flags %u: %d, wanted %d", resolver, cases[i].path,
                         cases[i].oflags, fd, cases[i].want);
            if (fd >= 0)
                CALL(&g, "fd_close", (unsigned)fd);
        }
        /* made through a link that dangles inside */
        fd = guest_open_at(&g, 3, "dangling", SV_WASI_O_CREAT, rw, 0);
        assert_true(fd >= 0);
        CALL(&g, "fd_close", (unsigned)fd);
        shell("test -f root/nowhere && rm root/nowhere");
    }
    shell("test \"$(cat outside/secret)\" = secret && test ! -e outside/made");
}

static void lookups(void **state)
{
    int resolver;
    uint64_t len;

    (void)state;
    for (resolver = SV_VFS_OPENAT2; resolver <= SV_VFS_WALK; resolver++) {
        use(resolver);
        len = guest_path(&g, "leak");
        /* the link itself is inside, what it means is not */
        assert_int_equal(CALL(&g, "path_filestat_get", 3, 0, AT_PATH, len, AT_STAT), 0);
        assert_int_equal(g.memory.base[AT_STAT + 16], SV_WASI_TYPE_SYMLINK);
        assert_int_equal(CALL(&g, "path_filestat_get", 3, 1, AT_PATH, len, AT_STAT),
                         SV_WASI_ENOTCAPABLE);
        assert_int_equal(CALL(&g, "path_filestat_get", 3, 2, AT_PATH, len, AT_STAT),
                         SV_WASI_EINVAL);
        assert_int_equal(CALL(&g, "path_open", 3, 0, AT_PATH, len, 0, rd, 0, 0, AT_RET),
                         SV_WASI_ELOOP);
        assert_int_equal(CALL(&g, "path_filestat_set_times", 3, 1, AT_PATH, len, 1, 1, 5),
                         SV_WASI_ENOTCAPABLE);
        assert_int_equal(CALL(&g, "path_filestat_set_times", 3, 0, AT_PATH, len, 1, 1, 5), 0);
        assert_int_equal(CALL(&g, "path_readlink", 3, AT_PATH, len, AT_DATA, 100, AT_RET), 0);
        assert_int_equal(guest_u32(&g, AT_RET), 17);
        len = guest_path(&g, "up/secret");
        assert_int_equal(CALL(&g, "path_readlink", 3, AT_PATH, len, AT_DATA, 100, AT_RET),
                         SV_WASI_ENOTCAPABLE);
        len = guest_path(&g, "todir/");
        assert_int_equal(CALL(&g, "path_filestat_get", 3, 0, AT_PATH, len, AT_STAT), 0);
        assert_int_equal(g.memory.base[AT_STAT + 16], SV_WASI_TYPE_DIRECTORY);
        len = guest_path(&g, "up/");
        assert_int_equal(CALL(&g, "path_filestat_get", 3, 0, AT_PATH, len, AT_STAT),
                         SV_WASI_ENOTCAPABLE);
        len = guest_path(&g, "in");
        assert_int_equal(CALL(&g, "path_readlink", 3, AT_PATH, len, AT_DATA, 100, AT_RET),
                         SV_WASI_EINVAL);
        /* not a directory */
        assert_true(guest_open_at(&g, 3, "in", 0, rd, 0) == 6);
        assert_int_equal(guest_open_at(&g, 6, "x", 0, rd, 0), -SV_WASI_ENOTDIR);
        assert_int_equal(guest_open_at(&g, 0, "x", 0, rd, 0), -SV_WASI_ENOTDIR);
        CALL(&g, "fd_close", 6);
    }
    /* bytes that are no path */
    guest_put(&g, AT_PATH, "in\0x", 4);
    assert_int_equal(CALL(&g, "path_filestat_get", 3, 0, AT_PATH, 4, AT_STAT), SV_WASI_EINVAL);
    guest_put(&g, AT_PATH, "\xff\xfe", 2);
    assert_int_equal(CALL(&g, "path_create_directory", 3, AT_PATH, 2), SV_WASI_EILSEQ);
    memset(g.memory.base + AT_PATH, 'x', 5000);
    assert_int_equal(CALL(&g, "path_create_directory", 3, AT_PATH, 4096), SV_WASI_ENAMETOOLONG);
    assert_int_equal(CALL(&g, "path_create_directory", 3, AT_PATH, 256), SV_WASI_ENAMETOOLONG);
    assert_int_equal(CALL(&g, "path_create_directory", 3, GUEST_SIZE - 5, 6), SV_WASI_EFAULT);
}

/* A call with one path to change something, and what may come of each name. */
static int change(const char *function, const char *path)
{
    uint64_t len = guest_path(&g, path), len2;

    if (strcmp(function, "rename_from") == 0) {
        len2 = guest_path2(&g, "new");
        return CALL(&g, "path_rename", 3, AT_PATH, len, 3, AT_PATH2, len2);
    }
    if (strcmp(function, "rename_to") == 0) {
        len2 = guest_path2(&g, "in");
        return CALL(&g, "path_rename", 3, AT_PATH2, len2, 3, AT_PATH, len);
    }
    if (strcmp(function, "link_from") == 0 || strcmp(function, "link_follow") == 0) {
        len2 = guest_path2(&g, "new");
        return CALL(&g, "path_link", 3, strcmp(function, "link_follow") == 0, AT_PATH, len, 3,
                    AT_PATH2, len2);
    }
    if (strcmp(function, "link_to") == 0) {
        len2 = guest_path2(&g, "in");
        return CALL(&g, "path_link", 3, 0, AT_PATH2, len2, 3, AT_PATH, len);
    }
    if (strcmp(function, "symlink") == 0) {
        len2 = guest_path2(&g, "in");
        return CALL(&g, "path_symlink", AT_PATH2, len2, 3, AT_PATH, len);
    }
    return CALL(&g, function, 3, AT_PATH, len);
}

/* must-pass 32, 33, 35: none of these names may change anything, in any call. */
static void changes_nothing(void **state)
{
    static const char *const functions[] = {
        "path_create_directory",
        "path_remove_directory",
        "path_unlink_file",
        "rename_from",
        "rename_to",
        "link_from",
        "link_follow",
        "link_to",
        "symlink",
    };
    static const char *const paths[] = {
        "..",
        "../",
        "../.",
        "../outside",
        "../outside/secret",
        "../outside/dir",
        "../outside/new",
        "d/../../outside/secret",
        "up/",
        "up//",
        "up/.",
        "up/..",
        "up/secret",
        "up/dir",
        "up/dir/",
        "up/new",
        "via/secret",
        "via/dir",
        "abs/passwd",
        "abs/",
        "/",
        "/etc",
        "zigzag/secret",
        "todir/../../outside/secret",
        ".",
        "./",
        "d/..",
        "d/../",
        "d/.",
        "leak/",
        "leak/.",
        "makes/",
        "tofile/",
        "loop/",
        "loop/x",
        "missing/x",
    };
    int resolver, r;
    size_t i, j;

    (void)state;
    shell("find root outside | sort > before");
    for (resolver = SV_VFS_OPENAT2; resolver <= SV_VFS_WALK; resolver++) {
        use(resolver);
        for (i = 0; i < SV_COUNT(functions); i++)
            for (j = 0; j < SV_COUNT(paths); j++) {
                r = change(functions[i], paths[j]);
                if (r <= 0)
                    fail_msg("resolver %d: %s '%s' gave %d", resolver, functions[i], paths[j], r);
            }
    }
    shell("find root outside | sort > after; cmp before after && test \"$(cat outside/secret)\" = "
          "secret");
}

static void changes(void **state)
{
    static const struct {
        const char *function, *path;
        int want;
    } cases[] = {
        {"path_create_directory", "new/", 0},
        {"path_create_directory", "new", SV_WASI_EEXIST},
        {"path_create_directory", "todir/x", 0},
        {"path_create_directory", "d/../d/y", 0},
        {"path_create_directory", "dangling", SV_WASI_EEXIST},
        {"path_create_directory", "makes", SV_WASI_EEXIST},
        {"path_remove_directory", "d", SV_WASI_ENOTEMPTY},
        {"path_remove_directory", "in", SV_WASI_ENOTDIR},
        {"path_remove_directory", "todir", SV_WASI_ENOTDIR},
        {"path_remove_directory", "todir/", SV_WASI_ENOTDIR},
        {"path_remove_directory", "todir/x/", 0},
        {"path_remove_directory", "d/y", 0},
        {"path_remove_directory", "new//", 0},
        {"path_remove_directory", ".", SV_WASI_EINVAL},
        {"path_unlink_file", "d", SV_WASI_EISDIR},
        {"path_unlink_file", "in/", SV_WASI_ENOTDIR},
        {"path_unlink_file", "tofile/", SV_WASI_ENOTDIR},
        {"path_unlink_file", "missing", SV_WASI_ENOENT},
        {"link_from", "in", 0},
        {"path_unlink_file", "new", 0},
        {"link_from", "leak", 0}, /* the link, not what it means */
        {"path_unlink_file", "new", 0},
        {"link_follow", "tofile", 0},
        {"path_unlink_file", "new", 0},
        {"link_follow", "todir/f", 0},
        {"path_unlink_file", "new", 0},
        {"link_follow", "d/back", 0},
        {"path_unlink_file", "new", 0},
        {"link_follow", "leak", SV_WASI_ENOTCAPABLE},
        {"link_follow", "loop", SV_WASI_ELOOP},
        {"link_follow", "dangling", SV_WASI_ENOENT},
        {"link_from", "todir/", SV_WASI_EPERM},
        {"link_from", "d", SV_WASI_EPERM},
        {"link_from", "in/", SV_WASI_ENOTDIR},
        {"link_to", "new/", SV_WASI_ENOENT},
        {"link_to", "leak", SV_WASI_EEXIST},
        {"symlink", "tofile", SV_WASI_EEXIST},
        {"symlink", "sym", 0},
        {"path_unlink_file", "sym", 0},
        {"rename_from", "leak", 0},
        {"path_unlink_file", "new", 0},
        {"rename_to", "makes", 0}, /* replaces the link */
    };
    int resolver, r;
    size_t i;

    (void)state;
    for (resolver = SV_VFS_OPENAT2; resolver <= SV_VFS_WALK; resolver++) {
        use(resolver);
        for (i = 0; i < SV_COUNT(cases); i++) {
            r = change(cases[i].function, cases[i].path);
            if (r != cases[i].want)
                fail_msg("resolver %d, %s '%s': %d, wanted %d", resolver, cases[i].function,
                         cases[i].path, r, cases[i].want);
        }
        shell("mv root/makes root/in; ln -s ../outside/made root/makes; ln -s ../outside/secret "
              "root/leak; test ! -e outside/made");
    }
}

static void link_targets(void **state)
{
    uint64_t len, len2;

    (void)state;
    len2 = guest_path2(&g, "l");
    len = guest_path(&g, "/etc/passwd");
    assert_int_equal(CALL(&g, "path_symlink", AT_PATH, len, 3, AT_PATH2, len2),
                     SV_WASI_ENOTCAPABLE);
    assert_int_equal(CALL(&g, "path_symlink", AT_PATH, 0, 3, AT_PATH2, len2), SV_WASI_ENOENT);
    guest_put(&g, AT_PATH, "a\0b", 3);
    assert_int_equal(CALL(&g, "path_symlink", AT_PATH, 3, 3, AT_PATH2, len2), SV_WASI_EINVAL);
    /* made by the guest, leading outside: cannot be used */
    len = guest_path(&g, "../outside/");
    assert_int_equal(CALL(&g, "path_symlink", AT_PATH, len, 3, AT_PATH2, len2), 0);
    assert_int_equal(guest_open_at(&g, 3, "l", 0, rd, 0), -SV_WASI_ENOTCAPABLE);
    assert_int_equal(guest_open_at(&g, 3, "l/secret", 0, rd, 0), -SV_WASI_ENOTCAPABLE);
    use(SV_VFS_WALK);
    assert_int_equal(guest_open_at(&g, 3, "l/secret", 0, rd, 0), -SV_WASI_ENOTCAPABLE);
}

/* must-pass 35: each oflag x rights x mode of the grant. */
static void readonly_opens(void **state)
{
    uint32_t oflags, fdflags;
    unsigned mode;
    int fd;

    (void)state;
    for (oflags = 0; oflags <= SV_WASI_O_ALL; oflags++)
        for (mode = 0; mode < 8; mode++)
            for (fdflags = 0; fdflags < 2; fdflags++) {
                static const char *const names[] = {"f", "l", "sub", "new"};
                uint64_t rights =
                    (mode & 1 ? SV_WASI_RIGHT_READ : 0) | (mode & 2 ? SV_WASI_RIGHT_WRITE : 0) |
                    (mode & 4 ? ~(uint64_t)(SV_WASI_RIGHT_READ | SV_WASI_RIGHT_WRITE) : 0);
                const char *name = names[(oflags + mode + fdflags) % 4];

                fd = guest_open_at(&g, 5, name, oflags, rights, fdflags);
                if (fd < 0)
                    continue;
                if ((oflags & (SV_WASI_O_CREAT | SV_WASI_O_TRUNC)) ||
                    ((mode & 2) && !(oflags & SV_WASI_O_DIRECTORY)))
                    fail_msg("'%s' opened with oflags %u rights %u", name, oflags, mode);
                assert_true(guest_write(&g, (unsigned)fd, "x", 1) > 0);
                assert_true(CALL(&g, "fd_filestat_set_size", (unsigned)fd, 0) > 0);
                assert_true(CALL(&g, "fd_allocate", (unsigned)fd, 0, 100) > 0);
                assert_int_equal(CALL(&g, "fd_filestat_set_times", (unsigned)fd, 1, 1, 5),
                                 SV_WASI_EROFS);
                CALL(&g, "fd_close", (unsigned)fd);
            }
    shell(
        "test \"$(cat fixed/f)\" = fixed && test \"$(ls fixed | tr '\\n' ' ')\" = 'f l out sub '");
}

/* must-pass 34: every pair of operations between read-only and writable grants. */
static void readonly_pairs(void **state)
{
    static const uint32_t dirs[] = {3, 4, 5};
    static const char *const names[] = {"in", "x", "f"}; /* an existing one of each, and new ones */
    uint64_t a, b;
    size_t i, j;

    (void)state;
    shell("echo x > other/x; find fixed | sort > before");
    for (i = 0; i < 3; i++)
        for (j = 0; j < 3; j++) {
            bool ro = i == 2 || j == 2;

            a = guest_path(&g, names[i]);
            b = guest_path2(&g, "moved");
            if (ro) {
                assert_int_equal(
                    CALL(&g, "path_link", dirs[i], 0, AT_PATH, a, dirs[j], AT_PATH2, b),
                    SV_WASI_EROFS);
                assert_int_equal(
                    CALL(&g, "path_link", dirs[i], 1, AT_PATH, a, dirs[j], AT_PATH2, b),
                    SV_WASI_EROFS);
                assert_int_equal(CALL(&g, "path_rename", dirs[i], AT_PATH, a, dirs[j], AT_PATH2, b),
                                 SV_WASI_EROFS);
                continue;
            }
            assert_int_equal(CALL(&g, "path_link", dirs[i], 0, AT_PATH, a, dirs[j], AT_PATH2, b),
                             0);
            assert_int_equal(CALL(&g, "path_rename", dirs[j], AT_PATH2, b, dirs[i], AT_PATH, a), 0);
            CALL(&g, "path_unlink_file", dirs[j], AT_PATH2, b);
        }
    /* a directory handle below keeps the mode */
    assert_int_equal(guest_open_at(&g, 5, "sub", SV_WASI_O_DIRECTORY, rd, 0), 6);
    a = guest_path(&g, "y");
    assert_int_equal(CALL(&g, "path_create_directory", 6, AT_PATH, a), SV_WASI_EROFS);
    assert_int_equal(CALL(&g, "path_remove_directory", 6, AT_PATH, a), SV_WASI_EROFS);
    assert_int_equal(CALL(&g, "path_unlink_file", 6, AT_PATH, a), SV_WASI_EROFS);
    assert_int_equal(CALL(&g, "path_symlink", AT_PATH, a, 6, AT_PATH, a), SV_WASI_EROFS);
    assert_int_equal(CALL(&g, "path_filestat_set_times", 6, 0, AT_PATH, a, 1, 1, 5), SV_WASI_EROFS);
    assert_int_equal(guest_open_at(&g, 6, "y", SV_WASI_O_CREAT, rw, 0), -SV_WASI_EROFS);
    /* a writable descriptor's link into the read-only grant leads outside of either */
    assert_int_equal(guest_open_at(&g, 5, "out", 0, rd, 0), -SV_WASI_ENOTCAPABLE);
    shell("find fixed | sort > after; cmp before after && test \"$(cat fixed/f)\" = fixed");
    CALL(&g, "fd_close", 6);
}

/* Deep paths, long chains of links. */
static void depth(void **state)
{
    char path[4096];
    size_t i;

    (void)state;
    shell("cd root; for i in $(seq 1 50); do mkdir e && cd e; done; touch leaf");
    for (i = 0; i < 50; i++)
        memcpy(path + 2 * i, "e/", 2);
    strcpy(path + 100, "leaf");
    assert_int_equal(guest_open_at(&g, 3, path, 0, rd, 0), 6);
    use(SV_VFS_WALK);
    assert_int_equal(guest_open_at(&g, 3, path, 0, rd, 0), 7);
    memset(path, '/', 4000);
    path[0] = 'd';
    memcpy(path + 4000, "f", 2);
    assert_int_equal(guest_open_at(&g, 3, path, 0, rd, 0), 8);
    shell("cd root; ln -s in c1; for i in $(seq 2 60); do ln -s c$((i-1)) c$i; done");
    for (i = SV_VFS_OPENAT2; i <= SV_VFS_WALK; i++) {
        use((int)i);
        assert_int_equal(guest_open_at(&g, 3, "c39", 0, rd, 0), 9 + (int)(i - SV_VFS_OPENAT2));
        assert_int_equal(guest_open_at(&g, 3, "c60", 0, rd, 0), -SV_WASI_ELOOP);
    }
}

/* must-pass 32: another program swaps a directory and a link to the outside while the guest opens.
 */
struct swapper {
    _Atomic bool stop;
};
static void *swap_forever(void *arg)
{
    struct swapper *s = arg;
    char a[400], b[400];

    snprintf(a, sizeof a, "%s/swap", root);
    snprintf(b, sizeof b, "%s/swap2", root);
    while (!atomic_load(&s->stop))
        renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
    return NULL;
}

static void races(void **state)
{
    struct swapper s = {false};
    int resolver, fd, i, opened = 0;
    pthread_t thread;

    (void)state;
    shell("mkdir root/swap; echo inside > root/swap/secret; ln -s ../outside root/swap2");
    assert_int_equal(pthread_create(&thread, NULL, swap_forever, &s), 0);
    for (resolver = SV_VFS_OPENAT2; resolver <= SV_VFS_WALK; resolver++) {
        use(resolver);
        for (i = 0; i < 5000; i++) {
            static const char *const paths[] = {"swap/secret", "swap/../swap/secret",
                                                "d/../swap/./secret"};
            uint64_t len;

            fd = guest_open_at(&g, 3, paths[i % 3], 0, rd, 0);
            if (fd >= 0) {
                opened++;
                assert_int_equal(guest_read(&g, (unsigned)fd, 20), 7);
                assert_memory_equal(g.memory.base + AT_DATA, "inside\n", 7);
                CALL(&g, "fd_close", (unsigned)fd);
            }
            len = guest_path(&g, "swap/made");
            CALL(&g, "path_create_directory", 3, AT_PATH, len);
            CALL(&g, "path_remove_directory", 3, AT_PATH, len);
        }
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_true(opened > 0);
    shell("test \"$(ls outside | tr '\\n' ' ')\" = 'dir secret '");
}

/* More directories than the walk holds open. */
static void too_deep(void **state)
{
    char path[2 * 200 + 1];
    size_t i;

    (void)state;
    shell("cd root; for i in $(seq 1 200); do mkdir e && cd e; done; true");
    for (i = 0; i < 200; i++)
        memcpy(path + 2 * i, "e/", 2);
    path[400] = '\0';
    use(SV_VFS_WALK);
    assert_int_equal(guest_open_at(&g, 3, path, 0, rd, 0), -SV_WASI_ENAMETOOLONG);
    assert_int_equal(guest_open_at(&g, 3, "e/e/..", 0, rd, 0), 6);
}

/* Old seccomp filters answer openat2 with ENOSYS or EPERM: the walk takes over, and refuses the
 * same. */
static void deny_openat2(unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {SV_COUNT(code), code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

static void no_openat2(void **state)
{
    static const unsigned errors[] = {ENOSYS, EPERM};
    size_t i;

    (void)state;
    for (i = 0; i < SV_COUNT(errors); i++) {
        pid_t child = fork();
        int status;

        if (child == 0) {
            bool ok;

            deny_openat2(errors[i]);
            use(SV_VFS_OPENAT2_UNTRIED);
            ok = guest_open_at(&g, 3, "d/back", 0, rd, 0) == 6 &&
                 guest_open_at(&g, 3, "leak", 0, rd, 0) == -SV_WASI_ENOTCAPABLE &&
                 ((struct sv_wasi *)g.state)->resolver == SV_VFS_WALK;
            _exit(ok ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != 77)
            assert_int_equal(WEXITSTATUS(status), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens),        TEST(lookups),        TEST(changes_nothing), TEST(changes),
        TEST(link_targets), TEST(readonly_opens), TEST(readonly_pairs),  TEST(depth),
        TEST(races),        TEST(too_deep),       TEST(no_openat2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
