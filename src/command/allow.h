/* Which native commands may run: names are looked up once, so that what a name means does not
 * change while the guest runs. Runs nothing. */
#ifndef COMMAND_ALLOW_H
#define COMMAND_ALLOW_H

#include "base/err.h"
#include "base/str.h"

#define CMD_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
#define CMD_PATH_MAX 4096 /* bytes of a program's path, with the NUL */
#define CMD_ALLOW_MAX 1024

struct cmd_allowed {
    own char *name; /* as it was allowed */
    own char *path; /* absolute */
};
struct cmd_allow {
    struct cmd_allowed *list;
    size_t n;
    bool all;
    own char *path; /* where names are looked up */
};

/* `path`: folders as in $PATH, of which only absolute ones count; NULL: CMD_PATH_DEFAULT. */
int cmd_allow_init(struct sv_err *, struct cmd_allow *, const char *path);
void cmd_allow_release(struct cmd_allow *);
/* A name to look up, or a path. SV_ENOTFOUND when there is no such program. */
int cmd_allow_add(struct sv_err *, struct cmd_allow *, const char *command);
/* May the guest run this: by the name that was allowed, or by its full path? The program's path to
 * `ret`; SV_EINVALID: not allowed; SV_ENOTFOUND: it would be, but is not there. */
int cmd_allow_find(const struct cmd_allow *, const char *command, char ret[CMD_PATH_MAX]);
/* May a variable ("K=V") be given to a command that was chosen for the guest? Not one that makes
 * programs load or run what it names. */
bool cmd_allow_variable(const char *variable);

#endif
