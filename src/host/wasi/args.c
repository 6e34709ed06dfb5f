/* Arguments and variables: kept packed as the guest wants them. */
#include "host/wasi/vfs.h"

/* n addresses at `list`, the strings at `bytes`. */
static int give(struct sv_call *c, const char *packed, uint32_t n, uint32_t len, uint32_t list,
                uint32_t bytes)
{
    uint8_t *to_list, *to_bytes;
    uint32_t i, at = 0;

    if (!sv_call_slice(c, list, (uint64_t)n * 4, &to_list) ||
        !sv_call_slice(c, bytes, len, &to_bytes))
        return SV_WASI_EFAULT;
    for (i = 0; i < n; i++) {
        uint32_t address = bytes + at;
        memcpy(to_list + (size_t)i * 4, &address, 4);
        at += (uint32_t)strlen(packed + at) + 1;
    }
    memcpy(to_bytes, packed, len);
    return 0;
}

static int give_sizes(struct sv_call *c, uint32_t n, uint32_t len, uint32_t ret_n, uint32_t ret_len)
{
    void *p, *q;

    if (!sv_call_slice(c, ret_n, 4, &p) || !sv_call_slice(c, ret_len, 4, &q))
        return SV_WASI_EFAULT;
    memcpy(p, &n, 4);
    memcpy(q, &len, 4);
    return 0;
}

int sv_wasi_args_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return give(c, w->args, w->nargs, w->args_len, arg[0].i32, arg[1].i32);
}

int sv_wasi_args_sizes_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return give_sizes(c, w->nargs, w->args_len, arg[0].i32, arg[1].i32);
}

int sv_wasi_environ_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return give(c, w->env, w->nenv, w->env_len, arg[0].i32, arg[1].i32);
}

int sv_wasi_environ_sizes_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return give_sizes(c, w->nenv, w->env_len, arg[0].i32, arg[1].i32);
}
