/* The list of host modules, who provides an import, and linking a module into a store. Nothing of
 * any one module. */
#include "host/host.h"
#include "host/part.h"

#include <stdio.h>

#define HOST_MODULE(descriptor) extern const struct sv_host_module descriptor;
#define HOST_FILE(name)
#define HOST_KNOWN(module, what, then)
#define HOST_PART(module, prefix, what, then)
#include "host/modules.def"
#undef HOST_MODULE
#undef HOST_FILE
#undef HOST_KNOWN
#undef HOST_PART

const struct sv_host_module *const sv_host_modules[] = {
#define HOST_MODULE(descriptor) &descriptor,
#define HOST_FILE(name)
#define HOST_KNOWN(module, what, then)
#define HOST_PART(module, prefix, what, then)
#include "host/modules.def"
#undef HOST_MODULE
#undef HOST_FILE
#undef HOST_KNOWN
#undef HOST_PART
};
const unsigned sv_host_nmodules = SV_COUNT(sv_host_modules);

static const struct known {
    const char *module, *prefix, *what, *then; /* prefix: of the functions' names */
} known_modules[] = {
#define HOST_MODULE(descriptor)
#define HOST_FILE(name)
#define HOST_KNOWN(module, what, then) {module, "", what, then},
#define HOST_PART(module, prefix, what, then) {module, prefix, what, then},
#include "host/modules.def"
#undef HOST_MODULE
#undef HOST_FILE
#undef HOST_KNOWN
#undef HOST_PART
};

/* A module that was opened for a store. */
struct opened {
    struct opened *next;
    const struct sv_host_module *module;
    void *state;
    void **waits; /* not open before a function is asked for: where its state is to go then */
};

static bool is(struct sv_str s, const char *name)
{
    return sv_str_eq(s, sv_str_of(name));
}

static bool begins(struct sv_str s, const char *prefix)
{
    size_t len = strlen(prefix);

    return s.len >= len && memcmp(s.ptr, prefix, len) == 0;
}

/* Order of a function's name against a string. */
static int compare(const char *name, struct sv_str s)
{
    size_t len = strlen(name);
    int r = memcmp(name, s.ptr, len < s.len ? len : s.len);

    return r != 0 ? r : len < s.len ? -1 : len > s.len;
}

/* First function of the module that is called `name`; NULL when there is none. */
static const struct sv_host_func *first_named(const struct sv_host_module *m, struct sv_str name)
{
    unsigned low = 0, high = m->nfuncs;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (compare(m->funcs[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->nfuncs && compare(m->funcs[low].name, name) == 0 ? &m->funcs[low] : NULL;
}

static sv_valtype letter_type(char letter)
{
    switch (letter) {
    case 'i':
        return SV_VALTYPE(SV_VAL_I32);
    case 'I':
        return SV_VALTYPE(SV_VAL_I64);
    case 'f':
        return SV_VALTYPE(SV_VAL_F32);
    default:
        return SV_VALTYPE(SV_VAL_F64);
    }
}

/* Does a signature say this type? */
static bool sig_matches(const char *sig, const struct sv_type *t)
{
    uint32_t i;

    for (i = 0; i < t->func.nparams; i++)
        if (sig[i] == ':' || sig[i] == '\0' || letter_type(sig[i]) != t->func.params[i])
            return false;
    if (sig[i] != ':')
        return false;
    sig += i + 1;
    for (i = 0; i < t->func.nresults; i++)
        if (sig[i] == '\0' || letter_type(sig[i]) != t->func.results[i])
            return false;
    return sig[i] == '\0';
}

#define NAME_MAX_SHOWN 128 /* bytes of a function's name in messages */
#define SIG_MAX 16         /* parameters, and results, of a host function */

static const struct sv_type *sig_type(struct sv_types *types, const char *sig)
{
    sv_valtype params[SIG_MAX], results[SIG_MAX];
    uint32_t nparams = 0, nresults = 0;

    for (; *sig != ':' && nparams < SIG_MAX; sig++)
        params[nparams++] = letter_type(*sig);
    for (sig++; *sig && nresults < SIG_MAX; sig++)
        results[nresults++] = letter_type(*sig);
    return sv_types_func(types, params, nparams, results, nresults);
}

/* The module's function for an import: the variant of the import's type where there are several
 * (`type` NULL: the first). */
static const struct sv_host_func *find_func(const struct sv_host_module *m, struct sv_str module,
                                            struct sv_str name, const struct sv_type *type)
{
    const struct sv_host_func *f, *first = NULL;

    for (unsigned i = 0; i < SV_HOST_NAMES_MAX && m->names[i].module; i++) {
        size_t prefix = strlen(m->names[i].prefix);
        struct sv_str bare = {name.ptr + prefix, name.len - prefix};

        if (!is(module, m->names[i].module) || name.len < prefix ||
            memcmp(name.ptr, m->names[i].prefix, prefix) != 0)
            continue;
        f = first_named(m, bare);
        for (; f && f < m->funcs + m->nfuncs && compare(f->name, bare) == 0; f++) {
            if (f->names && !(f->names & 1u << i))
                continue;
            if (!type || sig_matches(f->sig, type))
                return f;
            if (!first)
                first = f;
        }
    }
    return first;
}

const struct sv_host_func *sv_host_module_find(const struct sv_host_module *m, struct sv_str module,
                                               struct sv_str name)
{
    return find_func(m, module, name, NULL);
}

const struct sv_host_func *sv_host_find(struct sv_str module, struct sv_str name,
                                        const struct sv_host_module **ret_module)
{
    unsigned i;

    for (i = 0; i < sv_host_nmodules; i++) {
        const struct sv_host_func *f = find_func(sv_host_modules[i], module, name, NULL);
        if (f) {
            if (ret_module)
                *ret_module = sv_host_modules[i];
            return f;
        }
    }
    return NULL;
}

/* "module.name", cut to fit. */
static void print_name(char *to, size_t size, const struct sv_import *import)
{
    snprintf(to, size, "%.*s.%.*s", (int)import->module.len, import->module.ptr,
             (int)import->name.len, import->name.ptr);
}

/* Has another open module of the store this function, with this type? */
static bool others_have(const struct sv_store *store, const struct opened *but,
                        const struct sv_import *import, const struct sv_type *type)
{
    for (const struct opened *o = store->host_states; o; o = o->next) {
        const struct sv_host_func *f =
            o == but ? NULL : find_func(o->module, import->module, import->name, type);

        if (f && sig_matches(f->sig, type))
            return true;
    }
    return false;
}

static bool define(void *arg, struct sv_store *store, const struct sv_module *module,
                   const struct sv_import *import, struct sv_extern *ret)
{
    struct opened *o = arg;
    const struct sv_host_func *f;
    const struct sv_type *type;
    char name[NAME_MAX_SHOWN];

    if (import->kind != SV_EXTERN_FUNC)
        return false;
    type = module->funcs[import->index].type;
    f = find_func(o->module, import->module, import->name, type);
    if (!f || (o->module->has && !o->module->has(o->state, f)))
        return false;
    /* Of another type: define it as it is, so that the linker tells what was expected and found. */
    if (!sig_matches(f->sig, type) && others_have(store, o, import, type))
        return false;
    type = sig_type(store->engine->types, f->sig);
    if (!type)
        return false;
    if (o->waits && o->module->open(NULL, store, NULL, &o->state) < 0)
        return false;
    if (o->waits)
        *o->waits = o->state;
    o->waits = NULL;
    print_name(name, sizeof name, import);
    ret->kind = SV_EXTERN_FUNC;
    ret->func = sv_func_new_host(store, type, f->fn, o->state, name, f->cost);
    return ret->func != NULL;
}

static void release_states(void *states)
{
    struct opened *o = states, *next;

    for (; o; o = next) {
        next = o->next;
        if (!o->waits)
            o->module->close(o->state);
        sv_free(o);
    }
}

void *sv_host_state(const struct sv_store *store, const struct sv_host_module *m)
{
    for (const struct opened *o = store->host_states; o; o = o->next)
        if (o->module == m)
            return o->state;
    return NULL;
}

const char *sv_host_holds(const struct sv_store *store)
{
    for (const struct opened *o = store->host_states; o; o = o->next) {
        const char *what = o->module->holds && !o->waits ? o->module->holds(o->state) : NULL;

        if (what)
            return what;
    }
    return NULL;
}

int sv_host_share(struct sv_err *err, const struct sv_store *store)
{
    int r = 0;

    for (const struct opened *o = store->host_states; o && r == 0; o = o->next)
        if (o->module->share && !o->waits)
            r = o->module->share(err, o->state);
    return r;
}

/* `waits`: as in struct opened; NULL: now. */
static int open_module(struct sv_err *err, struct sv_store *store, const struct sv_host_module *m,
                       const void *grant, void **waits, struct opened **ret)
{
    struct opened *o = sv_alloc(sizeof *o);
    int r = 0;

    if (!o) {
        sv_fail_nomem(err, "host module");
        return SV_ENOMEM;
    }
    o->module = m;
    o->state = NULL;
    o->waits = waits;
    if (!waits)
        r = m->open(err, store, grant, &o->state);
    if (r != 0) {
        sv_free(o);
        return r;
    }
    /* From here on the store closes it. */
    o->next = store->host_states;
    store->host_states = o;
    store->host_states_release = release_states;
    *ret = o;
    return 0;
}

int sv_host_open(struct sv_err *err, struct sv_store *store, const struct sv_host_module *m,
                 const void *grant, void **ret_state)
{
    struct opened *o;
    int r = open_module(err, store, m, grant, NULL, &o);

    if (r == 0)
        *ret_state = o->state;
    return r;
}

int sv_host_link(struct sv_err *err, struct sv_linker *linker, struct sv_store *store,
                 const struct sv_host_module *m, const void *grant, void **ret_state)
{
    struct opened *o;
    int r = open_module(err, store, m, grant, m->always ? ret_state : NULL, &o);

    if (r == 0)
        r = sv_linker_define_lazy(err, linker, define, o);
    if (r == 0 && ret_state)
        *ret_state = o->state;
    return r;
}

/* An import module's name may come from anywhere: this much of it is shown. */
#define SHOWN_MAX 64

static int shown(struct sv_str s)
{
    return (int)(s.len < SHOWN_MAX ? s.len : SHOWN_MAX);
}

/* ---- Names that are nearly right ---- */

#define NEAR_MAX 48 /* bytes of names that are compared */

/* Letters to change, add or take away to make b of a. */
static unsigned distance(const char *a, size_t alen, const char *b, size_t blen)
{
    uint8_t row[NEAR_MAX + 1];

    if (alen > NEAR_MAX || blen > NEAR_MAX)
        return UINT32_MAX;
    for (size_t j = 0; j <= blen; j++)
        row[j] = (uint8_t)j;
    for (size_t i = 1; i <= alen; i++) {
        unsigned diagonal = row[0];

        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= blen; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = best < diagonal + 1u ? best : diagonal + 1u;
            row[j] = (uint8_t)(best < row[j - 1] + 1u ? best : row[j - 1] + 1u);
        }
    }
    return row[blen];
}

/* The nearest so far to what was asked for: a third of it may differ. */
struct nearest {
    struct sv_str asked;
    const char *prefix, *name;
    unsigned away;
};

static void consider(struct nearest *n, const char *prefix, const char *name)
{
    size_t skip = strlen(prefix);
    bool has = begins(n->asked, prefix);
    unsigned away = distance(n->asked.ptr + (has ? skip : 0), n->asked.len - (has ? skip : 0), name,
                             strlen(name));

    if (away < n->away && away <= n->asked.len / 3) {
        n->away = away;
        n->prefix = prefix;
        n->name = name;
    }
}

static void say_nearest(const struct nearest *n, struct sv_buf *ret)
{
    if (n->name)
        sv_buf_printf(ret, "; did you mean '%s%s'?", n->prefix, n->name);
}

/* Who has functions of an import module, and the one whose name is nearest. */
struct owner {
    struct sv_str module;
    struct nearest near;
    const char *known; /* the module's name, where anybody has some */
};

static void ask_owner(void *arg, const struct sv_host_module *m)
{
    struct owner *o = arg;

    for (unsigned j = 0; j < SV_HOST_NAMES_MAX && m->names[j].module; j++) {
        if (!is(o->module, m->names[j].module))
            continue;
        o->known = m->names[j].module;
        for (unsigned i = 0; i < m->nfuncs; i++)
            if (!m->funcs[i].names || (m->funcs[i].names & 1u << j))
                consider(&o->near, m->names[j].prefix, m->funcs[i].name);
    }
}

static void ask_module(void *arg, const struct sv_host_module *m)
{
    for (unsigned j = 0; j < SV_HOST_NAMES_MAX && m->names[j].module; j++)
        consider(arg, "", m->names[j].module);
}

/* The row of a module that is elsewhere or unknown; NULL: there is none. */
static const struct known *find_known(struct sv_str module, struct sv_str name, bool parts)
{
    for (unsigned i = 0; i < SV_COUNT(known_modules); i++)
        if (is(module, known_modules[i].module) && begins(name, known_modules[i].prefix) &&
            (!parts || known_modules[i].prefix[0]))
            return &known_modules[i];
    return NULL;
}

void sv_host_explain(void *arg, struct sv_str module, struct sv_str name, struct sv_buf *ret)
{
    struct owner o = {.module = module, .near = {.asked = name, .away = UINT32_MAX}};
    struct nearest near = {.asked = module, .away = UINT32_MAX};
    const struct sv_host_module *m;
    const struct known *known;
    bool found = sv_host_find_all(module, name, &m) != NULL;

    (void)arg;
    known = find_known(module, name, found);
    if (found && !known) {
        sv_buf_printf(ret, "it is part of '%s', which was not granted: %s", m->id, m->grant);
        return;
    }
    if (!found)
        sv_host_each(ask_owner, &o);
    if (known) {
        sv_buf_printf(ret, "it is part of %s: %s", known->what, known->then);
        say_nearest(&o.near, ret);
        return;
    }
    if (o.known) {
        sv_buf_printf(ret, "'%s' has no function '%.*s' in this version", o.known, shown(name),
                      name.ptr);
        say_nearest(&o.near, ret);
        return;
    }
    if (module.len > 5 && memcmp(module.ptr, "wasi:", 5) == 0) {
        sv_buf_puts(
            ret, "it is an interface of the component model: build the module for WASI preview1");
        return;
    }
    sv_buf_printf(ret,
                  "no host module '%.*s' is known: another module or the embedder must define it",
                  shown(module), module.ptr);
    sv_host_each(ask_module, &near);
    say_nearest(&near, ret);
}
