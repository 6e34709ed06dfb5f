/* `ssvm run`: grants and limits from options, then `_start`, or one function with --invoke. What
 * options mean is in options.def. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define PAGE_BYTES 65536ull
#define THREADS_MAX 1024
#define MS_MAX (1000ull * 60 * 60 * 24 * 366) /* a year */
#define NAMES_SHOWN 512                       /* bytes of a list of functions in a message */
#define NAME_SHOWN 200
#define DISABLE_MAX 1024 /* text of all --disable-* */

enum phase { PHASE_LOAD, PHASE_VALIDATE, PHASE_INSTANTIATE, PHASE_RUN, PHASE_COUNT };
static const char *const phase_names[PHASE_COUNT] = {"load", "validate", "instantiate", "run"};

struct link {
    char *name; /* the part of --link before `=`, cut in place of argv */
    const char *file;
};
struct run {
    struct cli_args args;
    ssvm_config config;
    const char *cache; /* --cache */
    char cache_buf[4096];
    ssvm_limits limits;
    ssvm_wasi wasi;
    /* Room for one of each argument of the command line, so that nothing grows. */
    const char **env, **guest_args;
    ssvm_dir *dirs;
    struct link *links;
    size_t nlinks;
    ssvm_threads_config threads; /* max 0: none */
    ssvm_nn_config nn_config;    /* backends NULL: no inference */
    ssvm_nn_model *models;
    bool image;
    struct cli_state state;
    struct cli_sockets sockets;
    struct cli_process process;
    char disable[DISABLE_MAX];
    const char *invoke, *file, *costs;
    const char *profile; /* --profile */
    int profile_fd;      /* open while it is taken; -1: none */
    ssvm_result_kind result;
    bool reactor, stats, stats_json;

    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_nn *nn;
    ssvm_instance *instance;
    uint64_t phase_ns[PHASE_COUNT];
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Options ---- */

/* GUEST:HOST[:ro], HOST::GUEST[:ro], or PATH[:ro]. A last part `ro` always means read-only: write
 * ./ro for a folder of that name. */
static bool add_dir(struct run *r, char *spec)
{
    ssvm_dir *d = &r->dirs[r->wasi.ndirs];
    size_t len = strlen(spec);
    char *colons;

    *d = (ssvm_dir){0};
    if (len > 3 && strcmp(spec + len - 3, ":ro") == 0) {
        d->readonly = true;
        spec[len - 3] = '\0';
    }
    colons = strstr(spec, "::");
    if (colons) {
        *colons = '\0';
        d->host = spec;
        d->guest = colons + 2;
    } else if ((colons = strchr(spec, ':'))) {
        *colons = '\0';
        d->guest = spec;
        d->host = colons + 1;
    } else {
        d->guest = d->host = spec;
    }
    if (!*d->guest || !*d->host) {
        cli_usage(r->args.verb, "option '--dir': a path is empty, expected %s",
                  r->args.option->arg);
        return false;
    }
    r->wasi.ndirs++;
    return true;
}

static bool add_env(struct run *r, const char *text)
{
    if (text[0] == '=' || !strchr(text, '=')) {
        cli_usage(r->args.verb, "option '--env': '%s' is not of the form K=V", text);
        return false;
    }
    r->env[r->wasi.nenv++] = text;
    return true;
}

/* An unset variable is passed on as unset. */
static bool inherit_env(struct run *r, const char *name)
{
    const char *value;
    char *text;
    size_t len;

    if (!*name || strchr(name, '=')) {
        cli_usage(r->args.verb, "option '--inherit-env': '%s' is not a variable's name", name);
        return false;
    }
    value = getenv(name);
    if (!value)
        return true;
    len = strlen(name) + strlen(value) + 2;
    text = malloc(len);
    if (!text) {
        cli_message("out of memory for the environment");
        return false;
    }
    snprintf(text, len, "%s=%s", name, value);
    r->env[r->wasi.nenv++] = text;
    return true;
}

static bool add_link(struct run *r, char *spec)
{
    char *eq = strchr(spec, '=');

    if (!eq || eq == spec || !eq[1]) {
        cli_usage(r->args.verb, "option '--link': '%s' is not of the form NAME=FILE", spec);
        return false;
    }
    *eq = '\0';
    r->links[r->nlinks++] = (struct link){spec, eq + 1};
    return true;
}

static bool add_model(struct run *r, char *spec)
{
    char *eq = strchr(spec, '=');

    if (!eq || eq == spec || !eq[1]) {
        cli_usage(r->args.verb, "option '--nn-model': '%s' is not of the form NAME=FILE", spec);
        return false;
    }
    *eq = '\0';
    r->models[r->nn_config.nmodels++] = (ssvm_nn_model){spec, eq + 1};
    return true;
}

static bool set_tier(struct run *r, const char *name)
{
    if (strcmp(name, "auto") != 0 && strcmp(name, "interp") != 0 && strcmp(name, "aot") != 0) {
        cli_usage(r->args.verb, "option '--tier': '%s' is not auto, interp or aot", name);
        return false;
    }
    r->config.tier = name;
    return true;
}

static bool set_result(struct run *r, const char *name)
{
    static const char *const names[] = {"auto", "string", "bytes", "int", "float", "bool", "none"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            r->result = (ssvm_result_kind)i;
            return true;
        }
    }
    cli_usage(r->args.verb,
              "option '--result': '%s' is not string, bytes, int, float, bool or none", name);
    return false;
}

static bool set_stats(struct run *r, const char *form)
{
    if (form && strcmp(form, "json") != 0) {
        cli_usage(r->args.verb, "option '--stats': '%s' is not json", form);
        return false;
    }
    r->stats = true;
    r->stats_json = form != NULL;
    return true;
}

/* A name that is there already is left alone: the list cannot overflow by repetition. */
static bool disable(struct run *r, const char *feature, bool on)
{
    size_t len = strlen(feature), used = strlen(r->disable);
    char *p = r->disable;

    while ((p = strstr(p, feature)) &&
           !((p == r->disable || p[-1] == ',') && (p[len] == ',' || p[len] == '\0')))
        p += len;
    if (p && on) {
        /* --enable-X after --disable-X: the last one wins. */
        size_t tail = strlen(p + len);
        memmove(p, p + len + (tail > 0), tail + (tail == 0));
        used = strlen(r->disable);
        if (used > 0 && r->disable[used - 1] == ',')
            r->disable[used - 1] = '\0';
    } else if (!p && !on && used + len + 2 < DISABLE_MAX) {
        snprintf(r->disable + used, DISABLE_MAX - used, "%s%s", used ? "," : "", feature);
    }
    return true;
}

/* Options that take a number or a size. */
static bool set_limit(struct run *r, int id)
{
    uint64_t n = 0;
    bool good;

    switch (id) {
    case CLI_MEMORY_LIMIT:
        return cli_args_size(&r->args, &r->limits.memory_bytes);
    case CLI_MEMORY_PAGES:
        good = cli_args_number(&r->args, (uint64_t)INT64_MAX / PAGE_BYTES, &n);
        r->limits.memory_bytes = n * PAGE_BYTES;
        return good;
    case CLI_GAS_LIMIT:
        return cli_args_number(&r->args, INT64_MAX, &r->limits.gas);
    case CLI_TIME_LIMIT:
        return cli_args_number(&r->args, MS_MAX, &r->limits.wall_ms);
    case CLI_CPU_LIMIT:
        return cli_args_number(&r->args, MS_MAX, &r->limits.cpu_ms);
    case CLI_STACK_LIMIT:
        return cli_args_size(&r->args, &r->limits.stack_bytes);
    case CLI_GC_HEAP_LIMIT:
        return cli_args_size(&r->args, &r->limits.gc_heap_bytes);
    case CLI_OUTPUT_LIMIT:
        return cli_args_size(&r->args, &r->limits.output_bytes);
    default:
        good = cli_args_number(&r->args, INT32_MAX, &n);
        r->limits.open_files = (uint32_t)n;
        return good;
    }
}

/* What of the host a guest may use. */
static bool set_grant(struct run *r, int id)
{
    const char *value = r->args.value;
    uint64_t n = 0;
    bool good;

    switch (id) {
    case CLI_DIR:
        return add_dir(r, (char *)value);
    case CLI_ENV:
        return add_env(r, value);
    case CLI_INHERIT_ENV:
        return inherit_env(r, value);
    case CLI_ALLOW_COMMAND:
        return cli_process_allow(&r->process, value);
    case CLI_ALLOW_COMMAND_ALL:
        return cli_process_allow(&r->process, NULL);
    case CLI_IMAGE:
        return r->image = true;
    case CLI_THREADS:
        good = cli_args_number(&r->args, THREADS_MAX, &n);
        r->threads.max = (uint32_t)n;
        return good;
    case CLI_KV:
        r->state.files.kv = value;
        return true;
    case CLI_SQL:
        r->state.files.sql = value;
        return true;
    case CLI_STORAGE:
        r->state.storage.kv = value;
        return true;
    case CLI_SECRET:
        return cli_state_add_secret(&r->state, &r->args);
    case CLI_ALLOW_CONNECT:
        return cli_sockets_add(&r->sockets, value, false);
    case CLI_ALLOW_LISTEN:
        return cli_sockets_add(&r->sockets, value, true);
    case CLI_ALLOW_AF_UNIX:
        return r->sockets.grant.af_unix = true;
    case CLI_ALLOW_HTTP:
        return cli_state_add_host(&r->state, value);
    case CLI_NN:
        r->nn_config.backends = value;
        return true;
    case CLI_NN_DEVICE:
        r->nn_config.device = value;
        if (!*value) /* a script's variable that is not set: not the CPU in silence */
            cli_usage(r->args.verb, "option '--nn-device' is empty: cpu, gpu or a name that "
                                    "'ssvm nn list' shows");
        return *value;
    case CLI_NN_ISOLATE:
        return r->nn_config.isolate = true;
    case CLI_NN_MODEL:
        return add_model(r, (char *)value);
    case CLI_NN_OLD_TYPES:
        r->nn_config.types = SSVM_NN_TYPES_OLD;
        return true;
    case CLI_NN_THREADS:
        good = cli_args_number(&r->args, 1024, &n);
        r->nn_config.threads = (uint32_t)n;
        return good;
    default:
        return set_limit(r, id);
    }
}

/* Options without a number. */
static bool set_option(struct run *r, int id)
{
    const char *value = r->args.value;

    switch (id) {
    case CLI_INVOKE:
        r->invoke = value;
        return true;
    case CLI_RESULT:
        return set_result(r, value);
    case CLI_REACTOR:
        r->reactor = true;
        return true;
    case CLI_LINK:
        return add_link(r, (char *)value);
    case CLI_TIER:
        return set_tier(r, value);
    case CLI_GAS_TABLE:
        r->costs = value;
        return r->config.module_costs = true;
    case CLI_STATS:
        return set_stats(r, value);
    case CLI_CACHE:
        r->cache = r->args.value;
        return true;
    case CLI_DETERMINISTIC:
        return r->config.deterministic = true;
    case CLI_NO_GUARD:
        return r->config.no_guard = true;
    case CLI_GC_STRESS:
        return r->config.gc_stress = true;
    case CLI_PROFILE:
        r->profile = value;
        return true;
    case CLI_PERF_MAP:
        return r->config.perf_map = true;
    case CLI_TRUST_NATIVE:
        return r->config.trust_native = true;
    case CLI_DEBUG:
        return r->config.debug = true;
    case CLI_ENABLE_ALL:
        r->disable[0] = '\0';
        return true;
    case CLI_ENABLE:
    case CLI_DISABLE:
        return disable(r, value, id == CLI_ENABLE);
    default:
        return set_grant(r, id);
    }
}

/* -1 = go on; else the exit status. */
static int read_options(struct run *r)
{
    for (;;) {
        int id = cli_args_next(&r->args);

        if (id == CLI_END)
            return -1;
        if (id == CLI_BAD)
            return CLI_STATUS_USAGE;
        if (id == CLI_HELP) {
            cli_help_print(r->args.verb);
            return cli_finish(0);
        }
        if (id == CLI_VERSION)
            return cli_version();
        if (!set_option(r, id))
            return CLI_STATUS_USAGE;
    }
}

/* ---- Running ---- */

/* With --stats the file is brought into memory first, so that `load` and `validate` are told apart.
 * Errors are left to the real opening. */
static void preload(const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
        if (p != MAP_FAILED)
            munmap(p, (size_t)st.st_size);
    }
    close(fd);
}

static bool has_export(const ssvm_module *m, const char *name)
{
    size_t n = ssvm_module_nexports(m), want = strlen(name);

    for (size_t i = 0; i < n; i++) {
        ssvm_extern_kind kind;
        size_t len;
        const char *s = ssvm_module_export(m, i, &len, &kind, NULL);
        if (kind == SSVM_EXTERN_FUNC && len == want && memcmp(s, name, len) == 0)
            return true;
    }
    return false;
}

/* Names of exported functions, as many as fit; false when there are none. What tools and
 * conventions need is not for people to call. */
static bool list_functions(const ssvm_module *m, char *ret, size_t size)
{
    size_t n = ssvm_module_nexports(m), used = 0;
    bool left = false;

    ret[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        ssvm_extern_kind kind;
        size_t len;
        const char *s = ssvm_module_export(m, i, &len, &kind, NULL);

        if (kind != SSVM_EXTERN_FUNC || (len >= 2 && memcmp(s, "__", 2) == 0) ||
            (len == strlen("_initialize") && memcmp(s, "_initialize", len) == 0))
            continue;
        if (len > NAME_SHOWN || used + len + 8 > size)
            left = true;
        else
            used +=
                (size_t)snprintf(ret + used, size - used, "%s%.*s", used ? ", " : "", (int)len, s);
    }
    if (left)
        snprintf(ret + used, size - used, "%s...", used ? ", " : "");
    return ret[0] != '\0';
}

/* Neither a command nor anything to call: say what there is. */
static int no_start(const struct run *r)
{
    char names[NAMES_SHOWN];

    if (!list_functions(r->module, names, sizeof names))
        return 0; /* its start function was the program */
    cli_message("'%s': no '_start': not a program; name a function with --invoke: %s", r->file,
                names);
    return CLI_STATUS_USAGE;
}

static int print_result(const ssvm_result *res)
{
    bool good = true;

    if (res->kind == SSVM_RESULT_NONE)
        return 0;
    good = cli_write(res->bytes, res->len);
    /* Bytes go out as they are; everything else is a line. */
    if (good && res->kind != SSVM_RESULT_BYTES)
        good = cli_write("\n", 1);
    return good ? 0 : CLI_STATUS_ERROR;
}

static int invoke(struct run *r, const char *name, char **argv, int argc)
{
    ssvm_result res = SSVM_RESULT_INIT;
    struct cli_values values;
    char names[NAMES_SHOWN];
    ssvm_error *e;
    int status;

    if (!cli_values_read(argv, argc, &values))
        return CLI_STATUS_ERROR;
    e = ssvm_instance_initialize(r->instance);
    if (!e)
        e = ssvm_instance_call(r->instance, name, values.args, values.n, r->result, &res);
    if (e) {
        bool unknown = ssvm_error_kind_of(e) == SSVM_ENOTFOUND;

        status = cli_error(r->file, e);
        if (unknown && list_functions(r->module, names, sizeof names))
            cli_message("its functions are: %s", names);
    } else {
        status = print_result(&res);
        ssvm_string_delete(res.bytes);
    }
    cli_values_release(&values);
    return status;
}

static int start(struct run *r, char **argv, int argc)
{
    ssvm_error *e;

    if (r->invoke)
        return invoke(r, r->invoke, argv, argc);
    if (r->reactor)
        return invoke(r, argv[0], argv + 1, argc - 1);
    if (!has_export(r->module, "_start"))
        return no_start(r);
    e = ssvm_instance_start(r->instance);
    return e ? cli_error(r->file, e) : 0;
}

/* --link: in the order given, so that a later module may import from an earlier one. */
static int link_modules(struct run *r)
{
    for (size_t i = 0; i < r->nlinks; i++) {
        ssvm_instance *inst;
        ssvm_module *m;
        ssvm_error *e;
        int status = cli_module_open(r->engine, r->links[i].file, r->costs, &m);

        if (status != 0)
            return status;
        e = ssvm_linker_instantiate(r->linker, m, &inst);
        ssvm_module_delete(m);
        if (!e)
            e = ssvm_instance_initialize(inst);
        if (!e)
            e = ssvm_linker_define_instance(r->linker, r->links[i].name, inst);
        if (e)
            return cli_error(r->links[i].file, e);
    }
    return 0;
}

/* The file is there before the program runs: an error shows at once. */
static int start_profile(struct run *r)
{
    ssvm_error *e;

    r->profile_fd = open(r->profile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (r->profile_fd < 0) {
        cli_message("the profile '%s' cannot be written: %s", r->profile, strerror(errno));
        return CLI_STATUS_ERROR;
    }
    e = ssvm_store_profile_start(r->store);
    return e ? cli_error(NULL, e) : 0;
}

/* However the program ended. Returns the exit status. */
static int write_profile(const struct run *r, int status)
{
    size_t len = strlen(r->profile), at = 0, tail = strlen(".folded");
    bool folded = len >= tail && strcmp(r->profile + len - tail, ".folded") == 0;
    char *text;
    ssvm_error *e = ssvm_store_profile_end(
        r->store, folded ? SSVM_PROFILE_FOLDED : SSVM_PROFILE_SVG, &text, &len);
    ssize_t n = 0;

    if (e) {
        int failed = cli_error(NULL, e);
        return status ? status : failed;
    }
    while (at < len && ((n = write(r->profile_fd, text + at, len - at)) >= 0 || errno == EINTR))
        at += n > 0 ? (size_t)n : 0;
    if (at < len)
        cli_message("the profile '%s' cannot be written: %s", r->profile, strerror(errno));
    ssvm_string_delete(text);
    close(r->profile_fd);
    return at < len && status == 0 ? CLI_STATUS_ERROR : status;
}

/* Native code is kept between starts, and compiled by a process that may outlive this one. */
static void set_cache(struct run *r)
{
    r->config.compiler_program = "/proc/self/exe";
    if (!r->cache)
        r->config.cache_dir = cli_cache_dir(r->cache_buf, sizeof r->cache_buf);
    else if (strcmp(r->cache, "none") != 0)
        r->config.cache_dir = r->cache;
}

/* Why a model was refused or a run failed: guests are told no more than that it did. */
static void print_line(void *data, const char *line)
{
    (void)data;
    cli_message("%s", line);
}

static ssvm_error *define_nn(struct run *r)
{
    ssvm_error *e;

    r->nn_config.log = print_line;
    e = ssvm_nn_new(&r->nn_config, &r->nn);
    return e ? e : ssvm_linker_define_nn(r->linker, r->nn);
}

static ssvm_error *define_image(struct run *r)
{
    ssvm_image_config c = SSVM_IMAGE_CONFIG_INIT;

    c.log = print_line;
    return ssvm_linker_define_image(r->linker, &c);
}

/* Does the module ask the meter for gas? Then it is counted. */
static bool asks_for_gas(const ssvm_module *m)
{
    static const char *const asks[] = {"ssvm_meter.gas_left", "ssvm_meter.gas_used"};

    for (size_t i = 0; i < ssvm_module_nimports(m); i++) {
        const char *module, *name;
        size_t module_len, name_len;

        ssvm_module_import(m, i, &module, &module_len, &name, &name_len, NULL);
        for (size_t k = 0; k < sizeof asks / sizeof asks[0]; k++) {
            const char *dot = strchr(asks[k], '.');

            if (module_len == (size_t)(dot - asks[k]) && name_len == strlen(dot + 1) &&
                memcmp(module, asks[k], module_len) == 0 && memcmp(name, dot + 1, name_len) == 0)
                return true;
        }
    }
    return false;
}

/* Engine, module, store, linker, instance; 0 or the exit status. */
static int prepare(struct run *r)
{
    uint64_t t = now_ns(), u;
    ssvm_error *e;
    int status;

    set_cache(r);
    e = ssvm_engine_new(&r->config, &r->engine);
    if (e)
        return cli_error(NULL, e);
    if (r->stats)
        preload(r->file);
    u = now_ns();
    r->phase_ns[PHASE_LOAD] = u - t;
    status = cli_module_open(r->engine, r->file, r->costs, &r->module);
    t = now_ns();
    r->phase_ns[PHASE_VALIDATE] = t - u;
    if (status != 0)
        return status;
    if (ssvm_module_refusal(r->module))
        cli_message("'%s': its native code is not used: %s", r->file,
                    ssvm_module_refusal(r->module));
    if (r->limits.gas == 0 && asks_for_gas(r->module))
        r->limits.gas = SSVM_GAS_COUNT;
    e = ssvm_store_new(r->engine, &r->limits, &r->store);
    if (!e && r->nn_config.isolate)
        cli_ending_catch(r->store);
    if (!e)
        e = ssvm_linker_new(r->store, &r->linker);
    if (!e)
        e = ssvm_linker_define_wasi(r->linker, &r->wasi);
    if (!e)
        e = ssvm_linker_define_bindgen(r->linker);
    if (!e && r->nn_config.backends)
        e = define_nn(r);
    if (!e && r->image)
        e = define_image(r);
    if (!e && r->threads.max)
        e = ssvm_linker_define_threads(r->linker, &r->threads);
    if (!e)
        e = cli_state_define(&r->state, r->linker);
    if (!e)
        e = cli_sockets_define(&r->sockets, r->linker);
    if (!e)
        e = cli_process_define(&r->process, r->linker);
    if (e)
        return cli_error(NULL, e);
    status = r->profile ? start_profile(r) : 0;
    if (status != 0)
        return status;
    status = link_modules(r);
    if (status != 0)
        return status;
    e = ssvm_linker_instantiate(r->linker, r->module, &r->instance);
    r->phase_ns[PHASE_INSTANTIATE] = now_ns() - t;
    return e ? cli_error(r->file, e) : 0;
}

static void print_tier(const struct run *r)
{
    static const char *const names[] = {"interpreted", "interpreted, was being compiled", "native",
                                        "native"};
    ssvm_tier_stats st = SSVM_TIER_STATS_INIT;

    if (!r->instance)
        return;
    ssvm_instance_tier(r->instance, &st);
    if (r->stats_json) {
        fprintf(stderr,
                "\"tier\": \"%s\", \"native_after_ns\": %llu, \"compile_ns\": %llu, "
                "\"loops_compiled\": %u, \"functions\": %u, \"functions_interpreted\": %u, ",
                st.state >= SSVM_TIER_NATIVE ? "native" : "interpreted",
                (unsigned long long)st.ready_ns, (unsigned long long)st.compile_ns, st.loops,
                st.functions, st.interpreted);
        return;
    }
    fprintf(stderr, "%-12s %14s", "tier", names[st.state]);
    if (st.state == SSVM_TIER_SWITCHED)
        fprintf(stderr, " after %.1f ms, of which compiling %.1f ms; loops: %u",
                (double)st.ready_ns / 1e6, (double)st.compile_ns / 1e6, st.loops);
    if (st.interpreted)
        fprintf(stderr, "; %u of %u functions are too large and stay interpreted", st.interpreted,
                st.functions);
    fprintf(stderr, "\n");
}

/* Names come from the module: nothing of them ends a string or moves a cursor. */
static void print_name(const char *name)
{
    for (; *name; name++)
        fputc(*name < 0x20 || *name > 0x7e || *name == '"' || *name == '\\' ? '?' : *name, stderr);
}

struct called {
    bool json, any;
};

static void print_called(void *data, size_t i, const ssvm_host_calls *f)
{
    struct called *called = data;

    (void)i;
    if (called->json)
        fputs(called->any ? ", \"" : "\"", stderr);
    else
        fprintf(stderr, "  %10llu calls %14llu gas  ", (unsigned long long)f->calls,
                (unsigned long long)f->gas);
    print_name(f->name);
    if (called->json)
        fprintf(stderr, "\": {\"calls\": %llu, \"gas\": %llu}", (unsigned long long)f->calls,
                (unsigned long long)f->gas);
    else
        fputc('\n', stderr);
    called->any = true;
}

/* The host functions that were called. */
static void print_host_calls(const struct run *r)
{
    struct called called = {.json = r->stats_json};

    ssvm_store_each_host_calls(r->store, print_called, &called);
}

static void print_stats(const struct run *r)
{
    ssvm_stats st = SSVM_STATS_INIT;

    if (!r->store)
        return;
    ssvm_store_stats(r->store, &st);
    if (r->stats_json) {
        fprintf(stderr, "{");
        for (int i = 0; i < PHASE_COUNT; i++)
            fprintf(stderr, "\"%s_ns\": %llu, ", phase_names[i],
                    (unsigned long long)r->phase_ns[i]);
        print_tier(r);
        fprintf(stderr,
                "\"gas\": %llu, \"memory_peak_bytes\": %llu, \"gc_heap_bytes\": %llu, "
                "\"host_calls\": %llu, \"host_functions\": {",
                (unsigned long long)st.gas_used, (unsigned long long)st.memory_peak_bytes,
                (unsigned long long)st.gc_heap_bytes, (unsigned long long)st.host_calls);
        print_host_calls(r);
        fputs("}}\n", stderr);
        return;
    }
    for (int i = 0; i < PHASE_COUNT; i++)
        fprintf(stderr, "%-12s %14.3f ms\n", phase_names[i], (double)r->phase_ns[i] / 1e6);
    print_tier(r);
    fprintf(stderr, "%-12s %14llu\n%-12s %14llu bytes at most\n%-12s %14llu bytes\n%-12s %14llu\n",
            "gas", (unsigned long long)st.gas_used, "memory",
            (unsigned long long)st.memory_peak_bytes, "gc heap",
            (unsigned long long)st.gc_heap_bytes, "host calls", (unsigned long long)st.host_calls);
    print_host_calls(r);
}

/* The process ends next and its memory with it: giving 8 GiB of address space back first costs a
 * tenth of the start of a small program. Builds with sanitizers tidy up, so that leaks show. */
#ifdef SSVM_SANITIZED
#define TIDY true
#else
#define TIDY false
#endif

static int release(struct run *r, int status)
{
    if (r->nn_config.isolate) {
        /* Processes of backends, and their folders, do not outlive us. */
        cli_ending_release();
        ssvm_linker_delete(r->linker);
        ssvm_store_delete(r->store);
        ssvm_nn_delete(r->nn);
        r->linker = NULL;
        r->store = NULL;
        r->nn = NULL;
        cli_ending_raise();
    }
    cli_process_release(&r->process);
    cli_state_release(&r->state); /* the guest is over: nobody asks any more */
    if (!TIDY) {
        /* Not through exit(): a thread may be compiling, with libraries that exit() takes down. */
        status = cli_finish(status);
        fflush(stderr);
        _exit(status);
    }
    ssvm_linker_delete(r->linker);
    ssvm_store_delete(r->store);
    ssvm_nn_delete(r->nn);
    ssvm_module_delete(r->module);
    ssvm_engine_delete(r->engine);
    for (size_t i = 0; i < r->wasi.nenv; i++) {
        /* Those of --inherit-env are ours; the others lie in argv. */
        bool ours = true;
        for (int k = 0; k < r->args.argc; k++) {
            size_t len = strlen(r->args.argv[k]);
            ours = ours && !(r->env[i] >= r->args.argv[k] && r->env[i] <= r->args.argv[k] + len);
        }
        if (ours)
            free((void *)r->env[i]);
    }
    free(r->env);
    free(r->guest_args);
    free(r->dirs);
    free(r->links);
    free(r->models);
    cli_sockets_release(&r->sockets);
    return status;
}

static bool init(struct run *r, int argc, char **argv)
{
    size_t n = (size_t)argc + 1;

    *r = (struct run){
        .profile_fd = -1,
        .config = SSVM_CONFIG_INIT,
        .limits = SSVM_LIMITS_INIT,
        .wasi = SSVM_WASI_INIT,
        .env = calloc(n, sizeof *r->env),
        .guest_args = calloc(n, sizeof *r->guest_args),
        .dirs = calloc(n, sizeof *r->dirs),
        .links = calloc(n, sizeof *r->links),
        .nn_config = SSVM_NN_CONFIG_INIT,
        .threads = SSVM_THREADS_CONFIG_INIT,
        .models = calloc(n, sizeof *r->models),
    };
    cli_args_init(&r->args, argc, argv);
    r->wasi.in.kind = r->wasi.out.kind = r->wasi.err.kind = SSVM_STREAM_INHERIT;
    r->wasi.env = r->env;
    r->wasi.dirs = r->dirs;
    r->wasi.args = r->guest_args;
    r->nn_config.models = r->models;
    return cli_state_init(&r->state, n) && cli_sockets_init(&r->sockets, n) &&
           cli_process_init(&r->process, n) && r->env && r->guest_args && r->dirs && r->links &&
           r->models;
}

/* FILE and what follows it. -1 = go on; else the exit status. */
static int read_operands(struct run *r)
{
    const char *slash;

    if (r->args.next >= r->args.argc)
        return cli_usage(r->args.verb, "no file to run");
    r->file = r->args.argv[r->args.next++];
    slash = strrchr(r->file, '/');
    r->guest_args[r->wasi.nargs++] = slash && slash[1] ? slash + 1 : r->file;
    for (int i = r->args.next; i < r->args.argc && !r->invoke; i++)
        r->guest_args[r->wasi.nargs++] = r->args.argv[i];
    if (r->reactor && !r->invoke && r->args.next >= r->args.argc)
        return cli_usage(r->args.verb, "--reactor needs the name of a function after the file");
    if (r->disable[0])
        r->config.disable = r->disable;
    if (r->stats && r->limits.gas == 0)
        r->limits.gas = SSVM_GAS_COUNT;
    return -1;
}

/* A mistyped verb is taken for a file that is not there: then say what was meant. */
static void suggest_verb(const struct run *r)
{
    const char *names[32]; /* more than there are verbs */
    const char *near;
    size_t n = 0;

    if (strchr(r->file, '/') || strchr(r->file, '.') || access(r->file, F_OK) == 0)
        return;
    for (unsigned i = 0; i < cli_nverbs && n < sizeof names / sizeof names[0]; i++)
        names[n++] = cli_verbs[i].name;
    near = cli_nearest(r->file, names, n);
    if (near)
        cli_message("did you mean 'ssvm %s'?", near);
    else
        cli_message("it is no verb either: 'ssvm help' lists them");
}

int cli_run(int argc, char **argv)
{
    struct run r;
    uint64_t t;
    int status;

    if (!init(&r, argc, argv)) {
        cli_message("out of memory for options");
        return release(&r, CLI_STATUS_ERROR);
    }
    status = read_options(&r);
    if (status < 0)
        status = read_operands(&r);
    if (status < 0) {
        /* A closed pipe is an errno for the guest and a message for us, not the end by a signal. */
        status = prepare(&r);
        if (status == 0) {
            t = now_ns();
            status = start(&r, argv + r.args.next, argc - r.args.next);
            r.phase_ns[PHASE_RUN] = now_ns() - t;
        } else if (!r.module) {
            suggest_verb(&r);
        }
        if (r.profile_fd >= 0)
            status = write_profile(&r, status);
        if (r.stats)
            print_stats(&r);
    }
    return release(&r, status);
}
