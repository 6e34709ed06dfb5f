/* The command line, messages, files. Knows no verb. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/write.h"
#include "client/client.h"
#include "platform/unit.h"

#define MESSAGE_MAX (64U << 10)
#define READ_SIZE ((size_t)64 << 10)

const char *cln_option(const struct cln_args *args, const char *name)
{
    size_t len = strlen(name);

    /* The last one counts. */
    for (int i = args->noptions - 1; i >= 0; i--) {
        const char *option = args->options[i] + 2;

        if (strncmp(option, name, len) == 0 && (option[len] == '=' || !option[len]))
            return option + len + (option[len] == '=');
    }
    return NULL;
}

bool cln_option_number(const struct cln_args *args, const char *name, uint64_t max,
                       uint64_t otherwise, uint64_t *ret)
{
    const char *value = cln_option(args, name);

    *ret = otherwise;
    if (!value || (plat_unit_read(value, PLAT_UNIT_COUNT, ret) && *ret <= max))
        return true;
    cln_usage(args, "option '--%s' takes a number of 0 to %llu, not '%s'", name,
              (unsigned long long)max, value);
    return false;
}

/* C1 controls are c2 80..9f in UTF-8. */
static void put_clean(FILE *to, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
                       (c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] >= 0x80 &&
                        (unsigned char)text[i + 1] < 0xa0);

        fputc(control ? '?' : c, to);
    }
}

static void vmessage(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static void vmessage(const char *fmt, va_list ap)
{
    struct sv_buf text;

    sv_buf_init(&text, MESSAGE_MAX);
    sv_buf_puts(&text, "ssvm: ");
    sv_buf_vprintf(&text, fmt, ap);
    put_clean(stderr, (const char *)text.data, text.len);
    fputc('\n', stderr);
    sv_buf_release(&text);
}

void cln_message(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vmessage(fmt, ap);
    va_end(ap);
}

int cln_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vmessage(fmt, ap);
    va_end(ap);
    return CLN_STATUS_ERROR;
}

int cln_usage(const struct cln_args *args, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vmessage(fmt, ap);
    va_end(ap);
    fprintf(stderr, "Try 'ssvm %s --help'.\n", args->verb);
    return CLN_STATUS_USAGE;
}

void cln_print(const char *text, size_t len)
{
    put_clean(stdout, text, len);
}

int cln_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return cln_fail("cannot write to standard output: %s", strerror(errno));
}

bool cln_find_beside(const char *const *places, size_t n, char *ret, size_t size)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    self[len > 0 ? len : 0] = '\0';
    slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < n; i++) {
        int used = snprintf(ret, size, "%.*s%s", (int)(slash + 1 - self), self, places[i]);

        if (used > 0 && (size_t)used < size && access(ret, F_OK) == 0)
            return true;
    }
    return false;
}

bool cln_read_file(const char *path, size_t max, struct sv_buf *ret)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;

    sv_buf_init(ret, max + 1); /* one more: to see that there is more */
    while (n > 0 && ret->len <= max) {
        size_t room = max + 1 - ret->len;

        n = sv_buf_reserve(ret, room < READ_SIZE ? room : READ_SIZE)
                ? read(fd, ret->data + ret->len, room < READ_SIZE ? room : READ_SIZE)
                : -1;
        ret->len += n > 0 ? (size_t)n : 0;
        n = n < 0 && errno == EINTR ? 1 : n;
    }
    if (n < 0)
        cln_message("'%s': %s", path, strerror(errno));
    else if (n > 0)
        cln_message("'%s' is larger than %zu bytes", path, max);
    if (fd >= 0 && !is_stdin)
        close(fd);
    if (n != 0)
        sv_buf_release(ret);
    return n == 0;
}

bool cln_write_file(const char *path, const void *bytes, size_t len, unsigned mode)
{
    char temporary[PATH_MAX];
    bool ok = (size_t)snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) < sizeof temporary;
    int fd = ok ? mkstemp(temporary) : -1;

    ok = fd >= 0 && fchmod(fd, mode) == 0 && sv_write_all(fd, bytes, len) == len;
    ok = ok && fsync(fd) == 0 && rename(temporary, path) == 0;
    if (!ok) {
        cln_message("cannot write '%s': %s", path, strerror(errno));
        if (fd >= 0)
            unlink(temporary);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}
