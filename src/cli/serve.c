/* `ssvm serve`: starts the program ssvm-serve, which is not linked here so that `run` stays small.
 * Its options are its own. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* Where ssvm-serve may lie, from the folder of our own executable: installed, then in a build tree.
 */
static const char *const places[] = {"../libexec/ssvm/ssvm-serve", "ssvm-serve"};

int cli_serve(int argc, char **argv)
{
    static char name[] = "ssvm-serve";
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    (void)argc;
    if (n <= 0) {
        cli_message("cannot find our own executable: %s", strerror(errno));
        return CLI_STATUS_ERROR;
    }
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        slash[1] = '\0';
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s%s", self, places[i]);
        if (access(path, F_OK) != 0)
            continue;
        argv[0] = name;
        signal(SIGPIPE, SIG_DFL);
        execv(path, argv);
        cli_message("'%s': %s", path, strerror(errno));
        return CLI_STATUS_ERROR;
    }
    cli_message("'%s%s' is not there: this installation has no server", self, places[0]);
    return CLI_STATUS_ERROR;
}
