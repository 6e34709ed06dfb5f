/* The guest's memory and allocator, as typed calls use them. Every address that the guest gives is
 * checked. */
#include <stdlib.h>

#include "api/typed.h"

#define STRIPPED                                                                                   \
    "__wbindgen_export" /* what the command line tool calls functions without names: export_0,     \
                           export2 */

struct sv_func *sv_typed_export(const struct sv_instance *inst, const char *name)
{
    struct sv_extern x;

    return sv_instance_export((struct sv_instance *)inst, sv_str_of(name), &x) &&
                   x.kind == SV_EXTERN_FUNC
               ? x.func
               : NULL;
}

static bool takes(const struct sv_type *type, const enum sv_valkind *params, size_t nparams)
{
    if (type->func.nparams != nparams)
        return false;
    for (size_t i = 0; i < nparams; i++) {
        if (sv_valtype_kind(type->func.params[i]) != params[i])
            return false;
    }
    return true;
}

bool sv_typed_takes(const struct sv_func *f, const enum sv_valkind *params, size_t nparams)
{
    return takes(f->type, params, nparams);
}

/* Is the export a function of n parameters i32, and a result i32 or none? */
static bool all_i32(const struct sv_module *m, const struct sv_export *x, unsigned nparams,
                    unsigned nresults)
{
    static const enum sv_valkind i32s[4] = {SV_VAL_I32, SV_VAL_I32, SV_VAL_I32, SV_VAL_I32};
    const struct sv_type *type;

    if (!x || x->kind != SV_EXTERN_FUNC)
        return false;
    type = m->funcs[x->index].type;
    return takes(type, i32s, nparams) && type->func.nresults == nresults &&
           (nresults == 0 || sv_valtype_kind(type->func.results[0]) == SV_VAL_I32);
}

void sv_typed_find_allocator(const struct sv_module *m, uint32_t *ret_malloc, uint32_t *ret_free)
{
    const struct sv_export *x = sv_module_export(m, sv_str_of("__wbindgen_malloc"));

    *ret_malloc =
        all_i32(m, x, 1, 1) || all_i32(m, x, 2, 1) ? (uint32_t)(x - m->exports) : UINT32_MAX;
    x = sv_module_export(m, sv_str_of("__wbindgen_free"));
    *ret_free =
        all_i32(m, x, 2, 0) || all_i32(m, x, 3, 0) ? (uint32_t)(x - m->exports) : UINT32_MAX;
    for (uint32_t i = 0; i < m->nexports && (*ret_malloc == UINT32_MAX || *ret_free == UINT32_MAX);
         i++) {
        x = &m->exports[i];
        if (x->name.len < sizeof STRIPPED - 1 ||
            memcmp(x->name.ptr, STRIPPED, sizeof STRIPPED - 1) != 0)
            continue;
        if (*ret_malloc == UINT32_MAX && all_i32(m, x, 2, 1))
            *ret_malloc = i;
        if (*ret_free == UINT32_MAX && all_i32(m, x, 3, 0))
            *ret_free = i;
    }
}

void *sv_typed_slice(const struct sv_typed *t, uint32_t ptr, uint64_t len)
{
    struct sv_memory *m = t->inst->memory0;

    return m && sv_memory_in_bounds(m, ptr, len) ? m->base + ptr : NULL;
}

/* The same error with another message: of a trap whose cause the guest told before. */
static own ssvm_error *reword(own ssvm_error *e, const unsigned char *text, size_t len)
{
    size_t back = strlen(e->backtrace);
    ssvm_error *r;
    char *p;

    r = sv_alloc(sizeof *r + len + back + 2);
    if (!r)
        return e;
    *r = *e;
    p = (char *)(r + 1);
    memcpy(p, text, len);
    p[len] = '\0';
    r->message = p;
    memcpy(p + len + 1, e->backtrace, back + 1);
    r->backtrace = p + len + 1;
    r->is_static = false;
    ssvm_error_delete(e);
    return r;
}

/* One line of a panic hook's text: its stack comes after an empty line and is not ours. */
static size_t first_paragraph(unsigned char *text, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (text[i] == '\n' && text[i + 1] == '\n')
            return i;
        if (text[i] == '\n')
            text[i] = ' ';
    }
    return len;
}

own ssvm_error *sv_typed_call(struct sv_typed *t, struct sv_func *f, union sv_slot *slots)
{
    struct sv_buf *panic = &t->bindgen->panic;
    ssvm_error *e;

    sv_buf_clear(panic);
    e = sv_api_call(t->store, f, slots);
    if (e && e->kind == SSVM_ETRAP && e->trap_code == SV_TRAP_UNREACHABLE && panic->len > 0 &&
        !e->is_static)
        e = reword(e, panic->data, first_paragraph(panic->data, panic->len));
    return e;
}

own ssvm_error *sv_typed_malloc(struct sv_typed *t, size_t len, unsigned align, uint32_t *ret)
{
    union sv_slot slots[2] = {{.i64 = len}, {.i64 = align}};
    ssvm_error *e;

    if (!t->malloc_func)
        return sv_api_error(SSVM_ETYPE,
                            "'%s' cannot be given strings or bytes: the module exports no "
                            "allocator ('__wbindgen_malloc')",
                            t->name);
    if (len > UINT32_MAX)
        return sv_api_error(SSVM_ELIMIT, "an argument of '%s' is too large", t->name);
    e = sv_typed_call(t, t->malloc_func, slots);
    if (e)
        return e;
    *ret = slots[0].i32;
    if (*ret == 0 || !sv_typed_slice(t, *ret, len))
        return sv_api_error(
            SSVM_ETYPE,
            "the allocator of the module returned 0x%x for %zu bytes, which is outside its memory",
            *ret, len);
    return NULL;
}

own ssvm_error *sv_typed_free(struct sv_typed *t, uint32_t ptr, size_t len, unsigned align)
{
    union sv_slot slots[3] = {{.i64 = ptr}, {.i64 = len}, {.i64 = align}};

    /* Nothing was allocated for nothing; a module without `free` keeps it. */
    if (!t->free_func || len == 0 || ptr == 0)
        return NULL;
    return sv_typed_call(t, t->free_func, slots);
}

own ssvm_error *sv_typed_send(struct sv_typed *t)
{
    for (size_t i = 0; i < t->nbuffers; i++) {
        struct sv_typed_buffer *b = &t->buffers[i];
        ssvm_error *e;

        b->ptr = b->elem_size;
        if (b->len == 0)
            continue;
        e = sv_typed_malloc(t, b->len, b->elem_size, &b->ptr);
        if (e)
            return e;
    }
    for (size_t i = 0; i < t->nbuffers; i++) {
        struct sv_typed_buffer *b = &t->buffers[i];
        /* Again: a later malloc may have grown the memory, or, hostile, not what it said. */
        void *p = b->len > 0 ? sv_typed_slice(t, b->ptr, b->len) : NULL;

        if (b->len > 0 && !p)
            return sv_api_error(
                SSVM_ETYPE, "the allocator of the module returned an address outside its memory");
        if (p)
            memcpy(p, b->bytes, b->len);
    }
    for (size_t i = 0; i < t->nflats; i++) {
        if (t->flats[i].buffer >= 0)
            t->flats[i].value.i64 = t->buffers[t->flats[i].buffer].ptr;
    }
    return NULL;
}
