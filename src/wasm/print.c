/* Types in the text format's spelling, for messages and `ssvm inspect`. Prints no instructions. */
#include "wasm/module.h"

static const char *heap_name(uint32_t heap)
{
    static const char *const names[] = {
        [SV_HEAP_FUNC] = "func",         [SV_HEAP_NOFUNC] = "nofunc", [SV_HEAP_EXTERN] = "extern",
        [SV_HEAP_NOEXTERN] = "noextern", [SV_HEAP_ANY] = "any",       [SV_HEAP_EQ] = "eq",
        [SV_HEAP_I31] = "i31",           [SV_HEAP_STRUCT] = "struct", [SV_HEAP_ARRAY] = "array",
        [SV_HEAP_NONE] = "none",         [SV_HEAP_EXN] = "exn",       [SV_HEAP_NOEXN] = "noexn",
        [SV_HEAP_BOT] = "unknown",
    };

    return names[heap];
}

/* Nullable references to these have short names that are not NAME + "ref". */
static const char *short_name(uint32_t heap)
{
    switch (heap) {
    case SV_HEAP_NOFUNC:
        return "nullfuncref";
    case SV_HEAP_NOEXTERN:
        return "nullexternref";
    case SV_HEAP_NONE:
        return "nullref";
    case SV_HEAP_NOEXN:
        return "nullexnref";
    default:
        return NULL;
    }
}

/* Index of the type in the module; the canonical id when it is not among its types. */
static uint32_t type_number(const struct sv_module *m, uint32_t id)
{
    if (m)
        for (uint32_t i = 0; i < m->ntypes; i++)
            if (m->types[i] && m->types[i]->id == id)
                return i;
    return id;
}

static void print_ref(struct sv_buf *b, const struct sv_module *m, sv_valtype t)
{
    uint32_t heap = sv_valtype_heap(t);
    const char *null = sv_valtype_nullable(t) ? "null " : "";

    if (heap >= SV_HEAP_CONCRETE)
        sv_buf_printf(b, "(ref %s%u)", null, type_number(m, heap - SV_HEAP_CONCRETE));
    else if (!*null)
        sv_buf_printf(b, "(ref %s)", heap_name(heap));
    else if (short_name(heap))
        sv_buf_puts(b, short_name(heap));
    else
        sv_buf_printf(b, "%sref", heap_name(heap));
}

void sv_valtype_print(struct sv_buf *b, const struct sv_module *m, sv_valtype t)
{
    static const char *const names[SV_VAL_COUNT] = {
        [SV_VAL_BOT] = "unknown", [SV_VAL_I32] = "i32", [SV_VAL_I64] = "i64",
        [SV_VAL_F32] = "f32",     [SV_VAL_F64] = "f64", [SV_VAL_V128] = "v128",
        [SV_VAL_REF] = "ref",     [SV_VAL_I8] = "i8",   [SV_VAL_I16] = "i16",
    };

    if (sv_valtype_is_ref(t))
        print_ref(b, m, t);
    else
        sv_buf_puts(b, names[sv_valtype_kind(t)]);
}

static void print_list(struct sv_buf *b, const struct sv_module *m, const sv_valtype *types,
                       uint32_t n)
{
    sv_buf_putc(b, '(');
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            sv_buf_puts(b, ", ");
        sv_valtype_print(b, m, types[i]);
    }
    sv_buf_putc(b, ')');
}

void sv_functype_print(struct sv_buf *b, const struct sv_module *m, const struct sv_type *t)
{
    print_list(b, m, t->func.params, t->func.nparams);
    sv_buf_puts(b, " -> ");
    print_list(b, m, t->func.results, t->func.nresults);
}
