/* What needs no YAML library: loading a file, looking at a tree. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "platform/yaml.h"

int plat_yaml_load(struct sv_err *err, const char *file, struct sv_arena *arena, const char **ret,
                   size_t *ret_len)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    char *text;
    size_t len = 0;
    ssize_t n = 1;

    if (fd < 0)
        return sv_fail(err, errno == ENOENT ? SV_ENOTFOUND : SV_EIO, SV_NO_OFFSET, "%s: %s", file,
                       strerror(errno));
    text = sv_arena_alloc(arena, PLAT_YAML_BYTES_MAX + 2);
    while (text && len <= PLAT_YAML_BYTES_MAX && n > 0) {
        n = read(fd, text + len, PLAT_YAML_BYTES_MAX + 1 - len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    if (n < 0)
        sv_fail(err, SV_EIO, SV_NO_OFFSET, "%s: %s", file, strerror(errno));
    close(fd);
    if (!text)
        return sv_fail_nomem(err, file);
    if (n < 0)
        return SV_EIO;
    text[len] = '\0';
    *ret = text;
    *ret_len = len; /* one more than allowed where there is more: plat_yaml_read refuses it */
    return 0;
}

struct plat_yaml *plat_yaml_find(const struct plat_yaml *node, const char *key)
{
    for (struct plat_yaml *value = node->first; value; value = value->next) {
        if (value->key && strcmp(value->key, key) == 0)
            return value;
    }
    return NULL;
}

bool plat_yaml_is_null(const struct plat_yaml *node)
{
    return node->kind == PLAT_YAML_SCALAR && node->plain &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

bool plat_yaml_switch(const char *text, bool *ret)
{
    *ret = strcmp(text, "on") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0;
    return *ret || strcmp(text, "off") == 0 || strcmp(text, "false") == 0 ||
           strcmp(text, "no") == 0;
}
