/* wasi-threads as a host module. Not the threads themselves (runtime/threads.c). */
#include "host/threads/threads.h"

#include "host/wasi/abi.h"

struct state {
    struct sv_store *store; /* of the guest's first thread */
    struct sv_threads_grant grant;
};

/* (start_arg) -> the thread's number, or a negative one when there is no room for it. */
static int thread_spawn(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct state *s = c->data;
    struct sv_err err = {0};
    uint32_t id = 0;
    int r = c->th->threads ? 0 : sv_host_share(&err, s->store);

    if (r == 0)
        r = sv_threads_start(&err, c, &s->grant, arg[0].i32, &id);
    switch (r) {
    case SV_OK:
        ret->i32 = id;
        return 0;
    case SV_ELIMIT:
    case SV_ENOMEM:
        ret->i32 = -(uint32_t)SV_WASI_EAGAIN;
        return 0;
    case SV_ETRAP:
    case SV_EEXIT:
    case SV_EEXCEPTION:
        return sv_thread_interrupted(c->th);
    default:
        return sv_call_trap(c, "%s", err.text);
    }
}

static const struct sv_host_func threads_funcs[] = {
    {"thread-spawn", thread_spawn, "i:i", 5000, "start a thread", 0},
};

static int threads_open(struct sv_err *err, struct sv_store *store, const void *grant,
                        void **ret_state)
{
    struct state *s = sv_alloc(sizeof *s);

    if (!s)
        return sv_fail_nomem(err, "threads");
    *s = (struct state){.store = store, .grant = *(const struct sv_threads_grant *)grant};
    *ret_state = s;
    return 0;
}

static void threads_close(void *state)
{
    sv_free(state);
}

const struct sv_host_module sv_host_threads = {
    .id = "threads",
    .grant = "--threads N",
    .names = {{"wasi", ""}},
    .funcs = threads_funcs,
    .nfuncs = SV_COUNT(threads_funcs),
    .open = threads_open,
    .close = threads_close,
};

bool sv_threads_define_memory(void *arg, struct sv_store *store, const struct sv_module *module,
                              const struct sv_import *import, struct sv_extern *ret)
{
    const struct sv_memory_type *type;
    struct sv_extern x = {.kind = SV_EXTERN_MEMORY};

    if (import->kind != SV_EXTERN_MEMORY)
        return false;
    type = &module->memories[import->index];
    if (!type->limits.shared || sv_memory_new(NULL, store, type, NULL, NULL, &x.memory) < 0 ||
        sv_linker_define(NULL, arg, import->module, import->name, x) < 0)
        return false;
    *ret = x;
    return true;
}
