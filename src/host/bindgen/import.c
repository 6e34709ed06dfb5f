/* The imports of wasm-bindgen's modules: a few that a host without JavaScript can serve, and a trap
 * that names the others. */
#include <stdio.h>

#include "host/bindgen/bindgen.h"

#define HASH_LEN 16 /* hex digits at the end of newer names */
#define CALL_COST 1
#define RESERVED_LEN 4 /* undefined, null, true, false */
#define HANDLE_OFFSET 1024u

/* ---- Arguments that are an i32 handle in raw modules and an externref in processed ones ---- */

static uint32_t get_handle(const struct sv_call *c, unsigned param, const union sv_slot *arg)
{
    return sv_valtype_is_ref(c->func->type->func.params[param])
               ? sv_bindgen_handle_of(arg[param].ref)
               : arg[param].i32;
}

static int return_handle(struct sv_call *c, uint32_t handle, union sv_slot *ret)
{
    if (handle == 0)
        return sv_call_trap(c, "too many JavaScript values, or too large ones");
    if (sv_valtype_is_ref(c->func->type->func.results[0]))
        ret[0].ref = sv_ref_host(handle);
    else
        ret[0].i64 = handle;
    return 0;
}

static int return_string(struct sv_call *c, uint32_t ptr, uint32_t len, union sv_slot *ret)
{
    const char *s;

    if (!sv_call_slice(c, ptr, len, &s))
        return sv_call_trap(c, "string of %u bytes at 0x%x lies outside the memory", len, ptr);
    return return_handle(c, sv_bindgen_value_new(c->data, SV_BINDGEN_VALUE_STRING, s, len, 0), ret);
}

static bool fits(const char *sig, const struct sv_type *type);

/* ---- The functions ---- */

static int describe(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_bindgen *b = c->data;

    (void)ret;
    if (!SV_VEC_PUSH(&b->words, SV_BINDGEN_WORDS_MAX, arg[0].i32))
        return sv_call_trap(c, "type descriptor of more than %d words", SV_BINDGEN_WORDS_MAX);
    return 0;
}

/* The number in the primitives at `prims` whose type is the kind `from`; false when it is no
 * number. */
static bool read_number(enum sv_bindgen_kind from, const unsigned char *prims, double *ret)
{
    union {
        int32_t i32;
        uint32_t u32;
        float f32;
        double f64;
    } v;

    memcpy(&v, prims, sizeof v);
    switch (from) {
    case SV_BINDGEN_I8:
    case SV_BINDGEN_I16:
    case SV_BINDGEN_I32:
        *ret = v.i32;
        return true;
    case SV_BINDGEN_U8:
    case SV_BINDGEN_U16:
    case SV_BINDGEN_U32:
        *ret = v.u32;
        return true;
    case SV_BINDGEN_F32:
        *ret = (double)v.f32;
        return true;
    case SV_BINDGEN_F64:
        *ret = v.f64;
        return true;
    default:
        return false;
    }
}

/* A cast from a Rust value to a JavaScript value: the words just told say from what to what,
 * `prims` points at the arguments. The answer is a pointer to the handle: it is written over the
 * arguments, which lie in the guest's own frame and are read no more. */
static int describe_cast(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_bindgen *b = c->data;
    struct sv_bindgen_sig *sig = sv_alloc(sizeof *sig);
    const uint32_t *words = b->words.data;
    size_t n = b->words.len;
    uint32_t prims = arg[1].i32, handle = 0, at[2];
    struct sv_err err = {0};
    unsigned char *p;
    unsigned kind;
    double number;
    bool raw;
    int version = c->inst ? sv_bindgen_version(c->inst->module, &raw) : -1, r;

    b->words.len = 0;
    if (!sig)
        return SV_ENOMEM;
    /* Newer versions put the length of a name before it, 0 for a cast. */
    if (n > 0 && words[0] == 0) {
        words++;
        n--;
    }
    r = sv_bindgen_sig_decode(&err, words, n,
                              version < 0 ? SV_BINDGEN_VERSION_NEWEST : (unsigned)version, sig);
    if (r < 0 || sig->nparams != 1 || !sv_call_slice(c, prims, 16, &p)) {
        sv_free(sig);
        return sv_call_trap(c, "a cast that only a JavaScript host provides%s%s",
                            err.code ? ": " : "", err.text);
    }
    kind = sig->types[sig->params[0]].kind;
    if (kind == SV_BINDGEN_REF || kind == SV_BINDGEN_LONGREF)
        kind = sig->types[sig->types[sig->params[0]].inner].kind;
    sv_free(sig);
    memcpy(at, p, sizeof at);
    if (kind == SV_BINDGEN_STRING || kind == SV_BINDGEN_CACHED_STRING) {
        const char *s;
        if (sv_call_slice(c, at[0], at[1], &s))
            handle = sv_bindgen_value_new(b, SV_BINDGEN_VALUE_STRING, s, at[1], 0);
    } else if (kind == SV_BINDGEN_EXTERNREF || kind == SV_BINDGEN_NAMED_EXTERNREF) {
        handle = at[0];
    } else if (read_number((enum sv_bindgen_kind)kind, p, &number)) {
        handle = sv_bindgen_value_new(b, SV_BINDGEN_VALUE_NUMBER, NULL, 0, number);
    }
    if (handle == 0)
        return sv_call_trap(c, "a cast that only a JavaScript host provides");
    memcpy(p, &handle, sizeof handle);
    ret[0].i64 = prims;
    return 0;
}

static int throw_text(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const char *s;

    (void)ret;
    if (!sv_call_slice(c, arg[0].i32, arg[1].i32, &s))
        return sv_call_trap(c, "thrown text lies outside the memory");
    return sv_call_trap(c, "%.*s", (int)(arg[1].i32 < 1024 ? arg[1].i32 : 1024), s);
}

static int rethrow(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_bindgen_value v = sv_bindgen_value_get(c->data, get_handle(c, 0, arg));

    (void)ret;
    if (v.kind != SV_BINDGEN_VALUE_STRING)
        return sv_call_trap(c, "exception thrown by the guest");
    return sv_call_trap(c, "%.*s", (int)(v.len < 1024 ? v.len : 1024), (const char *)v.bytes);
}

static int string_new(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return return_string(c, arg[0].i32, arg[1].i32, ret);
}

static int number_new(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return return_handle(
        c, sv_bindgen_value_new(c->data, SV_BINDGEN_VALUE_NUMBER, NULL, 0, arg[0].f64), ret);
}

static int object_new(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    return return_handle(c, sv_bindgen_value_new(c->data, SV_BINDGEN_VALUE_OBJECT, NULL, 0, 0),
                         ret);
}

static int drop_ref(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)ret;
    sv_bindgen_value_unref(c->data, get_handle(c, 0, arg));
    return 0;
}

static int clone_ref(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_bindgen *b = c->data;
    uint32_t handle = get_handle(c, 0, arg), i = handle - SV_BINDGEN_HANDLE_FIRST;

    if (handle >= SV_BINDGEN_HANDLE_FIRST && i < b->values.len &&
        b->values.data[i].kind != SV_BINDGEN_VALUE_FREE) {
        if (b->values.data[i].refs == UINT32_MAX)
            return return_handle(c, 0, ret);
        b->values.data[i].refs++;
    }
    return return_handle(c, handle ? handle : HANDLE_OFFSET, ret);
}

/* The guest gives a `&mut [T]` back: into the copy that the call holds, as far as it reaches. */
static int copy_to_typed_array(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_bindgen_value v = sv_bindgen_value_get(c->data, get_handle(c, 2, arg));
    const void *p;

    (void)ret;
    if (v.kind != SV_BINDGEN_VALUE_ARRAY || v.len != arg[1].i32 ||
        !sv_call_slice(c, arg[0].i32, arg[1].i32, &p))
        return sv_call_trap(c, "wrong array in copy_to_typed_array");
    if (v.len > 0)
        memcpy(v.bytes, p, v.len);
    return 0;
}

static int is_undefined(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    ret[0].i64 =
        sv_bindgen_value_get(c->data, get_handle(c, 0, arg)).kind == SV_BINDGEN_VALUE_UNDEFINED;
    return 0;
}

static int is_null(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    ret[0].i64 = sv_bindgen_value_get(c->data, get_handle(c, 0, arg)).kind == SV_BINDGEN_VALUE_NULL;
    return 0;
}

static int is_string(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    ret[0].i64 =
        sv_bindgen_value_get(c->data, get_handle(c, 0, arg)).kind == SV_BINDGEN_VALUE_STRING;
    return 0;
}

/* Room in the guest's memory, from its own allocator: the guest frees it. */
static int guest_malloc(struct sv_call *c, size_t len, uint32_t *ret)
{
    union sv_slot slots[2] = {{.i64 = len}, {.i64 = 1}};
    struct sv_extern x;
    int r;

    if (!c->inst || !sv_instance_export(c->inst, sv_str_of("__wbindgen_malloc"), &x) ||
        x.kind != SV_EXTERN_FUNC)
        return sv_call_trap(c, "the module exports no allocator ('__wbindgen_malloc')");
    if (!fits("i:i", x.func->type) && !fits("ii:i", x.func->type))
        return sv_call_trap(c, "the module's allocator has a wrong type");
    r = sv_func_call(c->th, x.func, slots);
    *ret = slots[0].i32;
    return r;
}

/* (return pointer, value): Option<String>, pointer 0 is None. */
static int string_get(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint32_t at = arg[0].i32, handle = get_handle(c, 1, arg), out[2] = {0, 0};
    struct sv_bindgen_value v = sv_bindgen_value_get(c->data, handle);
    void *p;
    int r;

    (void)ret;
    if (v.kind == SV_BINDGEN_VALUE_STRING) {
        out[1] = (uint32_t)v.len;
        r = guest_malloc(c, v.len, &out[0]);
        if (r != 0)
            return r;
        /* Again: a hostile allocator may have dropped the value. */
        v = sv_bindgen_value_get(c->data, handle);
        if (v.kind != SV_BINDGEN_VALUE_STRING || v.len != out[1] ||
            !sv_call_slice(c, out[0], out[1], &p))
            return sv_call_trap(c, "the module's allocator returned an address outside its memory");
        if (v.len > 0)
            memcpy(p, v.bytes, v.len);
    }
    if (!sv_call_slice(c, at, sizeof out, &p))
        return sv_call_trap(c, "return pointer lies outside the memory");
    memcpy(p, out, sizeof out);
    return 0;
}

/* (return pointer, value): Option<f64>, {present, number}. */
static int number_get(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_bindgen_value v = sv_bindgen_value_get(c->data, get_handle(c, 1, arg));
    struct {
        uint64_t present;
        double number;
    } out = {v.kind == SV_BINDGEN_VALUE_NUMBER, v.number};
    void *p;

    (void)ret;
    if (!sv_call_slice(c, arg[0].i32, sizeof out, &p))
        return sv_call_trap(c, "return pointer lies outside the memory");
    memcpy(p, &out, sizeof out);
    return 0;
}

/* Raw modules keep no externrefs: there is nothing to grow. */
static int table_grow(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)c;
    (void)arg;
    ret[0].i64 = UINT32_MAX;
    return 0;
}

static int statics_end(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)c;
    (void)arg;
    ret[0].i64 = SV_BINDGEN_HANDLE_FIRST;
    return 0;
}

static int do_nothing(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)c;
    (void)arg;
    (void)ret;
    return 0;
}

bool sv_bindgen_init_table(struct sv_instance *inst)
{
    for (uint32_t i = 0; i < inst->module->ntables; i++) {
        struct sv_table *t = inst->tables[i];
        int64_t at;

        if (sv_valtype_heap(t->type.type) != SV_HEAP_EXTERN)
            continue;
        at = sv_table_grow(t, RESERVED_LEN, sv_ref_host(HANDLE_OFFSET));
        if (at < 0)
            return false;
        t->elems[0] = sv_ref_host(HANDLE_OFFSET);
        for (uint32_t k = 0; k < RESERVED_LEN; k++)
            t->elems[(uint64_t)at + k] = sv_ref_host(HANDLE_OFFSET + k);
        break;
    }
    return true;
}

static int init_table(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    (void)ret;
    if (c->inst && !sv_bindgen_init_table(c->inst))
        return sv_call_trap(c, "no room in the module's table of values");
    return 0;
}

/* console.error: what panic hooks write to. Kept, to explain the trap that follows. */
static int console_error(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_bindgen *b = c->data;
    const char *s;

    (void)ret;
    if (!sv_call_slice(c, arg[0].i32, arg[1].i32, &s))
        return sv_call_trap(c, "text for console.error lies outside the memory");
    sv_buf_clear(&b->panic);
    sv_buf_append(&b->panic, s,
                  arg[1].i32 < SV_BINDGEN_TEXT_MAX ? arg[1].i32 : SV_BINDGEN_TEXT_MAX);
    return 0;
}

/* The stack of an Error: none here, the trap has its own. An empty string at the return pointer. */
static int error_stack(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    static const uint32_t empty[2] = {1, 0};
    void *p;

    (void)ret;
    if (!sv_call_slice(c, arg[0].i32, sizeof empty, &p))
        return sv_call_trap(c, "return pointer lies outside the memory");
    memcpy(p, empty, sizeof empty);
    return 0;
}

static int stub(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    (void)ret;
    return sv_call_trap(c, "import '%s' needs a JavaScript host", c->func->host.name);
}

/* ---- Names ---- */

/* Signatures: i = i32, F = f64, r = i32 (raw) or externref (processed). */
static const struct {
    const char *name, *sig;
    sv_host_fn *fn;
} funcs[] = {
    {"__wbindgen_describe", "i:", describe},
    {"__wbindgen_describe_cast", "ii:i", describe_cast},
    {"__wbindgen_describe_generic_import", "ii:i", describe_cast},
    {"__wbindgen_throw", "ii:", throw_text},
    {"__wbindgen_rethrow", "r:", rethrow},
    {"__wbindgen_string_new", "ii:r", string_new},
    {"__wbindgen_error_new", "ii:r", string_new},
    {"Error", "ii:r", string_new},
    {"__wbindgen_cast", "ii:r", string_new},
    {"__wbindgen_cast", "F:r", number_new},
    {"__wbindgen_number_new", "F:r", number_new},
    {"__wbindgen_string_get", "ir:", string_get},
    {"__wbindgen_number_get", "ir:", number_get},
    {"__wbindgen_object_drop_ref", "r:", drop_ref},
    {"__wbindgen_object_clone_ref", "r:r", clone_ref},
    {"__wbindgen_copy_to_typed_array", "iir:", copy_to_typed_array},
    {"__wbindgen_is_undefined", "r:i", is_undefined},
    {"__wbindgen_is_null", "r:i", is_null},
    {"__wbindgen_is_string", "r:i", is_string},
    {"__wbindgen_externref_table_grow", "i:i", table_grow},
    {"__wbindgen_externref_table_set_null", "i:", do_nothing},
    {"__wbindgen_externref_statics_end", ":i", statics_end},
    {"__wbindgen_anyref_table_grow", "i:i", table_grow},
    {"__wbindgen_anyref_table_set_null", "i:", do_nothing},
    {"__wbindgen_init_externref_table", ":", init_table},
    {"error", "ii:", console_error},
    {"new", ":r", object_new},
    {"stack", "ir:", error_stack},
};

static bool is_hash(const char *s)
{
    for (unsigned i = 0; i < HASH_LEN; i++) {
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    }
    return true;
}

/* `__wbg_NAME_<16 hex>` and `NAME_<16 hex>` are NAME. */
static struct sv_str stem(struct sv_str name)
{
    if (name.len > HASH_LEN + 1 && name.ptr[name.len - HASH_LEN - 1] == '_' &&
        is_hash(name.ptr + name.len - HASH_LEN)) {
        name.len -= HASH_LEN + 1;
        if (name.len > 6 && memcmp(name.ptr, "__wbg_", 6) == 0) {
            name.ptr += 6;
            name.len -= 6;
        }
    }
    return name;
}

static bool fits(const char *sig, const struct sv_type *type)
{
    const sv_valtype *t = type->func.params;
    uint32_t n = type->func.nparams, i = 0;

    for (; *sig; sig++) {
        enum sv_valkind kind;

        if (*sig == ':') {
            if (i != n)
                return false;
            t = type->func.results;
            n = type->func.nresults;
            i = 0;
            continue;
        }
        if (i >= n)
            return false;
        kind = sv_valtype_kind(t[i]);
        if (*sig == 'F' ? kind != SV_VAL_F64
                        : kind != SV_VAL_I32 && !(*sig == 'r' && kind == SV_VAL_REF &&
                                                  sv_valtype_heap(t[i]) == SV_HEAP_EXTERN))
            return false;
        i++;
    }
    return i == n;
}

bool sv_bindgen_is_module(struct sv_str m)
{
    return sv_str_eq(m, sv_str_of("__wbindgen_placeholder__")) ||
           sv_str_eq(m, sv_str_of("__wbindgen_externref_xform__")) ||
           sv_str_eq(m, sv_str_of("__wbindgen_anyref_xform__")) || sv_str_eq(m, sv_str_of("wbg")) ||
           (m.len > 10 && memcmp(m.ptr, "./", 2) == 0 &&
            memcmp(m.ptr + m.len - 6, "_bg.js", 6) == 0);
}

static bool find(void *arg, struct sv_store *store, const struct sv_module *m,
                 const struct sv_import *imp, struct sv_extern *ret)
{
    const struct sv_type *type;
    sv_host_fn *fn = stub;
    struct sv_str name;
    char *full;
    size_t size;

    if (imp->kind != SV_EXTERN_FUNC || !sv_bindgen_is_module(imp->module))
        return false;
    type = m->funcs[imp->index].type;
    name = stem(imp->name);
    for (unsigned i = 0; i < SV_COUNT(funcs); i++) {
        if (sv_str_eq(name, sv_str_of(funcs[i].name)) && fits(funcs[i].sig, type)) {
            fn = funcs[i].fn;
            break;
        }
    }
    size = imp->module.len + imp->name.len + 2;
    full = sv_arena_alloc(&store->arena, size);
    if (!full)
        return false;
    snprintf(full, size, "%.*s.%.*s", (int)imp->module.len, imp->module.ptr, (int)imp->name.len,
             imp->name.ptr);
    ret->kind = SV_EXTERN_FUNC;
    ret->func = sv_func_new_host(store, type, fn, arg, full, CALL_COST);
    return ret->func != NULL;
}

int sv_bindgen_link(struct sv_err *err, struct sv_linker *l, struct sv_bindgen *b)
{
    return sv_linker_define_lazy(err, l, find, b);
}
