/* SQL, as guests call it: a statement, and its rows one by one. What a back end answers is read
 * with the same care as what a guest says. */
#include "host/state/guest.h"

/* Values all through, and not too many. */
static int check_params(struct ssvm_state_bytes params)
{
    struct ssvm_state_value value;
    size_t at = 0;

    for (unsigned n = 0; at < params.len; n++) {
        if (n == STATE_PARAMS_MAX)
            return SSVM_STATE_ELIMIT;
        if (!ssvm_state_value_read(params, &at, &value) ||
            (value.type == SSVM_STATE_TEXT && !sv_utf8_valid(value.bytes.ptr, value.bytes.len)))
            return SSVM_STATE_EINVAL;
    }
    return SSVM_STATE_OK;
}

static struct ssvm_state_bytes body(const struct handle *h)
{
    return (struct ssvm_state_bytes){h->parts[SSVM_STATE_BODY].data, h->parts[SSVM_STATE_BODY].len};
}

/* A u32 of the answer, and what it counts behind it. */
static bool read_length(struct handle *h, uint32_t *ret)
{
    struct ssvm_state_bytes in = body(h);

    if (in.len - h->at < sizeof *ret)
        return false;
    *ret = (uint32_t)ssvm_state_read_u((const uint8_t *)in.ptr + h->at, sizeof *ret);
    h->at += sizeof *ret;
    return true;
}

/* The columns' names. */
static int read_head(struct handle *h)
{
    uint32_t n, len;

    if (!read_length(h, &n) || n > STATE_COLUMNS_MAX)
        return SSVM_STATE_EIO;
    h->names = sv_alloc_array_zero(n ? n : 1, sizeof *h->names);
    h->values = sv_alloc_array_zero(n ? n : 1, sizeof *h->values);
    if (!h->names || !h->values)
        return SSVM_STATE_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        if (!read_length(h, &len) || len > h->parts[SSVM_STATE_BODY].len - h->at)
            return SSVM_STATE_EIO;
        h->names[i] = (struct ssvm_state_bytes){h->parts[SSVM_STATE_BODY].data + h->at, len};
        h->at += len;
    }
    h->ncolumns = n;
    return SSVM_STATE_OK;
}

int sql_query(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct ssvm_state_bytes text, params;
    struct ask a;
    int r = ask_begin_answer(&a, c, HANDLE_ROWS);

    if (r == SSVM_STATE_OK)
        r = ask_bytes(&a, arg, STATE_SQL_MAX, &text);
    if (r == SSVM_STATE_OK)
        r = ask_bytes(&a, arg + 2, SIZE_MAX, &params);
    if (r == SSVM_STATE_OK)
        r = check_params(params);
    if (r == SSVM_STATE_OK &&
        (!sv_utf8_valid(text.ptr, text.len) || (text.len && memchr(text.ptr, 0, text.len))))
        r = SSVM_STATE_EINVAL;
    if (r == SSVM_STATE_OK)
        r = a.state->grant.backend->sql(a.state->session, &a.op, text, params);
    if (r == SSVM_STATE_OK)
        r = read_head(a.answer);
    return ask_end(&a, r, ret);
}

int sql_next(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_ROWS);

    if (!h) {
        ret->i32 = (uint32_t)SSVM_STATE_EHANDLE;
        return 0;
    }
    h->on_row = false;
    ret->i32 = 0;
    if (h->ncolumns == 0 || h->at == h->parts[SSVM_STATE_BODY].len)
        return 0;
    for (uint32_t i = 0; i < h->ncolumns; i++) {
        if (!ssvm_state_value_read(body(h), &h->at, &h->values[i])) {
            ret->i32 = (uint32_t)state_fail(c->data, SSVM_STATE_EIO, "a row is damaged");
            return 0;
        }
    }
    h->on_row = true;
    ret->i32 = 1;
    return 0;
}

int sql_columns(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_ROWS);

    ret->i32 = h ? h->ncolumns : (uint32_t)SSVM_STATE_EHANDLE;
    return 0;
}

int sql_changes(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_ROWS);

    ret->i64 = (uint64_t)(h ? h->number : SSVM_STATE_EHANDLE);
    return 0;
}

int sql_name(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_ROWS);
    struct ssvm_state_bytes name;

    if (!h || arg[1].i32 >= h->ncolumns) {
        ret->i32 =
            (uint32_t)(h ? state_fail(c->data, SSVM_STATE_ENOENT, NULL) : SSVM_STATE_EHANDLE);
        return 0;
    }
    name = h->names[arg[1].i32];
    return state_give(c, name.ptr, name.len, arg + 2, ret);
}

/* A column of the row; NULL with the code. */
static const struct ssvm_state_value *find_value(struct sv_call *c, const union sv_slot *arg,
                                                 int *ret_code)
{
    const struct handle *h = handle_find(c->data, arg[0].i32, HANDLE_ROWS);

    *ret_code = SSVM_STATE_EHANDLE;
    if (h && h->on_row && arg[1].i32 < h->ncolumns)
        return &h->values[arg[1].i32];
    if (h)
        *ret_code = state_fail(c->data, SSVM_STATE_ENOENT, "there is no such column, or no row");
    return NULL;
}

int sql_type(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    int code;
    const struct ssvm_state_value *v = find_value(c, arg, &code);

    ret->i32 = (uint32_t)(v ? (int)v->type : code);
    return 0;
}

int sql_int(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    int code;
    const struct ssvm_state_value *v = find_value(c, arg, &code);
    int64_t n = v && v->type == SSVM_STATE_INT ? v->i : 0;

    /* 2^63 is a float, the largest int64_t is none. */
    if (v && v->type == SSVM_STATE_FLOAT && v->f >= -0x1p63 && v->f < 0x1p63)
        n = (int64_t)v->f;
    ret->i64 = (uint64_t)n;
    return 0;
}

int sql_float(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    int code;
    const struct ssvm_state_value *v = find_value(c, arg, &code);

    ret->f64 = 0;
    if (v && v->type == SSVM_STATE_FLOAT)
        ret->f64 = v->f;
    if (v && v->type == SSVM_STATE_INT)
        ret->f64 = (double)v->i;
    return 0;
}

int sql_bytes(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    int code;
    const struct ssvm_state_value *v = find_value(c, arg, &code);

    if (!v) {
        ret->i32 = (uint32_t)code;
        return 0;
    }
    return state_give(c, v->bytes.ptr, v->bytes.len, arg + 2, ret);
}
