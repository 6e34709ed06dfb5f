/* Functions as wasm-bindgen's command line tool left them in 2020: without descriptions of their
 * types, results by a pointer to (address, length). Built as a reactor, by faas.py. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#define EXPORT(name) __attribute__((export_name(#name)))

struct slice {
    char *ptr;
    size_t len;
};

EXPORT(__wbindgen_malloc) void *allocate(size_t n)
{
    return malloc(n ? n : 1);
}

EXPORT(__wbindgen_free) void release(void *p, size_t n)
{
    (void)n;
    free(p);
}

static void put(struct slice *ret, const char *bytes, size_t n)
{
    ret->ptr = memcpy(allocate(n), bytes, n);
    ret->len = n;
}

EXPORT(say) void say(struct slice *ret, const char *s, size_t n)
{
    char *text = allocate(n + 6);

    memcpy(text, "hello ", 6);
    memcpy(text + 6, s, n);
    put(ret, text, n + 6);
}

EXPORT(echo) void echo(struct slice *ret, const char *s, size_t n)
{
    put(ret, s, n);
}

EXPORT(reverse) void reverse(struct slice *ret, char *s, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        char c = s[i];

        s[i] = s[n - 1 - i];
        s[n - 1 - i] = c;
    }
    put(ret, s, n);
}

/* "a|b|c" */
EXPORT(join)
void join(struct slice *ret, const char *a, size_t na, const char *b, size_t nb, const char *c,
          size_t nc)
{
    char *text = allocate(na + nb + nc + 2);

    memcpy(text, a, na);
    text[na] = '|';
    memcpy(text + na + 1, b, nb);
    text[na + 1 + nb] = '|';
    memcpy(text + na + nb + 2, c, nc);
    put(ret, text, na + nb + nc + 2);
}

/* What a guest finds around itself, in lines. */
EXPORT(around) void around(struct slice *ret, const char *s, size_t n)
{
    static char text[8192], bytes[4096], *args[16];
    size_t argc = 0, size = 0, at = 0;
    DIR *root = opendir("/");
    int fd = open("/x", O_CREAT | O_WRONLY, 0600);

    (void)s;
    (void)n;
    if (__wasi_args_sizes_get(&argc, &size) == 0 && argc <= 16 && size <= sizeof bytes)
        argc = __wasi_args_get((uint8_t **)args, (uint8_t *)bytes) ? 0 : argc;
    for (size_t i = 0; i < argc; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "arg=%s\n", args[i]);
    at += (size_t)snprintf(text + at, sizeof text - at, "wasm_id=%s\nstorage_key=%s\n",
                           getenv("wasm_id"), getenv("storage_key"));
    at += (size_t)snprintf(text + at, sizeof text - at, "root=%s\nwrite=%s\n",
                           root ? "there" : "missing", fd < 0 ? "refused" : "allowed");
    for (struct dirent *entry; root && (entry = readdir(root));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            at += (size_t)snprintf(text + at, sizeof text - at, "file=%s\n", entry->d_name);
    }
    put(ret, text, at);
}

/* What a picture is, as a classifier would be asked. */
EXPORT(infer) void infer(struct slice *ret, const char *s, size_t n)
{
    char text[64];
    int len = snprintf(text, sizeof text, "It is a %s of %zu bytes",
                       n > 8 && memcmp(s, "\x89PNG", 4) == 0 ? "PNG" : "file", n);

    put(ret, text, (size_t)len);
}

EXPORT(fail) void fail(struct slice *ret, const char *s, size_t n)
{
    (void)ret;
    (void)s;
    (void)n;
    __builtin_trap();
}
