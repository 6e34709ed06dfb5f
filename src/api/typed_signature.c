/* Which export a name means, and the types that a module tells about its functions. Calls nothing
 * but descriptors. */
#include "api/typed.h"

#define HASH_LEN 16
#define DESCRIBE "__wbindgen_describe_"
#define DESCRIBE_GAS 1000000u /* a descriptor is some dozen instructions */
#define DESCRIBE_MS 100
#define DESCRIBE_GROWTH ((uint64_t)1 << 20) /* bytes of memory beyond what it starts with */
#define SIGNATURE_MAX 65536

/* The name without `_` and 16 hex digits, which wasm-bindgen from 0.2.107 on adds. */
static struct sv_str without_hash(struct sv_str s)
{
    const char *hash = s.ptr + s.len - HASH_LEN;

    if (s.len < HASH_LEN + 2 || hash[-1] != '_')
        return s;
    for (unsigned i = 0; i < HASH_LEN; i++) {
        if (!((hash[i] >= '0' && hash[i] <= '9') || (hash[i] >= 'a' && hash[i] <= 'f')))
            return s;
    }
    s.len -= HASH_LEN + 1;
    return s;
}

int sv_typed_find(struct sv_err *err, const struct sv_module *m, const char *name,
                  uint32_t *ret_index)
{
    struct sv_str want = sv_str_of(name);
    const struct sv_export *x = sv_module_export(m, want);
    uint32_t found = UINT32_MAX;

    if (x && x->kind != SV_EXTERN_FUNC)
        return sv_fail(err, SV_ETYPE, SV_NO_OFFSET, "export '%s' is not a function", name);
    if (x) {
        *ret_index = (uint32_t)(x - m->exports);
        return 0;
    }
    for (uint32_t i = 0; i < m->nexports; i++) {
        x = &m->exports[i];
        if (x->kind != SV_EXTERN_FUNC || x->name.len == want.len ||
            !sv_str_eq(without_hash(x->name), want))
            continue;
        if (found != UINT32_MAX)
            return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET,
                           "two functions are called '%s': '%.*s' and '%.*s'", name,
                           (int)m->exports[found].name.len, m->exports[found].name.ptr,
                           (int)x->name.len, x->name.ptr);
        found = i;
    }
    if (found == UINT32_MAX)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "no exported function '%s'", name);
    *ret_index = found;
    return 0;
}

const struct sv_export *sv_typed_descriptor(const struct sv_module *m, uint32_t index)
{
    struct sv_str name = m->exports[index].name;
    char text[sizeof DESCRIBE + 512];
    const struct sv_export *x;
    bool raw;

    if (name.len > 500 || sv_bindgen_version(m, &raw) < 0 || !raw)
        return NULL;
    memcpy(text, DESCRIBE, sizeof DESCRIBE - 1);
    memcpy(text + sizeof DESCRIBE - 1, name.ptr, name.len);
    x = sv_module_export(m, (struct sv_str){text, sizeof DESCRIBE - 1 + name.len});
    if (!x || x->kind != SV_EXTERN_FUNC)
        return NULL;
    return m->funcs[x->index].type->func.nparams == 0 && m->funcs[x->index].type->func.nresults == 0
               ? x
               : NULL;
}

own ssvm_error *sv_typed_describe(ssvm_store *s, struct sv_bindgen *b, struct sv_instance *inst,
                                  const struct sv_export *x, struct sv_bindgen_sig *ret)
{
    union sv_slot none[1] = {{0}};
    struct sv_func *f = sv_instance_func(inst, x->index);
    struct sv_err err = {0};
    ssvm_error *e;
    bool raw;

    if (!f)
        return sv_api_nomem();
    b->words.len = 0;
    e = sv_api_call(s, f, none);
    if (e)
        return e;
    if (sv_bindgen_sig_decode(&err, b->words.data, b->words.len,
                              (unsigned)sv_bindgen_version(inst->module, &raw), ret) < 0) {
        b->words.len = 0;
        sv_err_prefix(&err, "types of the function");
        return sv_api_error_of(&err);
    }
    b->words.len = 0;
    return NULL;
}

/* ---- Without an instance ---- */

static int trap(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)arg;
    (void)ret;
    return sv_call_trap(c, "nothing is provided while types are told");
}

/* Whatever else the module imports: functions that trap, empty memories and tables, zero globals.
 */
static bool provide(void *arg, struct sv_store *s, const struct sv_module *m,
                    const struct sv_import *imp, struct sv_extern *ret)
{
    static const union sv_val zero;
    struct sv_err err = {0};

    (void)arg;
    ret->kind = imp->kind;
    switch (imp->kind) {
    case SV_EXTERN_FUNC:
        ret->func = sv_func_new_host(s, m->funcs[imp->index].type, trap, NULL, "import", 1);
        return ret->func != NULL;
    case SV_EXTERN_MEMORY:
        return sv_memory_new(&err, s, &m->memories[imp->index], NULL, NULL, &ret->memory) == 0;
    case SV_EXTERN_TABLE:
        return sv_valtype_nullable(m->tables[imp->index].type.type) &&
               sv_table_new(&err, s, &m->tables[imp->index].type, SV_REF_NULL, &ret->table) == 0;
    case SV_EXTERN_GLOBAL:
        if (!sv_valtype_defaultable(m->globals[imp->index].type.type))
            return false;
        ret->global = sv_global_new(s, m->globals[imp->index].type, &zero);
        return ret->global != NULL;
    default:
        return false;
    }
}

/* What its memories start with, all together, at most UINT64_MAX / 2. */
static uint64_t initial_memory(const struct sv_module *m)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m->nmemories; i++) {
        uint64_t min = m->memories[i].limits.min, most = UINT64_MAX / 2 - sum;

        sum += min <= most >> m->memories[i].page_shift ? min << m->memories[i].page_shift : most;
    }
    return sum;
}

/* A store of its own with small limits, and an instance that can do nothing but tell types. */
static own ssvm_error *scratch(const ssvm_module *m, own ssvm_store **ret_store,
                               struct sv_instance **ret)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_engine engine = {m->engine};
    ssvm_linker *l = NULL;
    ssvm_store *s = NULL;
    ssvm_instance *inst;
    struct sv_err err = {0};
    ssvm_error *e;

    limits.gas = DESCRIBE_GAS;
    limits.wall_ms = DESCRIBE_MS;
    limits.memory_bytes = initial_memory(m->module) + DESCRIBE_GROWTH;
    e = ssvm_store_new(&engine, &limits, &s);
    if (!e)
        e = ssvm_linker_new(s, &l);
    if (!e)
        e = ssvm_linker_define_bindgen(l);
    if (!e && sv_linker_define_lazy(&err, l->linker, provide, NULL) < 0)
        e = sv_api_error_of(&err);
    if (!e)
        e = ssvm_linker_instantiate(l, m, &inst);
    ssvm_linker_delete(l);
    if (e) {
        ssvm_store_delete(s);
        return e;
    }
    *ret_store = s;
    *ret = sv_api_instance(inst);
    return NULL;
}

/* The text of one function; NULL ret_text is out of memory. */
static own ssvm_error *signature(ssvm_store *s, struct sv_instance *inst, uint32_t index,
                                 struct sv_bindgen_sig *sig, struct sv_buf *out)
{
    const struct sv_module *m = inst->module;
    const struct sv_export *x = sv_typed_descriptor(m, index);
    ssvm_error *e;

    if (!x)
        return sv_api_error(SSVM_ENOTFOUND, "the module does not tell the types of '%.*s'",
                            (int)m->exports[index].name.len, m->exports[index].name.ptr);
    e = sv_typed_describe(s, s->bindgen, inst, x, sig);
    if (!e)
        sv_bindgen_sig_print(out, sig, without_hash(m->exports[index].name));
    return e;
}

own ssvm_error *ssvm_module_signature(const ssvm_module *m, const char *name, own char **ret)
{
    struct sv_bindgen_sig *sig = NULL;
    struct sv_instance *inst;
    ssvm_store *s = NULL;
    struct sv_err err = {0};
    struct sv_buf out;
    uint32_t index = 0;
    ssvm_error *e;

    if (!m || !name || !ret)
        return sv_api_error(
            SSVM_EUSAGE, "ssvm_module_signature needs a module, a name and a place for the text");
    if (sv_typed_find(&err, m->module, name, &index) < 0)
        return sv_api_error_of(&err);
    if (!sv_typed_descriptor(m->module, index))
        return sv_api_error(SSVM_ENOTFOUND, "the module does not tell the types of '%s'", name);
    e = scratch(m, &s, &inst);
    if (e)
        return e;
    sv_buf_init(&out, SIGNATURE_MAX);
    sig = sv_alloc(sizeof *sig);
    e = sig ? signature(s, inst, index, sig, &out) : sv_api_nomem();
    if (!e) {
        *ret = sv_buf_take(&out, NULL);
        if (!*ret)
            e = sv_api_nomem();
    }
    sv_buf_release(&out);
    sv_free(sig);
    ssvm_store_delete(s);
    return e;
}

own ssvm_error *sv_typed_signatures(const ssvm_module *m,
                                    void (*each)(void *arg, uint32_t index, const char *text),
                                    void *arg)
{
    struct sv_bindgen_sig *sig = NULL;
    struct sv_instance *inst;
    ssvm_store *s = NULL;
    struct sv_buf out;
    ssvm_error *e;
    bool raw;

    if (sv_bindgen_version(m->module, &raw) < 0 || !raw)
        return NULL;
    e = scratch(m, &s, &inst);
    if (e)
        return e;
    sv_buf_init(&out, SIGNATURE_MAX);
    sig = sv_alloc(sizeof *sig);
    if (!sig)
        e = sv_api_nomem();
    for (uint32_t i = 0; sig && i < m->module->nexports; i++) {
        sv_buf_clear(&out);
        if (m->module->exports[i].kind != SV_EXTERN_FUNC || !sv_typed_descriptor(m->module, i))
            continue;
        /* One bad descriptor says nothing about the others. */
        e = signature(s, inst, i, sig, &out);
        if (!e)
            each(arg, i, sv_buf_cstr(&out));
        ssvm_error_delete(e);
        e = NULL;
    }
    sv_buf_release(&out);
    sv_free(sig);
    ssvm_store_delete(s);
    return e;
}
