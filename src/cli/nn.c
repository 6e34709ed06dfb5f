/* `ssvm nn`: which inference libraries are found, and fetching one. What a library is, the library
 * of ssvm knows; fetching is a program in Python of its own, as it is pip that downloads. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

struct nn {
    struct cli_args args;
    const char *what, *backend; /* operands */
    const char *from, *to;
    bool json;
};

static int list(const struct nn *nn)
{
    ssvm_nn_config config = SSVM_NN_CONFIG_INIT;
    char *text = NULL;
    bool good = false;
    ssvm_error *e;
    ssvm_nn *grant;

    config.folder = nn->to;
    e = ssvm_nn_new(&config, &grant);
    if (e)
        return cli_error(NULL, e);
    e = ssvm_nn_list(grant, nn->json, &text);
    if (e) {
        ssvm_nn_delete(grant);
        return cli_error(NULL, e);
    }
    good = cli_write(text, strlen(text));
    ssvm_string_delete(text);
    ssvm_nn_delete(grant);
    return good ? 0 : CLI_STATUS_ERROR;
}

static int install(const struct nn *nn)
{
    static const char *const places[] = {"ssvm-nn-install", "../libexec/ssvm/ssvm-nn-install"};
    char program[PATH_MAX + 64], folder[PATH_MAX];
    const char *argv[10] = {"python3", "-I", program};
    int n = 3;

    if (!nn->to && !ssvm_nn_folder(folder, sizeof folder)) {
        cli_message("no folder to install to: neither HOME nor XDG_DATA_HOME is set; see --to");
        return CLI_STATUS_ERROR;
    }
    if (!cli_find_beside(places, sizeof places / sizeof places[0], program, sizeof program))
        return CLI_STATUS_ERROR;
    if (nn->from) {
        argv[n++] = "--from";
        argv[n++] = nn->from;
    }
    argv[n++] = "--to";
    argv[n++] = nn->to ? nn->to : folder;
    argv[n++] = "--";
    argv[n] = nn->backend;
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], (char **)(uintptr_t)argv);
    if (errno == ENOENT)
        cli_message("there is no python3 here, which fetches and unpacks; without it, put the "
                    "libraries of %s into '%s/%s' by hand",
                    nn->backend, nn->to ? nn->to : folder, nn->backend);
    else
        cli_message("python3: %s", strerror(errno));
    return CLI_STATUS_ERROR;
}

static int operand(struct nn *nn, const char *text)
{
    if (!nn->what)
        nn->what = text;
    else if (!nn->backend)
        nn->backend = text;
    else
        return cli_usage(nn->args.verb, "'%s': one backend at a time", text);
    return 0;
}

static int option(struct nn *nn, int id)
{
    switch (id) {
    case CLI_JSON:
        nn->json = true;
        break;
    case CLI_FROM:
        nn->from = nn->args.value;
        break;
    case CLI_TO:
        nn->to = nn->args.value;
        break;
    default:
        return CLI_STATUS_USAGE;
    }
    return 0;
}

int cli_nn(int argc, char **argv)
{
    struct nn nn = {.json = false};
    int id, status;

    cli_args_init(&nn.args, argc, argv);
    while ((id = cli_args_next(&nn.args)) != CLI_END || nn.args.next < argc) {
        if (id == CLI_HELP) {
            cli_help_print(nn.args.verb);
            return cli_finish(0);
        }
        if (id == CLI_VERSION)
            return cli_version();
        status = id == CLI_END ? operand(&nn, argv[nn.args.next++]) : option(&nn, id);
        if (status != 0)
            return status;
    }
    if (nn.what && strcmp(nn.what, "list") == 0 && !nn.backend && !nn.from)
        return list(&nn);
    if (nn.what && strcmp(nn.what, "install") == 0 && nn.backend && !nn.json)
        return install(&nn);
    return cli_usage(nn.args.verb, "what is wanted is: nn list [--json], or nn install BACKEND "
                                   "[--from WHEEL] [--to DIR]");
}
