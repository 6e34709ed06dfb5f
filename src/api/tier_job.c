/* Compiling in the background: threads that wait, have it compiled, and tell the tier that runs.
 * What is compiled and where it is kept is tier.c's, children are tier_child.c's. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "api/tier.h"
#include "base/clock.h"

/* A program that ends sooner is not worth a compiler. */
#define PATIENCE_MS 8
/* From the first question of a function's frames to the choice of a loop. */
#define LOOP_PATIENCE_MS 10
/* Functions whose frames may wait for a loop at a time; others ask again. */
#define ASKED_MAX 16
/* Jobs, and bytes of their modules, between two looks at whose modules nobody uses any more. */
#define LOOK_EVERY 32
#define LOOK_BYTES (64U << 20)
/* At a time. Who waits for one is a job in the list: no thread, and no copy of the module. */
#define THREADS_MAX 4

/* One for each module and form. Its thread ends when nothing is left to do, and another is started
 * when it is its turn, or when frames ask. Under the tier's lock but for the module. */
struct sv_tier_job {
    struct sv_tier *tier;
    struct sv_engine *engine; /* not referenced: the tier goes first */
    struct sv_module *module; /* a reference */
    uint32_t form;
    bool started, running;
    bool left;        /* by all that used its module */
    pthread_t thread; /* of `started`; to be joined */
    uint64_t started_ns;
    struct sv_tier_progress progress;
    uint32_t asked[ASKED_MAX], nasked;
    struct sv_tier_job *next;
};

static void delete_jobs(own struct sv_tier_job *jobs)
{
    for (struct sv_tier_job *j = jobs, *next; j; j = next) {
        next = j->next;
        if (j->started)
            pthread_join(j->thread, NULL);
        sv_module_unref(j->module);
        sv_free(j);
    }
}

void sv_tier_stop(struct sv_tier *t)
{
    uint64_t one = 1;

    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    if (t->stop_fd >= 0 && write(t->stop_fd, &one, sizeof one) < 0)
        t->stop = true; /* it is readable already */
    pthread_mutex_unlock(&t->lock);
    delete_jobs(t->jobs);
    t->jobs = NULL;
}

/* ---- A job ---- */

/* NULL: there is none to be had. */
static own struct sv_native *make(const struct sv_tier_job *j, const struct sv_tier_code *c)
{
    struct sv_native *native = NULL;
    struct sv_err err = {0};

    if (j->tier->program)
        sv_tier_run_program(&err, j->tier, j->module, c, &native);
    else
        sv_tier_make(&err, j->tier, j->module, c, j->engine->features, &native);
    return native;
}

/* False: stopped. */
static bool wait_a_little(const struct sv_tier *t, int ms)
{
    struct pollfd fd = {.fd = t->stop_fd, .events = POLLIN};

    return poll(&fd, 1, ms) <= 0;
}

static void set_state(struct sv_tier_job *j, enum sv_tier_state state)
{
    pthread_mutex_lock(&j->tier->lock);
    j->progress.state = state;
    pthread_mutex_unlock(&j->tier->lock);
}

static bool make_module(struct sv_tier_job *j)
{
    struct sv_tier_code code = {.form = j->form};
    uint64_t begun;
    bool have;

    if (!wait_a_little(j->tier, PATIENCE_MS))
        return false;
    set_state(j, SV_TIER_COMPILES);
    begun = sv_clock_ns();
    have = sv_tier_set(j->tier, j->module, make(j, &code));
    if (have && j->engine->exec->native_ready)
        j->engine->exec->native_ready(j->module, j->form);
    pthread_mutex_lock(&j->tier->lock);
    j->progress.ready_ns = sv_clock_ns() - j->started_ns;
    j->progress.compile_ns = sv_clock_ns() - begun;
    j->progress.state = have ? SV_TIER_READY : SV_TIER_FAILED;
    pthread_mutex_unlock(&j->tier->lock);
    return have;
}

static void make_loop(struct sv_tier_job *j, uint32_t func)
{
    const struct sv_exec_ops *exec = j->engine->exec;
    struct sv_tier_code code = {.form = j->form, .func = func};
    struct sv_native *native;

    if (!wait_a_little(j->tier, LOOP_PATIENCE_MS))
        return;
    code.offset = exec->pick_loop(j->module, j->form, func);
    if (!code.offset)
        return;
    native = make(j, &code);
    if (native)
        sv_perf_map_add(j->tier, j->module, native, SV_NATIVE_LOOP);
    exec->loop_ready(j->module, j->form, func, code.offset, native);
    pthread_mutex_lock(&j->tier->lock);
    j->progress.loops += native != NULL;
    pthread_mutex_unlock(&j->tier->lock);
    sv_native_unref(native);
}

static void start_next(struct sv_tier *t);

/* The next function that asks; false: none, the thread is to end. The last one's frames run most
 * likely. */
static bool next_asked(struct sv_tier_job *j, uint32_t *ret)
{
    bool any;

    pthread_mutex_lock(&j->tier->lock);
    any = j->nasked > 0 && !j->tier->stop;
    if (any)
        *ret = j->asked[--j->nasked];
    if (!any) {
        j->running = false;
        j->tier->nthreads--;
        start_next(j->tier);
    }
    pthread_mutex_unlock(&j->tier->lock);
    return any;
}

static void *work(void *arg)
{
    struct sv_tier_job *j = arg;
    uint32_t func;

    if (j->progress.state == SV_TIER_WAITS)
        make_module(j);
    while (next_asked(j, &func))
        make_loop(j, func);
    return NULL;
}

/* If there may be another. With the lock, and the thread before joined. */
static void start_thread(struct sv_tier_job *j)
{
    sigset_t all, old;

    if (j->tier->stop || j->tier->nthreads == THREADS_MAX)
        return;
    if (j->started)
        pthread_join(j->thread, NULL); /* it has said its last */
    /* The host's signals are not for this thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    j->started = j->running = pthread_create(&j->thread, NULL, work, j) == 0;
    j->tier->nthreads += j->running;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static struct sv_tier_job *find_job(struct sv_tier *t, const struct sv_module *m, uint32_t form)
{
    struct sv_tier_job *j = t->jobs;

    while (j && (j->module != m || j->form != form))
        j = j->next;
    return j;
}

/* With the lock. NULL: out of memory. */
static struct sv_tier_job *add_job(struct sv_tier *t, struct sv_engine *e, struct sv_module *m,
                                   uint32_t form, enum sv_tier_state state)
{
    struct sv_tier_job *j = sv_alloc_zero(sizeof *j);

    if (!j)
        return NULL;
    *j = (struct sv_tier_job){.tier = t,
                              .engine = e,
                              .module = sv_module_ref(m),
                              .form = form,
                              .started_ns = sv_clock_ns(),
                              .progress.state = state,
                              .next = t->jobs};
    t->jobs = j;
    t->njobs++;
    t->bytes += m->wasm_len;
    return j;
}

/* Nobody but jobs that have ended holds its module. With the lock. */
static bool is_nobodys(const struct sv_tier *t, const struct sv_tier_job *job)
{
    uint32_t held = atomic_load(&job->module->refs);

    for (const struct sv_tier_job *j = t->jobs; j; j = j->next) {
        if (j->module == job->module && !j->running)
            held--;
    }
    return held == 0;
}

/* Frames that run come first; then who has waited longest. With the lock. */
static void start_next(struct sv_tier *t)
{
    struct sv_tier_job *next = NULL;

    /* Who stops the tier takes the list apart, without the lock. */
    for (struct sv_tier_job *j = t->stop ? NULL : t->jobs; j; j = j->next) {
        if (j->running)
            continue;
        if (j->nasked > 0) {
            next = j;
            break;
        }
        if (j->progress.state == SV_TIER_WAITS && !is_nobodys(t, j))
            next = j;
    }
    if (next)
        start_thread(next);
}

/* Jobs whose modules are theirs alone, out of the list: a server that is deployed to for ever would
 * keep each version. With the lock. */
static own struct sv_tier_job *take_nobodys(struct sv_tier *t)
{
    struct sv_tier_job *taken = NULL, **p = &t->jobs;

    if (t->njobs < t->look_at && t->bytes < LOOK_BYTES)
        return NULL;
    for (struct sv_tier_job *j = t->jobs; j; j = j->next)
        j->left = !j->running && is_nobodys(t, j);
    while (*p) {
        struct sv_tier_job *j = *p;

        if (j->left) {
            *p = j->next;
            j->next = taken;
            taken = j;
            t->njobs--;
        } else {
            p = &j->next;
        }
    }
    t->look_at = t->njobs + LOOK_EVERY;
    t->bytes = 0;
    return taken;
}

void sv_tier_start(struct sv_tier *t, struct sv_engine *e, struct sv_module *m, uint32_t form)
{
    struct sv_tier_job *j, *left = NULL;

    pthread_mutex_lock(&t->lock);
    j = t->stop ? NULL : add_job(t, e, m, form, SV_TIER_WAITS);
    if (j) {
        start_thread(j);
        left = take_nobodys(t);
    }
    pthread_mutex_unlock(&t->lock);
    delete_jobs(left);
}

void sv_tier_ask_loop(struct sv_engine *e, struct sv_module *m, uint32_t form, uint32_t func)
{
    struct sv_tier *t = e->tier;
    struct sv_tier_job *j;
    bool there = false;

    pthread_mutex_lock(&t->lock);
    j = t->stop ? NULL : find_job(t, m, form);
    if (j) {
        for (uint32_t i = 0; i < j->nasked; i++)
            there = there || j->asked[i] == func;
        if (!there && j->nasked < ASKED_MAX)
            j->asked[j->nasked++] = func;
        if (!j->running)
            start_thread(j);
    }
    pthread_mutex_unlock(&t->lock);
}

void sv_tier_progress(struct sv_tier *t, const struct sv_module *m, uint32_t form,
                      struct sv_tier_progress *ret)
{
    const struct sv_tier_job *j;

    *ret = (struct sv_tier_progress){.state = SV_TIER_NONE};
    pthread_mutex_lock(&t->lock);
    j = find_job(t, m, form);
    if (j)
        *ret = j->progress;
    pthread_mutex_unlock(&t->lock);
}
