/* host-socket.so: the module itself, its state in a store, and what all functions share. What they
 * do is in the files beside. */
#include "host/socket/guest.h"

#include "sv_build_id.h"

const struct sv_host_services *services;

/* ---- The back end ---- */

static int wait_for(const struct ssvm_socket_op *op, int fd, short events)
{
    struct ask *a = (struct ask *)op;
    struct pollfd fds[2] = {{.fd = fd, .events = events}};
    int ready = 0, r = VFS->wait(a->call->th, fds, 1, -1, &ready);

    if (r == 0)
        return ready > 0 ? 0 : ETIMEDOUT;
    a->ended = r;
    return EINTR;
}

int ask_begin(struct ask *a, struct state *s, struct sv_call *c)
{
    const struct ssvm_socket_backend *b = s->grant.backend;

    memset(a, 0, sizeof *a);
    a->op.deadline_ns = c->th->deadline_ns ? c->th->deadline_ns : UINT64_MAX;
    a->op.wait = wait_for;
    a->call = c;
    if (s->open)
        return 0;
    s->session = s->grant.data;
    if (b->open) {
        int r = b->open(s->grant.data, s->grant.store_data ? s->grant.store_data(s->store) : NULL,
                        &s->session);
        if (r < 0)
            return ask_result(a, r);
    }
    s->open = true;
    return 0;
}

int ask_result(const struct ask *a, int64_t r)
{
    if (a->ended)
        return a->ended;
    if (r >= 0)
        return 0;
    return r < -4095 ? SV_WASI_EIO : VFS->error((int)-r);
}

/* ---- Sockets ---- */

int socket_find(struct state *s, uint32_t fd, uint32_t need, struct sv_vfs_file **ret)
{
    return VFS->find_socket(s->wasi, fd, need, ret);
}

/* The place of a peer, by socket, address and port. */
static unsigned place_of(int fd, const struct address *a)
{
    const uint8_t *p = (const uint8_t *)&a->any;
    uint32_t hash = 2166136261U ^ (uint32_t)fd;

    for (socklen_t i = 0; i < a->len; i++)
        hash = (hash ^ p[i]) * 16777619U;
    return (hash ^ hash >> 16) % SOCKET_HEARD;
}

void heard_note(struct state *s, int fd, const struct address *from)
{
    if (!s->heard)
        s->heard = sv_alloc_array_zero(SOCKET_HEARD, sizeof *s->heard);
    if (s->heard)
        s->heard[place_of(fd, from)] = (struct heard){fd, *from};
}

bool heard_find(const struct state *s, int fd, const struct address *to)
{
    const struct heard *h = s->heard ? &s->heard[place_of(fd, to)] : NULL;

    return h && h->fd == fd && h->from.len == to->len &&
           memcmp(&h->from.any, &to->any, to->len) == 0;
}

/* ---- The module ---- */

/* One C signature for the linker around each function. */
#define FUNC(name, impl, sig, cost, doc)                                                           \
    static int call_##name##_##impl(struct sv_call *c, const union sv_slot *arg,                   \
                                    union sv_slot *ret)                                            \
    {                                                                                              \
        int e = impl(c->data, c, arg);                                                             \
        if (e < 0)                                                                                 \
            return e;                                                                              \
        ret->i32 = (uint32_t)e;                                                                    \
        return 0;                                                                                  \
    }
#include "host/socket/socket.def"
#undef FUNC

static const struct sv_host_func funcs[] = {
#define FUNC(name, impl, sig, cost, doc) {#name, call_##name##_##impl, sig, cost, doc, 0},
#include "host/socket/socket.def"
#undef FUNC
};

static void socket_close(void *state)
{
    struct state *s = state;

    if (s->open && s->grant.backend->close)
        s->grant.backend->close(s->session);
    edges_delete(s->edges);
    sv_free(s->heard);
    sv_free(s);
}

static int socket_open(struct sv_err *err, struct sv_store *store, const void *grant, void **ret)
{
    struct state *s = sv_alloc_zero(sizeof *s);
    int r = 0;

    if (!s)
        return sv_fail_nomem(err, "host module");
    s->grant = *(const struct sv_socket_grant *)grant;
    s->store = store;
    s->wasi = VFS->of_store(store);
    if (!s->wasi)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "sockets need WASI, defined before them");
    if (r == 0 && !s->grant.backend) {
        s->grant.backend = &local_backend;
        r = local_new(err, grant, &s->session);
        s->open = r == 0;
    }
    if (r < 0) {
        sv_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static const struct sv_host_module module = {
    .id = "sockets",
    .grant = "--allow-connect HOST:PORT, --allow-listen ADDR:PORT, --allow-af-unix",
    .names = {{"wasi_snapshot_preview1", ""}},
    .funcs = funcs,
    .nfuncs = SV_COUNT(funcs),
    .open = socket_open,
    .close = socket_close,
    .on_wasi = true,
};
static const struct sv_host_module *const modules[] = {&module};
SV_HOST_PART_IS(modules, &services);
