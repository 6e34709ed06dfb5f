/* The host module `spectest` that the official scripts import. It prints nothing. */
#include "spec.h"

#define SPECTEST_MAX 24

struct spectest {
    size_t len;
    struct {
        const char *name;
        struct sv_extern value;
    } entries[SPECTEST_MAX];
};

static int print(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)c;
    (void)arg;
    (void)ret;
    return 0;
}

static void add(struct spectest *s, const char *name, enum sv_extern_kind kind, void *ptr)
{
    s->entries[s->len].name = name;
    s->entries[s->len].value.kind = kind;
    s->entries[s->len++].value.ptr = ptr;
}

static int add_funcs(struct sv_err *err, struct spectest *s, struct sv_store *store)
{
    static const sv_valtype types[][2] = {
        {0, 0},
        {SV_VALTYPE(SV_VAL_I32), 0},
        {SV_VALTYPE(SV_VAL_I64), 0},
        {SV_VALTYPE(SV_VAL_F32), 0},
        {SV_VALTYPE(SV_VAL_F64), 0},
        {SV_VALTYPE(SV_VAL_I32), SV_VALTYPE(SV_VAL_F32)},
        {SV_VALTYPE(SV_VAL_F64), SV_VALTYPE(SV_VAL_F64)},
    };
    static const char *const names[] = {"print",     "print_i32",     "print_i64",    "print_f32",
                                        "print_f64", "print_i32_f32", "print_f64_f64"};

    for (size_t i = 0; i < SV_COUNT(names); i++) {
        uint32_t n = types[i][1] ? 2 : types[i][0] ? 1 : 0;
        const struct sv_type *type = sv_types_func(store->engine->types, types[i], n, NULL, 0);
        struct sv_func *f = type ? sv_func_new_host(store, type, print, NULL, names[i], 0) : NULL;
        if (!f)
            return sv_fail_nomem(err, "spectest function");
        add(s, names[i], SV_EXTERN_FUNC, f);
    }
    return 0;
}

static int add_globals(struct sv_err *err, struct spectest *s, struct sv_store *store)
{
    static const char *const names[] = {"global_i32", "global_i64", "global_f32", "global_f64"};
    static const sv_valtype types[] = {SV_VAL_I32, SV_VAL_I64, SV_VAL_F32, SV_VAL_F64};
    union sv_val values[] = {{.i64 = 666}, {.i64 = 666}, {.f32 = 666.6f}, {.f64 = 666.6}};

    for (size_t i = 0; i < SV_COUNT(names); i++) {
        struct sv_global *g =
            sv_global_new(store, (struct sv_global_type){.type = types[i]}, &values[i]);
        if (!g)
            return sv_fail_nomem(err, "spectest global");
        add(s, names[i], SV_EXTERN_GLOBAL, g);
    }
    return 0;
}

static int add_tables(struct sv_err *err, struct spectest *s, struct sv_store *store)
{
    struct sv_table_type type = {.type = SV_FUNCREF,
                                 .limits = {.min = 10, .max = 20, .has_max = true}};
    struct sv_memory_type pages = {.limits = {.min = 1, .max = 2, .has_max = true},
                                   .page_shift = SV_PAGE_SHIFT};
    struct sv_memory *memory; /* the store's, as everything here */
    struct sv_table *table;
    int r;

    for (int is64 = 0; is64 < 2; is64++) {
        type.limits.is64 = is64;
        r = sv_table_new(err, store, &type, SV_REF_NULL, &table);
        if (r < 0)
            return r;
        add(s, is64 ? "table64" : "table", SV_EXTERN_TABLE, table);
    }
    for (int shared = 0; shared < 2; shared++) {
        pages.limits.shared = shared;
        r = sv_memory_new(err, store, &pages, NULL, NULL, &memory);
        if (r < 0)
            return r;
        add(s, shared ? "shared_memory" : "memory", SV_EXTERN_MEMORY, memory);
    }
    return 0;
}

struct spectest *spectest_new(struct sv_err *err, struct sv_store *store)
{
    struct spectest *s = calloc(1, sizeof *s);

    if (!s) {
        sv_fail_nomem(err, "spectest");
        return NULL;
    }
    if (add_funcs(err, s, store) < 0 || add_globals(err, s, store) < 0 ||
        add_tables(err, s, store) < 0) {
        spectest_delete(s);
        return NULL;
    }
    return s;
}

void spectest_delete(struct spectest *s)
{
    free(s);
}

bool spectest_find(struct spectest *s, struct sv_str name, struct sv_extern *ret)
{
    for (size_t i = 0; i < s->len; i++) {
        if (sv_str_eq(name, sv_str_of(s->entries[i].name))) {
            *ret = s->entries[i].value;
            return true;
        }
    }
    return false;
}
