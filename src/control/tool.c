/* Backup, restore and rotation of the key, as commands. */
#include "control/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/backup.h"
#include "control/key.h"
#include "control/secret.h"
#include "control/store.h"

static const char usage[] =
    "ssvm-control is started by ssvm-serve; by hand ('ssvm control') it does these:\n"
    "       ssvm control --backup FILE --data DIR [--database URL] [--with-key] [--without-sql]\n"
    "       ssvm control --restore FILE --data DIR [--database URL] [--without-sql]\n"
    "       ssvm control --verify FILE\n"
    "       ssvm control --rotate-key --data DIR [--database URL]\n"
    "'ssvm help control' explains them.\n";

struct tool {
    const char *backup, *restore, *verify, *data, *database;
    bool rotate_key, with_key, without_sql;
};

/* `--name VALUE` or `--name=VALUE`. */
static bool take_value(int argc, char **argv, int *at, const char *name, const char **ret)
{
    size_t len = strlen(name);

    if (strncmp(argv[*at], name, len) != 0)
        return false;
    if (argv[*at][len] == '=') {
        *ret = argv[*at] + len + 1;
        return true;
    }
    if (argv[*at][len] || *at + 1 == argc)
        return false;
    *ret = argv[++*at];
    return true;
}

static bool read_arguments(int argc, char **argv, struct tool *t)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rotate-key") == 0)
            t->rotate_key = true;
        else if (strcmp(argv[i], "--with-key") == 0)
            t->with_key = true;
        else if (strcmp(argv[i], "--without-sql") == 0)
            t->without_sql = true;
        else if (!take_value(argc, argv, &i, "--backup", &t->backup) &&
                 !take_value(argc, argv, &i, "--restore", &t->restore) &&
                 !take_value(argc, argv, &i, "--verify", &t->verify) &&
                 !take_value(argc, argv, &i, "--data", &t->data) &&
                 !take_value(argc, argv, &i, "--database", &t->database))
            return false;
    }
    return !!t->backup + !!t->restore + !!t->verify + t->rotate_key == 1 &&
           (t->data || t->verify) && (!t->with_key || t->backup) &&
           (!t->without_sql || t->backup || t->restore);
}

/* A restore is into a folder that no server uses; so is a new key into one. */
static int run(struct ctl_server *server, struct sv_err *err, const struct tool *t)
{
    bool alone = t->restore || t->rotate_key;
    int r = alone ? ctl_store_lock(server, err, 0) : 0;

    if (r == 0)
        r = ctl_store_database(server, err, t->database);
    if (r < 0)
        return r;
    if (t->backup)
        r = ctl_backup_write(server, err, t->backup, t->with_key, t->without_sql);
    else if (t->restore)
        r = ctl_backup_restore(server, err, t->restore, t->without_sql);
    else
        r = ctl_key_load(err, server->data_fd, "key", false, server->key) < 0
                ? err->code
                : ctl_secret_rotate(server, err);
    ctl_db_close(server->db);
    return r;
}

static int open_and_run(struct sv_err *err, const struct tool *t)
{
    struct ctl_server server = {.data = t->data};
    int r;

    if (t->verify)
        return ctl_backup_verify(err, t->verify);
    if (t->restore && mkdir(t->data, 0700) < 0 && errno != EEXIST)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot make the folder '%s': %s", t->data,
                       strerror(errno));
    server.data_fd = open(t->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (server.data_fd < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot open the folder '%s': %s", t->data,
                       strerror(errno));
    r = run(&server, err, t);
    close(server.data_fd);
    return r;
}

int ctl_tool_run(int argc, char **argv)
{
    struct tool t = {0};
    struct sv_err err = {0};

    if (!read_arguments(argc, argv, &t)) {
        fputs(usage, stderr);
        return 2;
    }
    if (open_and_run(&err, &t) == 0)
        return 0;
    fprintf(stderr, "ssvm-control: %s\n", err.text);
    return 1;
}
