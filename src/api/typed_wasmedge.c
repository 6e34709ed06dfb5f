/* Typed calls of the wasmedge-bindgen ABI: an array of (pointer, size) pairs in, self-describing
 * values out. */
#include "api/typed.h"

#define RET_SIZE 9 /* kind u8, pointer u32, count u32 */
#define TRIPLE_SIZE 12
#define RESULTS_MAX 64

/* The type numbers of results: scalars from 1, arrays of the same from 21, string 31. */
static const uint8_t kinds[] = {SV_BINDGEN_U8,  SV_BINDGEN_I8,      SV_BINDGEN_U16,
                                SV_BINDGEN_I16, SV_BINDGEN_U32,     SV_BINDGEN_I32,
                                SV_BINDGEN_U64, SV_BINDGEN_I64,     SV_BINDGEN_F32,
                                SV_BINDGEN_F64, SV_BINDGEN_BOOLEAN, SV_BINDGEN_CHAR};
enum { TYPE_SCALARS = 1, TYPE_ARRAYS = 21, ARRAY_TYPES = 8, TYPE_STRING = 31 };

bool sv_typed_is_wasmedge(const struct sv_typed *t)
{
    static const enum sv_valkind two[2] = {SV_VAL_I32, SV_VAL_I32};
    const struct sv_func *allocate = sv_typed_export(t->inst, "allocate"),
                         *deallocate = sv_typed_export(t->inst, "deallocate");

    return allocate && deallocate && sv_typed_takes(allocate, two, 1) &&
           allocate->type->func.nresults == 1 &&
           sv_valtype_kind(allocate->type->func.results[0]) == SV_VAL_I32 &&
           sv_typed_takes(deallocate, two, 2) && deallocate->type->func.nresults == 0 &&
           sv_typed_takes(t->func, two, 2) && t->func->type->func.nresults == 1 &&
           sv_valtype_kind(t->func->type->func.results[0]) == SV_VAL_I32;
}

/* ---- Arguments ---- */

static unsigned json_number_kind(const ssvm_arg *a)
{
    const char *s = a->bytes;

    for (size_t i = 0; i < a->len; i++) {
        if (s[i] == '.' || s[i] == 'e' || s[i] == 'E')
            return SV_BINDGEN_F64;
    }
    return *s == '-' ? SV_BINDGEN_I64 : SV_BINDGEN_U64;
}

/* The ABI says nothing about the types of arguments: whole numbers go as 8 bytes, of which the
 * guest reads what it needs. */
static own ssvm_error *push_arg(struct sv_typed *t, size_t arg)
{
    const ssvm_arg *a = &t->args[arg];
    unsigned kind = SV_BINDGEN_I64;
    size_t skip = 0;
    const char *why;
    union sv_slot v = {.i64 = 0};
    unsigned char *bytes;

    if (sv_typed_is_json_number(t, arg))
        kind = json_number_kind(a);
    else if (a->kind == SSVM_ARG_TEXT)
        kind = sv_typed_prefix(a, &skip);
    if (a->kind == SSVM_ARG_STRING || (a->kind == SSVM_ARG_TEXT && kind == SV_BINDGEN_STRING))
        return sv_typed_text(t, arg, skip);
    if (a->kind == SSVM_ARG_BYTES)
        return sv_typed_array(t, arg, SV_BINDGEN_U8, false);
    if (a->kind == SSVM_ARG_JSON)
        return sv_typed_array(t, arg, SV_BINDGEN_I32, false);
    if (a->kind == SSVM_ARG_NULL)
        return sv_typed_arg_error(t, arg, "is wrong: null where a value is expected");
    if (a->kind == SSVM_ARG_TEXT) {
        if (!sv_typed_parse(kind, (const char *)a->bytes + skip, a->len - skip, &v, &why))
            return sv_typed_arg_error(t, arg, "is wrong: '%.*s' %s",
                                      (int)(a->len < 60 ? a->len : 60), (const char *)a->bytes,
                                      why);
    } else if (a->kind == SSVM_ARG_FLOAT) {
        v.f64 = a->f;
        kind = SV_BINDGEN_F64;
    } else {
        v.s64 = a->kind == SSVM_ARG_BOOL ? a->i != 0 : a->i;
    }
    bytes = sv_alloc(sizeof v);
    if (!bytes)
        return sv_api_nomem();
    memcpy(bytes, &v, sizeof v);
    return sv_typed_push_buffer(t, bytes, sv_typed_kind_size(kind), kind, false);
}

static own ssvm_error *guest_alloc(struct sv_typed *t, size_t len, uint32_t *ret)
{
    union sv_slot slot = {.i64 = len ? len : 1};
    ssvm_error *e;

    if (len > INT32_MAX)
        return sv_api_error(SSVM_ELIMIT, "an argument of '%s' is too large", t->name);
    e = sv_typed_call(t, sv_typed_export(t->inst, "allocate"), &slot);
    *ret = slot.i32;
    if (!e && (*ret == 0 || !sv_typed_slice(t, *ret, len)))
        e = sv_api_error(
            SSVM_ETYPE,
            "'allocate' of the module returned 0x%x for %zu bytes, which is outside its memory",
            *ret, len);
    return e;
}

static own ssvm_error *guest_free(struct sv_typed *t, uint32_t ptr, uint32_t len)
{
    union sv_slot slots[2] = {{.i64 = ptr}, {.i64 = len}};

    return len == 0 ? NULL : sv_typed_call(t, sv_typed_export(t->inst, "deallocate"), slots);
}

/* Buffers and the array of pairs that names them. */
static own ssvm_error *send_args(struct sv_typed *t, uint32_t *ret)
{
    uint32_t pairs[SV_TYPED_ARGS_MAX * 2];
    ssvm_error *e = NULL;
    void *p;

    for (size_t i = 0; i < t->nbuffers && !e; i++)
        e = guest_alloc(t, t->buffers[i].len, &t->buffers[i].ptr);
    if (!e)
        e = guest_alloc(t, t->nbuffers * 8, ret);
    for (size_t i = 0; i < t->nbuffers && !e; i++) {
        const struct sv_typed_buffer *b = &t->buffers[i];
        p = sv_typed_slice(t, b->ptr, b->len);
        if (!p)
            return sv_api_error(SSVM_ETYPE,
                                "'allocate' of the module returned an address outside its memory");
        if (b->len > 0)
            memcpy(p, b->bytes, b->len);
        pairs[2 * i] = b->ptr;
        pairs[2 * i + 1] = (uint32_t)(b->len / b->elem_size);
    }
    if (e)
        return e;
    p = sv_typed_slice(t, *ret, t->nbuffers * 8);
    if (!p)
        return sv_api_error(SSVM_ETYPE,
                            "'allocate' of the module returned an address outside its memory");
    memcpy(p, pairs, t->nbuffers * 8);
    return NULL;
}

/* ---- Results ---- */

static uint32_t u32_at(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* One value: {pointer, type, size in bytes}. */
static own ssvm_error *lift_value(struct sv_typed *t, const uint32_t triple[3])
{
    uint32_t ptr = triple[0], type = triple[1], size = triple[2];
    const unsigned char *p = sv_typed_slice(t, ptr, size);
    union sv_slot v = {.i64 = 0};
    unsigned kind, elem;

    if (!p)
        return sv_api_error(SSVM_ETYPE,
                            "'%s' returned %u bytes at 0x%x, which is outside its memory", t->name,
                            size, ptr);
    if (type == TYPE_STRING)
        return sv_typed_result_array(t, SV_BINDGEN_STRING, ptr, size);
    if (type >= TYPE_ARRAYS && type < TYPE_ARRAYS + ARRAY_TYPES) {
        kind = kinds[type - TYPE_ARRAYS];
        elem = sv_typed_kind_size(kind);
        return sv_typed_result_array(t, kind, ptr, size / elem);
    }
    if (type < TYPE_SCALARS || type >= TYPE_SCALARS + SV_COUNT(kinds))
        return sv_api_error(SSVM_ETYPE, "'%s' returned a value of unknown type %u", t->name, type);
    kind = kinds[type - TYPE_SCALARS];
    elem = sv_typed_kind_size(kind);
    if (size < elem)
        return sv_api_error(SSVM_ETYPE, "'%s' returned %u bytes for a %s", t->name, size,
                            sv_typed_kind_name(kind));
    memcpy(&v, p, elem);
    sv_typed_narrow(kind, &v);
    return sv_typed_result_scalar(t, kind, &v);
}

/* A value inside a tuple is JSON, whatever it is. */
static void append_json(struct sv_typed *t, struct sv_buf *list)
{
    if (t->kind == SSVM_RESULT_STRING) {
        sv_buf_json_string(list, (const char *)t->out.data, t->out.len);
    } else if (t->kind == SSVM_RESULT_BYTES) {
        sv_buf_putc(list, '[');
        for (size_t i = 0; i < t->out.len; i++)
            sv_buf_printf(list, "%s%u", i ? "," : "", t->out.data[i]);
        sv_buf_putc(list, ']');
    } else {
        sv_buf_append(list, t->out.data, t->out.len);
    }
}

static own ssvm_error *lift_values(struct sv_typed *t, uint32_t ptr, uint32_t n)
{
    uint32_t triples[RESULTS_MAX][3];
    const void *p = n <= RESULTS_MAX ? sv_typed_slice(t, ptr, (uint64_t)n * TRIPLE_SIZE) : NULL;
    ssvm_error *e = NULL;
    struct sv_buf list;

    if (!p)
        return sv_api_error(SSVM_ETYPE, "'%s' returned %u values at 0x%x", t->name, n, ptr);
    memcpy(triples, p, (size_t)n * TRIPLE_SIZE);
    sv_buf_init(&list, SV_TYPED_RESULT_MAX);
    if (n == 0)
        t->kind = SSVM_RESULT_NONE;
    for (uint32_t i = 0; i < n && !e; i++) {
        if (n > 1)
            sv_buf_clear(&t->out);
        e = lift_value(t, triples[i]);
        if (n > 1 && !e) {
            sv_buf_putc(&list, i ? ',' : '[');
            append_json(t, &list);
        }
    }
    for (uint32_t i = 0; i < n && !e; i++)
        e = guest_free(t, triples[i][0], triples[i][2]);
    if (!e)
        e = guest_free(t, ptr, n * TRIPLE_SIZE);
    if (n > 1) {
        sv_buf_putc(&list, ']');
        sv_buf_release(&t->out);
        t->out = list;
        t->kind = SSVM_RESULT_JSON;
        if (!e && t->out.failed)
            e = sv_api_error(SSVM_ELIMIT, "the result of '%s' is too large", t->name);
    }
    return e;
}

own ssvm_error *sv_typed_call_wasmedge(struct sv_typed *t)
{
    union sv_slot slots[2] = {{.i64 = 0}, {.i64 = 0}};
    const unsigned char *p;
    uint32_t pairs = 0, ret, kind, ptr, n;
    ssvm_error *e = NULL;

    for (size_t i = 0; i < t->nargs && !e; i++)
        e = push_arg(t, i);
    if (!e)
        e = send_args(t, &pairs);
    if (e)
        return e;
    slots[0].i64 = pairs;
    slots[1].i64 = t->nbuffers;
    e = sv_typed_call(t, t->func, slots);
    if (e)
        return e;
    ret = slots[0].i32;
    p = sv_typed_slice(t, ret, RET_SIZE);
    if (!p)
        return sv_api_error(SSVM_ETYPE, "'%s' returned 0x%x, which is outside its memory", t->name,
                            ret);
    kind = p[0];
    ptr = u32_at(p + 1);
    n = u32_at(p + 5);
    e = guest_free(t, ret, RET_SIZE);
    if (e)
        return e;
    if (kind == 0)
        return lift_values(t, ptr, n);
    p = sv_typed_slice(t, ptr, n);
    if (kind != 1 || !p)
        return sv_api_error(
            SSVM_ETYPE, "'%s' returned something that is neither a result nor an error", t->name);
    e = sv_api_error(SSVM_EGUEST, "%.*s", (int)(n < SV_BINDGEN_TEXT_MAX ? n : SV_BINDGEN_TEXT_MAX),
                     (const char *)p);
    ssvm_error_delete(guest_free(t, ptr, n));
    return e;
}
