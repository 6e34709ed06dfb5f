/* Starting, ending and joining the threads of a guest, and what they share of its limits. Waiting
 * for each other is the guest's own business (wait.c). */
#include "runtime/threads.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "runtime/signal.h"

/* Of an OS thread: host functions run on it, guest code does not. */
#define HOST_STACK ((size_t)1 << 20)
#define ID_MAX ((UINT32_C(1) << 29) - 1)
/* Who does not end when told is told again after this long. */
#define AGAIN_NS 10000000L
#define NS_PER_S 1000000000L

struct sv_guest {
    struct sv_guest *next;
    struct sv_threads *all;
    struct sv_store *store;
    struct sv_func *start; /* wasi_thread_start */
    pthread_t os;
    uint32_t id, start_arg;
};

static own struct sv_threads *new_threads(struct sv_thread *first,
                                          const struct sv_threads_grant *grant)
{
    struct sv_threads *g = sv_alloc_zero(sizeof *g);
    pthread_condattr_t attr;

    if (!g)
        return NULL;
    pthread_mutex_init(&g->host, NULL);
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->left, &attr);
    pthread_condattr_destroy(&attr);
    g->grant = *grant;
    g->first = first;
    atomic_init(&g->busy, 1);
    if (first->cpu_left_ns != UINT64_MAX) {
        uint64_t now = sv_clock_thread_ns(), used = now - first->cpu_start_ns;
        uint64_t left = used < first->cpu_left_ns ? first->cpu_left_ns - used : 0;

        atomic_init(&g->cpu_left_ns, left > INT64_MAX ? INT64_MAX : (int64_t)left);
        first->cpu_seen_ns = now;
    }
    return g;
}

static void delete_threads(own struct sv_threads *g)
{
    pthread_cond_destroy(&g->left);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->host);
    sv_free(g);
}

static void delete_guest(own struct sv_guest *t)
{
    struct sv_store *s = t->store;

    if (s && s->host_data && t->all->grant.detach)
        t->all->grant.detach(s);
    sv_store_delete(s);
    t->store = NULL;
}

static void join_all(own struct sv_guest *dead)
{
    struct sv_guest *next;

    for (; dead; dead = next) {
        next = dead->next;
        pthread_join(dead->os, NULL);
        sv_free(dead);
    }
}

/* With the lock: stop everybody who runs. */
static void interrupt_all(struct sv_threads *g)
{
    sv_thread_interrupt(g->first, SV_INTERRUPT_ENDED);
    for (struct sv_guest *t = g->running; t; t = t->next)
        sv_thread_interrupt(&t->store->thread, SV_INTERRUPT_ENDED);
}

/* With the lock: th has ended all with result r, unless another one was first. */
static void end_with(struct sv_threads *g, struct sv_thread *th, int r)
{
    if (g->ended)
        return;
    g->ended = true;
    /* An exception lives in its thread's store: it goes no further. */
    if (r == SV_EEXCEPTION && th != g->first)
        r = sv_trap_set(th, SV_TRAP_HOST, "a thread of the guest ended by an uncaught exception");
    g->result = r;
    if (th != g->first) {
        g->exit_code = th->exit_code;
        g->trap = th->trap;
        th->trap = (struct sv_trap){0}; /* its frames' modules have moved along */
    }
    interrupt_all(g);
}

/* With the lock: what a thread has used, and what it leaves to others. */
static void gas_back(struct sv_threads *g, const struct sv_thread *th)
{
    uint64_t left = th->gas > 0 ? (uint64_t)th->gas : 0;

    if (!th->store->metered)
        return; /* th->gas means nothing */
    g->gas_used += th->gas_limit - left;
    if (th->gas_limit != INT64_MAX)
        g->gas_spare += left;
}

static void *run_guest(void *arg)
{
    struct sv_guest *t = arg, **at;
    struct sv_threads *g = t->all;
    struct sv_thread *th = &t->store->thread, *first = g->first;
    union sv_slot args[2] = {{.i32 = t->id}, {.i32 = t->start_arg}};
    int r = sv_func_call(th, t->start, args);

    pthread_mutex_lock(&g->lock);
    if (r != 0)
        end_with(g, th, r);
    for (at = &g->running; *at != t; at = &(*at)->next)
        ;
    *at = t->next;
    t->next = g->dead;
    g->dead = t;
    g->n--;
    atomic_fetch_sub(&g->busy, 1);
    gas_back(g, th);
    first->store->threads_host_calls += sv_store_host_calls(th->store);
    first->store->threads_cpu_ns += sv_clock_thread_ns();
    pthread_cond_signal(&g->left);
    pthread_mutex_unlock(&g->lock);
    /* Before we are joined. */
    delete_guest(t);
    return NULL;
}

static void give_gas(struct sv_thread *th, uint64_t gas)
{
    th->gas += (int64_t)gas;
    th->gas_limit += gas;
}

/* ---- Making one ---- */

/* The caller's import i, in the store of a new thread. */
static int import_again(struct sv_err *err, const struct sv_instance *from, const uint32_t at[],
                        enum sv_extern_kind kind, struct sv_store *s, struct sv_extern *ret)
{
    const struct sv_func *f;

    *ret = (struct sv_extern){.kind = kind};
    switch (kind) {
    case SV_EXTERN_FUNC:
        f = from->funcs[at[kind]];
        if (f && !f->inst)
            ret->func =
                sv_func_new_host(s, f->type, f->host.fn, f->host.data, f->host.name, f->cost);
        break;
    case SV_EXTERN_MEMORY:
        if (from->memories[at[kind]]->shared)
            ret->memory = from->memories[at[kind]];
        break;
    case SV_EXTERN_GLOBAL:
        if (!from->globals[at[kind]]->type.mut &&
            !sv_valtype_is_ref(from->globals[at[kind]]->type.type))
            ret->global =
                sv_global_new(s, from->globals[at[kind]]->type, &from->globals[at[kind]]->value);
        break;
    default:
        break;
    }
    if (ret->ptr)
        return 0;
    return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                   "a thread cannot have the module's imports: only host functions, shared "
                   "memories and constants are possible");
}

static int imports_again(struct sv_err *err, const struct sv_instance *from, struct sv_store *s,
                         struct sv_extern *ret)
{
    const struct sv_module *m = from->module;
    uint32_t at[SV_EXTERN_COUNT] = {0};

    for (uint32_t i = 0; i < m->nimports; i++) {
        int r = import_again(err, from, at, m->imports[i].kind, s, &ret[i]);

        if (r < 0)
            return r;
        at[m->imports[i].kind]++;
    }
    return 0;
}

/* The instance and its `wasi_thread_start`. */
static int make_instance(struct sv_err *err, const struct sv_instance *from, struct sv_guest *t)
{
    static const char name[] = "wasi_thread_start";
    struct sv_extern *imports = NULL, x = {0};
    struct sv_instance *inst = NULL;
    struct sv_module *m = from->module;
    int r;

    if (!m->nmemories || !from->memory0->shared || !m->nimports_of[SV_EXTERN_MEMORY])
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "a thread needs a module that imports a shared memory");
    imports = sv_alloc_array(m->nimports, sizeof *imports);
    if (!imports)
        return sv_fail_nomem(err, "the imports of a thread");
    r = imports_again(err, from, t->store, imports);
    if (r == 0)
        r = sv_instance_new(err, t->store, m, imports, &inst);
    sv_free(imports);
    if (r < 0)
        return r;
    if (!sv_instance_export(inst, sv_str_of(name), &x) || x.kind != SV_EXTERN_FUNC || !x.func ||
        x.func->type->func.nparams != 2 || x.func->type->func.nresults ||
        x.func->type->func.params[0] != SV_VALTYPE(SV_VAL_I32) ||
        x.func->type->func.params[1] != SV_VALTYPE(SV_VAL_I32))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "a thread needs the module's export '%s' of type (i32, i32) -> ()", name);
    t->start = x.func;
    return 0;
}

/* A store like the caller's. Gas: `gas` of the caller's. */
static int make_store(struct sv_err *err, struct sv_thread *th, uint64_t gas, struct sv_guest *t)
{
    struct sv_store *from = th->store, *s;
    struct sv_store_limits l = from->limits;
    int r;

    /* Objects are each store's own: all threads' together are at most as much as the first's. */
    l.gc_heap_bytes /= t->all->grant.max + 1;
    r = sv_store_new(err, from->engine, &l, &s);
    if (r < 0)
        return r;
    t->store = s;
    s->first = from->first;
    s->metered = from->metered;
    s->fine_clock = from->fine_clock;
    s->thread.notes_begin = th->notes_begin;
    s->thread.gas_limit = gas;
    s->thread.gas = (int64_t)gas;
    s->thread.threads = t->all;
    s->thread.deadline_ns = th->deadline_ns;
    s->thread.cpu_left_ns = th->cpu_left_ns;
    if (t->all->grant.attach && !t->all->grant.attach(s, from->first))
        return sv_fail_nomem(err, "a thread");
    return 0;
}

/* Signals are for the threads that the embedder made. */
static int start_os(struct sv_guest *t)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int e = pthread_attr_init(&attr);

    if (e)
        return e;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = pthread_attr_setstacksize(&attr, HOST_STACK);
    if (!e)
        e = pthread_create(&t->os, &attr, run_guest, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return e;
}

static bool id_taken(const struct sv_threads *g, uint32_t id)
{
    for (const struct sv_guest *t = g->running; t; t = t->next)
        if (t->id == id)
            return true;
    return false;
}

/* With the lock. From here on it may end at any time. */
static int launch(struct sv_err *err, struct sv_threads *g, struct sv_guest *t)
{
    int e;

    do
        g->last_id = g->last_id == ID_MAX ? 1 : g->last_id + 1;
    while (id_taken(g, g->last_id));
    t->id = g->last_id;
    t->next = g->running;
    g->running = t;
    atomic_fetch_add(&g->busy, 1);
    e = start_os(t);
    if (!e)
        return 0;
    g->running = t->next;
    atomic_fetch_sub(&g->busy, 1);
    return sv_fail(err, SV_ENOMEM, SV_NO_OFFSET, "the system has no thread: %s",
                   strerrordesc_np(e));
}

/* With the lock. Where gas is limited, what a new thread gets of the caller's: each of those that
 * may still come gets as much as the caller keeps. */
static uint64_t take_gas(struct sv_threads *g, struct sv_thread *th)
{
    uint64_t share;

    if (!th->store->metered)
        return 0;
    if (th->gas_limit == INT64_MAX)
        return INT64_MAX;
    give_gas(th, g->gas_spare);
    g->gas_spare = 0;
    share = th->gas > 0 ? (uint64_t)th->gas / (g->grant.max - g->n + 1) : 0;
    th->gas -= (int64_t)share;
    th->gas_limit -= share;
    return share;
}

static int take_place(struct sv_err *err, struct sv_threads *g, struct sv_thread *th,
                      uint64_t *ret_gas, own struct sv_guest **ret_dead)
{
    int r = 0;

    pthread_mutex_lock(&g->lock);
    *ret_dead = g->dead;
    g->dead = NULL;
    if (g->ended) {
        r = sv_fail(err, SV_ETRAP, SV_NO_OFFSET, "the guest has ended");
    } else if (g->n >= g->grant.max) {
        r = sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the guest may have %u threads beside its first",
                    g->grant.max);
    } else {
        *ret_gas = take_gas(g, th);
        g->n++;
    }
    pthread_mutex_unlock(&g->lock);
    return r;
}

static int start(struct sv_err *err, struct sv_threads *g, const struct sv_call *c,
                 uint32_t start_arg, uint32_t *ret_id)
{
    struct sv_guest *dead, *t;
    uint64_t gas = 0;
    int r = take_place(err, g, c->th, &gas, &dead);

    join_all(dead);
    if (r < 0)
        return r;
    t = sv_alloc_zero(sizeof *t);
    if (t) {
        t->all = g;
        t->start_arg = start_arg;
        r = make_store(err, c->th, gas, t);
    } else {
        r = sv_fail_nomem(err, "a thread");
    }
    if (r == 0)
        r = make_instance(err, c->inst, t);
    pthread_mutex_lock(&g->lock);
    /* A start function that trapped, or ended the guest, has done so for all. */
    if ((r == SV_ETRAP || r == SV_EEXIT || r == SV_EEXCEPTION) && sv_thread_ok(c->th))
        end_with(g, &t->store->thread, r);
    if (r == 0)
        r = launch(err, g, t);
    if (r == 0) {
        *ret_id = t->id;
    } else {
        g->n--;
        if (t && t->store)
            gas_back(g, &t->store->thread);
        else if (gas != INT64_MAX)
            g->gas_spare += gas;
    }
    pthread_mutex_unlock(&g->lock);
    if (r < 0 && t) {
        delete_guest(t);
        sv_free(t);
    }
    return r;
}

int sv_threads_start(struct sv_err *err, struct sv_call *c, const struct sv_threads_grant *grant,
                     uint32_t start_arg, uint32_t *ret_id)
{
    struct sv_thread *th = c->th;
    bool held;
    int r;

    if (!c->inst)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a thread is started by a guest");
    if (!th->threads) {
        th->threads = new_threads(th, grant);
        if (!th->threads)
            return sv_fail_nomem(err, "threads");
    }
    held = sv_threads_let(th);
    r = start(err, th->threads, c, start_arg, ret_id);
    if (held)
        sv_threads_take(th);
    return r;
}

/* ---- The end ---- */

/* With the lock. */
static void wait_for_all(struct sv_threads *g)
{
    struct timespec until;

    while (g->running) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += AGAIN_NS;
        if (until.tv_nsec >= NS_PER_S) {
            until.tv_nsec -= NS_PER_S;
            until.tv_sec++;
        }
        if (pthread_cond_timedwait(&g->left, &g->lock, &until) == ETIMEDOUT)
            interrupt_all(g);
    }
}

int sv_threads_end(struct sv_thread *first, int r)
{
    struct sv_threads *g = first->threads;
    bool mine;

    pthread_mutex_lock(&g->lock);
    mine = !g->ended;
    end_with(g, first, r);
    wait_for_all(g);
    pthread_mutex_unlock(&g->lock);
    join_all(g->dead);
    first->threads = NULL;
    if (first->gas_limit == INT64_MAX) {
        first->gas -= (int64_t)g->gas_used;
    } else {
        give_gas(first, g->gas_spare);
        first->gas_limit += g->gas_used;
    }
    if (first->cpu_left_ns != UINT64_MAX) {
        int64_t left = atomic_load(&g->cpu_left_ns);

        first->cpu_left_ns = left > 0 ? (uint64_t)left : 0;
    }
    atomic_fetch_and(&first->interrupt, ~(uint32_t)SV_INTERRUPT_ENDED);
    if (!mine) {
        r = g->result;
        sv_trap_clear(&first->trap);
        first->trap = g->trap;
        first->exit_code = g->exit_code;
    }
    delete_threads(g);
    return r;
}
