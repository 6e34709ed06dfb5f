/* host-state.so: the module `ssvm_state`. Here are the module itself, calls and handles; what the
 * functions ask for is in the files beside. */
#include "host/state/guest.h"

#include <stdio.h>

#include "host/state/storage.h"
#include "sv_build_id.h"

#define HANDLES_DEFAULT 64
#define BYTES_DEFAULT ((uint64_t)16 << 20)
#define ROOM_FIRST 256 /* bytes of a part, at first */
#define PLACE_BITS 8   /* of a handle's number; STATE_HANDLES_MAX */
#define USES_MASK 0x7fffffU

_Static_assert(1 << PLACE_BITS == STATE_HANDLES_MAX, "a handle's number has its place");

static const char *code_text(int code)
{
    switch (code) {
#define CODE(name, number, text)                                                                   \
    case number:                                                                                   \
        return text;
        SSVM_STATE_CODES(CODE)
#undef CODE
    default:
        return "";
    }
}

int state_fail(struct state *s, int code, const char *why)
{
    snprintf(s->error, sizeof s->error, "%s", why && *why ? why : code_text(code));
    return code;
}

/* ---- Handles ---- */

static void give_part(struct state *s, struct handle *h, unsigned part)
{
    sv_host_give_memory(s->store, h->parts[part].cap);
    sv_free(h->parts[part].data);
    h->parts[part].data = NULL;
    h->parts[part].len = h->parts[part].cap = 0;
}

void handle_free(struct state *s, struct handle *h)
{
    for (unsigned i = 0; i < SSVM_STATE_PART_COUNT; i++)
        give_part(s, h, i);
    sv_free(h->names);
    sv_free(h->values);
    h->names = NULL;
    h->values = NULL;
    h->kind = HANDLE_FREE;
}

static struct handle *handle_new(struct state *s, enum handle_kind kind)
{
    if (!s->handles)
        s->handles = sv_alloc_array_zero(s->grant.max_handles, sizeof *s->handles);
    for (uint32_t i = 0; s->handles && i < s->grant.max_handles; i++) {
        struct handle *h = &s->handles[i];

        if (h->kind == HANDLE_FREE) {
            *h = (struct handle){.kind = kind, .uses = h->uses + 1};
            return h;
        }
    }
    return NULL;
}

/* Never 0, never negative. */
static uint32_t handle_number(const struct state *s, const struct handle *h)
{
    return (h->uses & USES_MASK) << PLACE_BITS | (uint32_t)(h - s->handles);
}

/* The handle of that number, of any kind. */
static struct handle *find_any(struct state *s, uint32_t number)
{
    uint32_t place = number & (STATE_HANDLES_MAX - 1);
    struct handle *h = s->handles && place < s->grant.max_handles ? &s->handles[place] : NULL;

    if (h && h->kind != HANDLE_FREE && handle_number(s, h) == number)
        return h;
    state_fail(s, SSVM_STATE_EHANDLE, NULL);
    return NULL;
}

struct handle *handle_find(struct state *s, uint32_t number, enum handle_kind kind)
{
    struct handle *h = find_any(s, number);

    if (!h || h->kind == kind || (kind == HANDLE_BYTES && h->kind == HANDLE_ANSWER))
        return h;
    state_fail(s, SSVM_STATE_EHANDLE, NULL);
    return NULL;
}

/* ---- Calls ---- */

static bool stopped(const struct ssvm_state_op *op)
{
    const struct ask *a = (const struct ask *)op;

    return !sv_thread_ok(a->call->th);
}

static void *room(struct ssvm_state_op *op, enum ssvm_state_part part, size_t len)
{
    struct ask *a = (struct ask *)op;
    struct state *s = a->state;
    struct handle *h = a->answer;
    size_t need, cap;
    uint8_t *data;

    if (!h || (unsigned)part >= SSVM_STATE_PART_COUNT)
        return NULL;
    if (!sv_add_size(h->parts[part].len, len, &need) || need > s->grant.max_bytes)
        return NULL;
    cap = h->parts[part].cap;
    if (need > cap || !h->parts[part].data) {
        cap = cap ? cap : ROOM_FIRST;
        while (cap < need)
            cap *= 2;
        if (!sv_host_take_memory(s->store, cap - h->parts[part].cap))
            return NULL;
        data = sv_realloc(h->parts[part].data, cap);
        if (!data) {
            sv_host_give_memory(s->store, cap - h->parts[part].cap);
            return NULL;
        }
        h->parts[part].data = data;
        h->parts[part].cap = cap;
    }
    data = h->parts[part].data + h->parts[part].len;
    h->parts[part].len = need;
    return data;
}

int ask_begin(struct ask *a, struct sv_call *c)
{
    struct state *s = c->data;
    const struct ssvm_state_backend *b = s->grant.backend;
    int r = b ? SSVM_STATE_OK : SSVM_STATE_EDENIED;

    memset(a, 0, sizeof *a);
    a->op.deadline_ns = c->th->deadline_ns ? c->th->deadline_ns : UINT64_MAX;
    a->op.stopped = stopped;
    a->op.room = room;
    a->state = s;
    a->call = c;
    if (s->open || !b)
        return r;
    s->session = s->grant.data;
    if (b->open)
        r = b->open(s->grant.data, s->grant.store_data ? s->grant.store_data(s->store) : NULL,
                    &s->session);
    s->open = r == SSVM_STATE_OK;
    return r;
}

int ask_begin_answer(struct ask *a, struct sv_call *c, enum handle_kind kind)
{
    int r = ask_begin(a, c);

    if (r != SSVM_STATE_OK)
        return r;
    a->answer = handle_new(a->state, kind);
    if (a->answer)
        return SSVM_STATE_OK;
    snprintf(a->op.error, sizeof a->op.error, "too many handles are open");
    return SSVM_STATE_ELIMIT;
}

int ask_bytes(struct ask *a, const union sv_slot *arg, size_t max, struct ssvm_state_bytes *ret)
{
    size_t len = arg[1].i32;
    void *p, *copy;

    if (!sv_call_slice(a->call, arg[0].i32, len, &p))
        return SSVM_STATE_EFAULT;
    if (len > max || len > a->state->grant.max_bytes)
        return SSVM_STATE_ELIMIT;
    *ret = (struct ssvm_state_bytes){p, len};
    if (!a->call->inst->memory0->shared || len == 0)
        return SSVM_STATE_OK;
    copy = a->ncopies < STATE_COPIES_MAX ? sv_alloc(len) : NULL;
    if (!copy)
        return SSVM_STATE_ENOMEM;
    memcpy(copy, p, len);
    a->copies[a->ncopies++] = copy;
    ret->ptr = copy;
    return SSVM_STATE_OK;
}

int ask_name(struct ask *a, const union sv_slot *arg, size_t max, struct ssvm_state_bytes *ret)
{
    int r = ask_bytes(a, arg, max, ret);
    const uint8_t *p = ret->ptr;

    if (r != SSVM_STATE_OK)
        return r;
    for (size_t i = 0; i < ret->len; i++)
        if (p[i] < 0x20 || p[i] == 0x7f)
            return SSVM_STATE_EINVAL;
    return ret->len > 0 ? SSVM_STATE_OK : SSVM_STATE_EINVAL;
}

int ask_end(struct ask *a, int code, union sv_slot *ret)
{
    struct state *s = a->state;

    for (unsigned i = 0; i < a->ncopies; i++)
        sv_free(a->copies[i]);
    if (code != SSVM_STATE_OK) {
        state_fail(s, code, a->op.error);
        if (a->answer)
            handle_free(s, a->answer);
        ret->i32 = (uint32_t)code;
        return 0;
    }
    if (a->answer)
        a->answer->number = a->op.number;
    ret->i32 = a->answer ? handle_number(s, a->answer) : 0;
    return 0;
}

int state_give(struct sv_call *c, const void *bytes, size_t len, const union sv_slot *arg,
               union sv_slot *ret)
{
    uint32_t room_len = arg[1].i32;
    void *to;

    if (!sv_call_slice(c, arg[0].i32, room_len, &to)) {
        ret->i32 = (uint32_t)state_fail(c->data, SSVM_STATE_EFAULT, NULL);
        return 0;
    }
    if (len > 0)
        memcpy(to, bytes, len < room_len ? len : room_len);
    ret->i32 = (uint32_t)len;
    return 0;
}

/* ---- The functions of all handles ---- */

int last_error(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct state *s = c->data;
    char text[SSVM_STATE_ERROR_MAX];

    /* A copy: a wrong pointer is itself an error, which this call tells. */
    memcpy(text, s->error, sizeof text);
    return state_give(c, text, strlen(text), arg, ret);
}

int handle_close(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct state *s = c->data;
    struct handle *h = find_any(s, arg[0].i32);

    if (h)
        handle_free(s, h);
    ret->i32 = (uint32_t)(h ? SSVM_STATE_OK : SSVM_STATE_EHANDLE);
    return 0;
}

int handle_size(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_BYTES);

    ret->i64 = h ? h->parts[SSVM_STATE_BODY].len : (uint64_t)(int64_t)SSVM_STATE_EHANDLE;
    return 0;
}

int handle_read(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_BYTES);
    size_t n = arg[2].i32;
    void *to;

    if (!h) {
        ret->i32 = (uint32_t)SSVM_STATE_EHANDLE;
        return 0;
    }
    if (!sv_call_slice(c, arg[1].i32, n, &to)) {
        ret->i32 = (uint32_t)state_fail(c->data, SSVM_STATE_EFAULT, NULL);
        return 0;
    }
    if (n > h->parts[SSVM_STATE_BODY].len - h->at)
        n = h->parts[SSVM_STATE_BODY].len - h->at;
    if (n > 0)
        memcpy(to, h->parts[SSVM_STATE_BODY].data + h->at, n);
    h->at += n;
    ret->i32 = (uint32_t)n;
    return 0;
}

/* ---- The module ---- */

static const struct sv_host_func funcs[] = {
#define FUNC(name, impl, part, sig, cost, doc) {#name, impl, sig, cost, doc, 0},
#include "host/state/state.def"
#undef FUNC
};
static const uint8_t parts[] = {
#define FUNC(name, impl, part, sig, cost, doc) SV_STATE_##part,
#include "host/state/state.def"
#undef FUNC
};

static bool has(const void *state, const struct sv_host_func *f)
{
    const struct state *s = state;
    unsigned part = parts[f - funcs];

    return part == SV_STATE_ANY || (s->grant.parts & part);
}

void state_init(struct state *s, struct sv_store *store, const struct sv_state_grant *grant)
{
    *s = (struct state){.grant = *grant, .store = store};
    if (!s->grant.max_handles)
        s->grant.max_handles = HANDLES_DEFAULT;
    if (s->grant.max_handles > STATE_HANDLES_MAX)
        s->grant.max_handles = STATE_HANDLES_MAX;
    if (!s->grant.max_bytes)
        s->grant.max_bytes = BYTES_DEFAULT;
    if (s->grant.max_bytes > INT32_MAX) /* results are lengths or negative */
        s->grant.max_bytes = INT32_MAX;
}

void state_release(struct state *s)
{
    for (uint32_t i = 0; s->handles && i < s->grant.max_handles; i++) {
        if (s->handles[i].kind != HANDLE_FREE)
            handle_free(s, &s->handles[i]);
    }
    sv_free(s->handles);
    if (s->open && s->grant.backend->close)
        s->grant.backend->close(s->session);
}

static int open_state(struct sv_err *err, struct sv_store *store, const void *grant, void **ret)
{
    struct state *s = sv_alloc(sizeof *s);

    if (!s)
        return sv_fail_nomem(err, "host module");
    state_init(s, store, grant);
    *ret = s;
    return 0;
}

static void close_state(void *state)
{
    state_release(state);
    sv_free(state);
}

static const char *holds(const void *state)
{
    const struct state *s = state;

    for (uint32_t i = 0; s->handles && i < s->grant.max_handles; i++) {
        if (s->handles[i].kind != HANDLE_FREE)
            return "an open handle of ssvm_state";
    }
    return NULL;
}

static const struct sv_host_module module = {
    .id = "state",
    .grant = "--kv FILE, --sql FILE, --secret NAME=VALUE, --allow-http HOST[:PORT]",
    .names = {{"ssvm_state", ""}},
    .funcs = funcs,
    .nfuncs = SV_COUNT(funcs),
    .open = open_state,
    .close = close_state,
    .holds = holds,
    .has = has,
};

const struct sv_host_services *storage_services;
static const struct sv_host_module *const modules[] = {&module, &storage_module};
SV_HOST_PART_IS(modules, &storage_services);
