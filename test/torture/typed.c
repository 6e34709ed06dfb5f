/* Typed calls and what inspects modules, each with every allocation failing once: an error or the
 * result, nothing lost (ASan watches), nothing broken for the call after it. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "ssvm.h"

struct one_case {
    const char *name;
    ssvm_arg args[2];
    size_t nargs;
};
#define STRING(s) {.kind = SSVM_ARG_STRING, .bytes = s, .len = sizeof s - 1}
#define JSON(s) {.kind = SSVM_ARG_JSON, .bytes = s, .len = sizeof s - 1}
#define INT(v) {.kind = SSVM_ARG_INT, .i = v}

static const struct one_case cases[] = {
    {"say", {STRING("Bob")}, 1},
    {"say", {JSON("\"a\\nb\"")}, 1},
    {"prefix_sums", {JSON("[1,2,3]")}, 1},
    {"res_string", {STRING("")}, 1},
    {"scale", {JSON("[1,2]"), INT(2)}, 2},
    {"js_text", {STRING("text")}, 1},
    {"res_null", {INT(1)}, 1},
    {"opt_u32", {INT(1)}, 1},
    {"fail_with", {STRING("oops")}, 1},
};

/* 0, or the kind of the error. */
static int once(ssvm_engine *engine, const ssvm_module *m, const struct one_case *c)
{
    ssvm_store *s = NULL;
    ssvm_linker *l = NULL;
    ssvm_instance *i = NULL;
    ssvm_result r = SSVM_RESULT_INIT;
    ssvm_error *e = ssvm_store_new(engine, NULL, &s);
    int kind = 0;

    if (!e)
        e = ssvm_linker_new(s, &l);
    if (!e)
        e = ssvm_linker_define_bindgen(l);
    if (!e)
        e = ssvm_linker_instantiate(l, m, &i);
    if (!e)
        e = ssvm_instance_call(i, c->name, c->args, c->nargs, SSVM_RESULT_AUTO, &r);
    if (e)
        kind = (int)ssvm_error_kind_of(e);
    else
        ssvm_string_delete(r.bytes);
    ssvm_error_delete(e);
    ssvm_linker_delete(l);
    ssvm_store_delete(s);
    return kind;
}

static int inspect(ssvm_engine *engine, const ssvm_module *m, const struct one_case *c)
{
    char *text = NULL;
    ssvm_error *e = c->name ? ssvm_module_signature(m, c->name, &text)
                            : ssvm_module_inspect(m, c->nargs != 0, &text);
    int kind = e ? (int)ssvm_error_kind_of(e) : 0;

    (void)engine;
    if (!e)
        ssvm_string_delete(text);
    ssvm_error_delete(e);
    return kind;
}

static int torture(ssvm_engine *engine, const ssvm_module *m, const struct one_case *c,
                   int (*run)(ssvm_engine *, const ssvm_module *, const struct one_case *))
{
    unsigned long before, n;
    int expected;

    run(engine, m, c); /* what is made once for the module is there from now on */
    before = sv_alloc_count();
    expected = run(engine, m, c);
    n = sv_alloc_count() - before;
    for (unsigned long k = 1; k <= n; k++) {
        int got;

        sv_alloc_fail_at(k);
        got = run(engine, m, c);
        sv_alloc_fail_at(0);
        if (run(engine, m, c) != expected) {
            printf("%s: after failure %lu of %lu (error %d) the next call is broken\n",
                   c->name ? c->name : "inspect", k, n, got);
            return 1;
        }
    }
    return n == 0;
}

static int module(const char *path)
{
    static const struct one_case views[] = {{NULL, {{0}}, 0}, {NULL, {{0}}, 1}, {"say", {{0}}, 0}};
    ssvm_engine *engine;
    ssvm_module *m;
    int failed = 0;

    if (ssvm_engine_new(NULL, &engine) || ssvm_module_open(engine, path, &m)) {
        printf("cannot open '%s'\n", path);
        return 1;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        failed += torture(engine, m, &cases[i], once);
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
        failed += torture(engine, m, &views[i], inspect);
    ssvm_module_delete(m);
    ssvm_engine_delete(engine);
    return failed;
}

int main(void)
{
    static const char *const names[] = {"raw-100", "raw-130", "processed-100"};
    const char *slash = strrchr(__FILE__, '/');
    char path[1024];
    int failed = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%.*s/../host/bindgen/wasm/%s.wasm", (int)(slash - __FILE__),
                 __FILE__, names[i]);
        failed += module(path);
    }
    printf("%zu passed, %d failed\n",
           sizeof names / sizeof names[0] * (sizeof cases / sizeof cases[0] + 3) - (size_t)failed,
           failed);
    return failed != 0;
}
