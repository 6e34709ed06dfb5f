/* Requests to other servers and to functions, as guests make them. Where they may go is the back
 * end's to say; here it is seen to it that they are requests. */
#include "base/clock.h"
#include "base/tchar.h"
#include "host/state/guest.h"

#define METHOD_MAX 16
#define TIMEOUT_DEFAULT_MS 30000
#define NS_PER_MS 1000000

/* Lines "name: value\r\n" and nothing else: what a guest says becomes no other request. */
static int check_fields(struct ssvm_state_bytes fields)
{
    const uint8_t *p = fields.ptr, *end = p + fields.len;

    while (p < end) {
        const uint8_t *name = p;

        while (p < end && sv_is_tchar((char)*p))
            p++;
        if (p == name || p == end || *p++ != ':')
            return SSVM_STATE_EINVAL;
        while (p < end && *p != '\r') {
            if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
                return SSVM_STATE_EINVAL;
            p++;
        }
        if (end - p < 2 || p[1] != '\n')
            return SSVM_STATE_EINVAL;
        p += 2;
    }
    return SSVM_STATE_OK;
}

static int check_method(struct ssvm_state_bytes method)
{
    const uint8_t *p = method.ptr;

    for (size_t i = 0; i < method.len; i++)
        if (p[i] < 'A' || p[i] > 'Z')
            return SSVM_STATE_EINVAL;
    return SSVM_STATE_OK;
}

static void set_timeout(struct ask *a, uint64_t timeout_ms)
{
    uint64_t end, ns;

    if (timeout_ms == 0)
        timeout_ms = TIMEOUT_DEFAULT_MS;
    if (!__builtin_mul_overflow(timeout_ms, NS_PER_MS, &ns) &&
        !__builtin_add_overflow(sv_clock_ns(), ns, &end) && end < a->op.deadline_ns)
        a->op.deadline_ns = end;
}

/* method, target, fields, body, timeout, as both functions have them. */
static int take_request(struct ask *a, const union sv_slot *arg, struct ssvm_state_request *ret)
{
    int r = ask_name(a, arg, METHOD_MAX, &ret->method);

    if (r == SSVM_STATE_OK)
        r = check_method(ret->method);
    if (r == SSVM_STATE_OK && arg[3].i32 > 0)
        r = ask_name(a, arg + 2, STATE_TARGET_MAX, &ret->target);
    if (r == SSVM_STATE_OK)
        r = ask_bytes(a, arg + 4, STATE_FIELDS_MAX, &ret->fields);
    if (r == SSVM_STATE_OK)
        r = check_fields(ret->fields);
    if (r == SSVM_STATE_OK)
        r = ask_bytes(a, arg + 6, SIZE_MAX, &ret->body);
    set_timeout(a, arg[8].i64);
    return r;
}

int http_request(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_request request = {0};
    struct ask a;
    int r = ask_begin_answer(&a, c, HANDLE_ANSWER);

    if (r == SSVM_STATE_OK)
        r = take_request(&a, arg, &request);
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->http(a.state->session, &a.op, &request);
    return ask_end(&a, r, ret);
}

int call(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_request request = {0};
    struct ask a;
    int r = ask_begin_answer(&a, c, HANDLE_ANSWER);

    if (r == SSVM_STATE_OK)
        r = ask_name(&a, arg, STATE_NAME_MAX, &request.function);
    if (r == SSVM_STATE_OK)
        r = take_request(&a, arg + 2, &request);
    if (r == SSVM_STATE_OK && request.target.len > 0 && *(const char *)request.target.ptr != '/')
        r = SSVM_STATE_EINVAL;
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->call(a.state->session, &a.op, &request);
    return ask_end(&a, r, ret);
}

int http_status(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_ANSWER);

    ret->i32 = (uint32_t)(h ? h->number : SSVM_STATE_EHANDLE);
    return 0;
}

/* The fields move to a handle of their own: asked for once. */
int http_fields(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_ANSWER);
    struct ask a;
    int r = h ? ask_begin_answer(&a, c, HANDLE_BYTES) : SSVM_STATE_EHANDLE;

    if (!h) {
        ret->i32 = (uint32_t)r;
        return 0;
    }
    if (r == SSVM_STATE_OK) {
        a.answer->parts[SSVM_STATE_BODY] = h->parts[SSVM_STATE_FIELDS];
        memset(&h->parts[SSVM_STATE_FIELDS], 0, sizeof h->parts[0]);
    }
    return ask_end(&a, r, ret);
}
