/* `ssvm completion SHELL`: scripts that complete verbs and options, made from the tables. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* The server is a program of its own and knows its options: it is asked when they are wanted. */
#define SERVE_OPTIONS "serve --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u"

/* All option names of a verb, separated by blanks. */
static void print_names(unsigned verb)
{
    for (unsigned i = 0; i < cli_noptions; i++) {
        const struct cli_option *o = &cli_options[i];
        if (o->name && (o->verbs & verb))
            printf(" --%s%s", o->name, o->kind == CLI_OPTION_VALUE ? "=" : "");
    }
}

static void print_verbs(void)
{
    for (unsigned i = 0; i < cli_nverbs; i++)
        printf("%s%s", i ? " " : "", cli_verbs[i].name);
}

static void bash(void)
{
    printf("# bash completion of ssvm, made by 'ssvm completion bash'\n"
           "_ssvm() {\n"
           "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" verb=run word\n"
           "    [[ $COMP_CWORD -gt 1 ]] && for word in ");
    print_verbs();
    printf("; do [[ ${COMP_WORDS[1]} == \"$word\" ]] && verb=$word; done\n"
           "    local opts=''\n"
           "    case $verb in\n");
    for (unsigned i = 0; i < cli_nverbs; i++) {
        if (cli_verbs[i].bit == CLI_VERB_SERVE) {
            printf("    serve) opts=$(\"${COMP_WORDS[0]}\" " SERVE_OPTIONS ") ;;\n");
            continue;
        }
        printf("    %s) opts='", cli_verbs[i].name);
        print_names(cli_verbs[i].bit);
        printf("%s' ;;\n", cli_verbs[i].bit == CLI_VERB_COMPLETION ? " bash zsh fish" : "");
    }
    printf("    esac\n"
           "    COMPREPLY=()\n"
           "    if [[ $cur == -* || $verb == completion ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\"))\n"
           "        [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
           "        return\n"
           "    fi\n"
           "    [[ $COMP_CWORD -eq 1 || $verb == help ]] && COMPREPLY=($(compgen -W '");
    print_verbs();
    printf("' -- \"$cur\"))\n"
           "    compopt -o filenames\n"
           "    COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
           "}\n"
           "complete -F _ssvm ssvm\n");
}

/* Text inside single quotes of a shell, with the characters of `also` behind backslashes. */
static void print_quoted(const char *s, const char *also)
{
    for (; *s; s++) {
        if (*s == '\'')
            fputs("'\\''", stdout);
        else if (strchr(also, *s))
            printf("\\%c", *s);
        else
            putchar(*s);
    }
}

static void zsh(void)
{
    printf("#compdef ssvm\n# zsh completion of ssvm, made by 'ssvm completion zsh'\n"
           "_ssvm() {\n"
           "    local verb=run\n"
           "    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
           "        local -a verbs=(");
    for (unsigned i = 0; i < cli_nverbs; i++) {
        printf("'%s:", cli_verbs[i].name);
        print_quoted(cli_verbs[i].doc, ":");
        printf("' ");
    }
    printf(")\n"
           "        _describe verb verbs\n"
           "        _files\n"
           "        return\n"
           "    fi\n"
           "    case $words[2] in\n    ");
    for (unsigned i = 0; i < cli_nverbs; i++)
        printf("%s%s", i ? "|" : "", cli_verbs[i].name);
    printf(") verb=$words[2]; shift words; (( CURRENT-- )) ;;\n"
           "    esac\n"
           "    case $verb in\n");
    for (unsigned i = 0; i < cli_nverbs; i++) {
        if (cli_verbs[i].bit == CLI_VERB_SERVE) {
            printf("    serve) compadd -- ${(f)\"$(ssvm " SERVE_OPTIONS ")\"}; _files -/ ;;\n");
            continue;
        }
        printf("    %s) _arguments", cli_verbs[i].name);
        for (unsigned k = 0; k < cli_noptions; k++) {
            const struct cli_option *o = &cli_options[k];
            if (!o->name || !(o->verbs & cli_verbs[i].bit))
                continue;
            printf(" '*--%s%s[", o->name,
                   o->kind == CLI_OPTION_VALUE      ? "="
                   : o->kind == CLI_OPTION_OPTIONAL ? "=-"
                                                    : "");
            print_quoted(o->doc, "[]:");
            printf("]");
            if (o->arg) {
                printf("%s", o->kind == CLI_OPTION_OPTIONAL ? "::" : ":");
                print_quoted(o->arg, "[]:");
                printf(":");
            }
            printf("'");
        }
        printf("%s ;;\n", cli_verbs[i].bit == CLI_VERB_COMPLETION ? " '1:shell:(bash zsh fish)'"
                                                                  : " '*:file:_files'");
    }
    printf("    esac\n"
           "}\n"
           "_ssvm \"$@\"\n");
}

/* All but `run`. */
static void print_other_verbs(void)
{
    for (unsigned i = 1; i < cli_nverbs; i++)
        printf("%s%s", i > 1 ? " " : "", cli_verbs[i].name);
}

static void fish(void)
{
    printf("# fish completion of ssvm, made by 'ssvm completion fish'\n");
    for (unsigned i = 0; i < cli_nverbs; i++) {
        printf("complete -c ssvm -n __fish_use_subcommand -a %s -d '", cli_verbs[i].name);
        print_quoted(cli_verbs[i].doc, "");
        printf("'\n");
    }
    printf("complete -c ssvm -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n");
    printf("complete -c ssvm -n '__fish_seen_subcommand_from serve' -a '(ssvm %s)'\n",
           "serve --help 2>/dev/null | string match -ra -- \"--[a-z][a-z-]*\" | sort -u");
    for (unsigned k = 0; k < cli_noptions; k++) {
        const struct cli_option *o = &cli_options[k];

        if (!o->name)
            continue;
        for (unsigned i = 0; i < cli_nverbs; i++) {
            if (!(o->verbs & cli_verbs[i].bit))
                continue;
            /* `run` may be left out. */
            printf("complete -c ssvm -n '%s__fish_seen_subcommand_from ",
                   cli_verbs[i].bit == CLI_VERB_RUN ? "not " : "");
            if (cli_verbs[i].bit == CLI_VERB_RUN)
                print_other_verbs();
            else
                printf("%s", cli_verbs[i].name);
            printf("' -l %s", o->name);
            printf("%s -d '", o->kind == CLI_OPTION_VALUE ? " -r" : "");
            print_quoted(o->doc, "\\");
            printf("'\n");
        }
    }
}

int cli_completion(int argc, char **argv)
{
    struct cli_args args;
    int id;

    cli_args_init(&args, argc, argv);
    while ((id = cli_args_next(&args)) != CLI_END) {
        if (id == CLI_BAD)
            return CLI_STATUS_USAGE;
        if (id == CLI_VERSION)
            return cli_version();
        cli_help_print(args.verb);
        return cli_finish(0);
    }
    if (args.next + 1 != argc)
        return cli_usage(args.verb, "which shell? bash, zsh or fish");
    if (strcmp(argv[args.next], "bash") == 0)
        bash();
    else if (strcmp(argv[args.next], "zsh") == 0)
        zsh();
    else if (strcmp(argv[args.next], "fish") == 0)
        fish();
    else
        return cli_usage(args.verb, "no completions for '%s', only for bash, zsh, fish",
                         argv[args.next]);
    return cli_finish(0);
}
