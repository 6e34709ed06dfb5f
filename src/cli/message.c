/* Messages to standard error, bytes to standard output, files. Knows no verb. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

#define LINE_MAX_LEN 2048

/* Names in messages come from hostile files: nothing of them may reach a terminal as a command. C1
 * controls are c2 80..9f in UTF-8. */
static void clean(char *s, bool keep_newlines)
{
    for (unsigned char *p = (unsigned char *)s; *p; p++) {
        if ((*p < 0x20 && !(keep_newlines && *p == '\n')) || *p == 0x7f ||
            (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
            *p = '?';
    }
}

static bool put(int fd, const char *s, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, s, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s += n;
        len -= (size_t)n;
    }
    return true;
}

static void vmessage(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static void vmessage(const char *fmt, va_list ap)
{
    char line[LINE_MAX_LEN];
    int at = snprintf(line, sizeof line, "ssvm: ");
    int n = vsnprintf(line + at, sizeof line - (size_t)at - 1, fmt, ap);
    size_t len;

    if (n < 0)
        return;
    clean(line, false);
    len = strlen(line);
    line[len++] = '\n';
    put(STDERR_FILENO, line, len);
}

void cli_message(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vmessage(fmt, ap);
    va_end(ap);
}

int cli_usage(const struct cli_verb *verb, const char *fmt, ...)
{
    char line[128];
    va_list ap;
    int n;

    va_start(ap, fmt);
    vmessage(fmt, ap);
    va_end(ap);
    n = snprintf(line, sizeof line, "Try 'ssvm %s%s--help'.\n", verb ? verb->name : "",
                 verb ? " " : "");
    put(STDERR_FILENO, line, (size_t)n);
    return CLI_STATUS_USAGE;
}

/* What stands below a message, such as frames, each line indented. */
static void details(const char *text)
{
    char line[LINE_MAX_LEN];

    while (*text) {
        size_t len = strcspn(text, "\n");
        int n = snprintf(line, sizeof line - 1, "    %.*s",
                         (int)(len < LINE_MAX_LEN - 8 ? len : LINE_MAX_LEN - 8), text);

        clean(line, false);
        line[n] = '\n';
        put(STDERR_FILENO, line, (size_t)n + 1);
        text += len + (text[len] == '\n');
    }
}

/* The first line of a message, with the file before it unless the library named it already; then
 * what follows it. */
static void print_message(const char *file, const char *message)
{
    size_t len = file ? strlen(file) : 0, line;

    if (len > 0 && strncmp(message, file, len) == 0 && strncmp(message + len, ": ", 2) == 0)
        message += len + 2;
    line = strcspn(message, "\n");
    if (!file || (message[0] != '\0' && memmem(message, line, file, len)))
        cli_message("%.*s", (int)line, message);
    else
        cli_message("'%s': %.*s", file, (int)line, message);
    details(message + line + (message[line] == '\n'));
}

int cli_error(const char *file, own ssvm_error *e)
{
    ssvm_error_kind kind = ssvm_error_kind_of(e);
    int status = CLI_STATUS_ERROR;

    if (kind == SSVM_EEXIT) {
        /* The guest's own status, as the system truncates it. */
        status = ssvm_error_exit_status(e) & 0xff;
        ssvm_error_delete(e);
        return status;
    }
    print_message(file, ssvm_error_message(e));
    details(ssvm_error_backtrace(e));
    if (kind == SSVM_ETRAP || kind == SSVM_EEXCEPTION)
        status = CLI_STATUS_TRAP;
    else if (kind == SSVM_EUSAGE)
        status = CLI_STATUS_USAGE;
    ssvm_error_delete(e);
    return status;
}

static void output_failed(void)
{
    cli_message("cannot write to standard output: %s", strerror(errno));
}

bool cli_write(const void *bytes, size_t len)
{
    bool done = put(STDOUT_FILENO, bytes, len);

    if (!done)
        output_failed();
    return done;
}

int cli_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    output_failed();
    return CLI_STATUS_ERROR;
}

const char *cli_cache_dir(char *buf, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;

    /* A relative XDG_CACHE_HOME is to be ignored (XDG base directory specification). */
    if (base && base[0] == '/')
        n = snprintf(buf, size, "%s/ssvm", base);
    else if (home && home[0] == '/')
        n = snprintf(buf, size, "%s/.cache/ssvm", home);
    return n > 0 && (size_t)n < size ? buf : NULL;
}

int cli_write_file(const char *path, const char *bytes, size_t len)
{
    size_t size = strlen(path) + sizeof ".XXXXXX";
    char *temporary = malloc(size);
    FILE *f = NULL;
    int fd = -1;
    bool ok = false;

    if (temporary) {
        snprintf(temporary, size, "%s.XXXXXX", path);
        fd = mkstemp(temporary);
    }
    if (fd >= 0)
        f = fdopen(fd, "wb");
    if (f) {
        mode_t mask = umask(0);

        umask(mask);
        ok = fwrite(bytes, 1, len, f) == len && fchmod(fd, 0666 & ~mask) == 0 && fflush(f) == 0 &&
             fsync(fd) == 0;
        ok = fclose(f) == 0 && ok && rename(temporary, path) == 0;
    }
    if (!ok) {
        cli_message("cannot write '%s': %s", path, strerror(errno));
        if (fd >= 0)
            unlink(temporary);
    }
    free(temporary);
    return ok ? 0 : CLI_STATUS_ERROR;
}
