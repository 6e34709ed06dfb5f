/* A folder of its own for each test of the cache, and small helpers. Not a test. */
#ifndef SV_TEST_RUNTIME_CACHE_FOLDER_H
#define SV_TEST_RUNTIME_CACHE_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cache.h"

#define NOBODY 65534

static char base[64];   /* of this test */
static char place[80];  /* the cache: base/cache */
static char path_[400]; /* of in_base and in_cache */

/* Not /tmp: it is often a tmpfs, of which nothing is remembered. */
static int set_up(void **state)
{
    (void)state;
    strcpy(base, "/var/tmp/ssvm-cache-XXXXXX"); /* NOLINT: it fits */
    if (!mkdtemp(base))
        return -1;
    snprintf(place, sizeof place, "%s/cache", base);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(name) < 0 && errno != ENOENT ? -1 : 0;
}

static void remove_tree(const char *name)
{
    nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int tear_down(void **state)
{
    (void)state;
    remove_tree(base);
    return 0;
}

static const char *in_base(const char *name)
{
    snprintf(path_, sizeof path_, "%s/%s", base, name);
    return path_;
}

static const char *in_cache(const char *name)
{
    snprintf(path_, sizeof path_, "%s/%s", place, name);
    return path_;
}

static struct sv_cache *open_cache(uint64_t max_bytes)
{
    struct sv_cache *c = NULL;
    struct sv_err err = {0};

    if (sv_cache_open(&err, place, max_bytes, &c) < 0)
        fail_msg("%s", err.text);
    return c;
}

static struct sv_cache_name name_of(unsigned n)
{
    struct sv_image_id id = {.cpu = "generic"};

    return sv_cache_name_of(&id, &n, sizeof n);
}

static const char *path_of(const struct sv_cache_name *name)
{
    char text[2 * SV_SHA256_LEN + 1];

    for (size_t i = 0; i < SV_SHA256_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", name->digest[i]);
    return in_cache(text);
}

static int store(struct sv_err *err, struct sv_cache *c, unsigned n, const void *bytes, size_t len)
{
    struct sv_cache_name name = name_of(n);
    struct iovec iov[2] = {{(void *)(uintptr_t)bytes, len / 3},
                           {(char *)(uintptr_t)bytes + len / 3, len - len / 3}};

    return sv_cache_store(err, c, &name, iov, 2);
}

static void write_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* Waits for a child: its exit status, or 128 + its signal. */
static int status_of(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
