/* The program ssvm-client: the verbs that make functions and talk to servers. What a verb does is
 * in the file of its name. */
#include <signal.h>
#include <string.h>

#include "client/client.h"

static const struct {
    const char *name;
    int (*main)(const struct cln_args *);
} verbs[] = {
    {"new", cln_new},           {"build", cln_build},   {"dev", cln_dev},
    {"deploy", cln_deploy},     {"invoke", cln_invoke}, {"functions", cln_functions},
    {"rollback", cln_rollback}, {"logs", cln_logs},     {"why", cln_why},
    {"usage", cln_usage_of},    {"secret", cln_secret}, {"login", cln_login},
};

int main(int argc, char **argv)
{
    struct cln_args args = {0};
    int i = 2;

    if (argc < 2)
        return cln_fail("this program is started by ssvm: see 'ssvm --help'");
    signal(SIGPIPE, SIG_IGN);
    args.verb = argv[1];
    args.options = argv + i;
    while (i < argc && strcmp(argv[i], "--") != 0)
        i++;
    args.noptions = i - 2;
    args.operands = argv + i + (i < argc);
    args.noperands = argc - i - (i < argc);
    for (size_t k = 0; k < SV_COUNT(verbs); k++) {
        if (strcmp(verbs[k].name, args.verb) == 0)
            return verbs[k].main(&args);
    }
    return cln_fail("no verb '%s'", args.verb);
}
