/* What makes wasm a contract: no start section, exports `memory` and `main`, and no imports but
 * functions of `ethereum`. */
#include <string.h>

#include "evmc/eth.h"

#define KINDS_MAX 8 /* parameters of a function for contracts */
#define SECTION_START 8
#define ETHEREUM "ethereum" /* the module of all that may be imported */

static const uint8_t magic[4] = {0, 'a', 's', 'm'};

const struct eth_func eth_funcs[] = {
#define EEI(name, fn, sig, gas, doc) {name, eth_##fn, sig, gas},
#include "evmc/eei.def"
#undef EEI
};
const size_t eth_nfuncs = SV_COUNT(eth_funcs);

/* The status for what ssvm refuses. */
static int refused(own ssvm_error *error)
{
    ssvm_error_kind kind = ssvm_error_kind_of(error);

    ssvm_error_delete(error);
    return kind == SSVM_ENOMEM ? EVMC_OUT_OF_MEMORY : EVMC_CONTRACT_VALIDATION_FAILURE;
}

/* What a module imports is called here. */
static own ssvm_error *enter(void *data, ssvm_caller *caller, const ssvm_val *arg, ssvm_val *ret)
{
    struct eth_frame *f = ssvm_store_data(ssvm_caller_store(caller));
    const struct eth_func *func = data;
    int r;

    f->caller = caller;
    r = eth_frame_charge(f, func->gas);
    if (r == 0)
        r = func->fn(f, arg, ret);
    if (r == 0)
        return NULL;
    f->status = r;
    f->ended = true;
    return ssvm_error_new_exit(0);
}

static size_t read_kinds(const char *letters, size_t len, ssvm_kind *ret)
{
    for (size_t i = 0; i < len; i++)
        ret[i] = letters[i] == 'I' ? SSVM_I64 : SSVM_I32;
    return len;
}

static int define(ssvm_linker *l, const struct eth_func *func)
{
    const char *colon = strchr(func->sig, ':');
    ssvm_kind params[KINDS_MAX], results[1];
    size_t nparams = read_kinds(func->sig, (size_t)(colon - func->sig), params);
    size_t nresults = read_kinds(colon + 1, strlen(colon + 1), results);
    ssvm_functype *type = ssvm_functype_new(params, nparams, results, nresults);
    ssvm_error *error;

    if (!type)
        return EVMC_OUT_OF_MEMORY;
    error = ssvm_linker_define_func(l, ETHEREUM, func->name, type, enter, (void *)func, NULL);
    ssvm_functype_delete(type);
    return error ? refused(error) : 0;
}

int eth_define(ssvm_linker *l)
{
    int r = 0;

    for (size_t i = 0; i < eth_nfuncs && r == 0; i++)
        r = define(l, &eth_funcs[i]);
    return r;
}

static int link_contract(ssvm_engine *engine, struct eth_contract *c)
{
    ssvm_store *store = NULL;
    ssvm_linker *l = NULL;
    ssvm_error *error = ssvm_store_new(engine, NULL, &store);
    int r = 0;

    if (!error)
        error = ssvm_linker_new(store, &l);
    if (!error)
        r = eth_define(l);
    if (!error && r == 0)
        error = ssvm_template_new(l, c->module, &c->links);
    if (error)
        r = refused(error);
    ssvm_linker_delete(l);
    ssvm_store_delete(store);
    return r;
}

/* A LEB128 number of a module that was decoded: it ends where it should. */
static uint32_t read_leb(const uint8_t **p)
{
    uint32_t n = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = *(*p)++;
        n |= (uint32_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    return n;
}

static bool has_start(const uint8_t *code, size_t code_size)
{
    const uint8_t *p = code + 8, *end = code + code_size;

    while (p < end) {
        uint8_t id = *p++;
        uint32_t len = read_leb(&p);

        if (id == SECTION_START)
            return true;
        p += len;
    }
    return false;
}

static bool is_main(const ssvm_functype *type)
{
    return type && ssvm_functype_nparams(type) == 0 && ssvm_functype_nresults(type) == 0;
}

static bool has_exports(const ssvm_module *m)
{
    bool memory = false, start = false;

    for (size_t i = 0; i < ssvm_module_nexports(m); i++) {
        ssvm_functype *type = NULL;
        ssvm_extern_kind kind;
        size_t len;
        const char *name = ssvm_module_export(m, i, &len, &kind, &type);

        if (len == 6 && memcmp(name, "memory", 6) == 0)
            memory = kind == SSVM_EXTERN_MEMORY;
        else if (len == 4 && memcmp(name, "main", 4) == 0)
            start = kind == SSVM_EXTERN_FUNC && is_main(type);
        ssvm_functype_delete(type);
    }
    return memory && start;
}

/* The library knows modules of its own, whose clocks and counts differ from machine to machine. */
static bool has_other_imports(const ssvm_module *m)
{
    for (size_t i = 0; i < ssvm_module_nimports(m); i++) {
        const char *module, *name;
        size_t module_len, name_len;
        ssvm_extern_kind kind;

        ssvm_module_import(m, i, &module, &module_len, &name, &name_len, &kind);
        if (kind != SSVM_EXTERN_FUNC || module_len != sizeof ETHEREUM - 1 ||
            memcmp(module, ETHEREUM, module_len) != 0)
            return true;
    }
    return false;
}

int eth_contract_make(ssvm_engine *engine, const uint8_t *code, size_t code_size,
                      own struct eth_contract **ret)
{
    struct eth_contract *c;
    ssvm_error *error;
    int r;

    if (code_size < 8 || memcmp(code, magic, sizeof magic) != 0)
        return EVMC_REJECTED;
    c = sv_alloc_zero(sizeof *c);
    if (!c)
        return EVMC_OUT_OF_MEMORY;
    c->code_size = code_size;
    error = ssvm_module_new(engine, code, code_size, &c->module);
    if (error)
        r = refused(error);
    else if (has_start(code, code_size) || !has_exports(c->module) || has_other_imports(c->module))
        r = EVMC_CONTRACT_VALIDATION_FAILURE;
    else
        r = link_contract(engine, c);
    if (r == 0)
        *ret = c;
    else
        eth_contract_delete(c);
    return r;
}

void eth_contract_delete(own struct eth_contract *c)
{
    if (!c)
        return;
    ssvm_template_delete(c->links);
    ssvm_module_delete(c->module);
    sv_free(c);
}
