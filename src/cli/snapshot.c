/* `ssvm snapshot`: runs a module's initialiser and writes the module that begins where it ended. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

struct snapshot {
    const char *file, *out, *init;
    const char **env;
    size_t nenv;
    char **given; /* ARG... */
    int ngiven;

    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
    char *bytes;
    size_t len;
};

/* The initialiser when none is named. */
static const char *default_init(const struct snapshot *s)
{
    static const char *const names[] = {"_initialize", "wizer.initialize"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (ssvm_instance_func(s->instance, names[i]))
            return names[i];
    return NULL;
}

/* What the module is for later may be inference, or calls with types: its imports are there. An
 * initialiser has no need of it, and finds no library. */
static own ssvm_error *define_modules(struct snapshot *s)
{
    ssvm_nn_config config = SSVM_NN_CONFIG_INIT;
    ssvm_nn *nn = NULL;
    ssvm_error *e = ssvm_linker_define_bindgen(s->linker);

    config.folder = "/dev/null";
    if (!e)
        e = ssvm_nn_new(&config, &nn);
    if (!e)
        e = ssvm_linker_define_nn(s->linker, nn);
    ssvm_nn_delete(nn);
    return e ? e : ssvm_linker_define_image(s->linker, NULL);
}

static own ssvm_error *make(struct snapshot *s)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_error *e;

    config.tier = "interp"; /* an initialiser runs once, and the end would wait for the compiler */
    wasi.env = s->env;
    wasi.nenv = s->nenv;
    wasi.err.kind = SSVM_STREAM_INHERIT; /* what it has to say */
    wasi.out.kind = SSVM_STREAM_FD;
    wasi.out.fd = STDERR_FILENO;
    e = ssvm_engine_new(&config, &s->engine);
    if (!e)
        e = ssvm_module_open(s->engine, s->file, &s->module);
    if (!e)
        e = ssvm_store_new(s->engine, NULL, &s->store);
    if (!e)
        e = ssvm_linker_new(s->store, &s->linker);
    if (!e)
        e = ssvm_linker_define_wasi(s->linker, &wasi);
    if (!e)
        e = define_modules(s);
    if (!e)
        e = ssvm_linker_instantiate(s->linker, s->module, &s->instance);
    return e ? e : ssvm_instance_initialize(s->instance);
}

/* Call the initialiser as a typed function and take the module. Its export stays: with the
 * bindings' names it has no other. Returns the exit status. */
static int initialise_typed(struct snapshot *s)
{
    ssvm_result res = SSVM_RESULT_INIT;
    struct cli_values values;
    ssvm_error *e;

    if (!cli_values_read(s->given, s->ngiven, &values))
        return CLI_STATUS_ERROR;
    e = ssvm_instance_call(s->instance, s->init, values.args, values.n, SSVM_RESULT_AUTO, &res);
    cli_values_release(&values);
    if (!e)
        e = ssvm_instance_snapshot(s->instance, NULL, 0, &s->bytes, &s->len);
    ssvm_string_delete(res.bytes);
    return e ? cli_error(s->file, e) : 0;
}

/* Call the initialiser and take the module. Returns the exit status. */
static int initialise(struct snapshot *s)
{
    const char *init = s->init ? s->init : default_init(s);
    ssvm_func *f = init ? ssvm_instance_func(s->instance, init) : NULL;
    ssvm_error *e = NULL;

    if (!init) {
        cli_message("%s: exports neither _initialize nor wizer.initialize: name one with --init",
                    s->file);
        return CLI_STATUS_ERROR;
    }
    if (!f) {
        cli_message("%s: no exported function '%s'", s->file, init);
        return CLI_STATUS_ERROR;
    }
    if (strcmp(init, "_initialize") != 0) /* which has run */
        e = ssvm_func_call(s->store, f, NULL, 0, NULL, 0);
    if (!e)
        e = ssvm_instance_snapshot(s->instance, &init, 1, &s->bytes, &s->len);
    return e ? cli_error(s->file, e) : 0;
}

static int run(struct snapshot *s)
{
    ssvm_error *e = make(s);
    int status;

    if (e)
        status = cli_error(s->file, e);
    else
        status = s->ngiven ? initialise_typed(s) : initialise(s);

    if (status == 0)
        status = cli_write_file(s->out, s->bytes, s->len);
    ssvm_string_delete(s->bytes);
    ssvm_linker_delete(s->linker);
    ssvm_store_delete(s->store);
    ssvm_module_delete(s->module);
    ssvm_engine_delete(s->engine);
    return status;
}

/* Options stand on both sides of FILE here: nothing behind it is the guest's. Returns the status to
 * end with, -1 to go on. */
static int read_options(struct snapshot *s, struct cli_args *args)
{
    for (;;) {
        int id = cli_args_next(args);

        if (id == CLI_BAD)
            return CLI_STATUS_USAGE;
        if (id == CLI_VERSION)
            return cli_version();
        if (id == CLI_HELP) {
            cli_help_print(args->verb);
            return cli_finish(0);
        }
        if (id == CLI_INIT)
            s->init = args->value;
        else if (id == CLI_OUTPUT)
            s->out = args->value;
        else if (id == CLI_ENV && (args->value[0] == '=' || !strchr(args->value, '=')))
            return cli_usage(args->verb, "option '--env': '%s' is not of the form K=V",
                             args->value);
        else if (id == CLI_ENV)
            s->env[s->nenv++] = args->value;
        else if (id == CLI_END && args->next == args->argc)
            return -1;
        else if (id == CLI_END && s->file)
            s->given[s->ngiven++] = args->argv[args->next++];
        else if (id == CLI_END)
            s->file = args->argv[args->next++];
    }
}

int cli_snapshot(int argc, char **argv)
{
    struct snapshot s = {0};
    struct cli_args args;
    int status;

    cli_args_init(&args, argc, argv);
    s.env = calloc((size_t)argc + 1, sizeof *s.env);
    s.given = calloc((size_t)argc + 1, sizeof *s.given);
    if (!s.env || !s.given) {
        free(s.given);
        free(s.env);
        cli_message("out of memory for the options");
        return CLI_STATUS_ERROR;
    }
    status = read_options(&s, &args);
    if (status < 0 && !s.file)
        status = cli_usage(args.verb, "no file to snapshot");
    if (status < 0 && !s.out)
        status = cli_usage(args.verb, "no file to write: -o OUT");
    if (status < 0 && s.ngiven && !s.init)
        status =
            cli_usage(args.verb, "'%s' is an argument, but of which function? name it with --init",
                      s.given[0]);
    if (status < 0)
        status = run(&s);
    free(s.given);
    free(s.env);
    return status;
}
