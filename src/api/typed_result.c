/* Results of typed calls: from wasm values and guest memory to text, bytes and JSON. */
#include "api/typed.h"

static own ssvm_error *check(const struct sv_typed *t)
{
    return t->out.failed ? sv_api_error(SSVM_ELIMIT, "the result of '%s' is too large", t->name)
                         : NULL;
}

void sv_typed_result_null(struct sv_typed *t)
{
    sv_buf_puts(&t->out, "null");
    t->kind = SSVM_RESULT_JSON;
}

own ssvm_error *sv_typed_result_scalar(struct sv_typed *t, unsigned kind, const union sv_slot *v)
{
    char utf8[4];
    unsigned n;

    if (kind == SV_BINDGEN_CHAR) {
        n = sv_typed_utf8(v->i32, utf8);
        if (n == 0)
            return sv_api_error(SSVM_ETYPE, "'%s' returned 0x%x, which is no character", t->name,
                                v->i32);
        sv_buf_append(&t->out, utf8, n);
        t->kind = SSVM_RESULT_STRING;
        return check(t);
    }
    sv_typed_print(&t->out, kind, v, false);
    if (kind == SV_BINDGEN_BOOLEAN) {
        t->kind = SSVM_RESULT_BOOL;
        t->i = v->i32 != 0;
    } else if (kind == SV_BINDGEN_F32 || kind == SV_BINDGEN_F64) {
        t->kind = SSVM_RESULT_FLOAT;
        t->f = kind == SV_BINDGEN_F32 ? (double)v->f32 : v->f64;
    } else {
        bool is_signed = kind == SV_BINDGEN_I8 || kind == SV_BINDGEN_I16 || kind == SV_BINDGEN_I32;
        t->kind = SSVM_RESULT_INT;
        t->i = sv_typed_kind_wasm(kind) == SV_VAL_I64 ? v->s64
               : is_signed                            ? v->s32
                                                      : (int64_t)v->i32;
    }
    return check(t);
}

/* An element at p, widened as the guest would. */
static union sv_slot load(unsigned kind, const unsigned char *p)
{
    union sv_slot v = {.i64 = 0};

    memcpy(&v, p, sv_typed_kind_size(kind));
    sv_typed_narrow(kind, &v);
    return v;
}

own ssvm_error *sv_typed_print_array(struct sv_typed *t, unsigned kind, const unsigned char *bytes,
                                     size_t count)
{
    unsigned size = sv_typed_kind_size(kind);

    sv_buf_putc(&t->out, '[');
    for (size_t i = 0; i < count && !t->out.failed; i++) {
        union sv_slot v = load(kind, bytes + i * size);
        if (i > 0)
            sv_buf_putc(&t->out, ',');
        sv_typed_print(&t->out, kind, &v, true);
    }
    sv_buf_putc(&t->out, ']');
    t->kind = SSVM_RESULT_JSON;
    return check(t);
}

/* A value inside JSON. */
static void print_value(struct sv_buf *out, const struct sv_bindgen_value *v)
{
    union sv_slot number = {.f64 = v->number};

    switch (v->kind) {
    case SV_BINDGEN_VALUE_STRING:
        sv_buf_json_string(out, (const char *)v->bytes, v->len);
        break;
    case SV_BINDGEN_VALUE_NUMBER:
        sv_typed_print(out, SV_BINDGEN_F64, &number, true);
        break;
    case SV_BINDGEN_VALUE_TRUE:
    case SV_BINDGEN_VALUE_FALSE:
        sv_buf_puts(out, v->kind == SV_BINDGEN_VALUE_TRUE ? "true" : "false");
        break;
    case SV_BINDGEN_VALUE_OBJECT:
        sv_buf_puts(out, "{}");
        break;
    default:
        sv_buf_puts(out, "null");
    }
}

static own ssvm_error *handle_array(struct sv_typed *t, const unsigned char *p, uint32_t count)
{
    sv_buf_putc(&t->out, '[');
    for (uint32_t i = 0; i < count && !t->out.failed; i++) {
        struct sv_bindgen_value v;
        uint32_t handle;

        memcpy(&handle, p + (size_t)i * SV_TYPED_HANDLE_SIZE, sizeof handle);
        v = sv_bindgen_value_get(t->bindgen, handle);
        if (i > 0)
            sv_buf_putc(&t->out, ',');
        print_value(&t->out, &v);
        sv_bindgen_value_unref(t->bindgen, handle);
    }
    sv_buf_putc(&t->out, ']');
    t->kind = SSVM_RESULT_JSON;
    return check(t);
}

own ssvm_error *sv_typed_result_array(struct sv_typed *t, unsigned kind, uint32_t ptr,
                                      uint32_t count)
{
    bool text = kind == SV_BINDGEN_STRING;
    unsigned size = text                       ? 1
                    : sv_typed_kind_size(kind) ? sv_typed_kind_size(kind)
                                               : SV_TYPED_HANDLE_SIZE;
    const unsigned char *p = sv_typed_slice(t, ptr, (uint64_t)count * size);

    if (!p)
        return sv_api_error(SSVM_ETYPE,
                            "'%s' returned %u elements at 0x%x, which is outside its memory",
                            t->name, count, ptr);
    if (!text && sv_typed_kind_size(kind) == 0)
        return handle_array(t, p, count);
    if (!text && kind != SV_BINDGEN_U8)
        return sv_typed_print_array(t, kind, p, count);
    if (text && !sv_utf8_valid(p, count))
        return sv_api_error(SSVM_ETYPE, "'%s' returned a string that is not valid UTF-8", t->name);
    sv_buf_append(&t->out, p, count);
    t->kind = text ? SSVM_RESULT_STRING : SSVM_RESULT_BYTES;
    return check(t);
}

own ssvm_error *sv_typed_result_value(struct sv_typed *t, uint32_t handle)
{
    struct sv_bindgen_value v = sv_bindgen_value_get(t->bindgen, handle);
    union sv_slot number = {.f64 = v.number};
    ssvm_error *e = NULL;

    switch (v.kind) {
    case SV_BINDGEN_VALUE_STRING:
        sv_buf_append(&t->out, v.bytes, v.len);
        t->kind = SSVM_RESULT_STRING;
        break;
    case SV_BINDGEN_VALUE_NUMBER:
        e = sv_typed_result_scalar(t, SV_BINDGEN_F64, &number);
        break;
    case SV_BINDGEN_VALUE_TRUE:
    case SV_BINDGEN_VALUE_FALSE:
        number.i64 = v.kind == SV_BINDGEN_VALUE_TRUE;
        e = sv_typed_result_scalar(t, SV_BINDGEN_BOOLEAN, &number);
        break;
    case SV_BINDGEN_VALUE_UNDEFINED:
        t->kind = SSVM_RESULT_NONE;
        break;
    default:
        print_value(&t->out, &v);
        t->kind = SSVM_RESULT_JSON;
    }
    sv_bindgen_value_unref(t->bindgen, handle);
    return e ? e : check(t);
}

own ssvm_error *sv_typed_err(struct sv_typed *t, uint32_t handle)
{
    struct sv_bindgen_value v = sv_bindgen_value_get(t->bindgen, handle);
    struct sv_buf text;
    ssvm_error *e;

    sv_buf_init(&text, SV_BINDGEN_TEXT_MAX);
    if (v.kind == SV_BINDGEN_VALUE_STRING)
        sv_buf_append(&text, v.bytes, v.len < SV_BINDGEN_TEXT_MAX ? v.len : SV_BINDGEN_TEXT_MAX);
    else if (v.kind == SV_BINDGEN_VALUE_UNDEFINED)
        sv_buf_puts(&text, "undefined");
    else
        print_value(&text, &v);
    e = sv_api_error(SSVM_EGUEST, "%.*s", (int)text.len, text.len ? (const char *)text.data : "");
    sv_buf_release(&text);
    sv_bindgen_value_unref(t->bindgen, handle);
    return e;
}
