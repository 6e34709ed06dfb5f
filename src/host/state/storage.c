/* The module `ssvm_native`: records of numbers under keys, of the published crates, kept by the
 * back end as keys and values (doc/format/storage.md). */
#include "host/state/storage.h"

#include <errno.h>
#include <sys/random.h>

#define KEY_BYTES 32 /* as guests have them at most, without the NUL */

static const char prefix[] = SSVM_STATE_STORAGE_PREFIX;
#define PREFIX_BYTES (sizeof prefix - 1)

/* As the back end has it. */
struct key {
    size_t len;
    char bytes[PREFIX_BYTES + KEY_BYTES];
};

/* The state that calls of the back end need, and the record that is open. */
struct storage {
    struct state state; /* first: asks take it from the call */
    bool storing;
    struct key key; /* of the record in the making */
    uint8_t *written;
    size_t len, cap;
    struct handle *loaded; /* a place of its own, not one of the guest's handles; NULL: none */
};

static int fail(struct sv_call *c, const char *what)
{
    return storage_services->trap(c->th, SV_TRAP_HOST, "ssvm_storage: %s", what);
}

/* A back end's no, as a trap: the functions have no result for it. */
static int fail_code(struct sv_call *c, struct storage *s, int code, const char *why)
{
    state_fail(&s->state, code, why);
    return fail(c, s->state.error);
}

/* A key ends at its NUL, or after its 32 bytes. */
static int take_key(struct sv_call *c, uint32_t ptr, struct key *ret)
{
    const char *p = NULL;
    size_t n = 0;

    while (n < KEY_BYTES && sv_call_slice(c, (uint64_t)ptr + n, 1, &p) && *p)
        ret->bytes[PREFIX_BYTES + n++] = *p;
    if (!p || (n < KEY_BYTES && *p))
        return fail(c, "the key is outside of the guest's memory");
    if (n == 0)
        return fail(c, "the key is empty");
    memcpy(ret->bytes, prefix, PREFIX_BYTES);
    ret->len = PREFIX_BYTES + n;
    return 0;
}

static struct ssvm_state_bytes bytes_of(const struct key *key)
{
    return (struct ssvm_state_bytes){key->bytes, key->len};
}

static bool draw(uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t r = getrandom(to, n, 0);

        if (r < 0 && errno != EINTR)
            return false;
        to += r > 0 ? r : 0;
        n -= r > 0 ? (size_t)r : 0;
    }
    return true;
}

/* A UUID in hexadecimal digits. Where the published crate gives a buffer that is too small for one,
 * which it marks so, as much as fits: 66 bits. */
int storage_create_key(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    static const char small[] = "placeholder";
    static const char hex[] = "0123456789abcdef";
    static const char letters[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    uint8_t random[KEY_BYTES / 2];
    char *to;

    (void)ret;
    if (!draw(random, sizeof random))
        return fail(c, "no random bytes for a key");
    if (sv_call_slice(c, arg[0].i32, sizeof small, &to) && memcmp(to, small, sizeof small) == 0) {
        for (size_t i = 0; i < sizeof small - 1; i++)
            to[i] = letters[random[i] % 64];
        return 0;
    }
    if (!sv_call_slice(c, arg[0].i32, KEY_BYTES + 1, &to))
        return fail(c, "the key is outside of the guest's memory");
    random[6] = (random[6] & 0x0f) | 0x40; /* RFC 9562: version 4 */
    random[8] = (random[8] & 0x3f) | 0x80;
    for (size_t i = 0; i < sizeof random; i++) {
        to[2 * i] = hex[random[i] >> 4];
        to[2 * i + 1] = hex[random[i] & 15];
    }
    to[KEY_BYTES] = '\0';
    return 0;
}

/* ---- Writing ---- */

static void forget_written(struct storage *s)
{
    sv_host_give_memory(s->state.store, s->cap);
    sv_free(s->written);
    s->written = NULL;
    s->len = s->cap = 0;
    s->storing = false;
}

int storage_begin_store(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct storage *s = c->data;
    int r = take_key(c, arg[0].i32, &s->key);

    (void)ret;
    forget_written(s);
    s->storing = r == 0;
    return r;
}

static bool grow(struct storage *s)
{
    size_t cap = s->cap ? s->cap * 2 : 64;
    uint8_t *bytes;

    if (!sv_host_take_memory(s->state.store, cap - s->cap))
        return false;
    bytes = sv_realloc(s->written, cap);
    if (!bytes) {
        sv_host_give_memory(s->state.store, cap - s->cap);
        return false;
    }
    s->written = bytes;
    s->cap = cap;
    return true;
}

static int append(struct sv_call *c, uint64_t number, size_t n)
{
    struct storage *s = c->data;

    if (!s->storing)
        return fail(c, "a number is stored without a record that was begun");
    if (s->len + n > s->state.grant.max_bytes || (s->len + n > s->cap && !grow(s)))
        return fail(c, "the record is too large");
    for (size_t i = 0; i < n; i++)
        s->written[s->len++] = (uint8_t)(number >> (8 * i));
    return 0;
}

int storage_store_i32(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)ret;
    return append(c, arg[0].i32, 4);
}

int storage_store_i64(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)ret;
    return append(c, arg[0].i64, 8);
}

int storage_end_store(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct storage *s = c->data;
    struct ssvm_state_bytes value = {s->written, s->len};
    struct ask a;
    int r;

    (void)arg, (void)ret;
    if (!s->storing)
        return fail(c, "a record ends that was not begun");
    if (!value.ptr)
        value.ptr = "";
    r = ask_begin(&a, c);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_set(a.state->session, &a.op, bytes_of(&s->key), value, 0);
    forget_written(s);
    return r == SSVM_STATE_OK ? 0 : fail_code(c, s, r, a.op.error);
}

/* ---- Reading ---- */

static void forget_loaded(struct storage *s)
{
    if (s->loaded)
        handle_free(&s->state, s->loaded);
    s->loaded = NULL;
}

int storage_begin_load(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct storage *s = c->data;
    struct key key;
    struct ask a;
    int r = take_key(c, arg[0].i32, &key);

    (void)ret;
    forget_loaded(s);
    if (r != 0)
        return r;
    r = ask_begin_answer(&a, c, HANDLE_BYTES);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_get(a.state->session, &a.op, bytes_of(&key));
    if (r == SSVM_STATE_OK) {
        s->loaded = a.answer;
        return 0;
    }
    if (a.answer)
        handle_free(&s->state, a.answer);
    return fail_code(c, s, r,
                     r == SSVM_STATE_ENOENT ? "there is no record of this key" : a.op.error);
}

static int next(struct sv_call *c, size_t n, uint64_t *ret)
{
    struct storage *s = c->data;
    struct handle *h = s->loaded;

    if (!h)
        return fail(c, "a number is loaded without a record");
    if (h->parts[SSVM_STATE_BODY].len - h->at < n)
        return fail(c, "the record has no more numbers");
    *ret = ssvm_state_read_u(h->parts[SSVM_STATE_BODY].data + h->at, (unsigned)n);
    h->at += n;
    return 0;
}

int storage_load_i32(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint64_t number = 0;
    int r = next(c, 4, &number);

    (void)arg;
    ret->i32 = (uint32_t)number;
    return r;
}

int storage_load_i64(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint64_t number = 0;
    int r = next(c, 8, &number);

    (void)arg;
    ret->i64 = number;
    return r;
}

int storage_end_load(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg, (void)ret;
    forget_loaded(c->data);
    return 0;
}

/* ---- The module ---- */

static int open_storage(struct sv_err *err, struct sv_store *store, const void *grant, void **ret)
{
    struct storage *s = sv_alloc_zero(sizeof *s);

    if (!s)
        return sv_fail_nomem(err, "host module");
    state_init(&s->state, store, grant);
    s->state.grant.max_handles = 1; /* the record that is read */
    *ret = s;
    return 0;
}

static void close_storage(void *state)
{
    struct storage *s = state;

    forget_written(s);
    state_release(&s->state);
    sv_free(s);
}

static const char *holds(const void *state)
{
    const struct storage *s = state;

    return s->storing || s->loaded ? "an open record of ssvm_native" : NULL;
}

static const struct sv_host_func funcs[] = {
#define FUNC(name, impl, sig, cost, doc) {#name, impl, sig, cost, doc, 0},
#include "host/state/storage.def"
#undef FUNC
};

const struct sv_host_module storage_module = {
    .id = "storage",
    .grant = "--storage FILE",
    .names = {{"ssvm_native", "ssvm_storage_"}, {"wasmedge_native", "wasmedge_storage_"}},
    .funcs = funcs,
    .nfuncs = SV_COUNT(funcs),
    .open = open_storage,
    .close = close_storage,
    .holds = holds,
};
