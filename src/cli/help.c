/* `ssvm help`, `--help` and the options of the man page, all from the table of options. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define HELP_COLUMN 30 /* where the explanations start */
#define HELP_WIDTH 100

/* `text` in lines that fit; the first goes on at `column`. */
static void print_wrapped(const char *text, int column)
{
    int at = column;

    while (*text) {
        int len = (int)strcspn(text, " ");

        if (at > HELP_COLUMN && at + 1 + len > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        } else if (at > HELP_COLUMN) {
            putchar(' ');
            at++;
        }
        printf("%.*s", len, text);
        at += len;
        text += len + (text[len] == ' ');
    }
    putchar('\n');
}

/* Thirty lines for features say less than a list. */
static void print_features(void)
{
    char text[1024] = "refuse modules that use it (--enable-FEATURE takes it back):";
    size_t len = strlen(text);

    for (unsigned i = 0; i < cli_noptions; i++) {
        if (cli_options[i].id == CLI_DISABLE)
            len += (size_t)snprintf(text + len, sizeof text - len, " %s",
                                    cli_options[i].name + strlen("disable-"));
    }
    printf("  %-*s", HELP_COLUMN - 2, "--disable-FEATURE");
    print_wrapped(text, HELP_COLUMN);
}

static void option_text(const struct cli_option *o, char *ret, size_t size)
{
    if (o->kind == CLI_OPTION_FLAG)
        snprintf(ret, size, "--%s", o->name);
    else if (o->kind == CLI_OPTION_OPTIONAL)
        snprintf(ret, size, "--%s[=%s]", o->name, o->arg);
    else
        snprintf(ret, size, "--%s=%s", o->name, o->arg);
}

static void print_options(unsigned verb)
{
    bool features = false;

    for (unsigned i = 0; i < cli_noptions; i++) {
        const struct cli_option *o = &cli_options[i];
        char text[128];
        int at;

        if (!(o->verbs & verb) || o->id == CLI_ENABLE || o->id == CLI_MAN)
            continue;
        if (o->kind == CLI_OPTION_GROUP) {
            printf("\n%s:\n", o->doc);
            continue;
        }
        if (o->id == CLI_DISABLE) {
            if (!features)
                print_features();
            features = true;
            continue;
        }
        option_text(o, text, sizeof text);
        at = printf("  %-*s", HELP_COLUMN - 2, text);
        if (at > HELP_COLUMN) {
            printf("\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        }
        print_wrapped(o->doc, at);
    }
}

void cli_help_print(const struct cli_verb *verb)
{
    if (!verb) {
        printf("ssvm " SSVM_VERSION ": runs WebAssembly\n\nUsage:\n");
        for (unsigned i = 0; i < cli_nverbs; i++)
            printf("  ssvm %-36s %s\n", cli_verbs[i].synopsis, cli_verbs[i].doc);
        printf("\n'ssvm help VERB' explains a verb. Options may be written --name=value or --name "
               "value.\n");
        return;
    }
    printf("Usage: ssvm %s\n\n", verb->synopsis);
    printf("%s\n", verb->doc);
    if (verb->bit == CLI_VERB_SERVE)
        printf("\nIts options: ssvm serve --help\n");
    print_options(verb->bit);
    if (verb->bit == CLI_VERB_RUN)
        printf("\nExit status: the guest's own; 134 on a trap, 1 on an error of the host, 2 on "
               "wrong usage.\n");
}

/* ---- The man page ---- */

/* Text with what roff takes for its own made plain. */
static void print_roff(const char *s)
{
    for (; *s; s++) {
        if (*s == '-')
            fputs("\\-", stdout);
        else if (*s == '\\')
            fputs("\\e", stdout);
        else
            putchar(*s);
    }
}

static void print_man_options(const struct cli_verb *verb)
{
    printf(".SS ssvm ");
    print_roff(verb->synopsis);
    printf("\n");
    for (unsigned i = 0; i < cli_noptions; i++) {
        const struct cli_option *o = &cli_options[i];

        if (!(o->verbs & verb->bit) || o->id == CLI_MAN)
            continue;
        if (o->kind == CLI_OPTION_GROUP) {
            printf(".PP\n%s:\n", o->doc);
            continue;
        }
        printf(".TP\n.B ");
        print_roff("--");
        print_roff(o->name);
        if (o->arg)
            printf("%s\\fI%s\\fR%s", o->kind == CLI_OPTION_OPTIONAL ? "\\fR[=" : "\\fR=", o->arg,
                   o->kind == CLI_OPTION_OPTIONAL ? "]" : "");
        printf("\n");
        print_roff(o->doc);
        printf("\n");
    }
}

int cli_version(void)
{
    printf("ssvm %s\n", ssvm_version());
    return cli_finish(0);
}

int cli_help(int argc, char **argv)
{
    struct cli_args args;
    bool man = false;
    int id;

    cli_args_init(&args, argc, argv);
    while ((id = cli_args_next(&args)) != CLI_END) {
        if (id == CLI_BAD)
            return CLI_STATUS_USAGE;
        if (id == CLI_VERSION)
            return cli_version();
        man = man || id == CLI_MAN;
    }
    if (man) {
        for (unsigned i = 0; i < cli_nverbs; i++) {
            if (cli_verbs[i].bit != CLI_VERB_SERVE && cli_verbs[i].bit != CLI_VERB_HELP)
                print_man_options(&cli_verbs[i]);
        }
        return cli_finish(0);
    }
    if (args.next < argc) {
        const struct cli_verb *verb = cli_verb_find(argv[args.next]);
        if (!verb)
            return cli_usage(NULL, "no verb '%s'", argv[args.next]);
        cli_help_print(verb);
        return cli_finish(0);
    }
    cli_help_print(NULL);
    return cli_finish(0);
}
