/* Static files of a version: which paths are taken, and that what is unpacked is what was packed.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/blob.h"
#include "control/site.h"

static char folder[] = "/tmp/ssvm-site-XXXXXX";
static struct ctl_server server = {.data = folder};

static int pack(const char *const *paths, unsigned n, struct sv_buf *ret)
{
    struct ctl_file files[8];
    struct sv_err err = {0};
    int r;

    for (unsigned i = 0; i < n; i++)
        files[i] = (struct ctl_file){sv_str_of(paths[i]), sv_str_of(paths[i])};
    sv_buf_init(ret, 1 << 20);
    r = ctl_site_pack(&err, files, n, ret);
    if (r < 0)
        sv_buf_release(ret);
    return r;
}

static void refuses(void **state)
{
    static const char *const bad[] = {
        "",      "/",      "/a",           "a/",     "a//b",   ".",         "..",
        "../a",  "a/../b", "a/..",         "./a",    "a/./b",  "a\\b",      "a\nb",
        "a\x7f", "\xff",   "a/\xc0\xaf..", "..\\..", "a/b/..", "C:\\a.txt", "a\x01.txt"};
    static const char *const pairs[][2] = {{"a", "a"}, {"a", "a/b"}, {"a/b/c", "a/b"}};
    char longest[CTL_SITE_PATH_MAX + 2], segment[300];
    const char *one = longest;
    struct sv_buf buf;

    (void)state;
    for (size_t i = 0; i < SV_COUNT(bad); i++) {
        if (pack(&bad[i], 1, &buf) == 0)
            fail_msg("'%s' was taken", bad[i]);
    }
    for (size_t i = 0; i < SV_COUNT(pairs); i++) {
        const char *three[] = {pairs[i][0], "a-b", pairs[i][1]}; /* '-' sorts before '/' */

        if (pack(three, 3, &buf) == 0)
            fail_msg("'%s' and '%s' were taken", pairs[i][0], pairs[i][1]);
    }
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_true(pack(&one, 1, &buf) < 0);
    memset(segment, 'a', sizeof segment);
    segment[256] = '\0';
    one = segment;
    assert_true(pack(&one, 1, &buf) < 0);
    segment[255] = '\0';
    assert_int_equal(pack(&one, 1, &buf), 0);
    sv_buf_release(&buf);
}

static void unpacks(void **state)
{
    static const char *const paths[] = {"index.html", "a/b/c.js", "a/b.css",
                                        "a-b",        "...",      "\xc3\xa9/x"};
    static const char *const order[] = {"a-b", "index.html", "\xc3\xa9/x",
                                        "...", "a/b.css",    "a/b/c.js"};
    char name[CTL_SITE_FOLDER_SIZE], again[CTL_SITE_FOLDER_SIZE], path[256], text[64];
    uint8_t digest[PLAT_DIGEST_BYTES], other[PLAT_DIGEST_BYTES];
    struct sv_err err = {0};
    struct sv_buf buf;
    struct stat st;

    (void)state;
    assert_int_equal(pack(paths, 6, &buf), 0);
    assert_int_equal(ctl_blob_write(&server, &err, buf.data, buf.len, digest), 0);
    sv_buf_release(&buf);
    assert_int_equal(pack(order, 6, &buf), 0);
    assert_int_equal(ctl_blob_write(&server, &err, buf.data, buf.len, other), 0);
    sv_buf_release(&buf);
    assert_memory_equal(digest, other, sizeof digest); /* the order does not matter */
    assert_int_equal(ctl_site_unpack(&server, &err, digest, name), 0);
    assert_int_equal(ctl_site_unpack(&server, &err, digest, again), 0);
    assert_string_equal(name, again);
    for (size_t i = 0; i < 6; i++) {
        FILE *f;
        size_t n;

        snprintf(path, sizeof path, "%s/%s/%s", folder, name, paths[i]);
        f = fopen(path, "r");
        assert_non_null(f);
        n = fread(text, 1, sizeof text, f);
        fclose(f);
        assert_int_equal(n, strlen(paths[i]));
        assert_memory_equal(text, paths[i], n);
    }
    ctl_site_remove(&server, name);
    assert_int_equal(fstatat(server.data_fd, name, &st, 0), -1);
}

static void damaged(void **state)
{
    static const char *const path = "a/b";
    uint8_t digest[PLAT_DIGEST_BYTES];
    char name[CTL_SITE_FOLDER_SIZE];
    struct sv_err err = {0};
    struct sv_buf buf;
    struct stat st;

    (void)state;
    assert_int_equal(pack(&path, 1, &buf), 0);
    for (size_t len = 1; len < buf.len; len++) { /* a pack that was cut */
        err = (struct sv_err){0};
        assert_int_equal(ctl_blob_write(&server, &err, buf.data, len, digest), 0);
        assert_true(ctl_site_unpack(&server, &err, digest, name) < 0);
        assert_int_equal(fstatat(server.data_fd, name, &st, 0), -1);
    }
    memcpy(buf.data + 4, "../", 3); /* one that leads elsewhere */
    err = (struct sv_err){0};
    assert_int_equal(ctl_blob_write(&server, &err, buf.data, buf.len, digest), 0);
    assert_true(ctl_site_unpack(&server, &err, digest, name) < 0);
    sv_buf_release(&buf);
}

static int open_server(void **state)
{
    struct sv_err err = {0};
    char url[128];

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    server.data_fd = open(folder, O_RDONLY | O_DIRECTORY);
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    return ctl_db_open(&err, url, &server.db) < 0 ? -1 : ctl_blob_init(&server, &err);
}

static int close_server(void **state)
{
    (void)state;
    ctl_db_close(server.db);
    ctl_site_remove(&server, "");
    return close(server.data_fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(refuses), cmocka_unit_test(unpacks),
                                              cmocka_unit_test(damaged)};

    return cmocka_run_group_tests(tests, open_server, close_server);
}
