/* host-process.so: the module `ssvm_process`. What a guest has said of its next command, and what
 * the last one has left. Commands are run by a back end. */
#include "host/process/guest.h"

#include "base/buf.h"
#include "base/clock.h"
#include "host/part.h"
#include "host/wasi/vfs.h"
#include "sv_build_id.h"

#define BYTES_DEFAULT ((uint64_t)16 << 20)
#define STRINGS_MAX 65536 /* arguments, or variables */
#define TIMEOUT_MS 10000
#define NS_PER_MS 1000000
#define CODE_AT_FIRST (-1) /* of a guest that has run nothing */

static const struct sv_host_services *services;

/* Strings with their NULs, one after another. */
struct strings {
    struct sv_buf bytes;
    size_t n;
};
struct next {
    struct strings name, args, env;
    struct sv_buf input;
    uint32_t timeout_ms;
    bool bad; /* a string has a NUL inside, or a variable no name */
};
struct last {
    struct sv_buf out[2]; /* standard output, standard error */
    int32_t code;
};

/* One store's. While a command runs, another thread of the guest may prepare the next. */
struct state {
    struct process *process;
    struct sv_store *store;
    struct next next;
    struct last last;
    uint64_t held; /* bytes that count as the guest's memory */
};

/* ---- Memory ---- */

static uint64_t held_of(const struct next *n, const struct last *l)
{
    return n->name.bytes.cap + n->args.bytes.cap + n->env.bytes.cap + n->input.cap + l->out[0].cap +
           l->out[1].cap;
}

/* What the state holds has changed. False: it is more than the guest may have. */
static bool account(struct state *s, uint64_t held)
{
    bool fits = held <= s->held || sv_host_take_memory(s->store, held - s->held);

    if (held < s->held)
        sv_host_give_memory(s->store, s->held - held);
    if (fits)
        s->held = held;
    return fits;
}

static void init_next(struct next *n)
{
    *n = (struct next){.timeout_ms = TIMEOUT_MS};
    sv_buf_init(&n->name.bytes, SIZE_MAX / 2);
    sv_buf_init(&n->args.bytes, SIZE_MAX / 2);
    sv_buf_init(&n->env.bytes, SIZE_MAX / 2);
    sv_buf_init(&n->input, SIZE_MAX / 2);
}

static void release_next(struct next *n)
{
    sv_buf_release(&n->name.bytes);
    sv_buf_release(&n->args.bytes);
    sv_buf_release(&n->env.bytes);
    sv_buf_release(&n->input);
}

static void init_last(struct last *l)
{
    *l = (struct last){.code = CODE_AT_FIRST};
    sv_buf_init(&l->out[0], SIZE_MAX / 2);
    sv_buf_init(&l->out[1], SIZE_MAX / 2);
}

static void release_last(struct last *l)
{
    sv_buf_release(&l->out[0]);
    sv_buf_release(&l->out[1]);
}

/* ---- The next command ---- */

static uint64_t bytes_of(const struct next *n)
{
    return n->name.bytes.len + n->args.bytes.len + n->env.bytes.len + n->input.len;
}

static int trap_limit(struct sv_call *c, const struct state *s)
{
    return services->trap(c->th, SV_TRAP_HOST,
                          "a command of more than %llu bytes, or of too many "
                          "arguments, or beyond the guest's memory",
                          (unsigned long long)s->process->config.max_bytes);
}

/* Append what the guest has at (pointer, length). */
static int append(struct sv_call *c, struct sv_buf *to, const union sv_slot *arg)
{
    struct state *s = c->data;
    size_t len = arg[1].i32;
    void *p;

    if (!sv_call_slice(c, arg[0].i32, len, &p))
        return services->trap(c->th, SV_TRAP_HOST,
                              "ssvm_process: a pointer is outside of the guest's memory");
    if (len + bytes_of(&s->next) >= s->process->config.max_bytes)
        return trap_limit(c, s);
    if (!sv_buf_append(to, p, len) || !account(s, held_of(&s->next, &s->last)))
        return trap_limit(c, s);
    return 0;
}

static int append_string(struct sv_call *c, struct strings *to, const union sv_slot *arg, char end)
{
    struct state *s = c->data;
    size_t at = to->bytes.len;
    int r = append(c, &to->bytes, arg);

    if (r != 0)
        return r;
    s->next.bad = s->next.bad || (to->bytes.len > at &&
                                  memchr(to->bytes.data + at, '\0', to->bytes.len - at) != NULL);
    return sv_buf_putc(&to->bytes, end) && to->n < STRINGS_MAX ? 0 : trap_limit(c, s);
}

static int set_prog_name(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;

    (void)ret;
    sv_buf_clear(&s->next.name.bytes);
    return append_string(c, &s->next.name, arg, '\0');
}

static int add_arg(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;
    int r = append_string(c, &s->next.args, arg, '\0');

    (void)ret;
    s->next.args.n += r == 0;
    return r;
}

/* The first value of a name is the one: drop what was appended at `at` if it comes again. */
static void drop_repeated(struct strings *env, size_t at)
{
    const char *all = (const char *)env->bytes.data, *added = all + at;
    size_t name = strcspn(added, "=") + 1;

    for (const char *p = all; p < added; p += strlen(p) + 1) {
        if (strncmp(p, added, name) == 0) {
            env->bytes.len = at;
            return;
        }
    }
    env->n++;
}

static int add_env(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;
    struct strings *env = &s->next.env;
    size_t at = env->bytes.len;
    int r = append_string(c, env, arg, '=');

    (void)ret;
    if (r == 0 && (env->bytes.len == at + 1 ||
                   memchr(env->bytes.data + at, '=', env->bytes.len - at - 1) != NULL))
        s->next.bad = true;
    if (r == 0)
        r = append_string(c, env, arg + 2, '\0');
    if (r == 0 && !s->next.bad)
        drop_repeated(env, at);
    return r;
}

static int add_stdin(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;

    (void)ret;
    return append(c, &s->next.input, arg);
}

static int set_timeout(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;

    (void)ret;
    s->next.timeout_ms = arg[0].i32;
    return 0;
}

/* ---- A run ---- */

struct running {
    struct ssvm_process_run run; /* first: the back end gives it back */
    struct sv_thread *thread;
    struct last last;
    uint64_t max_bytes;
    bool full;
};

static int wait(struct ssvm_process_run *run, struct pollfd *fds, unsigned n, int64_t timeout_ns)
{
    struct running *g = (struct running *)run;
    int ready, r = services->vfs->wait(g->thread, fds, n, timeout_ns, &ready);

    return r > 0 ? SV_EIO : r;
}

static bool put(struct ssvm_process_run *run, bool error, const void *bytes, size_t len)
{
    struct running *g = (struct running *)run;
    uint64_t used = g->last.out[0].len + g->last.out[1].len;

    if (len > g->max_bytes - used || !sv_buf_append(&g->last.out[error], bytes, len))
        g->full = true;
    return !g->full;
}

/* Pointers to the strings, NULL at the end, behind `n` places that are left free. */
static own const char **point(const struct strings *s, size_t n)
{
    const char **all = sv_alloc_array_zero(s->n + n + 1, sizeof *all);
    const char *p = (const char *)s->bytes.data;

    for (size_t i = 0; all && i < s->n; i++, p += strlen(p) + 1)
        all[n + i] = p;
    return all;
}

static void call_back_end(struct state *s, struct running *g, struct next *n)
{
    static const char limit[] = "the command wrote more than it may\n";
    const struct sv_process_config *config = &s->process->config;
    const char **args = point(&n->args, 1), **env = point(&n->env, 0);
    uint64_t now = sv_clock_ns();

    g->run.code = SSVM_PROCESS_FAILED;
    if (!args || !env) {
        put(&g->run, true, "out of memory\n", 14);
    } else if (n->bad || n->name.bytes.len <= 1) {
        static const char bad[] = "not a command: no name, or a NUL in a name or an argument\n";
        put(&g->run, true, bad, sizeof bad - 1);
    } else {
        args[0] = (const char *)n->name.bytes.data;
        g->run.args = args;
        g->run.env = env;
        g->run.input = n->input.data;
        g->run.input_len = n->input.len;
        g->run.deadline_ns = now + (uint64_t)n->timeout_ms * NS_PER_MS;
        config->backend->run(config->data, config->store_data ? config->store_data(s->store) : NULL,
                             &g->run);
    }
    if (g->full) {
        g->run.code = SSVM_PROCESS_FAILED;
        sv_buf_append(&g->last.out[1], limit, sizeof limit - 1);
    }
    g->last.code = g->run.code;
    sv_free(args);
    sv_free(env);
}

static int run(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;
    struct running g = {.run = {.wait = wait, .put = put},
                        .thread = c->th,
                        .max_bytes = s->process->config.max_bytes};
    struct next next;
    bool fits;

    (void)arg;
    next = s->next;
    init_next(&s->next);
    release_last(&s->last);
    init_last(&s->last);
    init_last(&g.last);
    call_back_end(s, &g, &next);
    release_next(&next);
    release_last(&s->last);
    s->last = g.last;
    fits = account(s, held_of(&s->next, &s->last));
    ret->i32 = (uint32_t)s->last.code;
    return fits ? 0
                : services->trap(c->th, SV_TRAP_HOST,
                                 "what a command wrote is beyond the guest's memory limit");
}

/* ---- What it has left ---- */

static int get_exit_code(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;

    (void)arg;
    ret->i32 = (uint32_t)s->last.code;
    return 0;
}

static int get_len(struct sv_call *c, int which, union sv_slot *ret)
{
    struct state *s = c->data;

    ret->i32 = (uint32_t)s->last.out[which].len;
    return 0;
}

static int get_bytes(struct sv_call *c, int which, const union sv_slot *arg)
{
    struct state *s = c->data;
    const struct sv_buf *out = &s->last.out[which];
    void *to;

    if (!sv_call_slice(c, arg[0].i32, out->len, &to))
        return services->trap(c->th, SV_TRAP_HOST,
                              "ssvm_process: a pointer is outside of the guest's memory");
    if (out->len > 0)
        memcpy(to, out->data, out->len);
    return 0;
}

static int get_stdout_len(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    return get_len(c, 0, ret);
}

static int get_stderr_len(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    return get_len(c, 1, ret);
}

static int get_stdout(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)ret;
    return get_bytes(c, 0, arg);
}

static int get_stderr(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)ret;
    return get_bytes(c, 1, arg);
}

/* ---- The module ---- */

static int open_state(struct sv_err *err, struct sv_store *store, const void *grant, void **ret)
{
    struct state *s = sv_alloc_zero(sizeof *s);

    if (!s)
        return sv_fail_nomem(err, "host module");
    s->process = (struct process *)sv_process_ref((struct sv_process *)grant);
    s->store = store;
    init_next(&s->next);
    init_last(&s->last);
    *ret = s;
    return 0;
}

static void close_state(void *state)
{
    struct state *s = state;

    release_next(&s->next);
    release_last(&s->last);
    sv_process_unref(&s->process->base);
    sv_free(s);
}

static const char *holds(const void *state)
{
    const struct state *s = state;

    return s->held > 0 ? "a native command, or what one wrote" : NULL;
}

static const struct sv_host_func funcs[] = {
#define FUNC(name, impl, sig, cost, doc) {#name, impl, sig, cost, doc, 0},
#include "host/process/process.def"
#undef FUNC
};

static const struct ssvm_process_backend local = {SSVM_PROCESS_ABI, process_run_here};
static int make(struct sv_err *, const struct sv_process_config *, struct sv_process **);
static void release(struct sv_process *);

static const struct sv_process_module module = {
    .host = {.id = "process",
             .grant = "--allow-command NAME, --allow-command-all",
             .names = {{"ssvm_process", "ssvm_process_"},
                       {"wasmedge_process", "wasmedge_process_"}},
             .funcs = funcs,
             .nfuncs = SV_COUNT(funcs),
             .open = open_state,
             .close = close_state,
             .holds = holds},
    .make = make,
    .release = release,
};
static const struct sv_host_module *const modules[] = {&module.host};
SV_HOST_PART_IS(modules, &services);

static int make(struct sv_err *err, const struct sv_process_config *config,
                own struct sv_process **ret)
{
    struct process *p = sv_alloc_zero(sizeof *p);
    int r = 0;

    if (!p)
        return sv_fail_nomem(err, "commands");
    p->base.module = &module;
    atomic_init(&p->base.refs, 1);
    p->config = *config;
    if (!p->config.max_bytes)
        p->config.max_bytes = BYTES_DEFAULT;
    if (p->config.max_bytes > INT32_MAX)
        p->config.max_bytes = INT32_MAX;
    if (!config->backend) {
        r = cmd_allow_init(err, &p->allow, config->path);
        p->allow.all = config->all;
        for (size_t i = 0; i < config->ncommands && r == 0; i++)
            r = cmd_allow_add(err, &p->allow, config->commands[i]);
        p->config.backend = &local;
        p->config.data = p;
    }
    if (r < 0)
        release(&p->base);
    else
        *ret = &p->base;
    return r;
}

static void release(own struct sv_process *process)
{
    struct process *p = (struct process *)process;

    cmd_allow_release(&p->allow);
    sv_free(p);
}
