/* Any bytes as a module: decode and validate, and when they are one, ask for everything a module
 * answers. Runs no code. */
#include <stdlib.h>

#include "wasm/module.h"
#include "wasm/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The unchecked readers walk code that passed validation: every function ends exactly at its end.
 */
static void walk_code(const struct sv_module *m)
{
    for (uint32_t i = m->nimports_of[SV_EXTERN_FUNC]; i < m->nfuncs; i++) {
        const uint8_t *p = m->bytes + m->funcs[i].body_offset;
        const uint8_t *end = p + m->funcs[i].body_len;

        for (uint32_t n = sv_code_u32(&p); n > 0; n--) {
            (void)sv_code_u32(&p);
            (void)sv_code_valtype(m, &p);
        }
        while (p < end) {
            enum sv_op op = sv_code_op(&p);

            if (op >= OP_COUNT)
                abort();
            if (sv_op_info[op].imm == IMM_BLOCK) {
                const uint8_t *q = p;

                (void)sv_code_blocktype(m, &q);
            }
            sv_code_skip(&p, op);
        }
        if (p != end)
            abort();
        if (sv_module_func_at(m, m->funcs[i].body_offset) != i)
            abort();
    }
}

static void ask(const struct sv_module *m)
{
    struct sv_buf text;

    sv_buf_init(&text, 1 << 16);
    for (uint32_t i = 0; i < m->nfuncs; i++) {
        (void)sv_module_func_name(m, i);
        (void)sv_module_branch_hint(m, i, 1);
    }
    for (uint32_t i = 0; i < m->nexports; i++)
        if (sv_module_export(m, m->exports[i].name) != &m->exports[i])
            abort();
    for (uint32_t i = 0; i < m->ntypes; i++)
        if (m->types[i]->form == SV_FORM_FUNC)
            sv_functype_print(&text, m, m->types[i]);
    (void)sv_module_name(m);
    sv_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sv_types *types;
    struct sv_err err = {0};
    struct sv_module *m = NULL;

    if (!types)
        types = sv_types_new();
    if (!types)
        return 0;
    if (sv_module_new(&err, types, data, size, NULL, NULL, &m) == 0) {
        walk_code(m);
        ask(m);
        sv_module_unref(m);
    } else if (err.code >= 0 || !err.text[0] || err.code == SV_EINTERNAL)
        abort();
    return 0;
}
