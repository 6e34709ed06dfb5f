/* Arguments of typed calls from the command line. What a function makes of them is the library's
 * business. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

bool cli_read_all(const char *name, int fd, size_t max, own char **ret, size_t *ret_len)
{
    char *data = NULL;
    size_t len = 0, cap = 0;
    ssize_t n = 0;

    for (;;) {
        if (len == cap && len <= max) {
            char *more;

            cap = cap ? cap * 2 : 65536;
            cap = cap > max ? max + 1 : cap;
            more = realloc(data, cap);
            if (!more) {
                cli_message("'%s': out of memory", name);
                goto fail;
            }
            data = more;
        }
        if (len > max) {
            cli_message("'%s': larger than %zu bytes", name, max);
            goto fail;
        }
        n = read(fd, data + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (n < 0) {
        cli_message("'%s': %s", name, strerror(errno));
        goto fail;
    }
    if (fd != STDIN_FILENO)
        close(fd);
    *ret = data;
    *ret_len = len;
    return true;
fail:
    free(data);
    if (fd != STDIN_FILENO)
        close(fd);
    return false;
}

static bool read_arg(const char *name, int fd, ssvm_arg *ret)
{
    char *data;
    size_t len;

    if (!cli_read_all(name, fd, CLI_FILE_MAX, &data, &len))
        return false;
    *ret = (ssvm_arg){.kind = SSVM_ARG_BYTES, .bytes = data, .len = len};
    return true;
}

static bool read_values(char **argv, int argc, struct cli_values *v)
{
    bool literal = false;

    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];

        if (!literal && strcmp(text, "--") == 0) {
            literal = true;
            continue;
        }
        if (!literal && strcmp(text, "-") == 0) {
            if (!read_arg("standard input", STDIN_FILENO, &v->args[v->n++]))
                return false;
            continue;
        }
        if (!literal && text[0] == '@' && text[1] != '@') {
            int fd = open(text + 1, O_RDONLY | O_CLOEXEC);
            if (fd < 0) {
                cli_message("'%s': %s", text + 1, strerror(errno));
                return false;
            }
            if (!read_arg(text + 1, fd, &v->args[v->n++]))
                return false;
            continue;
        }
        if (!literal && text[0] == '@')
            text++;
        v->args[v->n++] = (ssvm_arg){.kind = SSVM_ARG_TEXT, .bytes = text, .len = strlen(text)};
    }
    return true;
}

bool cli_values_read(char **argv, int argc, struct cli_values *ret)
{
    *ret = (struct cli_values){.args = calloc((size_t)argc + 1, sizeof *ret->args)};
    if (!ret->args) {
        cli_message("out of memory for arguments");
        return false;
    }
    if (read_values(argv, argc, ret))
        return true;
    cli_values_release(ret);
    return false;
}

void cli_values_release(struct cli_values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->args[i].kind == SSVM_ARG_BYTES)
            free((void *)v->args[i].bytes);
    }
    free(v->args);
}
