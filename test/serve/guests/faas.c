/* Functions as wasm-bindgen's command line tool left them in 2020: without descriptions of their
 * types, results by a pointer to (address, length). Built with -nostdlib. */
#define EXPORT(name) __attribute__((export_name(#name)))
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

typedef unsigned long size_t;

WASI(args_sizes_get) int args_sizes_get(size_t *n, size_t *bytes);
WASI(args_get) int args_get(char **args, char *bytes);
WASI(environ_sizes_get) int environ_sizes_get(size_t *n, size_t *bytes);
WASI(environ_get) int environ_get(char **vars, char *bytes);
WASI(fd_readdir)
int fd_readdir(int fd, char *buf, size_t len, unsigned long long from, size_t *ret);
WASI(path_open)
int path_open(int dir, int follow, const char *path, size_t len, int how, unsigned long long rights,
              unsigned long long inherited, int flags, int *ret);

struct slice {
    char *ptr;
    size_t len;
};

static char heap[1 << 20], *top = heap;

EXPORT(__wbindgen_malloc) void *allocate(size_t n)
{
    char *p = top;

    if (n > (size_t)(heap + sizeof heap - top))
        __builtin_trap();
    top += (n + 7) & ~7ul;
    return p;
}

EXPORT(__wbindgen_free) void release(void *p, size_t n)
{
    (void)p;
    (void)n;
}

static char *copy(char *to, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = bytes[i];
    return to + n;
}

static char *put(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

static void put_slice(struct slice *ret, const char *bytes, size_t n)
{
    ret->ptr = allocate(n);
    ret->len = n;
    copy(ret->ptr, bytes, n);
}

EXPORT(say) void say(struct slice *ret, const char *s, size_t n)
{
    char *text = allocate(n + 6);

    copy(put(text, "hello "), s, n);
    put_slice(ret, text, n + 6);
}

EXPORT(echo) void echo(struct slice *ret, const char *s, size_t n)
{
    put_slice(ret, s, n);
}

EXPORT(reverse) void reverse(struct slice *ret, const char *s, size_t n)
{
    char *text = allocate(n);

    for (size_t i = 0; i < n; i++)
        text[i] = s[n - 1 - i];
    put_slice(ret, text, n);
}

/* "a|b|c" */
EXPORT(join)
void join(struct slice *ret, const char *a, size_t na, const char *b, size_t nb, const char *c,
          size_t nc)
{
    char *text = allocate(na + nb + nc + 2);

    copy(put(copy(put(copy(text, a, na), "|"), b, nb), "|"), c, nc);
    put_slice(ret, text, na + nb + nc + 2);
}

/* Lines "arg=...", "NAME=VALUE", and whether the first folder is there, may be written to, and has
 * how many entries beside itself and the one above. */
EXPORT(around) void around(struct slice *ret, const char *s, size_t n)
{
    static char text[8192], bytes[4096], entries[4096], *list[64];
    char *p = text;
    size_t count = 0, size = 0, used = 0;
    int fd;

    (void)s;
    (void)n;
    if (args_sizes_get(&count, &size) == 0 && count <= 64 && size <= sizeof bytes &&
        args_get(list, bytes) == 0) {
        for (size_t i = 0; i < count; i++)
            p = put(put(put(p, "arg="), list[i]), "\n");
    }
    if (environ_sizes_get(&count, &size) == 0 && count <= 64 && size <= sizeof bytes &&
        environ_get(list, bytes) == 0) {
        for (size_t i = 0; i < count; i++)
            p = put(put(p, list[i]), "\n");
    }
    p = put(p,
            fd_readdir(3, entries, sizeof entries, 0, &used) ? "root=missing\n" : "root=there\n");
    p = put(p, path_open(3, 0, "x", 1, 1, 64, 0, 0, &fd) ? "write=refused\n" : "write=allowed\n");
    /* An entry is 24 bytes and its name: "." and "..". */
    p = put(p, used <= 24 + 1 + 24 + 2 ? "files=none\n" : "files=some\n");
    put_slice(ret, text, (size_t)(p - text));
}

/* What a picture is, as a classifier would be asked. */
EXPORT(infer) void infer(struct slice *ret, const char *s, size_t n)
{
    char digits[16], text[64], *p;
    size_t k = sizeof digits, rest = n;

    do
        digits[--k] = (char)('0' + rest % 10);
    while (rest /= 10);
    p = put(text, n > 8 && s[1] == 'P' && s[2] == 'N' && s[3] == 'G' ? "It is a PNG of "
                                                                     : "It is a file of ");
    p = put(copy(p, digits + k, sizeof digits - k), " bytes");
    put_slice(ret, text, (size_t)(p - text));
}

EXPORT(fail) void fail(struct slice *ret, const char *s, size_t n)
{
    (void)ret;
    (void)s;
    (void)n;
    __builtin_trap();
}
