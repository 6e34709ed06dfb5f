/* The way into the guest from C, and out of it to host functions. Not how guest code runs: that is
 * a tier's. */
#include <pthread.h>
#include <string.h>

#include "runtime/exec.h"
#include "runtime/native.h"
#include "runtime/signal.h"
#include "runtime/threads.h"

/* A nested entry is refused when less than this is left of the C stack: room for a tier's C code
 * and the host functions. */
#define HOST_ROOM (96u << 10)
/* Where the C stack's bounds are unknown (embedders with fibers that did not say): this much from
 * the outermost entry on. */
#define HOST_DEFAULT (512u << 10)
/* Nearer to the outermost entry than this the bounds are not even asked for. */
#define HOST_FREE (16u << 10)

static void find_host_stack(struct sv_os_thread *self)
{
    pthread_attr_t attr;
    void *low;
    size_t size;

    self->host_low = self->host_high = 1; /* asked */
    if (pthread_getattr_np(pthread_self(), &attr))
        return;
    if (pthread_attr_getstack(&attr, &low, &size) == 0) {
        self->host_low = (uintptr_t)low;
        self->host_high = (uintptr_t)low + size;
    }
    pthread_attr_destroy(&attr);
}

bool sv_host_stack_low(struct sv_thread *th)
{
    struct sv_os_thread *self = &sv_os_self;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (th->host_low)
        return here < th->host_low + HOST_ROOM;
    if (th->host_base - here < HOST_FREE)
        return false;
    if (!self->host_low)
        find_host_stack(self);
    if (here > self->host_low && here < self->host_high)
        return here < self->host_low + HOST_ROOM;
    return th->host_base - here > HOST_DEFAULT;
}

struct call {
    struct sv_thread *th;
    struct sv_func *f;
    union sv_slot *args;
    bool outermost;
};

static int run(void *arg)
{
    struct call *c = arg;

    if (c->outermost)
        sv_interrupt_begin(c->th);
    if (!sv_thread_ok(c->th))
        return sv_thread_interrupted(c->th);
    return c->f->entry(c->th, c->f, c->args);
}

void sv_thread_frames(struct sv_thread *th, struct sv_backtrace *b)
{
    const struct sv_exec_ops *exec = th->store->engine->exec;
    const void *ip = th->ip;
    union sv_slot *fp = th->fp;
    struct sv_instance *inst = th->inst;

    for (const struct sv_entry *e = th->entry; e; e = e->outer) {
        if (e->native)
            sv_native_frames(th, e, ip, fp, b);
        else if (exec)
            exec->frames(th, ip, fp, inst, b);
        ip = e->ip;
        fp = e->fp;
        inst = e->inst;
    }
}

static void take_backtrace(struct sv_thread *th, int r)
{
    struct sv_backtrace b = {0};

    /* An exception may still be caught further out; its backtrace is taken once. */
    if (r == SV_EEXCEPTION && th->depth > 1)
        return;
    if (th->trap.nframes == 0) {
        sv_thread_frames(th, &b);
        b = (struct sv_backtrace){.trap = &th->trap, .total = b.n};
        sv_thread_frames(th, &b);
    }
    th->native_leaf = NULL;
    th->native_offset = 0;
}

int sv_func_call(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    struct call c = {.th = th, .f = f, .args = args, .outermost = th->depth == 0};
    union sv_slot *sp = th->sp, *fp = th->fp;
    struct sv_instance *inst = th->inst;
    const void *ip = th->ip;
    struct sv_entry *entry = th->entry;
    void *host_sp = th->host_sp, *native_sp = th->native_sp;
    bool held;
    int r;

    if (c.outermost) {
        if (sv_trap_init_thread(NULL) < 0)
            return SV_ENOMEM;
        th->exn = SV_REF_NULL;
    } else if (th->depth >= SV_CALL_DEPTH_MAX || sv_host_stack_low(th)) {
        return sv_trap_raise(th, SV_TRAP_STACK);
    }
    if (th->trap.code || th->trap.nframes)
        sv_trap_clear(&th->trap); /* of the call before, or one that a host function swallowed */
    if (f->store != th->store)
        return sv_trap_set(th, SV_TRAP_HOST, "a function of another store was called");
    th->depth++;
    held = sv_threads_let(th);
    r = sv_trap_guard(th, run, &c);
    if (held)
        sv_threads_take(th);
    if (c.outermost)
        sv_interrupt_end(th);
    if (r == SV_ETRAP || r == SV_EEXCEPTION)
        take_backtrace(th, r);
    if (c.outermost && th->threads && th->threads->first == th)
        r = sv_threads_end(th, r);
    th->depth--;
    th->sp = sp;
    th->fp = fp;
    th->ip = ip;
    th->inst = inst;
    th->entry = entry;
    th->host_sp = host_sp;
    th->native_sp = native_sp;
    return r;
}

int sv_host_end(struct sv_thread *th, int r)
{
    switch (r) {
    case SV_OK:
        if (th->trap.code)
            sv_trap_clear(
                &th->trap); /* the function dealt with the failure of a call that it made */
        return sv_thread_ok(th) ? 0 : sv_thread_interrupted(th);
    case SV_EEXIT:
    case SV_EEXCEPTION:
    case SV_ENOMEM:
        return r;
    default:
        return sv_trap_raise(th, SV_TRAP_HOST);
    }
}

/* sv_func.entry of every host function. Native code has a shorter way (native_entry.c), and the
 * interpreter (slow_call.c). */
static int enter_host(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    return sv_host_call(th, th->inst, f, args);
}

struct sv_func *sv_func_new_host(struct sv_store *s, const struct sv_type *type, sv_host_fn *fn,
                                 void *data, const char *name, uint32_t cost)
{
    struct sv_func *f = sv_arena_zero(&s->arena, sizeof *f);

    if (!f)
        return NULL;
    f->host.name = name ? sv_arena_strndup(&s->arena, name, strlen(name)) : "host function";
    if (!f->host.name)
        return NULL;
    f->entry = enter_host;
    f->out = sv_native_helpers[SV_NATIVE_CALL_HOST];
    f->type = type;
    f->cost = cost;
    f->store = s;
    f->host.fn = fn;
    f->host.data = data;
    f->next_host = s->host_funcs;
    s->host_funcs = f;
    return f;
}
