/* `ssvm serve`: starts the program ssvm-serve, which is not linked here so that `run` stays small.
 * Its options are its own. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const char *const places[] = {"ssvm-serve", "../libexec/ssvm/ssvm-serve"};

int cli_serve(int argc, char **argv)
{
    static char name[] = "ssvm-serve";
    char path[PATH_MAX + 64];

    (void)argc;
    if (!cli_find_beside(places, sizeof places / sizeof places[0], path, sizeof path))
        return CLI_STATUS_ERROR;
    argv[0] = name;
    signal(SIGPIPE, SIG_DFL);
    execv(path, argv);
    cli_message("'%s': %s", path, strerror(errno));
    return CLI_STATUS_ERROR;
}
