/* The program `ssvm`: the table of verbs and the choice among them. What a verb does is in the file
 * of its name. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "cli/cli.h"

/* clang-format off */
const struct cli_verb cli_verbs[] = {
    {"run", "[run] [OPTION...] FILE [ARG...]", "run a program, or call a function with --invoke", CLI_VERB_RUN, cli_run},
    {"inspect", "inspect [OPTION...] FILE", "show what a module contains, needs and offers", CLI_VERB_INSPECT, cli_inspect},
    {"compile", "compile [OPTION...] FILE -o OUT", "make native code, kept with the module in one file", CLI_VERB_COMPILE, cli_compile},
    {"snapshot", "snapshot [OPTION...] FILE [ARG...]", "run the initialiser, write the module as it is then", CLI_VERB_SNAPSHOT, cli_snapshot},
    {"nn", "nn list, nn install BACKEND", "show, or fetch, the libraries that run models for guests", CLI_VERB_NN, cli_nn},
    {"serve", "serve [OPTION...] [DIR]", "answer HTTP with functions and static files", CLI_VERB_SERVE, cli_serve},
    {"control", "control [OPTION...]", "save a server's data, bring them back, change its key", CLI_VERB_CONTROL, cli_control},
    {"new", "new [OPTION...] NAME", "begin a function: a folder NAME from a template", CLI_VERB_NEW, cli_client},
    {"build", "build [DIR]", "make the module, as ssvm.yaml says", CLI_VERB_BUILD, cli_client},
    {"dev", "dev [OPTION...] [DIR]", "serve it here, and build it on every save", CLI_VERB_DEV, cli_client},
    {"deploy", "deploy [OPTION...] [DIR]", "build it and publish it on a server", CLI_VERB_DEPLOY, cli_client},
    {"invoke", "invoke [OPTION...] NAME [ARG...]", "call a function on a server", CLI_VERB_INVOKE, cli_client},
    {"functions", "functions [OPTION...] [NAME]", "list the functions of a server, or one's versions", CLI_VERB_FUNCTIONS, cli_client},
    {"rollback", "rollback [OPTION...] NAME [VERSION]", "serve the version before, or this one", CLI_VERB_ROLLBACK, cli_client},
    {"logs", "logs [OPTION...] [NAME]", "show what functions did and said", CLI_VERB_LOGS, cli_client},
    {"why", "why [OPTION...] REQUEST-ID", "explain a request that failed", CLI_VERB_WHY, cli_client},
    {"usage", "usage [OPTION...] [NAME]", "show what functions have used", CLI_VERB_USAGE, cli_client},
    {"secret", "secret [OPTION...] [NAME [VALUE]]", "list secrets, set one", CLI_VERB_SECRET, cli_client},
    {"login", "login [OPTION...] URL", "remember a server and its token", CLI_VERB_LOGIN, cli_client},
    {"completion", "completion bash|zsh|fish", "print the completions of a shell", CLI_VERB_COMPLETION, cli_completion},
    {"help", "help [VERB]", "explain a verb", CLI_VERB_HELP, cli_help},
};
/* clang-format on */
const unsigned cli_nverbs = sizeof cli_verbs / sizeof cli_verbs[0];

const struct cli_verb *cli_verb_find(const char *name)
{
    for (unsigned i = 0; i < cli_nverbs; i++) {
        if (strcmp(cli_verbs[i].name, name) == 0)
            return &cli_verbs[i];
    }
    return NULL;
}

/* Standard streams that were closed stay closed to all who use them, but their numbers are taken: a
 * file that we open must not become the guest's output. */
static void hold_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", O_PATH); /* the lowest free number: this one */
    }
}

int main(int argc, char **argv)
{
    const struct cli_verb *verb;

    hold_streams();

    /* A closed pipe is an errno for the guest and a message for us, not the end by a signal. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return cli_usage(NULL, "no file and no verb");
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        cli_help_print(NULL);
        return cli_finish(0);
    }
    if (strcmp(argv[1], "-V") == 0)
        return cli_version();
    verb = cli_verb_find(argv[1]);
    /* `ssvm FILE` is `ssvm run FILE`: then argv[0], the program, stands where the verb would. */
    return verb ? verb->main(argc - 1, argv + 1) : cli_run(argc, argv);
}
