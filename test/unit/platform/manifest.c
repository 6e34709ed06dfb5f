/* The manifest: values, defaults, what is wrong and where; that what is printed reads back. The
 * schema is held against the reader by test/cli/manifest.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "platform/manifest.h"

static void read(struct plat_manifest *m, const char *text)
{
    struct sv_err err = {0};

    if (plat_manifest_read(&err, "ssvm.yaml", text, strlen(text), m) < 0)
        fail_msg("%s", err.text);
}

static const char whole[] = "name: shop\n"
                            "module: build/shop.wasm\n"
                            "build: make shop.wasm\n"
                            "handler: answer\n"
                            "routes:\n"
                            "  - path: /shop\n"
                            "    host: \"*.example.org\"\n"
                            "    methods: [GET, POST]\n"
                            "  - /cart\n"
                            "grants:\n"
                            "  env:\n"
                            "    GREETING: \"hi: there\"\n"
                            "    N: 3\n"
                            "  kv: on\n"
                            "  sql: off\n"
                            "  secret: API_KEY\n"
                            "  allow-http: [api.example.org, '*.example.net:8443',\n"
                            "    '*', '*:81', 10.0.0.0/8]\n"
                            "limits: {deadline: 2s, memory: 64M, gas: 1000000, rate: 50}\n"
                            "triggers:\n"
                            "  cron:\n"
                            "    - \"*/5 * * * *\"\n"
                            "    - {schedule: '@daily', path: /sweep, body: x, missed: skip}\n"
                            "static: site\n"
                            "cors: https://example.org\n"
                            "usage-key: true\n"
                            "init: warm\n"
                            "smoke: {path: /answer, body: ping, status: 204}\n"
                            "split: cookie:id\n";

static void check_whole(const struct plat_manifest *m)
{
    assert_string_equal(m->name, "shop");
    assert_string_equal(m->handler, "answer");
    assert_int_equal(m->nroutes, 2);
    assert_string_equal(m->routes[0].host, "*.example.org");
    assert_int_equal(plat_manifest_methods(&m->routes[0]), 1 << 0 | 1 << 2);
    assert_string_equal(m->routes[1].path, "/cart");
    assert_int_equal(plat_manifest_methods(&m->routes[1]), 0);
    assert_int_equal(m->grants.env.n, 2);
    assert_string_equal(m->grants.env.at[0], "GREETING=hi: there");
    assert_string_equal(m->grants.env.at[1], "N=3");
    assert_true(m->grants.kv);
    assert_false(m->grants.sql);
    assert_false(m->grants.image);
    assert_string_equal(m->grants.secret.at[0], "API_KEY");
    assert_string_equal(m->grants.allow_http.at[1], "*.example.net:8443");
    assert_int_equal(m->limits.wall_ms, 2000);
    assert_int_equal(m->limits.memory, 64 << 20);
    assert_int_equal(m->limits.gas, 1000000);
    assert_int_equal(m->limits.cpu_ms, 0);
    assert_int_equal(m->triggers.ncron, 2);
    assert_string_equal(m->triggers.cron[0].schedule, "*/5 * * * *");
    assert_string_equal(m->triggers.cron[0].missed, "once");
    assert_string_equal(m->triggers.cron[1].missed, "skip");
    assert_string_equal(m->triggers.cron[1].path, "/sweep");
    assert_true(m->site.given);
    assert_string_equal(m->site.dir, "site");
    assert_string_equal(m->site.path, "/");
    assert_false(m->site.spa);
    assert_true(m->usage_key);
    assert_string_equal(m->init, "warm");
    assert_true(m->smoke.given);
    assert_int_equal(m->smoke.status, 204);
    assert_string_equal(m->split.sticky, "cookie:id");
}

static void values(void **state)
{
    struct plat_manifest m, again;
    struct sv_buf text;

    (void)state;
    read(&m, whole);
    check_whole(&m);
    sv_buf_init(&text, 1 << 16);
    plat_manifest_print(&m, &text);
    assert_false(text.failed);
    read(&again, sv_buf_cstr(&text));
    check_whole(&again);
    plat_manifest_release(&again);
    plat_manifest_release(&m);
    sv_buf_release(&text);
}

static void defaults(void **state)
{
    struct plat_manifest m, again;
    struct sv_buf text;

    (void)state;
    read(&m, "name: a\nmodule: a.wasm\nroutes:\nlimits:\n");
    assert_string_equal(m.build, "");
    assert_int_equal(m.nroutes, 0);
    assert_false(m.site.given);
    assert_string_equal(m.split.sticky, "none");
    assert_int_equal(m.limits.wall_ms, 0);
    sv_buf_init(&text, 1 << 16);
    plat_manifest_print(&m, &text);
    read(&again, sv_buf_cstr(&text));
    assert_false(again.site.given);
    assert_false(again.smoke.given);
    plat_manifest_release(&again);
    plat_manifest_release(&m);
    sv_buf_release(&text);
}

struct lines {
    char text[256];
};

static bool note(void *data, const char *line)
{
    struct lines *lines = data;
    size_t len = strlen(lines->text);

    snprintf(lines->text + len, sizeof lines->text - len, "%s\n", line);
    return true;
}

static void grants(void **state)
{
    struct plat_manifest m;
    struct lines lines = {{0}};

    (void)state;
    read(&m, whole);
    assert_true(plat_manifest_grants(&m, note, &lines));
    assert_string_equal(lines.text, "env GREETING=hi: there\nenv N=3\nkv\nsecret API_KEY\n"
                                    "allow-http api.example.org\nallow-http *.example.net:8443\n"
                                    "allow-http *\nallow-http *:81\nallow-http 10.0.0.0/8\n");
    plat_manifest_release(&m);
}

static void mistakes(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"module: a.wasm\n", "m.yaml:1: 'name' is missing"},
        {"name:\nmodule: a.wasm\n", "m.yaml:1: 'name' is missing"},
        {"name: a\nmodule: a\nroutes:\n  - path:\n", "m.yaml:4: 'path' is missing"},
        {"name: a\nmodule: a\nroutes:\n  -\n", "m.yaml:4: 'path' is missing"},
        {"name: a\nmodule: a\nstatic: ''\n", "m.yaml:3: 'dir' is missing"},
        {"name: a\n", "m.yaml:1: neither 'module' nor 'static'"},
        {"name: a\nmodul: a.wasm\n", "m.yaml:2: unknown key 'modul'; known here: name, module, "},
        {"name: a b\nmodule: a.wasm\n", "m.yaml:1: 'name' is no name"},
        {"name: -a\nmodule: a.wasm\n", "m.yaml:1: 'name' is no name"},
        {"name: [a]\nmodule: a.wasm\n", "m.yaml:1: 'name' is one value, not a list"},
        {"name: a\nmodule: ../a.wasm\n", "m.yaml:2: 'module': '../a.wasm' is outside"},
        {"name: a\nmodule: b/../../a.wasm\n", "m.yaml:2: 'module'"},
        {"name: a\nmodule: /a.wasm\n", "m.yaml:2: 'module'"},
        {"name: a\nmodule: a\nlimits: {deadline: 1h}\n", "m.yaml:3: 'deadline' is a time such as"},
        {"name: a\nmodule: a\nlimits: {memory: -1}\n", "m.yaml:3: 'memory' is a size"},
        {"name: a\nmodule: a\nlimits: {gas: 99999999999999999999}\n",
         "m.yaml:3: 'gas' is a number"},
        {"name: a\nmodule: a\nlimits: {gass: 1}\n", "m.yaml:3: unknown key 'gass'"},
        {"name: a\nmodule: a\nlimits: 3\n", "m.yaml:3: here 'key: value' is expected"},
        {"name: a\nmodule: a\nroutes:\n  - path: a\n", "m.yaml:4: 'path' begins with '/'"},
        {"name: a\nmodule: a\nroutes: [/a/../b]\n", "m.yaml:3: 'path' begins with '/'"},
        {"name: a\nmodule: a\nroutes: [/a//b]\n", "m.yaml:3: 'path'"},
        {"name: a\nmodule: a\nroutes: [/a?b]\n", "m.yaml:3: 'path'"},
        {"name: a\nmodule: a\nroutes:\n  - host: h\n", "m.yaml:4: 'path' is missing"},
        {"name: a\nmodule: a\nroutes:\n  - {path: /, host: 'a b'}\n", "m.yaml:4: 'host'"},
        {"name: a\nmodule: a\nroutes:\n  - {path: /, methods: get}\n", "m.yaml:4: 'methods'"},
        {"name: a\nmodule: a\nroutes: [[/a]]\n", "m.yaml:3: here 'key: value' is expected"},
        {"name: a\nstatic: s\nroutes: [/a]\n", "m.yaml:3: 'routes' need a 'module'"},
        {"name: a\nmodule: a\ngrants: {env: [A]}\n", "m.yaml:3: an entry of 'env' is NAME: VALUE"},
        {"name: a\nmodule: a\ngrants: {env: {A: [1]}}\n", "m.yaml:3: an entry of 'env' is a text"},
        {"name: a\nmodule: a\ngrants: {kv: maybe}\n", "m.yaml:3: 'kv' is on or off"},
        {"name: a\nmodule: a\ngrants: {allow-http: 'http://a'}\n", "m.yaml:3: 'allow-http' takes"},
        {"name: a\nmodule: a\ngrants: {allow-connect: 'a'}\n", "m.yaml:3: 'allow-connect' takes"},
        {"name: a\nmodule: a\ngrants: {allow-connect: ['a:80x']}\n",
         "m.yaml:3: 'allow-connect' takes"},
        {"name: a\nmodule: a\ngrants: {allow-listen: ':80'}\n", "m.yaml:3: 'allow-listen' takes"},
        {"name: a\nmodule: a\ngrants: {allow-http: ['a:1:2']}\n", "m.yaml:3: 'allow-http' takes"},
        {"name: a\nmodule: a\ngrants: {allow-http: ['*a']}\n", "m.yaml:3: 'allow-http' takes"},
        {"name: a\nmodule: a\ngrants: {allow-http: ['*.*']}\n", "m.yaml:3: 'allow-http' takes"},
        {"name: a\nmodule: a\ntriggers: {cron: [{schedule: '@daily', missed: no}]}\n",
         "m.yaml:3: 'missed' is one of once|skip"},
        {"name: a\nmodule: a\ntriggers: {cron: ['* *']}\n", "m.yaml:3: 'schedule' has five fields"},
        {"name: a\nmodule: a\nsmoke: {status: 99}\n", "m.yaml:3: 'status' is an HTTP status"},
        {"name: a\nmodule: a\nsplit: {sticky: cookie}\n", "m.yaml:3: 'sticky' is none, peer"},
        {"name: a\nmodule: a\nsplit: {sticky: 'cookie:'}\n", "m.yaml:3: 'sticky'"},
        {"just a text\n", "m.yaml:1: here 'key: value' is expected"},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct plat_manifest m;
        struct sv_err err = {0};
        int status = plat_manifest_read(&err, "m.yaml", cases[i].text, strlen(cases[i].text), &m);

        plat_manifest_release(&m);
        if (status != SV_EUSAGE || strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("'%s': '%s' where '%s' is expected", cases[i].text, err.text, cases[i].why);
    }
}

/* One look tells all of them. */
static void several_mistakes(void **state)
{
    static const char text[] = "name: a b\nmodule: /a\nroute: x\nlimits: {gas: x}\n";
    struct plat_manifest m;
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(plat_manifest_read(&err, "m.yaml", text, strlen(text), &m), SV_EUSAGE);
    plat_manifest_release(&m);
    assert_non_null(strstr(err.text, "m.yaml:1: "));
    assert_non_null(strstr(err.text, "\nm.yaml:2: "));
    assert_non_null(strstr(err.text, "\nm.yaml:3: "));
    assert_non_null(strstr(err.text, "\nm.yaml:4: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(defaults),
                                       cmocka_unit_test(grants), cmocka_unit_test(mistakes),
                                       cmocka_unit_test(several_mistakes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
