/* Key-value storage, secrets and the queue, as guests call them. */
#include "host/state/guest.h"

#define TTL_MAX_MS ((uint64_t)100 * 366 * 24 * 3600 * 1000)
#define NO_VALUE UINT32_MAX /* length of what compare-and-set expects: there is none */

static int take_time(uint64_t ms, uint64_t *ret)
{
    *ret = ms;
    return ms <= TTL_MAX_MS ? SSVM_STATE_OK : SSVM_STATE_EINVAL;
}

/* A key may be any bytes, but not empty. */
static int take_key(struct ask *a, const union sv_slot *arg, struct ssvm_state_bytes *ret)
{
    int r = ask_bytes(a, arg, STATE_KEY_MAX, ret);

    return r == SSVM_STATE_OK && ret->len == 0 ? SSVM_STATE_EINVAL : r;
}

int kv_get(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_bytes key;
    struct ask a;
    int r = ask_begin_answer(&a, c, HANDLE_BYTES);

    if (r == SSVM_STATE_OK)
        r = take_key(&a, arg, &key);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_get(a.state->session, &a.op, key);
    return ask_end(&a, r, ret);
}

int kv_set(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_bytes key, value;
    struct ask a;
    uint64_t ttl;
    int r = ask_begin(&a, c);

    if (r == SSVM_STATE_OK)
        r = take_key(&a, arg, &key);
    if (r == SSVM_STATE_OK)
        r = ask_bytes(&a, arg + 2, SIZE_MAX, &value);
    if (r == SSVM_STATE_OK)
        r = take_time(arg[4].i64, &ttl);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_set(a.state->session, &a.op, key, value, ttl);
    return ask_end(&a, r, ret);
}

int kv_cas(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_bytes key, old, value;
    bool expects = arg[3].i32 != NO_VALUE;
    struct ask a;
    uint64_t ttl;
    int r = ask_begin(&a, c);

    if (r == SSVM_STATE_OK)
        r = take_key(&a, arg, &key);
    if (r == SSVM_STATE_OK && expects)
        r = ask_bytes(&a, arg + 2, SIZE_MAX, &old);
    if (r == SSVM_STATE_OK)
        r = ask_bytes(&a, arg + 4, SIZE_MAX, &value);
    if (r == SSVM_STATE_OK)
        r = take_time(arg[6].i64, &ttl);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_cas(a.state->session, &a.op, key, expects ? &old : NULL,
                                           value, ttl);
    return ask_end(&a, r, ret);
}

int kv_delete(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_bytes key;
    struct ask a;
    int r = ask_begin(&a, c);

    if (r == SSVM_STATE_OK)
        r = take_key(&a, arg, &key);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_delete(a.state->session, &a.op, key);
    return ask_end(&a, r, ret);
}

/* Where a number of 8 bytes goes; looked at before anything is done. */
static int check_number(struct ask *a, uint32_t pointer)
{
    void *to;

    return sv_call_slice(a->call, pointer, sizeof(int64_t), &to) ? SSVM_STATE_OK
                                                                 : SSVM_STATE_EFAULT;
}

static void give_number(struct ask *a, uint32_t pointer)
{
    void *to;

    if (sv_call_slice(a->call, pointer, sizeof a->op.number, &to))
        memcpy(to, &a->op.number, sizeof a->op.number);
}

int kv_increment(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint32_t to = arg[4].i32;
    struct ssvm_state_bytes key;
    struct ask a;
    uint64_t ttl;
    int r = ask_begin(&a, c);

    if (r == SSVM_STATE_OK)
        r = take_key(&a, arg, &key);
    if (r == SSVM_STATE_OK)
        r = take_time(arg[3].i64, &ttl);
    if (r == SSVM_STATE_OK)
        r = check_number(&a, to);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_increment(a.state->session, &a.op, key, (int64_t)arg[2].i64,
                                                 ttl);
    if (r == SSVM_STATE_OK)
        give_number(&a, to);
    return ask_end(&a, r, ret);
}

int kv_list(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_bytes prefix, after;
    uint32_t limit = arg[4].i32;
    struct ask a;
    int r = ask_begin_answer(&a, c, HANDLE_BYTES);

    if (r == SSVM_STATE_OK)
        r = ask_bytes(&a, arg, STATE_KEY_MAX, &prefix);
    if (r == SSVM_STATE_OK)
        r = ask_bytes(&a, arg + 2, STATE_KEY_MAX, &after);
    if (limit == 0 || limit > STATE_LIST_MAX)
        limit = STATE_LIST_MAX;
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->kv_list(a.state->session, &a.op, prefix, after, limit);
    return ask_end(&a, r, ret);
}

int secret_get(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_bytes name;
    struct ask a;
    int r = ask_begin_answer(&a, c, HANDLE_BYTES);

    if (r == SSVM_STATE_OK)
        r = ask_name(&a, arg, STATE_NAME_MAX, &name);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->secret(a.state->session, &a.op, name);
    return ask_end(&a, r, ret);
}

int queue_push(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_request request = {0};
    uint32_t to = arg[7].i32;
    struct ask a;
    uint64_t delay;
    int r = ask_begin(&a, c);

    if (r == SSVM_STATE_OK)
        r = ask_name(&a, arg, STATE_NAME_MAX, &request.function);
    if (r == SSVM_STATE_OK && arg[3].i32 > 0)
        r = ask_name(&a, arg + 2, STATE_TARGET_MAX, &request.target);
    if (r == SSVM_STATE_OK)
        r = ask_bytes(&a, arg + 4, SIZE_MAX, &request.body);
    if (r == SSVM_STATE_OK)
        r = take_time(arg[6].i64, &delay);
    if (r == SSVM_STATE_OK)
        r = check_number(&a, to);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->queue(a.state->session, &a.op, &request, delay);
    if (r == SSVM_STATE_OK)
        give_number(&a, to);
    return ask_end(&a, r, ret);
}
