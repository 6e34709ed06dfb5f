/* Arguments of typed calls: from what the caller gave to wasm values and bytes, by the type of the
 * parameter. Sends nothing. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "api/typed.h"

#define ARG_BYTES_MAX ((size_t)1 << 31) /* of one argument */

own ssvm_error *sv_typed_arg_error(const struct sv_typed *t, size_t arg, const char *fmt, ...)
{
    char text[SV_ERR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sv_api_error(SSVM_EUSAGE, "argument %zu of '%s' %s", arg + 1, t->name, text);
}

/* What an argument is, for messages: the text itself where it is short. */
static void show(const ssvm_arg *a, char *ret, size_t size)
{
    static const char *const names[] = {"a string", "bytes", "", "",
                                        "",         "null",  "", "a JSON array"};

    switch (a->kind) {
    case SSVM_ARG_INT:
        snprintf(ret, size, "%lld", (long long)a->i);
        break;
    case SSVM_ARG_FLOAT:
        snprintf(ret, size, "%.17g", a->f);
        break;
    case SSVM_ARG_BOOL:
        snprintf(ret, size, "%s", a->i ? "true" : "false");
        break;
    case SSVM_ARG_TEXT:
    case SSVM_ARG_STRING:
        if (a->len <= 40) {
            snprintf(ret, size, "'%.*s'", (int)a->len, (const char *)a->bytes);
            break;
        }
        /* fallthrough */
    default:
        snprintf(ret, size, "%s",
                 (unsigned)a->kind < SV_COUNT(names) && *names[a->kind] ? names[a->kind]
                                                                        : "the text");
    }
}

/* Argument `arg` was a string in JSON. */
static bool is_json_string(const struct sv_typed *t, size_t arg)
{
    return t->given[arg].kind == SSVM_ARG_JSON && t->args[arg].kind == SSVM_ARG_STRING;
}

static own ssvm_error *mismatch(const struct sv_typed *t, size_t arg, const char *why)
{
    char text[64];

    if (arg >= t->nargs)
        return sv_typed_arg_error(t, arg, "is missing");
    if (t->args[arg].kind == SSVM_ARG_JSON && *(const char *)t->args[arg].bytes == '{')
        return sv_typed_arg_error(
            t, arg, "is a JSON object, which its parameter does not take; pass it as a string");
    show(&t->args[arg], text, sizeof text);
    return sv_typed_arg_error(t, arg, "is wrong: %s%s %s",
                              is_json_string(t, arg) ? "the string " : "", text, why);
}

/* From the few to as many as there can be. */
static void *enlarge(const void *few, size_t used, size_t all)
{
    void *p = sv_alloc(all);

    if (p)
        memcpy(p, few, used);
    return p;
}

static bool make_room(struct sv_typed *t)
{
    struct sv_typed_few *few = &t->few;

    if (t->nflats == SV_COUNT(few->flats) && t->flats == few->flats)
        t->flats = enlarge(few->flats, sizeof few->flats, SV_TYPED_FLAT_MAX * sizeof few->flats[0]);
    if (t->nbuffers == SV_COUNT(few->buffers) && t->buffers == few->buffers)
        t->buffers =
            enlarge(few->buffers, sizeof few->buffers, SV_TYPED_ARGS_MAX * sizeof few->buffers[0]);
    if (t->flats && t->buffers)
        return true;
    if (!t->flats)
        t->flats = few->flats;
    if (!t->buffers)
        t->buffers = few->buffers;
    return false;
}

own ssvm_error *sv_typed_push(struct sv_typed *t, enum sv_valkind kind, union sv_slot value)
{
    if (t->nflats >= SV_TYPED_FLAT_MAX)
        return sv_api_error(SSVM_EUSAGE, "'%s' has too many arguments", t->name);
    if (!make_room(t))
        return sv_api_nomem();
    t->flats[t->nflats++] = (struct sv_typed_flat){kind, value, -1};
    return NULL;
}

own ssvm_error *sv_typed_push_buffer(struct sv_typed *t, own unsigned char *bytes, size_t len,
                                     unsigned elem_kind, bool mutable)
{
    unsigned size =
        sv_typed_kind_size(elem_kind) ? sv_typed_kind_size(elem_kind) : SV_TYPED_HANDLE_SIZE;
    union sv_slot count = {.i64 = len / size};
    ssvm_error *e;

    if (t->nbuffers >= SV_TYPED_ARGS_MAX || len > UINT32_MAX) {
        sv_free(bytes);
        return sv_api_error(SSVM_ELIMIT, "arguments of '%s' are too many or too large", t->name);
    }
    if (!make_room(t)) {
        sv_free(bytes);
        return sv_api_nomem();
    }
    t->buffers[t->nbuffers] = (struct sv_typed_buffer){
        .bytes = bytes, .len = len, .elem_size = size, .elem_kind = elem_kind, .mutable = mutable};
    e = sv_typed_push(t, SV_VAL_I32, (union sv_slot){.i64 = 0});
    if (!e) {
        t->flats[t->nflats - 1].buffer = (int)t->nbuffers;
        e = sv_typed_push(t, SV_VAL_I32, count);
    }
    t->nbuffers++;
    return e;
}

bool sv_typed_is_none(const struct sv_typed *t, size_t arg, bool text_parameter)
{
    const ssvm_arg *a = &t->args[arg];

    return arg >= t->nargs || a->kind == SSVM_ARG_NULL ||
           (a->kind == SSVM_ARG_TEXT && !text_parameter && a->len == 4 &&
            memcmp(a->bytes, "null", 4) == 0);
}

/* JSON has numbers of its own: its strings are none, but for the floats that it has no number for.
 */
static bool is_no_number(const struct sv_typed *t, size_t arg, unsigned kind, union sv_slot v)
{
    return is_json_string(t, arg) && kind != SV_BINDGEN_BOOLEAN && kind != SV_BINDGEN_CHAR &&
           !(kind == SV_BINDGEN_F64 && !isfinite(v.f64)) &&
           !(kind == SV_BINDGEN_F32 && !isfinite(v.f32));
}

own ssvm_error *sv_typed_scalar(struct sv_typed *t, size_t arg, unsigned kind, union sv_slot *ret)
{
    const ssvm_arg *a = &t->args[arg];
    const char *why = "is of the wrong kind";
    bool good = false;
    size_t len;

    ret->i64 = 0;
    if (arg >= t->nargs)
        return mismatch(t, arg, "");
    switch (a->kind) {
    case SSVM_ARG_INT:
        good = sv_typed_from_int(kind, a->i, ret, &why);
        break;
    case SSVM_ARG_FLOAT:
        good = sv_typed_from_float(kind, a->f, ret, &why);
        break;
    case SSVM_ARG_BOOL:
        good = kind == SV_BINDGEN_BOOLEAN && sv_typed_from_int(kind, a->i != 0, ret, &why);
        break;
    case SSVM_ARG_BYTES:
    case SSVM_ARG_TEXT:
    case SSVM_ARG_STRING:
        if (sv_typed_is_json_number(t, arg) &&
            (kind == SV_BINDGEN_BOOLEAN || kind == SV_BINDGEN_CHAR))
            break;
        len = a->len;
        /* Files and pipes end in a newline that is not meant. */
        if (a->kind == SSVM_ARG_BYTES && len > 0 && ((const char *)a->bytes)[len - 1] == '\n')
            len--;
        good = sv_typed_parse(kind, a->bytes, len, ret, &why);
        if (good && is_no_number(t, arg, kind, *ret)) {
            good = false;
            why = "is of the wrong kind";
        }
        break;
    default:
        break;
    }
    if (good)
        return NULL;
    if (strcmp(why, "is of the wrong kind") == 0) {
        char text[64];
        snprintf(text, sizeof text, "where %s is expected", sv_typed_kind_name(kind));
        return mismatch(t, arg, text);
    }
    return mismatch(t, arg, why);
}

static own ssvm_error *push_copy(struct sv_typed *t, const void *bytes, size_t len,
                                 unsigned elem_kind, bool mutable)
{
    unsigned char *copy = sv_alloc(len + 1);

    if (!copy)
        return sv_api_nomem();
    if (len > 0)
        memcpy(copy, bytes, len);
    return sv_typed_push_buffer(t, copy, len, elem_kind, mutable);
}

own ssvm_error *sv_typed_text(struct sv_typed *t, size_t arg, size_t skip)
{
    const ssvm_arg *a = &t->args[arg];

    if (arg >= t->nargs || sv_typed_is_json_number(t, arg) ||
        (a->kind != SSVM_ARG_STRING && a->kind != SSVM_ARG_TEXT && a->kind != SSVM_ARG_BYTES))
        return mismatch(t, arg, "where a string is expected");
    /* Rust takes it for granted: anything else would be undefined behaviour in the guest. */
    if (!sv_utf8_valid(a->bytes, a->len))
        return sv_typed_arg_error(t, arg, "is not valid UTF-8");
    return push_copy(t, (const char *)a->bytes + skip, a->len - skip, SV_BINDGEN_U8, false);
}

own ssvm_error *sv_typed_json(struct sv_typed *t, size_t arg)
{
    const ssvm_arg *a = &t->given[arg];
    union sv_slot v = {.s64 = a->i};
    struct sv_buf b;

    if (arg < t->nargs && a->kind == SSVM_ARG_JSON)
        return sv_utf8_valid(a->bytes, a->len)
                   ? push_copy(t, a->bytes, a->len, SV_BINDGEN_U8, false)
                   : sv_typed_arg_error(t, arg, "is not valid UTF-8");
    if (arg >= t->nargs || a->kind == SSVM_ARG_STRING || a->kind == SSVM_ARG_TEXT ||
        a->kind == SSVM_ARG_BYTES)
        return sv_typed_text(t, arg, 0);
    sv_buf_init(&b, SV_ERR_TEXT_MAX);
    if (a->kind == SSVM_ARG_FLOAT)
        v.f64 = a->f;
    if (a->kind == SSVM_ARG_NULL)
        sv_buf_puts(&b, "null");
    else
        sv_typed_print(&b,
                       a->kind == SSVM_ARG_FLOAT  ? SV_BINDGEN_F64
                       : a->kind == SSVM_ARG_BOOL ? SV_BINDGEN_BOOLEAN
                                                  : SV_BINDGEN_I64,
                       &v, true);
    return sv_typed_push_buffer(t, b.data, b.len, SV_BINDGEN_U8, false);
}

unsigned sv_typed_prefix(const ssvm_arg *a, size_t *ret_len)
{
    static const uint8_t kinds[] = {
        SV_BINDGEN_U8,      SV_BINDGEN_I8,   SV_BINDGEN_U16,    SV_BINDGEN_I16, SV_BINDGEN_U32,
        SV_BINDGEN_I32,     SV_BINDGEN_U64,  SV_BINDGEN_I64,    SV_BINDGEN_F32, SV_BINDGEN_F64,
        SV_BINDGEN_BOOLEAN, SV_BINDGEN_CHAR, SV_BINDGEN_STRING,
    };

    for (unsigned i = 0; i < SV_COUNT(kinds); i++) {
        const char *name = kinds[i] == SV_BINDGEN_STRING ? "string" : sv_typed_kind_name(kinds[i]);
        size_t len = strlen(name);
        if (a->len > len && memcmp(a->bytes, name, len) == 0 &&
            ((const char *)a->bytes)[len] == ':') {
            *ret_len = len + 1;
            return kinds[i];
        }
    }
    *ret_len = 0;
    return SV_BINDGEN_STRING;
}

#define NOT_EXACT "is not exact as a number of JavaScript, which is a double"

/* Text of a number to a number of JavaScript: one without a fraction or an exponent is to be that
 * very number. */
static bool parse_js(struct sv_str text, double *ret, const char **ret_why)
{
    union sv_slot v, whole;
    bool negative, exact;

    if (!sv_typed_parse(SV_BINDGEN_F64, text.ptr, text.len, &v, ret_why))
        return false;
    *ret = v.f64;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '-' && (text.ptr[i] < '0' || text.ptr[i] > '9'))
            return true;
    }
    negative = *text.ptr == '-';
    exact = sv_typed_parse(negative ? SV_BINDGEN_I64 : SV_BINDGEN_U64, text.ptr, text.len, &whole,
                           ret_why) &&
            (__int128)v.f64 == (negative ? (__int128)whole.s64 : (__int128)whole.i64);
    *ret_why = NOT_EXACT;
    return exact;
}

own ssvm_error *sv_typed_value(struct sv_typed *t, size_t arg, uint32_t *ret)
{
    const ssvm_arg *a = arg < t->nargs ? &t->args[arg] : NULL;
    enum sv_bindgen_value_kind kind = SV_BINDGEN_VALUE_STRING;
    const char *why;
    double number = 0;
    uint32_t handle;

    if (!a)
        kind = SV_BINDGEN_VALUE_UNDEFINED;
    else if (a->kind == SSVM_ARG_NULL)
        kind = SV_BINDGEN_VALUE_NULL;
    else if (a->kind == SSVM_ARG_BOOL)
        kind = a->i ? SV_BINDGEN_VALUE_TRUE : SV_BINDGEN_VALUE_FALSE;
    else if (a->kind == SSVM_ARG_INT || a->kind == SSVM_ARG_FLOAT) {
        kind = SV_BINDGEN_VALUE_NUMBER;
        number = a->kind == SSVM_ARG_INT ? (double)a->i : a->f;
        if (a->kind == SSVM_ARG_INT && (__int128)number != a->i)
            return mismatch(t, arg, NOT_EXACT);
    } else if (sv_typed_is_json_number(t, arg)) {
        kind = SV_BINDGEN_VALUE_NUMBER;
        if (!parse_js((struct sv_str){a->bytes, a->len}, &number, &why))
            return mismatch(t, arg, why);
    } else if (!sv_utf8_valid(a->bytes, a->len))
        return sv_typed_arg_error(t, arg, "is not valid UTF-8");
    handle =
        sv_bindgen_value_new(t->bindgen, kind, kind == SV_BINDGEN_VALUE_STRING ? a->bytes : NULL,
                             kind == SV_BINDGEN_VALUE_STRING ? a->len : 0, number);
    *ret = handle;
    return handle ? NULL : sv_api_nomem();
}

/* ---- Arrays ---- */

static own ssvm_error *bad_element(struct sv_typed *t, size_t arg, size_t index, struct sv_str text,
                                   const char *why)
{
    return sv_typed_arg_error(t, arg, "is wrong: element %zu, '%.*s', %s", index,
                              (int)(text.len < 40 ? text.len : 40), text.ptr, why);
}

static bool append_number(struct sv_buf *b, unsigned kind, const union sv_slot *v)
{
    return sv_buf_append(b, v, sv_typed_kind_size(kind)); /* little-endian, as the guest */
}

/* A JSON value of an array of JavaScript values, or of strings alone: its handle. */
static own ssvm_error *append_handle(struct sv_typed *t, size_t arg, size_t index, bool strings,
                                     enum sv_json_kind kind, struct sv_str text, struct sv_buf *b)
{
    const char *why = "cannot be passed to the guest";
    struct sv_buf s;
    uint32_t handle = 0;
    double number;

    if (strings && kind != SV_JSON_STRING)
        return bad_element(t, arg, index, text, "is not a string");
    sv_buf_init(&s, ARG_BYTES_MAX);
    switch (kind) {
    case SV_JSON_STRING:
        if (!sv_json_unquote(text, &s))
            why = "has a bad escape";
        else if (!sv_utf8_valid(s.data, s.len))
            why = "is not valid UTF-8";
        else
            handle = sv_bindgen_value_new(t->bindgen, SV_BINDGEN_VALUE_STRING, s.data, s.len, 0);
        break;
    case SV_JSON_NUMBER:
        if (parse_js(text, &number, &why))
            handle = sv_bindgen_value_new(t->bindgen, SV_BINDGEN_VALUE_NUMBER, NULL, 0, number);
        break;
    case SV_JSON_NULL:
    case SV_JSON_TRUE:
    case SV_JSON_FALSE:
        handle = sv_bindgen_value_new(
            t->bindgen, (enum sv_bindgen_value_kind)(SV_BINDGEN_VALUE_NULL + (kind - SV_JSON_NULL)),
            NULL, 0, 0);
        break;
    default:
        break;
    }
    sv_buf_release(&s);
    if (handle == 0)
        return bad_element(t, arg, index, text, why);
    return sv_buf_append(b, &handle, sizeof handle) ? NULL : sv_api_nomem();
}

static own ssvm_error *json_array(struct sv_typed *t, size_t arg, unsigned kind, struct sv_str in,
                                  struct sv_buf *b)
{
    struct sv_json j = {in.ptr, in.ptr + in.len};
    bool first = true, done;
    struct sv_str text = {"", 0};

    for (size_t i = 0;; i++) {
        const char *why = "is not a number";
        enum sv_json_kind got;
        union sv_slot v;

        if (!sv_json_array_next(&j, &first, &done))
            return sv_typed_arg_error(t, arg, "is not a JSON array");
        if (done)
            return NULL;
        got = sv_json_next(&j, &text);
        if (got == SV_JSON_BAD)
            return sv_typed_arg_error(t, arg, "is not a JSON array");
        if (sv_typed_kind_size(kind) == 0) {
            ssvm_error *e = append_handle(t, arg, i, kind == SV_BINDGEN_STRING, got, text, b);
            if (e)
                return e;
            continue;
        }
        if (kind == SV_BINDGEN_BOOLEAN)
            why = "is not true or false";
        if ((kind == SV_BINDGEN_BOOLEAN ? got != SV_JSON_TRUE && got != SV_JSON_FALSE
                                        : got != SV_JSON_NUMBER) ||
            !sv_typed_parse(kind, text.ptr, text.len, &v, &why))
            return bad_element(t, arg, i, text, why);
        if (!append_number(b, kind, &v))
            return sv_api_nomem();
    }
}

/* 1,2,3 with blanks around the commas */
static own ssvm_error *list(struct sv_typed *t, size_t arg, unsigned kind, struct sv_str in,
                            struct sv_buf *b)
{
    const char *p = in.ptr, *end = p + in.len;

    for (size_t i = 0; p < end || i > 0; i++) {
        const char *comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
        struct sv_str item = {p, (size_t)((comma ? comma : end) - p)};
        const char *why;
        union sv_slot v;

        while (item.len > 0 && (*item.ptr == ' ' || *item.ptr == '\n')) {
            item.ptr++;
            item.len--;
        }
        while (item.len > 0 && (item.ptr[item.len - 1] == ' ' || item.ptr[item.len - 1] == '\n'))
            item.len--;
        if (!sv_typed_parse(kind, item.ptr, item.len, &v, &why))
            return bad_element(t, arg, i, item, why);
        if (!append_number(b, kind, &v))
            return sv_api_nomem();
        if (!comma)
            break;
        p = comma + 1;
    }
    return NULL;
}

own ssvm_error *sv_typed_array(struct sv_typed *t, size_t arg, unsigned kind, bool mutable)
{
    const ssvm_arg *a = &t->args[arg];
    unsigned size = sv_typed_kind_size(kind);
    struct sv_str text;
    struct sv_buf b;
    ssvm_error *e;

    if (arg >= t->nargs)
        return mismatch(t, arg, "");
    if (sv_typed_is_json_number(t, arg))
        return mismatch(t, arg, "where an array is expected");
    text = (struct sv_str){a->bytes, a->len};
    if (a->kind == SSVM_ARG_BYTES && size > 0) {
        if (a->len % size != 0)
            return sv_typed_arg_error(t, arg, "has %zu bytes, which are no whole number of %s",
                                      a->len, sv_typed_kind_name(kind));
        return push_copy(t, a->bytes, a->len, kind, mutable);
    }
    /* Text for an array of bytes is its bytes. */
    if (kind == SV_BINDGEN_U8 && (a->kind == SSVM_ARG_STRING || a->kind == SSVM_ARG_TEXT))
        return push_copy(t, a->bytes, a->len, kind, mutable);
    sv_buf_init(&b, ARG_BYTES_MAX);
    if (a->kind == SSVM_ARG_JSON || ((a->kind == SSVM_ARG_TEXT || a->kind == SSVM_ARG_BYTES) &&
                                     (size == 0 || (a->len > 0 && *text.ptr == '['))))
        e = json_array(t, arg, kind, text, &b);
    else if (a->kind == SSVM_ARG_TEXT)
        e = list(t, arg, kind, text, &b);
    else
        e = mismatch(t, arg, "where an array is expected");
    if (e) {
        sv_buf_release(&b);
        return e;
    }
    sv_buf_reserve(&b, 1); /* an empty array has an address, too */
    return sv_typed_push_buffer(t, b.data, b.len, kind, mutable);
}
