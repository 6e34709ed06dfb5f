/* `ssvm inspect`: prints what the library says about a module, or about itself. */
#include <string.h>

#include "cli/cli.h"

static int print(const char *file, ssvm_error *e, char *text)
{
    bool good;

    if (e)
        return cli_error(file, e);
    good = cli_write(text, strlen(text));
    ssvm_string_delete(text);
    return good ? 0 : CLI_STATUS_ERROR;
}

static int inspect_file(const char *file, bool json)
{
    ssvm_engine *engine;
    ssvm_module *module;
    char *text = NULL;
    ssvm_error *e;
    int status;

    e = ssvm_engine_new(NULL, &engine);
    if (e)
        return cli_error(NULL, e);
    e = ssvm_module_open(engine, file, &module);
    if (e) {
        ssvm_engine_delete(engine);
        return cli_error(file, e);
    }
    e = ssvm_module_inspect(module, json, &text);
    status = print(file, e, text);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return status;
}

int cli_inspect(int argc, char **argv)
{
    struct cli_args args;
    bool json = false, host = false;
    int id;

    cli_args_init(&args, argc, argv);
    while ((id = cli_args_next(&args)) != CLI_END) {
        if (id == CLI_BAD)
            return CLI_STATUS_USAGE;
        if (id == CLI_HELP) {
            cli_help_print(args.verb);
            return cli_finish(0);
        }
        if (id == CLI_VERSION)
            return cli_version();
        json = json || id == CLI_JSON;
        host = host || id == CLI_HOST;
    }
    if (host && args.next == argc) {
        char *text = NULL;
        ssvm_error *e = ssvm_host_inspect(json, &text);
        return print(NULL, e, text);
    }
    if (host)
        return cli_usage(args.verb, "--host takes no file");
    if (args.next + 1 != argc)
        return cli_usage(args.verb,
                         args.next == argc ? "no file to inspect" : "more than one file");
    return inspect_file(argv[args.next], json);
}
