/* Typed calls of functions whose types the module tells: raw wasm-bindgen modules. The rules of
 * each version are here; which words stand for which types is host/bindgen's. */
#include <math.h>

#include "api/typed.h"

#define OPTION_SMALL_NONE 0x00ffffffu      /* None of bool, char and integers below 32 bits */
#define OPTION_F64_NONE_OLD 4294967297.0   /* None of a 32-bit number, 0.2.96 to 0.2.118 */
#define OPTION_F64_NONE 9007199254740991.0 /* the same from 0.2.119 */
#define FIELDS_MAX 8                       /* of a result */

/* Since which 0.2.N. */
enum {
    SINCE_I64 = 83,
    SINCE_MUT_HANDLE = 84,
    SINCE_OPTION_F64 = 96,
    SINCE_NONE_SAFE_INTEGER = 119,
    SINCE_ENUM_F64 = 130,
};

typedef const struct sv_bindgen_sig sig_type;
typedef const struct sv_bindgen_type type_type;

static own ssvm_error *unsupported(const struct sv_typed *t, sig_type *s, unsigned type,
                                   const char *what)
{
    struct sv_buf b;
    ssvm_error *e;

    sv_buf_init(&b, SV_ERR_TEXT_MAX);
    sv_bindgen_type_print(&b, s, type);
    e = sv_api_error(SSVM_EUNSUPPORTED,
                     "'%s' has a %s of type %s, which only a JavaScript host can carry", t->name,
                     what, sv_buf_cstr(&b));
    sv_buf_release(&b);
    return e;
}

static bool is_small(unsigned kind)
{
    return kind == SV_BINDGEN_BOOLEAN || kind == SV_BINDGEN_CHAR ||
           (kind <= SV_BINDGEN_U16 && kind != SV_BINDGEN_I32);
}

static double option_none(sig_type *s)
{
    return s->version >= SINCE_NONE_SAFE_INTEGER ? OPTION_F64_NONE : OPTION_F64_NONE_OLD;
}

/* Option<i32, u32, f32> of newer versions is one f64. */
static bool option_is_f64(sig_type *s, unsigned kind)
{
    return s->version >= SINCE_OPTION_F64 &&
           (kind == SV_BINDGEN_I32 || kind == SV_BINDGEN_U32 || kind == SV_BINDGEN_F32);
}

/* The element kind of a string, slice or vector, looking through wrappers that change nothing; -1 =
 * it is none. CLAMPED around a string, which wasm-bindgen has no use for, is text that is JSON: a
 * kind of its own. */
static int elements(sig_type *s, type_type *t, bool *ret_mutable)
{
    while (t->kind == SV_BINDGEN_REF || t->kind == SV_BINDGEN_REFMUT ||
           t->kind == SV_BINDGEN_LONGREF || t->kind == SV_BINDGEN_CLAMPED ||
           t->kind == SV_BINDGEN_SEQ_MODE) {
        if (t->kind == SV_BINDGEN_REFMUT)
            *ret_mutable = true;
        if (t->kind == SV_BINDGEN_CLAMPED && s->types[t->inner].kind == SV_BINDGEN_STRING)
            return SV_BINDGEN_CLAMPED;
        t = &s->types[t->inner];
    }
    if (t->kind == SV_BINDGEN_STRING || t->kind == SV_BINDGEN_CACHED_STRING)
        return SV_BINDGEN_STRING;
    if (t->kind != SV_BINDGEN_SLICE && t->kind != SV_BINDGEN_VECTOR)
        return -1;
    t = &s->types[t->inner];
    if (sv_typed_kind_size(t->kind) > 0 && t->kind != SV_BINDGEN_CHAR)
        return t->kind;
    if (t->kind == SV_BINDGEN_STRING || t->kind == SV_BINDGEN_EXTERNREF ||
        t->kind == SV_BINDGEN_NAMED_EXTERNREF)
        return SV_BINDGEN_EXTERNREF;
    return -1;
}

/* Is it, behind such wrappers, a vector of strings? Newer versions say so by a name. */
static bool is_strings(sig_type *s, type_type *t)
{
    while (t->kind == SV_BINDGEN_REF || t->kind == SV_BINDGEN_REFMUT ||
           t->kind == SV_BINDGEN_LONGREF || t->kind == SV_BINDGEN_SEQ_MODE)
        t = &s->types[t->inner];
    if (t->kind != SV_BINDGEN_SLICE && t->kind != SV_BINDGEN_VECTOR)
        return false;
    t = &s->types[t->inner];
    return t->kind == SV_BINDGEN_STRING ||
           (t->kind == SV_BINDGEN_NAMED_EXTERNREF && t->name_len == 6 &&
            memcmp(s->names + t->name, "string", 6) == 0);
}

/* ---- Parameters ---- */

static own ssvm_error *push_u32(struct sv_typed *t, uint32_t v)
{
    return sv_typed_push(t, SV_VAL_I32, (union sv_slot){.i64 = v});
}

static own ssvm_error *push_scalar(struct sv_typed *t, size_t arg, sig_type *s, unsigned kind)
{
    union sv_slot v;
    ssvm_error *e = sv_typed_scalar(t, arg, kind, &v);

    if (e)
        return e;
    /* Until 0.2.82 a 64-bit integer was two halves. */
    if (sv_typed_kind_wasm(kind) == SV_VAL_I64 && s->version < SINCE_I64) {
        e = push_u32(t, (uint32_t)v.i64);
        return e ? e : push_u32(t, (uint32_t)(v.i64 >> 32));
    }
    return sv_typed_push(t, sv_typed_kind_wasm(kind), v);
}

/* Objects and enums: the number that the guest gave for them. */
static own ssvm_error *push_number_of(struct sv_typed *t, size_t arg)
{
    union sv_slot v;
    ssvm_error *e = sv_typed_scalar(t, arg, SV_BINDGEN_U32, &v);

    return e ? e : sv_typed_push(t, SV_VAL_I32, v);
}

/* An enum's number; negative ones exist from 0.2.130 on, where it is an f64. */
static own ssvm_error *push_enum(struct sv_typed *t, sig_type *s, int64_t number)
{
    if (s->version >= SINCE_ENUM_F64)
        return sv_typed_push(t, SV_VAL_F64, (union sv_slot){.f64 = (double)number});
    return push_u32(t, (uint32_t)number);
}

static own ssvm_error *push_enum_arg(struct sv_typed *t, size_t arg, sig_type *s)
{
    union sv_slot v;
    ssvm_error *e = sv_typed_scalar(t, arg, SV_BINDGEN_I64, &v);

    if (!e && (v.s64 < INT32_MIN || v.s64 > UINT32_MAX))
        e = sv_typed_arg_error(t, arg, "is out of range for an enum");
    return e ? e : push_enum(t, s, v.s64);
}

static own ssvm_error *push_value(struct sv_typed *t, size_t arg)
{
    uint32_t handle = 0;
    ssvm_error *e = sv_typed_value(t, arg, &handle);

    return e ? e : push_u32(t, handle);
}

static own ssvm_error *push_sequence(struct sv_typed *t, size_t arg, sig_type *s, type_type *type,
                                     int elem, bool mutable)
{
    ssvm_error *e;
    struct sv_typed_buffer *b;

    if (elem == SV_BINDGEN_STRING)
        return sv_typed_text(t, arg, 0);
    if (elem == SV_BINDGEN_CLAMPED)
        return sv_typed_json(t, arg);
    e = sv_typed_array(t, arg, is_strings(s, type) ? SV_BINDGEN_STRING : (unsigned)elem, mutable);
    if (e || !mutable || s->version < SINCE_MUT_HANDLE)
        return e;
    b = &t->buffers[t->nbuffers - 1];
    b->handle = sv_bindgen_value_new(t->bindgen, SV_BINDGEN_VALUE_ARRAY, b->bytes, b->len, 0);
    return b->handle ? push_u32(t, b->handle) : sv_api_nomem();
}

static own ssvm_error *push_option(struct sv_typed *t, size_t arg, sig_type *s, unsigned type)
{
    type_type *inner = &s->types[type];
    unsigned kind = inner->kind;
    bool mutable = false, none;
    int elem = elements(s, inner, &mutable);
    union sv_slot v;
    ssvm_error *e;

    none = sv_typed_is_none(t, arg, elem == SV_BINDGEN_STRING || elem == SV_BINDGEN_U8);
    if (elem >= 0) {
        if (!none)
            return push_sequence(t, arg, s, inner, elem, false);
        e = push_u32(t, 0);
        return e ? e : push_u32(t, 0);
    }
    if (kind == SV_BINDGEN_RUST_STRUCT)
        return none ? push_u32(t, 0) : push_number_of(t, arg);
    if (kind == SV_BINDGEN_ENUM)
        return none ? push_enum(t, s, inner->hole) : push_enum_arg(t, arg, s);
    if (kind == SV_BINDGEN_EXTERNREF || kind == SV_BINDGEN_NAMED_EXTERNREF)
        return none ? push_u32(t, 0) : push_value(t, arg);
    if (sv_typed_kind_size(kind) == 0)
        return unsupported(t, s, type, "parameter");
    if (is_small(kind))
        return none ? push_u32(t, OPTION_SMALL_NONE) : push_scalar(t, arg, s, kind);
    if (option_is_f64(s, kind)) {
        v.f64 = option_none(s);
        if (!none) {
            e = sv_typed_scalar(t, arg, kind, &v);
            if (e)
                return e;
            v.f64 = kind == SV_BINDGEN_F32   ? (double)v.f32
                    : kind == SV_BINDGEN_I32 ? (double)v.s32
                                             : (double)v.i32;
        }
        return sv_typed_push(t, SV_VAL_F64, v);
    }
    e = push_u32(t, !none);
    if (e || !none)
        return e ? e : push_scalar(t, arg, s, kind);
    if (sv_typed_kind_wasm(kind) == SV_VAL_I64 && s->version < SINCE_I64) {
        e = push_u32(t, 0);
        return e ? e : push_u32(t, 0);
    }
    return sv_typed_push(t, sv_typed_kind_wasm(kind), (union sv_slot){.i64 = 0});
}

static own ssvm_error *push_param(struct sv_typed *t, size_t arg, sig_type *s, unsigned type)
{
    type_type *p = &s->types[type];
    bool mutable = false;
    int elem = elements(s, p, &mutable);

    if (elem >= 0)
        return push_sequence(t, arg, s, p, elem, mutable);
    if (sv_typed_kind_size(p->kind) > 0)
        return push_scalar(t, arg, s, p->kind);
    switch (p->kind) {
    case SV_BINDGEN_OPTIONAL:
        return push_option(t, arg, s, p->inner);
    case SV_BINDGEN_RUST_STRUCT:
        return push_number_of(t, arg);
    case SV_BINDGEN_ENUM:
        return push_enum_arg(t, arg, s);
    case SV_BINDGEN_EXTERNREF:
        return push_value(t, arg);
    case SV_BINDGEN_REF:
    case SV_BINDGEN_REFMUT:
    case SV_BINDGEN_LONGREF:
        if (s->types[p->inner].kind == SV_BINDGEN_RUST_STRUCT)
            return push_number_of(t, arg);
        if (s->types[p->inner].kind == SV_BINDGEN_EXTERNREF)
            return push_value(t, arg);
        /* fallthrough */
    default:
        return unsupported(t, s, type, "parameter");
    }
}

/* ---- Results ---- */

/* The result's values as wasm results or as the fields of the return area. */
struct fields {
    enum sv_valkind kinds[FIELDS_MAX];
    union sv_slot values[FIELDS_MAX];
    unsigned n;
};

static void add_field(struct fields *f, enum sv_valkind kind)
{
    if (f->n < FIELDS_MAX)
        f->kinds[f->n++] = kind;
}

static void add_scalar(struct fields *f, sig_type *s, unsigned kind)
{
    if (sv_typed_kind_wasm(kind) == SV_VAL_I64 && s->version < SINCE_I64) {
        add_field(f, SV_VAL_I32);
        add_field(f, SV_VAL_I32);
    } else {
        add_field(f, sv_typed_kind_wasm(kind));
    }
}

/* False: a type that cannot be carried. */
static bool add_type(struct fields *f, sig_type *s, unsigned type)
{
    type_type *t = &s->types[type];
    bool mutable = false;

    if (elements(s, t, &mutable) >= 0) {
        add_field(f, SV_VAL_I32);
        add_field(f, SV_VAL_I32);
        return true;
    }
    if (sv_typed_kind_size(t->kind) > 0) {
        add_scalar(f, s, t->kind);
        return true;
    }
    switch (t->kind) {
    case SV_BINDGEN_UNIT:
        return true;
    case SV_BINDGEN_ENUM:
        add_field(f, s->version >= SINCE_ENUM_F64 ? SV_VAL_F64 : SV_VAL_I32);
        return true;
    case SV_BINDGEN_RUST_STRUCT:
    case SV_BINDGEN_EXTERNREF:
    case SV_BINDGEN_NAMED_EXTERNREF:
        add_field(f, SV_VAL_I32);
        return true;
    case SV_BINDGEN_OPTIONAL: {
        unsigned kind = s->types[t->inner].kind;
        if (option_is_f64(s, kind)) {
            add_field(f, SV_VAL_F64);
            return true;
        }
        if (sv_typed_kind_size(kind) > 0 && !is_small(kind))
            add_field(f, SV_VAL_I32);
        return add_type(f, s, t->inner);
    }
    case SV_BINDGEN_RESULT:
        if (!add_type(f, s, t->inner))
            return false;
        add_field(f, SV_VAL_I32);
        add_field(f, SV_VAL_I32);
        return true;
    default:
        return false;
    }
}

static unsigned field_size(enum sv_valkind kind)
{
    return kind == SV_VAL_I64 || kind == SV_VAL_F64 ? 8 : 4;
}

/* Fields lie in memory as in a C struct. */
static own ssvm_error *read_area(const struct sv_typed *t, uint32_t area, struct fields *f)
{
    const unsigned char *p = sv_typed_slice(t, area, SV_TYPED_AREA);
    unsigned at = 0;

    if (!p)
        return sv_api_error(SSVM_ETYPE, "the return area of '%s' lies outside its memory", t->name);
    for (unsigned i = 0; i < f->n; i++) {
        unsigned size = field_size(f->kinds[i]);
        at = (at + size - 1) & ~(size - 1);
        f->values[i].i64 = 0;
        memcpy(&f->values[i], p + at, size);
        at += size;
    }
    return NULL;
}

static own ssvm_error *lift_sequence(struct sv_typed *t, int elem, const union sv_slot *v)
{
    uint32_t ptr = v[0].i32, count = v[1].i32;
    bool json = elem == SV_BINDGEN_CLAMPED;
    unsigned kind = json ? SV_BINDGEN_STRING : (unsigned)elem;
    unsigned size = kind == SV_BINDGEN_STRING  ? 1
                    : sv_typed_kind_size(kind) ? sv_typed_kind_size(kind)
                                               : SV_TYPED_HANDLE_SIZE;
    ssvm_error *e = sv_typed_result_array(t, kind, ptr, count);

    if (json)
        t->kind = SSVM_RESULT_JSON;
    return e ? e : sv_typed_free(t, ptr, (size_t)count * size, size);
}

static own ssvm_error *lift(struct sv_typed *t, sig_type *s, unsigned type, const union sv_slot *v);

static own ssvm_error *lift_option(struct sv_typed *t, sig_type *s, unsigned type,
                                   const union sv_slot *v)
{
    type_type *inner = &s->types[type];
    unsigned kind = inner->kind;
    bool mutable = false, none;
    union sv_slot number;

    if (option_is_f64(s, kind)) {
        none = v->f64 == option_none(s);
        number.i64 = 0;
        if (kind == SV_BINDGEN_F32)
            number.f32 = (float)v->f64;
        else if (v->f64 >= -2147483648.0 && v->f64 <= 4294967295.0)
            number.i64 = (uint32_t)(int64_t)v->f64;
        if (none)
            sv_typed_result_null(t);
        return none ? NULL : sv_typed_result_scalar(t, kind, &number);
    }
    if (elements(s, inner, &mutable) >= 0 || kind == SV_BINDGEN_RUST_STRUCT ||
        kind == SV_BINDGEN_EXTERNREF || kind == SV_BINDGEN_NAMED_EXTERNREF)
        none = v->i32 == 0;
    else if (kind == SV_BINDGEN_ENUM)
        none = s->version >= SINCE_ENUM_F64 ? v->f64 == (double)inner->hole : v->i32 == inner->hole;
    else if (is_small(kind))
        none = v->i32 == OPTION_SMALL_NONE;
    else
        none = (v++)->i32 == 0;
    if (none)
        sv_typed_result_null(t);
    return none ? NULL : lift(t, s, type, v);
}

static own ssvm_error *lift(struct sv_typed *t, sig_type *s, unsigned type, const union sv_slot *v)
{
    type_type *r = &s->types[type];
    bool mutable = false;
    int elem = elements(s, r, &mutable);
    union sv_slot whole;

    if (elem >= 0)
        return lift_sequence(t, elem, v);
    if (sv_typed_kind_size(r->kind) > 0) {
        whole = v[0];
        if (sv_typed_kind_wasm(r->kind) == SV_VAL_I64 && s->version < SINCE_I64)
            whole.i64 = v[0].i32 | (uint64_t)v[1].i32 << 32;
        /* What a narrow type returns is not always clean above its bits. */
        sv_typed_narrow(r->kind, &whole);
        return sv_typed_result_scalar(t, r->kind, &whole);
    }
    switch (r->kind) {
    case SV_BINDGEN_ENUM:
        whole = v[0];
        if (s->version >= SINCE_ENUM_F64)
            whole.s64 = fabs(v->f64) <= (double)UINT32_MAX ? (int64_t)v->f64 : 0;
        else
            whole.s64 = v->i32;
        return sv_typed_result_scalar(t, SV_BINDGEN_I64, &whole);
    case SV_BINDGEN_RUST_STRUCT:
        return sv_typed_result_scalar(t, SV_BINDGEN_U32, v);
    case SV_BINDGEN_EXTERNREF:
    case SV_BINDGEN_NAMED_EXTERNREF:
        return sv_typed_result_value(t, v->i32);
    case SV_BINDGEN_OPTIONAL:
        return lift_option(t, s, r->inner, v);
    default:
        t->kind = SSVM_RESULT_NONE;
        return NULL;
    }
}

/* What `&mut` arguments became: alone it is the result; with others, or beside a result, all of
 * them are a JSON array. */
static own ssvm_error *lift_mutable(struct sv_typed *t)
{
    unsigned count = 0;
    struct sv_buf before;
    ssvm_error *e = NULL;

    for (size_t i = 0; i < t->nbuffers; i++)
        count += t->buffers[i].mutable;
    if (count == 0)
        return NULL;
    if (count == 1 && t->kind == SSVM_RESULT_NONE) {
        for (size_t i = 0; i < t->nbuffers; i++) {
            struct sv_typed_buffer *b = &t->buffers[i];
            if (!b->mutable)
                continue;
            if (b->elem_kind != SV_BINDGEN_U8)
                return sv_typed_print_array(t, b->elem_kind, b->bytes, b->len / b->elem_size);
            sv_buf_append(&t->out, b->bytes, b->len);
            t->kind = SSVM_RESULT_BYTES;
        }
        return NULL;
    }
    before = t->out;
    sv_buf_init(&t->out, SV_TYPED_RESULT_MAX);
    sv_buf_putc(&t->out, '[');
    if (t->kind == SSVM_RESULT_STRING)
        sv_buf_json_string(&t->out, (const char *)before.data, before.len);
    else if (before.len > 0)
        sv_buf_append(&t->out, before.data, before.len);
    for (size_t i = 0; i < t->nbuffers && !e; i++) {
        if (!t->buffers[i].mutable)
            continue;
        if (t->out.len > 1)
            sv_buf_putc(&t->out, ',');
        e = sv_typed_print_array(t, t->buffers[i].elem_kind, t->buffers[i].bytes,
                                 t->buffers[i].len / t->buffers[i].elem_size);
    }
    sv_buf_putc(&t->out, ']');
    sv_buf_release(&before);
    t->kind = SSVM_RESULT_JSON;
    return e;
}

/* ---- The call ---- */

/* Before 0.2.84 the caller reads `&mut [T]` back and frees it. */
static own ssvm_error *read_back(struct sv_typed *t, sig_type *s)
{
    ssvm_error *e = NULL;

    if (s->version >= SINCE_MUT_HANDLE)
        return NULL;
    for (size_t i = 0; i < t->nbuffers && !e; i++) {
        struct sv_typed_buffer *b = &t->buffers[i];
        const void *p = b->mutable && b->len > 0 ? sv_typed_slice(t, b->ptr, b->len) : NULL;
        if (!p)
            continue;
        memcpy(b->bytes, p, b->len);
        e = sv_typed_free(t, b->ptr, b->len, b->elem_size);
    }
    return e;
}

/* Do the wasm types fit? *ret_area: the result comes through a return pointer, the first parameter.
 */
static own ssvm_error *check_types(const struct sv_typed *t, const struct fields *f, bool *ret_area)
{
    const struct sv_type *type = t->func->type;
    enum sv_valkind params[SV_TYPED_FLAT_MAX + 1];
    size_t n = 0;
    bool good;

    *ret_area = f->n > 1 && type->func.nresults == 0;
    if (*ret_area)
        params[n++] = SV_VAL_I32;
    for (size_t i = 0; i < t->nflats; i++)
        params[n++] = t->flats[i].kind;
    good = sv_typed_takes(t->func, params, n);
    if (!*ret_area) {
        good = good && type->func.nresults == f->n;
        for (unsigned i = 0; good && i < f->n; i++)
            good = sv_valtype_kind(type->func.results[i]) == f->kinds[i];
    }
    if (good)
        return NULL;
    return sv_api_error(
        SSVM_ETYPE, "the wasm type of '%s' does not fit the types that the module tells", t->name);
}

/* A place for the result: on the guest's stack where a tool made that possible, else from its
 * allocator. */
static own ssvm_error *take_area(struct sv_typed *t, struct sv_func *stack, uint32_t *ret)
{
    union sv_slot delta = {.i64 = (uint32_t)-SV_TYPED_AREA};
    ssvm_error *e;

    if (!stack)
        return sv_typed_malloc(t, SV_TYPED_AREA, 8, ret);
    e = sv_typed_call(t, stack, &delta);
    if (!e && !sv_typed_slice(t, delta.i32, SV_TYPED_AREA))
        e = sv_api_error(SSVM_ETYPE, "the stack pointer of the module lies outside its memory");
    *ret = delta.i32;
    return e;
}

static own ssvm_error *give_area(struct sv_typed *t, struct sv_func *stack, uint32_t area)
{
    union sv_slot delta = {.i64 = SV_TYPED_AREA};

    return stack ? sv_typed_call(t, stack, &delta) : sv_typed_free(t, area, SV_TYPED_AREA, 8);
}

static own ssvm_error *call(struct sv_typed *t, struct fields *f, bool has_area)
{
    static const enum sv_valkind one[1] = {SV_VAL_I32};
    struct sv_func *stack = sv_typed_export(t->inst, "__wbindgen_add_to_stack_pointer");
    union sv_slot slots[SV_TYPED_FLAT_MAX + 1];
    uint32_t area = 0;
    size_t n = 0;
    ssvm_error *e = NULL;

    if (stack && (!sv_typed_takes(stack, one, 1) || stack->type->func.nresults != 1))
        stack = NULL;
    if (has_area) {
        e = take_area(t, stack, &area);
        if (e)
            return e;
        slots[n++].i64 = area;
    }
    for (size_t i = 0; i < t->nflats; i++)
        slots[n++] = t->flats[i].value;
    e = sv_typed_call(t, t->func, slots);
    if (e)
        return e;
    if (!has_area) {
        for (unsigned i = 0; i < f->n; i++)
            f->values[i] = slots[i];
        return NULL;
    }
    e = read_area(t, area, f);
    return e ? e : give_area(t, stack, area);
}

own ssvm_error *sv_typed_call_bindgen(struct sv_typed *t, sig_type *s)
{
    struct fields f = {.n = 0};
    ssvm_error *e = NULL;
    unsigned ret = s->ret;
    bool has_area;

    if (t->nargs > s->nparams)
        return sv_api_error(SSVM_EUSAGE, "'%s' takes %u arguments, not %zu", t->name, s->nparams,
                            t->nargs);
    for (unsigned i = 0; i < s->nparams && !e; i++)
        e = push_param(t, i, s, s->params[i]);
    if (!e && !add_type(&f, s, ret))
        e = unsupported(t, s, ret, "result");
    if (!e)
        e = check_types(t, &f, &has_area);
    if (!e)
        e = sv_typed_send(t);
    if (!e)
        e = call(t, &f, has_area);
    if (!e)
        e = read_back(t, s);
    if (e)
        return e;
    if (s->types[ret].kind == SV_BINDGEN_RESULT) {
        /* The last two: the handle of the error, and whether it is one. */
        if (f.values[f.n - 1].i32 != 0)
            return sv_typed_err(t, f.values[f.n - 2].i32);
        ret = s->types[ret].inner;
    }
    e = lift(t, s, ret, f.values);
    return e ? e : lift_mutable(t);
}
