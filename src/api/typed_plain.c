/* Typed calls of functions whose types nobody tells: plain numbers, and modules that a wasm-bindgen
 * tool has processed. The wasm type, the arguments' kinds and what the caller wants decide; where
 * they leave a choice open it is an error, not a guess. */
#include "api/typed.h"

#define RESULT_FIELDS 4 /* of a return area: pointer, length, error, is_error */
#define AREA_MARK 0xa5  /* an area is filled with it: what stays was not written */

static unsigned kind_of_wasm(sv_valtype v)
{
    switch (sv_valtype_kind(v)) {
    case SV_VAL_I64:
        return SV_BINDGEN_I64;
    case SV_VAL_F32:
        return SV_BINDGEN_F32;
    case SV_VAL_F64:
        return SV_BINDGEN_F64;
    default:
        return SV_BINDGEN_I32;
    }
}

static bool is_number(sv_valtype v)
{
    enum sv_valkind k = sv_valtype_kind(v);

    return k == SV_VAL_I32 || k == SV_VAL_I64 || k == SV_VAL_F32 || k == SV_VAL_F64;
}

/* A JavaScript value, in modules that newer tools have processed. */
static bool is_value(sv_valtype v)
{
    return sv_valtype_is_ref(v) && sv_valtype_heap(v) == SV_HEAP_EXTERN;
}

/* ---- Which arguments are strings ---- */

/* A text that reads as a number is one; `string:42` is the text. */
static bool is_string(const struct sv_typed *t, size_t arg)
{
    static const uint8_t kinds[] = {SV_BINDGEN_F64, SV_BINDGEN_U64, SV_BINDGEN_BOOLEAN};
    const ssvm_arg *a = &t->args[arg];
    union sv_slot v;
    const char *why;

    if (sv_typed_is_json_number(t, arg))
        return false;
    if (a->kind == SSVM_ARG_TEXT) {
        for (unsigned i = 0; i < SV_COUNT(kinds); i++) {
            if (sv_typed_parse(kinds[i], a->bytes, a->len, &v, &why))
                return false;
        }
        return true;
    }
    return a->kind == SSVM_ARG_STRING || a->kind == SSVM_ARG_BYTES || a->kind == SSVM_ARG_JSON;
}

/* The shape of a call: which arguments are (pointer, length), whether a return pointer comes first,
 * whether integers are halves. */
struct shape {
    bool string[SV_TYPED_ARGS_MAX];
    bool area, halves;
};

/* Do the parameters from `at` on fit this assignment of roles? A `&mut [T]` has an externref behind
 * it. */
static bool fits(const struct sv_typed *t, const struct shape *s)
{
    const struct sv_type *type = t->func->type;
    uint32_t at = s->area, n = type->func.nparams;

    for (size_t i = 0; i < t->nargs; i++) {
        unsigned words = s->string[i] || s->halves ? 2 : 1;

        if (at < n && is_value(type->func.params[at])) {
            at++;
            continue;
        }
        if (at + words > n)
            return false;
        for (unsigned k = 0; k < words; k++) {
            sv_valtype v = type->func.params[at + k];
            if (words == 2 ? sv_valtype_kind(v) != SV_VAL_I32 : !is_number(v))
                return false;
        }
        at += words;
        if (s->string[i] && at < n && sv_valtype_is_ref(type->func.params[at]))
            at++;
    }
    return at == n && (!s->area || sv_valtype_kind(type->func.params[0]) == SV_VAL_I32);
}

static own ssvm_error *wrong_count(const struct sv_typed *t)
{
    struct sv_buf b;
    ssvm_error *e;

    sv_buf_init(&b, SV_ERR_TEXT_MAX);
    sv_functype_print(&b, t->inst->module, t->func->type);
    e = sv_api_error(SSVM_EUSAGE, "%zu arguments do not fit '%s', whose wasm type is %s%s",
                     t->nargs, t->name, sv_buf_cstr(&b),
                     t->malloc_func ? "; a number that is meant as text is written string:42" : "");
    sv_buf_release(&b);
    return e;
}

static own ssvm_error *find_shape(const struct sv_typed *t, struct shape *s)
{
    bool no_results = t->func->type->func.nresults == 0;
    bool wants_bytes = t->want == SSVM_RESULT_STRING || t->want == SSVM_RESULT_BYTES;
    bool wants_number =
        t->want == SSVM_RESULT_INT || t->want == SSVM_RESULT_FLOAT || t->want == SSVM_RESULT_BOOL;

    *s = (struct shape){.area = false};
    for (size_t i = 0; i < t->nargs; i++)
        s->string[i] = is_string(t, i);
    if (!(no_results && wants_bytes) && fits(t, s))
        return NULL;
    if (no_results && t->want != SSVM_RESULT_NONE) {
        s->area = true;
        if (fits(t, s))
            return NULL;
        /* 64-bit integers of wasm-bindgen up to 0.2.82. */
        s->halves = true;
        if (wants_number && fits(t, s))
            return NULL;
    }
    return wrong_count(t);
}

/* ---- Arguments ---- */

/* A number for a wasm parameter: i32 and i64 take both the signed and the unsigned range. */
static own ssvm_error *push_number(struct sv_typed *t, size_t arg, sv_valtype type)
{
    unsigned kind = kind_of_wasm(type);
    const ssvm_arg *a = &t->args[arg];
    union sv_slot v;
    const char *why;
    ssvm_error *e;

    if (a->kind == SSVM_ARG_BOOL)
        return sv_typed_push(t, sv_valtype_kind(type),
                             kind == SV_BINDGEN_F32   ? (union sv_slot){.f32 = a->i != 0}
                             : kind == SV_BINDGEN_F64 ? (union sv_slot){.f64 = a->i != 0}
                                                      : (union sv_slot){.i64 = a->i != 0});
    if (a->kind == SSVM_ARG_TEXT && kind <= SV_BINDGEN_I64) {
        unsigned wide = kind == SV_BINDGEN_I64 ? SV_BINDGEN_U64 : SV_BINDGEN_U32;
        if (sv_typed_parse(wide, a->bytes, a->len, &v, &why) ||
            sv_typed_parse(SV_BINDGEN_BOOLEAN, a->bytes, a->len, &v, &why))
            return sv_typed_push(t, sv_valtype_kind(type), v);
    }
    if (a->kind == SSVM_ARG_INT && kind == SV_BINDGEN_I32 && a->i > INT32_MAX && a->i <= UINT32_MAX)
        return sv_typed_push(t, SV_VAL_I32, (union sv_slot){.i64 = (uint64_t)a->i});
    e = sv_typed_scalar(t, arg, kind, &v);
    return e ? e : sv_typed_push(t, sv_valtype_kind(type), v);
}

/* The copy of a `&mut [T]` argument, as an externref. */
static own ssvm_error *push_array_ref(struct sv_typed *t)
{
    struct sv_typed_buffer *b = &t->buffers[t->nbuffers - 1];

    b->mutable = true;
    b->handle = sv_bindgen_value_new(t->bindgen, SV_BINDGEN_VALUE_ARRAY, b->bytes, b->len, 0);
    if (!b->handle)
        return sv_api_nomem();
    return sv_typed_push(t, SV_VAL_REF, (union sv_slot){.ref = sv_ref_host(b->handle)});
}

static own ssvm_error *push_args(struct sv_typed *t, const struct shape *s)
{
    const struct sv_type *type = t->func->type;
    uint32_t at = s->area;
    ssvm_error *e = NULL;
    union sv_slot v;

    for (size_t i = 0; i < t->nargs && !e; i++) {
        if (is_value(type->func.params[at])) {
            uint32_t handle = 0;
            e = sv_typed_value(t, i, &handle);
            if (!e)
                e = sv_typed_push(t, SV_VAL_REF, (union sv_slot){.ref = sv_ref_host(handle)});
            at++;
        } else if (s->halves) {
            e = sv_typed_scalar(t, i,
                                t->args[i].kind == SSVM_ARG_TEXT &&
                                        *(const char *)t->args[i].bytes != '-'
                                    ? SV_BINDGEN_U64
                                    : SV_BINDGEN_I64,
                                &v);
            if (!e)
                e = sv_typed_push(t, SV_VAL_I32, (union sv_slot){.i64 = (uint32_t)v.i64});
            if (!e)
                e = sv_typed_push(t, SV_VAL_I32, (union sv_slot){.i64 = v.i64 >> 32});
            at += 2;
        } else if (s->string[i]) {
            if (t->args[i].kind == SSVM_ARG_BYTES)
                e = sv_typed_array(t, i, SV_BINDGEN_U8, false);
            else if (t->args[i].kind == SSVM_ARG_JSON)
                e = sv_typed_array(t, i, SV_BINDGEN_I32, false);
            else
                e = sv_typed_text(t, i, 0);
            at += 2;
            if (!e && at < type->func.nparams && sv_valtype_is_ref(type->func.params[at])) {
                e = push_array_ref(t);
                at++;
            }
        } else {
            e = push_number(t, i, type->func.params[at++]);
        }
    }
    return e;
}

/* ---- Results ---- */

/* A number as the caller wants it, or as its wasm type is. */
static own ssvm_error *lift_number(struct sv_typed *t, sv_valtype type, const union sv_slot *v)
{
    unsigned kind = kind_of_wasm(type);

    if (t->want == SSVM_RESULT_NONE) {
        t->kind = SSVM_RESULT_NONE;
        return NULL;
    }
    if (t->want == SSVM_RESULT_BOOL && kind == SV_BINDGEN_I32)
        kind = SV_BINDGEN_BOOLEAN;
    return sv_typed_result_scalar(t, kind, v);
}

/* A string, or bytes where it is none and nobody asked for one; freed in the guest. */
static own ssvm_error *lift_bytes(struct sv_typed *t, uint32_t ptr, uint32_t len)
{
    const void *p = sv_typed_slice(t, ptr, len);
    bool text = t->want == SSVM_RESULT_STRING ||
                (t->want != SSVM_RESULT_BYTES && p && sv_utf8_valid(p, len));
    ssvm_error *e;

    if (ptr == 0) {
        sv_typed_result_null(t);
        return NULL;
    }
    e = sv_typed_result_array(t, text ? SV_BINDGEN_STRING : SV_BINDGEN_U8, ptr, len);
    return e ? e : sv_typed_free(t, ptr, len, 1);
}

/* The handle behind an error's index: of the module's table of externrefs. */
static uint32_t table_handle(const struct sv_typed *t, uint32_t index)
{
    const struct sv_module *m = t->inst->module;

    for (uint32_t i = 0; i < m->ntables; i++) {
        const struct sv_table *table = t->inst->tables[i];
        if (sv_valtype_heap(table->type.type) == SV_HEAP_EXTERN && index < table->size)
            return sv_bindgen_handle_of(table->elems[index]);
    }
    return index;
}

/* A return area: (pointer, length), an Err behind them when the guest wrote one, or the halves of
 * an integer. */
static own ssvm_error *lift_area(struct sv_typed *t, uint32_t area, bool halves)
{
    uint32_t field[RESULT_FIELDS];
    const void *p = sv_typed_slice(t, area, sizeof field);
    union sv_slot v;
    uint32_t mark;

    if (!p)
        return sv_api_error(SSVM_ETYPE, "the return area of '%s' lies outside its memory", t->name);
    memcpy(field, p, sizeof field);
    memset(&mark, AREA_MARK, sizeof mark);
    if (halves) {
        v.i64 = field[0] | (uint64_t)field[1] << 32;
        return sv_typed_result_scalar(t, SV_BINDGEN_I64, &v);
    }
    /* Result<String>: {pointer, length, error, is_error}. Result<number>: {number, error,
     * is_error}. */
    if (field[3] != mark && field[3] != 0)
        return sv_typed_err(t, field[2]);
    if (field[3] == mark && field[2] != mark) {
        if (field[2] != 0)
            return sv_typed_err(t, field[1]);
        v.i64 = field[0];
        return sv_typed_result_scalar(
            t, t->want == SSVM_RESULT_BOOL ? SV_BINDGEN_BOOLEAN : SV_BINDGEN_I32, &v);
    }
    return lift_bytes(t, field[0], field[1]);
}

static own ssvm_error *lift_tuple(struct sv_typed *t, const struct sv_type *type,
                                  const union sv_slot *v)
{
    sv_buf_putc(&t->out, '[');
    for (uint32_t i = 0; i < type->func.nresults; i++) {
        if (!is_number(type->func.results[i]))
            return sv_api_error(SSVM_EUNSUPPORTED,
                                "'%s' returns a reference or a vector, which has no text", t->name);
        if (i > 0)
            sv_buf_putc(&t->out, ',');
        sv_typed_print(&t->out, kind_of_wasm(type->func.results[i]), v + i, true);
    }
    sv_buf_putc(&t->out, ']');
    t->kind = SSVM_RESULT_JSON;
    return NULL;
}

/* Several results: of a processed module the fields of a string or a Rust Result, else a tuple. */
static own ssvm_error *lift_several(struct sv_typed *t, const struct sv_type *type,
                                    const union sv_slot *v)
{
    uint32_t n = type->func.nresults;
    bool fields = t->malloc_func != NULL;

    for (uint32_t i = 0; i < n; i++)
        fields = fields && (sv_valtype_kind(type->func.results[i]) == SV_VAL_I32 ||
                            (i == 0 && n == 3 && is_number(type->func.results[i])));
    if (!fields || n > 4)
        return lift_tuple(t, type, v);
    if (n == 2 && t->want == SSVM_RESULT_NONE) {
        /* Result<(), E> */
        t->kind = SSVM_RESULT_NONE;
        return v[1].i32 ? sv_typed_err(t, table_handle(t, v[0].i32)) : NULL;
    }
    if (n == 2 && (t->want == SSVM_RESULT_INT || t->want == SSVM_RESULT_FLOAT))
        return lift_tuple(t, type, v);
    if (n > 2 && v[n - 1].i32 != 0)
        return sv_typed_err(t, table_handle(t, v[n - 2].i32));
    if (n == 3)
        return lift_number(t, type->func.results[0], &v[0]);
    return lift_bytes(t, v[0].i32, v[1].i32);
}

static own ssvm_error *lift(struct sv_typed *t, const union sv_slot *v)
{
    const struct sv_type *type = t->func->type;

    if (type->func.nresults == 0) {
        t->kind = SSVM_RESULT_NONE;
        for (size_t i = 0; i < t->nbuffers; i++) {
            const struct sv_typed_buffer *b = &t->buffers[i];
            if (b->mutable && t->kind == SSVM_RESULT_NONE) {
                sv_buf_append(&t->out, b->bytes, b->len);
                t->kind = SSVM_RESULT_BYTES;
            }
        }
        return NULL;
    }
    if (type->func.nresults > 1)
        return lift_several(t, type, v);
    if (is_number(type->func.results[0]))
        return lift_number(t, type->func.results[0], v);
    if (sv_valtype_is_ref(type->func.results[0]) &&
        sv_valtype_heap(type->func.results[0]) == SV_HEAP_EXTERN)
        return sv_typed_result_value(t, sv_bindgen_handle_of(v->ref));
    return sv_api_error(SSVM_EUNSUPPORTED,
                        "'%s' returns a reference or a vector, which has no text", t->name);
}

own ssvm_error *sv_typed_call_plain(struct sv_typed *t)
{
    const struct sv_type *type = t->func->type;
    union sv_slot *slots = NULL;
    uint32_t area = 0, nslots;
    struct shape shape;
    ssvm_error *e;
    size_t n = 0;
    void *p;

    e = find_shape(t, &shape);
    if (!e)
        e = push_args(t, &shape);
    if (!e)
        e = sv_typed_send(t);
    if (!e && shape.area)
        e = sv_typed_malloc(t, SV_TYPED_AREA, 8, &area);
    if (e)
        return e;
    if (shape.area) {
        p = sv_typed_slice(t, area, SV_TYPED_AREA);
        if (p)
            memset(p, AREA_MARK, SV_TYPED_AREA);
    }
    nslots = type->func.param_slots > type->func.result_slots ? type->func.param_slots
                                                              : type->func.result_slots;
    slots = sv_alloc_array_zero(nslots + 1, sizeof *slots);
    if (!slots)
        return sv_api_nomem();
    if (shape.area)
        slots[n++].i64 = area;
    for (size_t i = 0; i < t->nflats; i++)
        slots[n++] = t->flats[i].value;
    e = sv_typed_call(t, t->func, slots);
    if (!e)
        e = shape.area ? lift_area(t, area, shape.halves) : lift(t, slots);
    if (!e && shape.area)
        e = sv_typed_free(t, area, SV_TYPED_AREA, 8);
    sv_free(slots);
    return e;
}
