/* The list of allowed commands, and variables that would make one run something else. */
#include "command/allow.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int cmd_allow_init(struct sv_err *err, struct cmd_allow *a, const char *path)
{
    *a = (struct cmd_allow){.path = sv_strdup(path ? path : CMD_PATH_DEFAULT)};
    a->list = sv_alloc_array_zero(CMD_ALLOW_MAX, sizeof *a->list);
    if (a->path && a->list)
        return 0;
    cmd_allow_release(a);
    return sv_fail_nomem(err, "commands");
}

void cmd_allow_release(struct cmd_allow *a)
{
    for (size_t i = 0; i < a->n; i++) {
        sv_free(a->list[i].name);
        sv_free(a->list[i].path);
    }
    sv_free(a->list);
    sv_free(a->path);
    *a = (struct cmd_allow){0};
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* A name in the folders of `path`. What is relative there would depend on where one is. */
static bool look_up(const char *path, const char *name, char ret[CMD_PATH_MAX])
{
    for (const char *p = path; *p; p += *p == ':') {
        size_t len = strcspn(p, ":");
        int n = *p == '/' ? snprintf(ret, CMD_PATH_MAX, "%.*s/%s", (int)len, p, name) : -1;

        if (n > 0 && n < CMD_PATH_MAX && is_program(ret))
            return true;
        p += len;
    }
    return false;
}

/* A path with a slash, from where we are if it is relative. */
static bool make_absolute(const char *path, char ret[CMD_PATH_MAX])
{
    char folder[CMD_PATH_MAX];
    int n;

    if (*path == '/')
        n = snprintf(ret, CMD_PATH_MAX, "%s", path);
    else
        n = getcwd(folder, sizeof folder) ? snprintf(ret, CMD_PATH_MAX, "%s/%s", folder, path) : -1;
    return n > 0 && n < CMD_PATH_MAX && is_program(ret);
}

static bool find_program(const struct cmd_allow *a, const char *command, char ret[CMD_PATH_MAX])
{
    return strchr(command, '/') ? make_absolute(command, ret) : look_up(a->path, command, ret);
}

int cmd_allow_add(struct sv_err *err, struct cmd_allow *a, const char *command)
{
    struct cmd_allowed *entry = &a->list[a->n];
    char path[CMD_PATH_MAX];

    if (!*command)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a command without a name is allowed");
    if (a->n == CMD_ALLOW_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %d commands are allowed",
                       CMD_ALLOW_MAX);
    if (!find_program(a, command, path))
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no program '%.200s'%s", command,
                       strchr(command, '/') ? "" : " in the folders of PATH");
    *entry = (struct cmd_allowed){sv_strdup(command), sv_strdup(path)};
    a->n++; /* half of it is released, too */
    return entry->name && entry->path ? 0 : sv_fail_nomem(err, "a command");
}

int cmd_allow_find(const struct cmd_allow *a, const char *command, char ret[CMD_PATH_MAX])
{
    for (size_t i = 0; i < a->n; i++) {
        const struct cmd_allowed *e = &a->list[i];

        if (strcmp(command, e->name) == 0 || strcmp(command, e->path) == 0) {
            snprintf(ret, CMD_PATH_MAX, "%s", e->path);
            return is_program(ret) ? 0 : SV_ENOTFOUND;
        }
    }
    if (!a->all)
        return SV_EINVALID;
    return *command && find_program(a, command, ret) ? 0 : SV_ENOTFOUND;
}

/* Those that the dynamic linker and the C library drop for set-user-ID programs, and those by which
 * interpreters run or load something first. A `*` at the end: all that begin so. */
static const char *const dangerous[] = {
    "LD_*",          "GLIBC_TUNABLES",
    "GCONV_PATH",    "GETCONF_DIR",
    "HOSTALIASES",   "LOCALDOMAIN",
    "LOCPATH",       "MALLOC_TRACE",
    "NIS_PATH",      "NLSPATH",
    "RESOLV_*",      "RES_OPTIONS",
    "BASH_*",        "ENV",
    "SHELLOPTS",     "BASHOPTS",
    "PS4",           "IFS",
    "CDPATH",        "PROMPT_COMMAND",
    "PERL*",         "PYTHON*",
    "RUBY*",         "GEM_*",
    "NODE_*",        "JAVA_*",
    "_JAVA_OPTIONS", "JDK_*",
    "CLASSPATH",     "LUA_*",
    "TCLLIBPATH",    "PHPRC",
    "PHP_*",         "TERMINFO",
    "TERMINFO_DIRS", "TERMCAP",
    "GIT_*",         "EDITOR",
    "VISUAL",        "PAGER",
    "LESSOPEN",      "LESSCLOSE",
    "MANPAGER",      "BROWSER",
    "ZDOTDIR",       "OPENSSL_CONF",
    "OPENSSL_*",     "GTK_*",
    "QT_*",          "MAGICK_*",
    "FONTCONFIG_*",  "GST_*",
    "GIO_*",         "XDG_CONFIG_*",
    "HOME",          "PATH",
    "RUSTC_*",       "CARGO_*",
    "MAKEFLAGS",     "GCC_EXEC_PREFIX",
    "COMPILER_PATH", "LIBRARY_PATH",
    "AWKPATH",       "AWKLIBPATH",
    "SSLKEYLOGFILE",
};

bool cmd_allow_variable(const char *variable)
{
    size_t len = strcspn(variable, "=");

    if (len == 0 || variable[len] != '=')
        return false;
    for (size_t i = 0; i < SV_COUNT(dangerous); i++) {
        size_t n = strlen(dangerous[i]);
        bool begins = dangerous[i][n - 1] == '*';

        n -= begins;
        if ((begins ? len >= n : len == n) && memcmp(variable, dangerous[i], n) == 0)
            return false;
    }
    return true;
}
