/* The process that meets a module first: reads it from standard input, writes what it found to
 * standard output (values of message.h) and the module that begins behind the initialiser to
 * descriptor 3. The manifest is in descriptor 4, the table of costs in descriptor 5. It compiles
 * nothing. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/write.h"
#include "control/missing.h"
#include "control/prepare.h"
#include "platform/jail.h"
#include "ssvm.h"

#define READY_FD 3
#define MANIFEST_FD 4
#define COSTS_FD 5
#define MANIFEST_MAX (1U << 20)
#define DATA_MAX ((uint64_t)4 << 30)
#define CPU_SECONDS 60
#define CALL_MS 20000        /* of the initialiser, and of the smoke test */
#define CALL_GAS 20000000000 /* likewise: some ten seconds of the interpreter */
#define CALL_MEMORY ((uint64_t)1 << 30)
#define EXPORTS_MAX 1024

struct child {
    struct plat_manifest manifest;
    struct plat_message report;
    ssvm_engine *engine;
    ssvm_nn *nn;
    char *bytes;
    size_t len;
    bool command, initialises; /* has `_start`, `_initialize` */
    bool handled;              /* has the manifest's handler */
    struct sv_buf names;       /* of its functions, for a message */
    bool changed;              /* the bytes are not those that came */
    bool random;               /* the initialiser has asked for random bytes */
    struct sv_buf missing;     /* grants that it needs and has not */
};

/* An instance of the module, as a request's. */
struct guest {
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
};

static void guest_release(struct guest *g)
{
    ssvm_linker_delete(g->linker);
    ssvm_store_delete(g->store);
    ssvm_module_delete(g->module);
}

static void note(struct child *c, const char *text)
{
    plat_put_str(&c->report, PLAT_TAG_KEY, text);
}

/* An error of the library as one of ours: the numbers are the same. */
static int fail(struct child *c, struct sv_err *err, const char *what, own ssvm_error *error)
{
    int code = -(int)ssvm_error_kind_of(error);
    const char *message = ssvm_error_message(error);

    if (code == SV_ELINK && c->missing.len > 0)
        message = sv_buf_cstr(&c->missing);

    /* A failure of the guest's code: its author's business. */
    if (code == SV_ETRAP || code == SV_EEXIT || code == SV_EEXCEPTION || code == SV_EGUEST)
        code = SV_EGUEST;
    sv_fail(err, code, SV_NO_OFFSET, "%s%s%s", what, *what ? ": " : "", message);
    ssvm_error_delete(error);
    return code;
}

/* ---- Input ---- */

static int read_input(struct child *c, struct sv_err *err)
{
    static char text[MANIFEST_MAX];
    ssize_t n = pread(MANIFEST_FD, text, sizeof text, 0);
    struct stat st;
    void *map;

    if (n < 0 || fstat(STDIN_FILENO, &st) < 0 || st.st_size <= 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot read the module");
    if (plat_manifest_read(err, PLAT_MANIFEST_FILE, text, (size_t)n, &c->manifest) < 0)
        return err->code;
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
    if (map == MAP_FAILED)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot read the module: %s", strerror(errno));
    c->bytes = map;
    c->len = (size_t)st.st_size;
    return 0;
}

/* ---- What it has ---- */

static bool name_is(const char *name, size_t len, const char *wanted)
{
    return strlen(wanted) == len && memcmp(name, wanted, len) == 0;
}

static void report_export(struct child *c, const ssvm_module *m, const char *name, size_t len)
{
    char *text = sv_strndup(name, len), *signature = NULL;
    ssvm_error *error;

    if (!text)
        return;
    error = ssvm_module_signature(m, text, &signature);
    ssvm_error_delete(error);
    plat_put_str(&c->report, PLAT_TAG_NAME, text);
    plat_put_str(&c->report, PLAT_TAG_TEXT, signature ? signature : "");
    ssvm_string_delete(signature);
    sv_free(text);
}

static void list_exports(struct child *c, const ssvm_module *m)
{
    size_t n = ssvm_module_nexports(m);

    for (size_t i = 0, listed = 0; i < n; i++) {
        ssvm_extern_kind kind;
        size_t len;
        const char *name = ssvm_module_export(m, i, &len, &kind, NULL);

        if (kind != SSVM_EXTERN_FUNC)
            continue;
        c->command |= name_is(name, len, "_start");
        c->initialises |= name_is(name, len, "_initialize");
        c->handled |= name_is(name, len, c->manifest.handler);
        if (listed == EXPORTS_MAX || len == 0 || len > 256 || memchr(name, '\0', len) ||
            (len > 2 && memcmp(name, "__", 2) == 0))
            continue;
        report_export(c, m, name, len);
        if (name[0] != '_')
            sv_buf_printf(&c->names, "%s%.*s", c->names.len ? ", " : "", (int)len, name);
        listed++;
    }
}

/* Its routes would answer 404. A command is its own handler. */
static int check_handler(struct child *c, struct sv_err *err)
{
    const char *handler = c->manifest.handler;

    if (!*handler || c->command || c->handled)
        return 0;
    return sv_fail(err, SV_EINVALID, SV_NO_OFFSET,
                   "the manifest's handler '%s' is no function that the module exports: %s",
                   handler, c->names.len ? sv_buf_cstr(&c->names) : "it exports none");
}

/* ---- Instances ---- */

static ssvm_error *count_random(void *data, ssvm_caller *caller, const ssvm_val *args,
                                ssvm_val *ret)
{
    bool *drawn = data;

    (void)caller;
    (void)args;
    *drawn = true;
    ret[0].of.i32 = 0;
    return ssvm_error_new("random bytes would be the same in every instance; draw them later");
}

static ssvm_error *forbid_random(struct child *c, ssvm_linker *l)
{
    static const ssvm_kind params[] = {SSVM_I32, SSVM_I32}, results[] = {SSVM_I32};
    ssvm_functype *type = ssvm_functype_new(params, 2, results, 1);
    ssvm_error *error = ssvm_linker_define_func(l, "wasi_snapshot_preview1", "random_get", type,
                                                count_random, &c->random, NULL);

    ssvm_functype_delete(type);
    return error;
}

/* Nothing answers here: an initialiser that asks is refused. */
static ssvm_error *define_state(const struct plat_manifest_grant *grants, ssvm_linker *l)
{
    ssvm_state_grant state = SSVM_STATE_GRANT_INIT;
    ssvm_error *error;

    state.parts = (grants->kv ? SSVM_STATE_KV : 0) | (grants->sql ? SSVM_STATE_SQL : 0) |
                  (grants->secret.n > 0 ? SSVM_STATE_SECRET : 0) |
                  (grants->allow_http.n > 0 ? SSVM_STATE_HTTP : 0) |
                  (grants->call.n > 0 ? SSVM_STATE_CALL | SSVM_STATE_QUEUE : 0);
    error = state.parts ? ssvm_linker_define_state(l, &state) : NULL;
    if (!error && grants->kv)
        error = ssvm_linker_define_storage(l, &state);
    return error;
}

/* With no command allowed. */
static ssvm_error *define_process(ssvm_linker *l)
{
    ssvm_process_config config = SSVM_PROCESS_CONFIG_INIT;
    ssvm_process *process = NULL;
    ssvm_error *error = ssvm_process_new(&config, &process);

    if (!error)
        error = ssvm_linker_define_process(l, process);
    ssvm_process_delete(process);
    return error;
}

/* Without a list everything is refused. */
static ssvm_error *define_sockets(const struct plat_manifest_grant *grants, ssvm_linker *l)
{
    static const ssvm_sockets nothing = SSVM_SOCKETS_INIT;

    return grants->allow_connect.n > 0 || grants->allow_listen.n > 0
               ? ssvm_linker_define_sockets(l, &nothing)
               : NULL;
}

static ssvm_error *define(struct child *c, ssvm_linker *l, const ssvm_wasi *wasi)
{
    ssvm_threads_config threads = SSVM_THREADS_CONFIG_INIT;
    ssvm_nn_config config = SSVM_NN_CONFIG_INIT;
    ssvm_error *error = ssvm_linker_define_wasi(l, wasi);

    if (!error)
        error = ssvm_linker_define_bindgen(l);
    if (!error && c->manifest.grants.image)
        error = ssvm_linker_define_image(l, NULL);
    if (!error)
        error = define_state(&c->manifest.grants, l);
    if (!error)
        error = define_sockets(&c->manifest.grants, l);
    threads.max = (uint32_t)c->manifest.grants.threads;
    if (!error && threads.max)
        error = ssvm_linker_define_threads(l, &threads);
    if (!error && c->manifest.grants.allow_command.n > 0)
        error = define_process(l);
    if (!error && c->manifest.grants.nn && !c->nn)
        error = ssvm_nn_new(&config, &c->nn);
    if (!error && c->manifest.grants.nn)
        error = ssvm_linker_define_nn(l, c->nn);
    return error;
}

static ssvm_error *instantiate(struct child *c, const char *bytes, size_t len,
                               const ssvm_wasi *wasi, bool initialiser, struct guest *g)
{
    const struct plat_limits *own_limits = &c->manifest.limits;
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_error *error = ssvm_module_new(c->engine, bytes, len, &g->module);

    limits.memory_bytes = limits.gc_heap_bytes =
        own_limits->memory ? own_limits->memory : CALL_MEMORY;
    limits.gas = own_limits->gas ? own_limits->gas : CALL_GAS;
    limits.wall_ms = CALL_MS;
    if (!error)
        error = ssvm_store_new(c->engine, &limits, &g->store);
    if (!error)
        error = ssvm_linker_new(g->store, &g->linker);
    if (!error && initialiser)
        error = forbid_random(c, g->linker);
    if (!error)
        error = define(c, g->linker, wasi);
    if (!error)
        error = ssvm_linker_instantiate(g->linker, g->module, &g->instance);
    if (error && ssvm_error_kind_of(error) == SSVM_ELINK) {
        sv_buf_clear(&c->missing);
        ctl_missing_grants(g->module, &c->manifest.grants, &c->missing);
    }
    return error;
}

/* ---- The initialiser ---- */

static bool send_ready(const char *bytes, size_t len)
{
    return sv_write_all(READY_FD, bytes, len) == len;
}

static ssvm_error *run_initialiser(struct child *c, struct guest *g)
{
    const char *init = c->manifest.init;
    ssvm_result result = SSVM_RESULT_INIT;
    ssvm_error *error = c->initialises ? ssvm_instance_initialize(g->instance) : NULL;

    if (!error && *init)
        error = ssvm_instance_call(g->instance, init, NULL, 0, SSVM_RESULT_AUTO, &result);
    ssvm_string_delete(result.bytes);
    return error;
}

/* All that is not said in the manifest has to be the same without a snapshot; what is said there
 * may look around, but not draw lots. NULL and *ret NULL: no snapshot. */
static ssvm_error *take_snapshot(struct child *c, struct guest *g, char **ret, size_t *ret_len)
{
    const char *init = c->manifest.init;
    ssvm_stats stats = SSVM_STATS_INIT;
    ssvm_error *error;

    ssvm_store_stats(g->store, &stats);
    if (!*init && stats.host_calls > 0) {
        note(c, "no snapshot, since its _initialize calls the host: every call initialises anew");
        return NULL;
    }
    error = ssvm_instance_snapshot(g->instance, &init, *init ? 1 : 0, ret, ret_len);
    if (!error || *init)
        return error;
    note(c, "no snapshot: every call initialises anew");
    note(c, ssvm_error_message(error));
    ssvm_error_delete(error);
    return NULL;
}

/* What instances begin with, into c->bytes. */
static int initialise(struct child *c, struct sv_err *err)
{
    ssvm_wasi nothing = SSVM_WASI_INIT;
    struct guest g = {0};
    char *bytes = NULL;
    size_t len = 0;
    ssvm_error *error;
    int r = 0;

    if (!c->initialises && !*c->manifest.init)
        return 0;
    error = instantiate(c, c->bytes, c->len, &nothing, *c->manifest.init != '\0', &g);
    if (!error)
        error = run_initialiser(c, &g);
    if (!error)
        error = take_snapshot(c, &g, &bytes, &len);
    if (error)
        r = fail(c, err, "its initialiser", error);
    guest_release(&g);
    if (r == 0 && bytes) { /* it lives as long as the process */
        c->bytes = bytes;
        c->len = len;
        c->changed = true;
    } else {
        ssvm_string_delete(bytes);
    }
    return r;
}

/* The table of costs that the server gives it. */
static int add_costs(struct child *c, struct sv_err *err)
{
    ssvm_error *error;
    struct stat st;
    void *table;

    if (fstat(COSTS_FD, &st) < 0 || st.st_size == 0)
        return 0;
    table = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, COSTS_FD, 0);
    if (table == MAP_FAILED)
        return sv_fail_nomem(err, "a table of costs");
    error = ssvm_costs_append(c->bytes, c->len, table, (size_t)st.st_size, &c->bytes, &c->len);
    if (error)
        return fail(c, err, "", error);
    c->changed = true;
    return 0;
}

static int make_ready(struct child *c, struct sv_err *err)
{
    int r = initialise(c, err);

    if (r == 0)
        r = add_costs(c, err);
    if (r == 0 && c->changed && !send_ready(c->bytes, c->len))
        r = sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "its snapshot is too large");
    return r;
}

/* ---- The smoke test ---- */

struct output {
    char bytes[4096]; /* the head is enough */
    size_t len;
};

static long take_output(void *data, const void *bytes, size_t len)
{
    struct output *out = data;
    size_t room = sizeof out->bytes - 1 - out->len;

    memcpy(out->bytes + out->len, bytes, len < room ? len : room);
    out->len += len < room ? len : room;
    return (long)len;
}

/* The status of a CGI program's answer. */
static unsigned cgi_status(struct output *out)
{
    unsigned status = 200;
    char *line = out->bytes, *end;

    out->bytes[out->len] = '\0';
    for (; *line && *line != '\n' && *line != '\r'; line = end + 1) {
        end = strchr(line, '\n');
        if (!end)
            return 502;
        if (strncasecmp(line, "status:", 7) == 0)
            return (unsigned)strtoul(line + 7, NULL, 10);
        if (strncasecmp(line, "location:", 9) == 0)
            status = 302;
    }
    return out->len > 0 ? status : 502;
}

static ssvm_error *smoke_command(struct child *c, struct guest *g, unsigned *ret)
{
    static struct output out;
    const struct plat_manifest *m = &c->manifest;
    const char *path = m->smoke.given ? m->smoke.path : "", *body = m->smoke.body;
    char path_info[1024], script[128], length[64];
    const char *args[] = {m->name}, *env[] = {"GATEWAY_INTERFACE=CGI/1.1",
                                              "SERVER_PROTOCOL=HTTP/1.1",
                                              "SERVER_NAME=localhost",
                                              "SERVER_PORT=80",
                                              "QUERY_STRING=",
                                              *body ? "REQUEST_METHOD=POST" : "REQUEST_METHOD=GET",
                                              path_info,
                                              script,
                                              length};
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_error *error;

    snprintf(path_info, sizeof path_info, "PATH_INFO=%s", path);
    snprintf(script, sizeof script, "SCRIPT_NAME=/f/%s", m->name);
    snprintf(length, sizeof length, "CONTENT_LENGTH=%zu", strlen(body));
    wasi.args = args;
    wasi.nargs = 1;
    wasi.env = env;
    wasi.nenv = SV_COUNT(env);
    wasi.in = (ssvm_stream){.kind = SSVM_STREAM_BYTES, .bytes = body, .len = strlen(body)};
    wasi.out = (ssvm_stream){.kind = SSVM_STREAM_CALLBACK, .write = take_output, .data = &out};
    error = instantiate(c, c->bytes, c->len, &wasi, false, g);
    if (!error && m->smoke.given)
        error = ssvm_instance_start(g->instance);
    *ret = m->smoke.given ? cgi_status(&out) : 200;
    return error;
}

static ssvm_error *smoke_typed(struct child *c, struct guest *g, unsigned *ret)
{
    const struct plat_manifest *m = &c->manifest;
    const char *handler =
        m->smoke.path[0] == '/' && m->smoke.path[1] ? m->smoke.path + 1 : m->handler;
    ssvm_arg arg = {.kind = SSVM_ARG_TEXT, .bytes = m->smoke.body, .len = strlen(m->smoke.body)};
    ssvm_result result = SSVM_RESULT_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_error *error = instantiate(c, c->bytes, c->len, &wasi, false, g);

    if (!error)
        error = ssvm_instance_initialize(g->instance);
    *ret = 200;
    if (error || !m->smoke.given)
        return error;
    if (!*handler)
        return ssvm_error_new("'smoke' names no export, and the manifest has no handler");
    error = ssvm_instance_call(g->instance, handler, &arg, arg.len > 0 ? 1 : 0, SSVM_RESULT_AUTO,
                               &result);
    if (error && ssvm_error_kind_of(error) == SSVM_EGUEST && m->smoke.status == 422) {
        ssvm_error_delete(error);
        error = NULL;
        *ret = 422;
    } else if (result.kind == SSVM_RESULT_NONE && m->smoke.status == 204) {
        *ret = 204;
    }
    ssvm_string_delete(result.bytes);
    return error;
}

/* Without a test in the manifest: does it link, and can there be an instance? */
static int smoke(struct child *c, struct sv_err *err)
{
    struct guest g = {0};
    unsigned status = 0;
    ssvm_error *error = c->command ? smoke_command(c, &g, &status) : smoke_typed(c, &g, &status);
    int r = 0;

    if (error)
        r = fail(c, err, c->manifest.smoke.given ? "its smoke test failed" : "", error);
    else if (c->manifest.smoke.given && status != c->manifest.smoke.status)
        r = sv_fail(err, SV_EGUEST, SV_NO_OFFSET, "its smoke test failed: it answered %u, not %llu",
                    status, (unsigned long long)c->manifest.smoke.status);
    guest_release(&g);
    return r;
}

/* ---- The processes ---- */

static int examine(struct child *c, struct sv_err *err)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_module *module = NULL;
    ssvm_error *error;
    int r;

    r = read_input(c, err);
    if (r < 0)
        return r;
    config.tier = "interp";
    config.module_costs = true;
    error = ssvm_engine_new(&config, &c->engine);
    if (!error)
        error = ssvm_module_new(c->engine, c->bytes, c->len, &module);
    if (error)
        return fail(c, err, "", error);
    if (ssvm_module_has_costs(module))
        return sv_fail(err, SV_EINVALID, SV_NO_OFFSET,
                       "it has a section 'ssvm.costs': what instructions cost is the server's to "
                       "say");
    list_exports(c, module);
    ssvm_module_delete(module);
    r = check_handler(c, err);
    if (r == 0)
        r = make_ready(c, err);
    return r < 0 ? r : smoke(c, err);
}

/* The folder of our program, where plugins lie too, and the one above. */
static void own_folder(char path[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *slash;

    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
}

static bool write_report(const struct plat_message *report)
{
    return sv_write_all(STDOUT_FILENO, report->values.data, report->values.len) ==
           report->values.len;
}

int ctl_prepare_child(int argc, char **argv)
{
    static struct child c;
    static struct sv_err err;
    char folder[PATH_MAX];
    const char *const readable[] = {folder, NULL};
    const struct plat_jail jail = {.read = readable,
                                   .data_bytes = DATA_MAX,
                                   .cpu_seconds = CPU_SECONDS,
                                   .file_bytes = (uint64_t)2 << 30};
    int r;

    (void)argc;
    (void)argv;
    own_folder(folder);
    plat_message_init(&c.report, PLAT_NONE);
    sv_buf_init(&c.missing, SV_ERR_TEXT_MAX);
    sv_buf_init(&c.names, SV_ERR_TEXT_MAX);
    r = plat_jail_enter(&err, &jail);
    if (r == 0)
        r = examine(&c, &err);
    if (r < 0) {
        plat_message_release(&c.report);
        plat_message_init(&c.report, PLAT_NONE);
        plat_put_error(&c.report, &err);
    }
    /* All else goes with the process. */
    _exit(write_report(&c.report) ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* --role=compile CACHE SSVM: the compiler, in the jail. */
int ctl_compile_child(int argc, char **argv)
{
    static struct sv_err err;
    char folder[PATH_MAX];

    if (argc != 5)
        return 2;
    own_folder(folder);
    const char *const readable[] = {folder, NULL}, *const writable[] = {argv[2], NULL};
    const struct plat_jail jail = {.read = readable, .write = writable, .processes = true};
    if (plat_jail_enter(&err, &jail) < 0) {
        fprintf(stderr, "ssvm-control: %s\n", err.text);
        return EXIT_FAILURE;
    }
    execl(argv[3], "ssvm", "compile", "--fill-cache", argv[2], "--form", "10", "--loop", "0:0",
          "--starter", argv[4], "-", (char *)NULL);
    fprintf(stderr, "ssvm-control: cannot start '%s': %s\n", argv[3], strerror(errno));
    return EXIT_FAILURE;
}
