/* `ssvm compile`: a module file with its native code in it, or (for ssvm itself) an entry of the
 * cache. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

struct compile {
    struct cli_args args;
    ssvm_config config;
    ssvm_compile_options options;
    const char *out, *fill, *costs;
    unsigned long form;
    uint32_t func, loop; /* of --fill-cache; 0: the whole module */
    pid_t starter;       /* of --fill-cache; 0: it did not say */
    bool progress;       /* on a terminal */
    bool level;          /* -O was given */
    char cache[4096];
};

/* What a compiler of hostile input may use, of its own process; each part has limits too. */
#define CPU_SECONDS_MAX 1800
#ifdef SSVM_SANITIZED /* they want address space */
#define MEMORY_MAX RLIM_INFINITY
#else
#define MEMORY_MAX ((rlim_t)6 << 30)
#endif

/* 0 to `max`. */
static bool number(const struct compile *c, unsigned long max, unsigned long *ret)
{
    char *end;

    errno = 0;
    *ret = strtoul(c->args.value, &end, 10);
    if (errno == 0 && *end == '\0' && end != c->args.value && *ret <= max)
        return true;
    cli_usage(c->args.verb, "option '--%s': '%s' is not a number up to %lu", c->args.option->name,
              c->args.value, max);
    return false;
}

/* FUNC:OFFSET */
static bool loop(struct compile *c)
{
    unsigned long func, offset;
    char *colon, *end = NULL;

    errno = 0;
    func = strtoul(c->args.value, &colon, 10);
    offset = *colon == ':' ? strtoul(colon + 1, &end, 10) : 0;
    if (errno == 0 && *colon == ':' && colon != c->args.value && end != colon + 1 && !*end &&
        func <= UINT32_MAX && offset <= UINT32_MAX) {
        c->func = (uint32_t)func;
        c->loop = (uint32_t)offset;
        return true;
    }
    cli_usage(c->args.verb, "option '--loop': '%s' is not FUNC:OFFSET", c->args.value);
    return false;
}

static bool set_option(struct compile *c, int id)
{
    unsigned long n;

    switch (id) {
    case CLI_OUTPUT:
        c->out = c->args.value;
        return true;
    case CLI_TARGET:
        c->options.target = c->args.value;
        return true;
    case CLI_CPU:
        c->options.cpu = c->args.value;
        return true;
    case CLI_OPTIMISE:
        if (!number(c, 3, &n))
            return false;
        c->options.optimise = (unsigned)n;
        c->level = true;
        return true;
    case CLI_DEBUG:
        return c->options.debug = true;
    case CLI_JOBS:
        if (!number(c, 64, &n))
            return false;
        c->options.jobs = (unsigned)n;
        return true;
    case CLI_NO_GUARD:
        return c->options.checked = true;
    case CLI_METERED:
        return c->options.metered = true;
    case CLI_GAS_TABLE:
        c->costs = c->args.value;
        return c->config.module_costs = c->options.metered = true;
    case CLI_DETERMINISTIC:
        return c->config.deterministic = true;
    case CLI_CACHE:
        c->config.cache_dir = strcmp(c->args.value, "none") == 0 ? NULL : c->args.value;
        return true;
    case CLI_FILL_CACHE:
        c->fill = c->args.value;
        return true;
    case CLI_STARTER:
        if (!number(c, INT32_MAX, &n))
            return false;
        c->starter = (pid_t)n;
        return true;
    case CLI_FORM:
        if (!number(c, 2 * SSVM_FORM_COSTS - 1, &c->form))
            return false;
        c->config.module_costs = c->form & SSVM_FORM_COSTS;
        return true;
    case CLI_LOOP:
        return loop(c);
    default:
        return false;
    }
}

static bool show(void *data, uint32_t done, uint32_t total)
{
    (void)data;
    fprintf(stderr, "\rcompiling: %u of %u parts%s", done, total, done == total ? "\n" : "");
    return true;
}

/* 0, or the exit status of a failure, which is reported. */
static int check(const char *file, own ssvm_error *e)
{
    return e ? cli_error(file, e) : 0;
}

static int read_module(const struct compile *c, ssvm_engine *engine, const char *file,
                       ssvm_module **ret)
{
    ssvm_error *error;
    char *bytes;
    size_t len;

    if (strcmp(file, "-") != 0)
        return cli_module_open(engine, file, c->costs, ret);
    /* A jail may let us read it, but not open it anew by a name. */
    if (!cli_read_all("standard input", STDIN_FILENO, CLI_FILE_MAX, &bytes, &len))
        return CLI_STATUS_ERROR;
    error = ssvm_module_new(engine, bytes, len, ret);
    free(bytes);
    return check(file, error);
}

static int compile_file(struct compile *c, ssvm_engine *engine, const char *file)
{
    ssvm_compile_report report = {.size = sizeof report};
    ssvm_module *module = NULL;
    char *bytes = NULL;
    size_t len = 0;
    int status = read_module(c, engine, file, &module);

    if (status == 0) {
        if (c->progress)
            c->options.progress = show;
        status = check(file, ssvm_module_compile(module, &c->options, &bytes, &len, &report));
    }
    if (status == 0)
        status = cli_write_file(c->out, bytes, len);
    if (status == 0 && report.interpreted)
        cli_message("%u of %u functions are too large to compile and stay interpreted",
                    report.interpreted, report.functions);
    ssvm_string_delete(bytes);
    ssvm_module_delete(module);
    return status;
}

/* In a process that ssvm started for it. */
static int fill_cache(struct compile *c, ssvm_engine *engine, const char *file)
{
    struct rlimit cpu = {CPU_SECONDS_MAX, CPU_SECONDS_MAX}, memory = {MEMORY_MAX, MEMORY_MAX},
                  core = {0, 0};
    ssvm_module *module = NULL;
    char *image = NULL;
    size_t len = 0;
    int status;

    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CORE, &core);
    status = read_module(c, engine, file, &module);
    if (status == 0)
        status = check(file, ssvm_module_fill_cache(module,
                                                    (unsigned)c->form & ~(unsigned)SSVM_FORM_COSTS,
                                                    c->func, c->loop, &image, &len));
    if (status == 0 && image && !cli_write(image, len)) /* to whoever started us */
        status = CLI_STATUS_ERROR;
    ssvm_string_delete(image);
    ssvm_module_delete(module);
    return status;
}

/* Get this signal when the parent ends, or end now where it has. 0: whoever that is. */
static void die_with(pid_t parent, int signal)
{
    prctl(PR_SET_PDEATHSIG, signal);
    if (parent && getppid() != parent)
        _exit(CLI_STATUS_ERROR);
}

/* Whoever started us waits for us, or wants to be rid of us at once without a zombie, while the
 * work is of use for later starts all the same. So another process does it. */
static void hand_over(struct compile *c)
{
    pid_t self = getpid(), pid = fork();
    int status = 0;

    if (pid == 0) {
        c->config.parent = (uint32_t)self;
        return;
    }
    die_with(c->starter, SIGTERM);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    _exit(pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : CLI_STATUS_ERROR);
}

static int run(struct compile *c, const char *file)
{
    ssvm_engine *engine = NULL;
    int status;

    if (c->options.debug && !c->level)
        c->options.optimise = 0;
    c->config.debug = c->fill && c->options.debug;
    c->config.tier = "aot";
    status = check(NULL, ssvm_engine_new(&c->config, &engine));
    if (status == 0)
        status = c->fill ? fill_cache(c, engine, file) : compile_file(c, engine, file);
    ssvm_engine_delete(engine);
    return status;
}

/* What a process said. */
static void repeat(int messages)
{
    char text[4096];
    ssize_t n;

    lseek(messages, 0, SEEK_SET);
    while ((n = read(messages, text, sizeof text)) > 0)
        fwrite(text, 1, (size_t)n, stderr);
}

/* LLVM, and the loader of its library, end the process where they get no memory: not this one. */
static int run_apart(struct compile *c, const char *file)
{
    int messages = c->progress ? -1 : memfd_create("messages", MFD_CLOEXEC), status = 0;
    pid_t self = getpid(), pid = fork();

    if (pid == 0) {
        die_with(self, SIGKILL);
        if (messages >= 0)
            dup2(messages, STDERR_FILENO);
        exit(run(c, file));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) <= CLI_STATUS_USAGE) {
        if (messages >= 0)
            repeat(messages);
        return WEXITSTATUS(status);
    }
    cli_message(pid < 0 ? "'%s': no process for the compiler"
                        : "'%s': the compiler was ended: out of memory?",
                file);
    return CLI_STATUS_ERROR;
}

int cli_compile(int argc, char **argv)
{
    struct compile c = {.config = SSVM_CONFIG_INIT, .options = SSVM_COMPILE_OPTIONS_INIT};
    const char *file = NULL;
    int id;

    c.config.cache_dir = cli_cache_dir(c.cache, sizeof c.cache);
    c.options.processes = true;
    c.progress = isatty(2);
    cli_args_init(&c.args, argc, argv);
    /* Options may stand behind the file. */
    while ((id = cli_args_next(&c.args)) != CLI_END || c.args.next < argc) {
        if (id == CLI_END) {
            if (file)
                return cli_usage(c.args.verb, "more than one FILE");
            file = argv[c.args.next++];
            continue;
        }
        if (id == CLI_HELP) {
            cli_help_print(c.args.verb);
            return cli_finish(0);
        }
        if (id == CLI_VERSION)
            return cli_version();
        if (id == CLI_BAD || !set_option(&c, id))
            return CLI_STATUS_USAGE;
    }
    if (!file)
        return cli_usage(c.args.verb, "no file to compile");
    if (!c.out && !c.fill)
        return cli_usage(c.args.verb, "option '-o FILE' is wanted: where the result goes");
    if (!c.fill)
        return run_apart(&c, file);
    if (strcmp(c.fill, "none") == 0) {
        c.config.cache_dir = NULL;
        die_with(c.starter, SIGKILL); /* of no use to others */
    } else {
        c.config.cache_dir = c.fill;
        hand_over(&c);
    }
    return run(&c, file);
}
