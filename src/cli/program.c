/* Verbs that are programs of their own, which are not linked here so that `run` stays small: the
 * server and the keeper of its data, whose options are their own, and the client, whose options are
 * read here by the table. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* Become the program; returns only where that fails. */
static int start(const char *const *places, size_t n, char **argv)
{
    char path[PATH_MAX + 64];

    if (!cli_find_beside(places, n, path, sizeof path))
        return CLI_STATUS_ERROR;
    signal(SIGPIPE, SIG_DFL);
    execv(path, argv);
    cli_message("'%s': %s", path, strerror(errno));
    return CLI_STATUS_ERROR;
}

int cli_serve(int argc, char **argv)
{
    static const char *const places[] = {"ssvm-serve", "../libexec/ssvm/ssvm-serve"};
    static char name[] = "ssvm-serve";

    (void)argc;
    argv[0] = name;
    return start(places, 2, argv);
}

int cli_control(int argc, char **argv)
{
    static const char *const places[] = {"ssvm-control", "../libexec/ssvm/ssvm-control"};
    static char name[] = "ssvm-control";

    if (argc < 2)
        return cli_usage(cli_verb_find(argv[0]), "what to do?");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            cli_help_print(cli_verb_find(argv[0]));
            return cli_finish(0);
        }
    }
    argv[0] = name;
    return start(places, 2, argv);
}

/* "--NAME" or "--NAME=VALUE". */
static own char *spell(const struct cli_args *args)
{
    size_t size = strlen(args->option->name) + 4 + (args->value ? strlen(args->value) : 0);
    char *text = malloc(size);

    if (text)
        snprintf(text, size, "--%s%s%s", args->option->name, args->value ? "=" : "",
                 args->value ? args->value : "");
    return text;
}

/* Add the options up to the next operand to `told`. False: *ret_status is the end. */
static bool tell_options(struct cli_args *args, char **told, int *n, int *ret_status)
{
    int id;

    while ((id = cli_args_next(args)) != CLI_END) {
        if (id == CLI_BAD) {
            *ret_status = CLI_STATUS_USAGE;
            return false;
        }
        if (id == CLI_HELP || id == CLI_VERSION) {
            if (id == CLI_HELP)
                cli_help_print(args->verb);
            *ret_status = id == CLI_HELP ? cli_finish(0) : cli_version();
            return false;
        }
        told[(*n)++] = spell(args);
    }
    return true;
}

/* Options are told in one spelling: ssvm-client VERB [--NAME[=VALUE]...] -- [OPERAND...]. They may
 * stand behind operands too, but for `invoke`, whose further operands are the function's. */
int cli_client(int argc, char **argv)
{
    static const char *const places[] = {"ssvm-client", "../libexec/ssvm/ssvm-client"};
    static char name[] = "ssvm-client", end[] = "--";
    char **told = calloc(2 * (size_t)argc + 4, sizeof *told);
    char **operands = calloc((size_t)argc + 1, sizeof *operands);
    int n = 2, noperands = 0, status = CLI_STATUS_ERROR;
    struct cli_args args;
    bool rest = false; /* operands only */

    if (!told || !operands)
        goto fail;
    cli_args_init(&args, argc, argv);
    told[0] = name;
    told[1] = argv[0];
    while (args.next < argc) {
        if (!rest && !tell_options(&args, told, &n, &status))
            goto fail;
        rest = rest || args.verb->bit == CLI_VERB_INVOKE || strcmp(argv[args.next - 1], "--") == 0;
        if (args.next < argc)
            operands[noperands++] = argv[args.next++];
    }
    told[n++] = end;
    memcpy(told + n, operands, (size_t)noperands * sizeof *told);
    status = start(places, 2, told);
fail:
    for (int i = 2; told && i < n; i++) {
        if (told[i] != end)
            free(told[i]);
    }
    free(told);
    free(operands);
    return status;
}
