/* Every function of every host module, and those of contracts, called by a guest with hostile
 * arguments: pointers, lengths, handles and counts at edges and at random, over a memory of traps
 * for parsers. Everything that can be granted is, in a scratch folder (under $TMPDIR); what is
 * outside of it must stay as it is. The list of functions is the tables'. Not a check of results.
 *
 *   fuzz-host [--calls N] [--each SECONDS] [--seconds N] [--seed N] [MODULE]
 *
 * N calls of each function (default 200), or for so many seconds in it, whatever comes first; at
 * most --seconds for all. MODULE: only the host module of this id ("ethereum": contracts'). The
 * seed is printed: with it a run is repeated. SIGTERM ends it with the counts. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"
#include "host/part.h"
#include "ssvm_state.h"

#define FUNCS_MAX 1024
#define ROUND_CALLS 512 /* in one store */
#define FILL_CALLS 128  /* over one memory */
#define ROUNDS_KEPT 32  /* in one scratch folder */
#define SLOW_NS 50000   /* a call that costs more is made no more often than asked for */
#define TELL_NS 60000000000
#define PAGES 2
#define MEMORY (PAGES << 16)
#define WALL_MS 5 /* of a call */
#define FILE_BYTES ((rlim_t)4 << 20)
#define SIG_PARAMS 16

struct func {
    const void *host; /* the same for those of one module, which stand together */
    const char *module, *prefix, *name, *sig;
    uint64_t calls, ns;
};

static struct {
    struct func funcs[FUNCS_MAX];
    unsigned n;
    uint64_t random;
    uint64_t calls, each_ns; /* how long for each function */
    char top[64], root[96], fixed[96], kv[96], sql[96];
    ssvm_engine *engine;
    ssvm_module *guests[2]; /* with a memory of its own; with one for threads */
    ssvm_state_backend backend;
    ssvm_state_grant state;
    ssvm_nn *nn;
    ssvm_process *process;
    const char *only;
    bool with_state;
} fuzz;
static volatile sig_atomic_t stopped;

uint64_t fuzz_next(void)
{
    fuzz.random ^= fuzz.random << 13;
    fuzz.random ^= fuzz.random >> 7;
    fuzz.random ^= fuzz.random << 17;
    return fuzz.random;
}

static void check(own ssvm_error *e, const char *what)
{
    if (!e)
        return;
    fprintf(stderr, "fuzz-host: %s: %s\n", what, ssvm_error_message(e));
    exit(1);
}

/* ---- The scratch folder ---- */

static void shell(const char *commands)
{
    char line[2048];

    snprintf(line, sizeof line, "cd '%s' && { %s; } 2>/dev/null", fuzz.top, commands);
    if (system(line) != 0)
        abort();
}

static void lay_out(void)
{
    shell("chmod -R u+rwX root; rm -rf root; mkdir -p root/d/e; echo in > root/f; "
          "ln -s ../outside root/up; ln -s ../outside/secret root/leak; ln -s /etc root/abs; "
          "ln -s d root/t; ln -s ../outside/made root/makes; mkfifo root/fifo; true");
}

static void check_outside(void)
{
    char buf[16] = {0}, path[128];
    struct stat st;
    int fd, n = 0;
    DIR *d;

    snprintf(path, sizeof path, "%s/outside", fuzz.top);
    d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    snprintf(path, sizeof path, "%s/outside/secret", fuzz.top);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (n != 3 || fd < 0 || read(fd, buf, sizeof buf) != 7 || memcmp(buf, "secret\n", 7) != 0 ||
        fstat(fd, &st) != 0 || st.st_nlink != 1 || st.st_mtime != 1000000000) {
        fprintf(stderr, "fuzz-host: what is outside of the grant has changed\n");
        abort();
    }
    close(fd);
}

static void remove_all(void)
{
    char line[160];

    snprintf(line, sizeof line, "chmod -R u+rwX '%s'; rm -rf '%s'", fuzz.top, fuzz.top);
    if (system(line) != 0)
        fprintf(stderr, "'%s' is left\n", fuzz.top);
}

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(fuzz.top, sizeof fuzz.top, "%s/ssvm-fuzz-XXXXXX", tmp ? tmp : "/tmp");

    if (n >= (int)sizeof fuzz.top || !mkdtemp(fuzz.top))
        abort();
    atexit(remove_all);
    snprintf(fuzz.root, sizeof fuzz.root, "%s/root", fuzz.top);
    snprintf(fuzz.fixed, sizeof fuzz.fixed, "%s/fixed", fuzz.top);
    snprintf(fuzz.kv, sizeof fuzz.kv, "%s/kv.db", fuzz.top);
    snprintf(fuzz.sql, sizeof fuzz.sql, "%s/sql.db", fuzz.top);
    shell("mkdir root outside fixed; echo secret > outside/secret; touch -d @1000000000 "
          "outside/secret; echo x > fixed/f");
    lay_out();
}

/* ---- The guest: function i of `funcs` under its number, called with its own parameters ---- */

static void put_leb(struct sv_buf *b, size_t n)
{
    for (; n >= 128; n >>= 7)
        sv_buf_putc(b, (char)(n % 128 + 128));
    sv_buf_putc(b, (char)n);
}

static void put_name(struct sv_buf *b, const char *prefix, const char *name)
{
    put_leb(b, strlen(prefix) + strlen(name));
    sv_buf_puts(b, prefix);
    sv_buf_puts(b, name);
}

static void put_section(struct sv_buf *to, char id, struct sv_buf *body)
{
    sv_buf_putc(to, id);
    put_leb(to, body->len);
    sv_buf_append(to, body->data, body->len);
    sv_buf_clear(body);
}

static void put_types(struct sv_buf *b, const char *sig)
{
    size_t n = strcspn(sig, ":");

    put_leb(b, n);
    for (size_t i = 0; i < n; i++)
        sv_buf_putc(b, sig[i] == 'i' ? 0x7f : sig[i] == 'I' ? 0x7e : sig[i] == 'f' ? 0x7d : 0x7c);
}

/* `shared`: it imports a memory for threads, and can be run as one. */
static void put_memory(struct sv_buf *b, bool shared)
{
    if (shared) {
        put_name(b, "", "env");
        put_name(b, "", "memory");
        sv_buf_putc(b, 2);
    }
    sv_buf_append(b, (const char[]){shared ? 3 : 1, PAGES, PAGES}, 3);
}

static void put_imports(struct sv_buf *b, const struct func *funcs, unsigned n, bool shared)
{
    put_leb(b, n + shared);
    for (unsigned i = 0; i < n; i++) {
        put_name(b, "", funcs[i].module);
        put_name(b, funcs[i].prefix, funcs[i].name);
        sv_buf_putc(b, 0);
        put_leb(b, i);
    }
    if (shared)
        put_memory(b, true);
}

static void put_exports(struct sv_buf *b, unsigned n)
{
    put_leb(b, n + 2);
    put_name(b, "", "memory");
    sv_buf_append(b, "\2\0", 2);
    put_name(b, "", "wasi_thread_start");
    sv_buf_putc(b, 0);
    put_leb(b, 2 * n);
    for (unsigned i = 0; i < n; i++) {
        char name[16];

        snprintf(name, sizeof name, "%u", i);
        put_name(b, "", name);
        sv_buf_putc(b, 0);
        put_leb(b, n + i);
    }
}

static void put_bodies(struct sv_buf *b, const struct func *funcs, unsigned n)
{
    put_leb(b, n + 1);
    for (unsigned i = 0; i < n; i++) {
        size_t np = strcspn(funcs[i].sig, ":");
        struct sv_buf body;

        sv_buf_init(&body, 256);
        sv_buf_putc(&body, 0);
        for (size_t k = 0; k < np; k++)
            sv_buf_append(&body, (const char[]){0x20, (char)k}, 2);
        sv_buf_putc(&body, 0x10);
        put_leb(&body, i);
        sv_buf_putc(&body, 0x0b);
        put_leb(b, body.len);
        sv_buf_append(b, body.data, body.len);
        sv_buf_release(&body);
    }
    sv_buf_append(b, "\2\0\13", 3);
}

static void make_module(struct sv_buf *ret, const struct func *funcs, unsigned n, bool shared)
{
    struct sv_buf s;

    sv_buf_init(ret, 1 << 20);
    sv_buf_init(&s, 1 << 20);
    sv_buf_append(ret, "\0asm\1\0\0\0", 8);
    put_leb(&s, n + 1);
    for (unsigned i = 0; i < n; i++) {
        sv_buf_putc(&s, 0x60);
        put_types(&s, funcs[i].sig);
        put_types(&s, strchr(funcs[i].sig, ':') + 1);
    }
    sv_buf_append(&s, "\x60\2\x7f\x7f\0", 5);
    put_section(ret, 1, &s);
    put_imports(&s, funcs, n, shared);
    put_section(ret, 2, &s);
    put_leb(&s, n + 1);
    for (unsigned i = 0; i <= n; i++)
        put_leb(&s, i);
    put_section(ret, 3, &s);
    if (!shared) {
        sv_buf_putc(&s, 1);
        put_memory(&s, false);
        put_section(ret, 5, &s);
    }
    put_exports(&s, n);
    put_section(ret, 7, &s);
    put_bodies(&s, funcs, n);
    put_section(ret, 10, &s);
    sv_buf_release(&s);
}

/* ---- Everything that can be granted ---- */

/* Reads all of it, for the sanitizers. */
static unsigned sum(ssvm_state_bytes b)
{
    const uint8_t *p = b.ptr;
    unsigned n = 0;

    for (size_t i = 0; i < b.len; i++)
        n += p[i];
    return n;
}

/* A server's answer, which may be any. */
static int answer(ssvm_state_op *op, const ssvm_state_request *r)
{
    static const char text[4096] = "a: b\r\nc: d\r\n";
    unsigned all =
        sum(r->function) + sum(r->method) + sum(r->target) + sum(r->fields) + sum(r->body);

    op->number = fuzz_next() % 4 ? 200 : (int64_t)fuzz_next();
    if (fuzz_next() % 8 == 0) {
        snprintf(op->error, sizeof op->error, "no: %u", all);
        return -(int)(fuzz_next() % 16);
    }
    return ssvm_state_put(op, SSVM_STATE_FIELDS, text, fuzz_next() % sizeof text) &&
                   ssvm_state_put(op, SSVM_STATE_BODY, text, fuzz_next() % sizeof text)
               ? SSVM_STATE_OK
               : SSVM_STATE_ELIMIT;
}

static int answer_call(void *session, ssvm_state_op *op, const ssvm_state_request *r)
{
    (void)session;
    return answer(op, r);
}

static int answer_queue(void *session, ssvm_state_op *op, const ssvm_state_request *r,
                        uint64_t delay_ms)
{
    (void)session;
    (void)delay_ms;
    return answer(op, r);
}

/* State in files, and a server's part made up. */
static void open_state(void)
{
    static const char *const secrets[] = {"f=hidden"}, *const hosts[] = {"127.0.0.1:1"};
    ssvm_state_files files = SSVM_STATE_FILES_INIT;
    ssvm_error *e;

    files.kv = fuzz.kv;
    files.sql = fuzz.sql;
    files.secrets = secrets;
    files.hosts = hosts;
    files.nsecrets = files.nhosts = 1;
    e = ssvm_state_files_open(&files, &fuzz.state);
    fuzz.with_state = !e;
    if (e)
        printf("fuzz-host: without state: %s\n", ssvm_error_message(e));
    ssvm_error_delete(e);
    if (!fuzz.with_state)
        return;
    fuzz.backend = *fuzz.state.backend;
    fuzz.backend.call = answer_call;
    fuzz.backend.queue = answer_queue;
    fuzz.state.backend = &fuzz.backend;
    fuzz.state.parts |= SSVM_STATE_CALL | SSVM_STATE_QUEUE;
}

static void close_state(void)
{
    if (fuzz.with_state)
        ssvm_state_files_close(&fuzz.state);
    shell("rm -f kv.db* sql.db*");
}

static void open_grants(void)
{
    static const char *const commands[] = {"true", "cat"};
    ssvm_process_config process = SSVM_PROCESS_CONFIG_INIT;
    ssvm_nn_config nn = SSVM_NN_CONFIG_INIT;

    open_state();
    nn.backends = "fake";
    check(ssvm_nn_new(&nn, &fuzz.nn), "inference");
    process.commands = commands;
    process.ncommands = SV_COUNT(commands);
    check(ssvm_process_new(&process, &fuzz.process), "commands");
}

static void release_grants(void)
{
    close_state();
    ssvm_nn_delete(fuzz.nn);
    ssvm_process_delete(fuzz.process);
}

static void grant(ssvm_linker *l)
{
    static const char *const connect[] = {"127.0.0.1:1"}, *const listen[] = {"127.0.0.1:0"};
    static const char *const args[] = {"guest", "argument"}, *const env[] = {"K=V"};
    static ssvm_dir dirs[] = {{"/", fuzz.root, false}, {"/ro", fuzz.fixed, true}};
    ssvm_threads_config threads = SSVM_THREADS_CONFIG_INIT;
    ssvm_sockets sockets = SSVM_SOCKETS_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_error *e;

    wasi.args = args;
    wasi.nargs = SV_COUNT(args);
    wasi.env = env;
    wasi.nenv = SV_COUNT(env);
    wasi.dirs = dirs;
    wasi.ndirs = SV_COUNT(dirs);
    wasi.in = (ssvm_stream){.kind = SSVM_STREAM_BYTES, .bytes = "input", .len = 5};
    check(ssvm_linker_define_wasi(l, &wasi), "wasi");
    threads.max = 2;
    check(ssvm_linker_define_threads(l, &threads), "threads");
    check(ssvm_linker_define_image(l, NULL), "image");
    check(ssvm_linker_define_nn(l, fuzz.nn), "nn");
    if (fuzz.with_state)
        check(ssvm_linker_define_state(l, &fuzz.state), "state");
    if (fuzz.with_state)
        check(ssvm_linker_define_storage(l, &fuzz.state), "storage");
    check(ssvm_linker_define_process(l, fuzz.process), "process");
    sockets.connect = connect;
    sockets.listen = listen;
    sockets.nconnect = sockets.nlisten = 1;
    sockets.af_unix = true;
    e = ssvm_linker_define_sockets(l, &sockets);
    ssvm_error_delete(e); /* host-socket.so is missing: its functions are not found */
    fuzz_eei_define(l);
}

struct guest {
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
    ssvm_func *funcs[FUNCS_MAX]; /* NULL: not called yet */
};

static void close_guest(struct guest *g)
{
    fuzz_eei_end();
    ssvm_linker_delete(g->linker);
    ssvm_store_delete(g->store);
}

static own ssvm_error *open_guest(struct guest *g, const ssvm_module *m)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;

    memset(g, 0, sizeof *g);
    limits.wall_ms = WALL_MS;
    limits.gas = fuzz_next() % 4 ? 0 : SSVM_GAS_COUNT;
    limits.open_files = 24;
    limits.memory_bytes = 64 << 20;
    check(ssvm_store_new(fuzz.engine, &limits, &g->store), "store");
    fuzz_eei_begin(g->store);
    check(ssvm_linker_new(g->store, &g->linker), "linker");
    grant(g->linker);
    return ssvm_linker_instantiate(g->linker, m, &g->instance);
}

/* ---- The functions ---- */

static void load(const struct func *funcs, unsigned n, bool shared, ssvm_module **ret)
{
    struct sv_buf bytes;

    make_module(&bytes, funcs, n, shared);
    check(ssvm_module_new(fuzz.engine, bytes.data, bytes.len, ret), "the guest");
    sv_buf_release(&bytes);
}

/* Is it there, with all that is granted? */
static bool granted(const struct func *f)
{
    static struct guest g;
    ssvm_module *m;
    ssvm_error *e;

    load(f, 1, false, &m);
    e = open_guest(&g, m);
    close_guest(&g);
    ssvm_module_delete(m);
    if (e)
        printf("fuzz-host: without %s%s: %.160s\n", f->prefix, f->name, ssvm_error_message(e));
    ssvm_error_delete(e);
    return !e;
}

static void add(const struct func *f, const char *id)
{
    if ((!fuzz.only || strcmp(fuzz.only, id) == 0) && fuzz.n < FUNCS_MAX && granted(f))
        fuzz.funcs[fuzz.n++] = *f;
}

static void add_module(void *arg, const struct sv_host_module *m)
{
    (void)arg;
    for (unsigned i = 0; i < m->nfuncs; i++) {
        const struct sv_host_func *f = &m->funcs[i];
        unsigned names = 0;

        while (f->names && !(f->names & 1u << names))
            names++;
        add(&(struct func){.host = m,
                           .module = m->names[names].module,
                           .prefix = m->names[names].prefix,
                           .name = f->name,
                           .sig = f->sig},
            m->id);
    }
}

static void add_contracts(void)
{
    struct func f = {.host = &fuzz, .module = "ethereum", .prefix = ""};

    for (unsigned i = 0; fuzz_eei_get(i, &f.name, &f.sig); i++)
        add(&f, f.module);
}

/* ---- Rounds ---- */

static uint64_t argument(void)
{
    uint64_t how = fuzz_next(), small = how >> 8 & 31;

    switch (how & 15) {
    case 0:
    case 1:
    case 2:
        return small; /* descriptors, handles, flags, counts */
    case 3:
        return MEMORY - small;
    case 4:
        return UINT64_MAX - small;
    case 5:
    case 6:
        return small * 16; /* where words and structures lie */
    case 7:
        return (how >> 8) % MEMORY;
    case 8:
        return (uint64_t)1 << (how >> 8 & 63);
    case 9:
        return ((uint64_t)1 << (how >> 8 & 31)) - 1 - (small & 1);
    case 10:
        return UINT32_MAX - MEMORY + small;
    case 11:
        return small * 8 + 1;
    case 12:
        return 1024 + small * 24;
    case 13:
        return how >> 32;
    default:
        return fuzz_next();
    }
}

/* Words for paths, names and statements; then pairs of pointers and lengths; then noise. */
static void fill(uint8_t *memory)
{
    static const char words[] =
        "f\0..\0up/secret\0leak\0d/../f\0t/\0makes\0fifo\0abs/passwd\0new\0d/e/..\0http://"
        "127.0.0.1:1/\0true\0cat\0/bin/sh\0"
        "select 1\0insert into t values(?)\0create table t(a)\0127.0.0.1\0localhost\0GET\0a: b\r\n";

    memset(memory, 0, MEMORY);
    memcpy(memory, words, sizeof words);
    for (unsigned at = 1024; at < 4096; at += 8) {
        uint32_t pair[2] = {(uint32_t)argument(),
                            (uint32_t)(fuzz_next() % 3 ? fuzz_next() % 64 : argument())};

        memcpy(memory + at, pair, sizeof pair);
    }
    for (unsigned at = 4096; at < MEMORY; at += 64) {
        uint64_t v = argument();

        memcpy(memory + at, &v, sizeof v);
    }
}

static void call_one(struct guest *g, unsigned k)
{
    ssvm_val args[SIG_PARAMS], ret[SIG_PARAMS];
    struct func *f = &fuzz.funcs[k];
    size_t np = strcspn(f->sig, ":"), nr = strlen(f->sig + np + 1);
    uint64_t before;
    char name[16];

    if (!g->funcs[k]) {
        snprintf(name, sizeof name, "%u", k);
        g->funcs[k] = ssvm_instance_func(g->instance, name);
    }
    for (size_t i = 0; i < np; i++) {
        args[i].kind = f->sig[i] == 'i'   ? SSVM_I32
                       : f->sig[i] == 'I' ? SSVM_I64
                       : f->sig[i] == 'f' ? SSVM_F32
                                          : SSVM_F64;
        args[i].of.i64 = (int64_t)argument();
    }
    before = sv_clock_ns();
    ssvm_error_delete(ssvm_func_call(g->store, g->funcs[k], args, np, ret, nr));
    f->ns += sv_clock_ns() - before;
    f->calls++;
    if (f->host == &fuzz)
        fuzz_eei_called();
}

static bool is_done(const struct func *f)
{
    return f->calls >= fuzz.calls || f->ns >= fuzz.each_ns;
}

/* Mostly of the module of `behind`, whose handles then mean something. */
static unsigned choose(unsigned behind)
{
    unsigned first = behind, end = behind + 1, k;

    if (fuzz_next() % 4 == 0)
        return behind;
    while (first > 0 && fuzz.funcs[first - 1].host == fuzz.funcs[behind].host)
        first--;
    while (end < fuzz.n && fuzz.funcs[end].host == fuzz.funcs[behind].host)
        end++;
    k = fuzz_next() % 16 ? first + (unsigned)(fuzz_next() % (end - first))
                         : (unsigned)(fuzz_next() % fuzz.n);
    return is_done(&fuzz.funcs[k]) && fuzz.funcs[k].ns / fuzz.funcs[k].calls > SLOW_NS ? behind : k;
}

/* One store. */
static void round_of(unsigned number, unsigned behind)
{
    static struct guest g;

    if (number % ROUNDS_KEPT == 0) {
        lay_out();
        close_state();
        open_state();
    }
    check(open_guest(&g, fuzz.guests[number % 4 == 3]), "an instance");
    for (unsigned i = 0; i < ROUND_CALLS && !stopped; i++) {
        if (i % FILL_CALLS == 0)
            fill(ssvm_memory_data(ssvm_instance_memory(g.instance, "memory")));
        call_one(&g, choose(behind));
    }
    close_guest(&g);
    check_outside();
}

/* The function that was called least, of those that were not called enough. */
static bool least(unsigned *ret)
{
    bool found = false;

    for (unsigned i = 0; i < fuzz.n; i++) {
        if (is_done(&fuzz.funcs[i]) || (found && fuzz.funcs[i].calls >= fuzz.funcs[*ret].calls))
            continue;
        *ret = i;
        found = true;
    }
    return found;
}

static void tell(void)
{
    uint64_t all = 0, fewest = UINT64_MAX;
    unsigned full = 0, done = 0;

    for (unsigned i = 0; i < fuzz.n; i++) {
        const struct func *f = &fuzz.funcs[i];

        all += f->calls;
        full += f->calls >= fuzz.calls;
        done += is_done(f);
        if (f->calls < fewest)
            fewest = f->calls;
    }
    printf("fuzz-host: %u functions, %llu calls, at least %llu of each; %u were called %llu times, "
           "%u for %llu seconds\n",
           fuzz.n, (unsigned long long)all, (unsigned long long)fewest, full,
           (unsigned long long)fuzz.calls, done - full,
           (unsigned long long)(fuzz.each_ns == UINT64_MAX ? 0 : fuzz.each_ns / 1000000000));
    fflush(stdout);
}

static void run(uint64_t seconds)
{
    uint64_t end = seconds ? sv_clock_ns() + seconds * 1000000000 : UINT64_MAX;
    uint64_t told = sv_clock_ns();
    unsigned number = 0, behind = 0;

    while (!stopped && sv_clock_ns() < end && least(&behind)) {
        round_of(number++, behind);
        if (sv_clock_ns() - told < TELL_NS)
            continue;
        told = sv_clock_ns();
        tell();
    }
    for (unsigned i = 0; i < fuzz.n; i++) {
        const struct func *f = &fuzz.funcs[i];

        if (f->calls < fuzz.calls)
            printf("fuzz-host: %s %s%s: %llu calls in %.1f seconds\n", f->module, f->prefix,
                   f->name, (unsigned long long)f->calls, (double)f->ns / 1e9);
    }
    tell();
}

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

int main(int argc, char **argv)
{
    struct rlimit size = {FILE_BYTES, FILE_BYTES};
    ssvm_config config = SSVM_CONFIG_INIT;
    uint64_t each = 0, seconds = 0, seed = (uint64_t)time(NULL) | 1;

    fuzz.calls = 200;
    for (int i = 1; i < argc; i++) {
        uint64_t *to = strcmp(argv[i], "--calls") == 0     ? &fuzz.calls
                       : strcmp(argv[i], "--each") == 0    ? &each
                       : strcmp(argv[i], "--seconds") == 0 ? &seconds
                       : strcmp(argv[i], "--seed") == 0    ? &seed
                                                           : NULL;

        if (!to)
            fuzz.only = argv[i];
        else if (i + 1 < argc)
            *to = strtoull(argv[++i], NULL, 0);
    }
    fuzz.each_ns = each ? each * 1000000000 : UINT64_MAX;
    fuzz.random = seed ? seed : 1;
    printf("fuzz-host: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    setrlimit(RLIMIT_FSIZE, &size);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGTERM, stop);
    make_folder();
    config.tier = "interp";
    check(ssvm_engine_new(&config, &fuzz.engine), "engine");
    open_grants();
    sv_host_each(add_module, NULL);
    add_contracts();
    if (fuzz.n == 0)
        return 1;
    for (unsigned i = 0; i < SV_COUNT(fuzz.guests); i++)
        load(fuzz.funcs, fuzz.n, i > 0, &fuzz.guests[i]);
    run(seconds);
    for (unsigned i = 0; i < SV_COUNT(fuzz.guests); i++)
        ssvm_module_delete(fuzz.guests[i]);
    release_grants();
    ssvm_engine_delete(fuzz.engine);
    return 0;
}
