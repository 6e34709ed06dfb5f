/* The registry: deployed, switched, split, rolled back, taken away; what workers are told; modules
 * that must not get in. The processes that prepare them are this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "control/blob.h"
#include "control/change.h"
#include "control/command.h"
#include "control/cron.h"
#include "control/deploy.h"
#include "control/part.h"
#include "control/prepare.h"
#include "control/workers.h"
#include "platform/table.h"

/* wat2wasm's: (func (export "say") (result i32) i32.const 7) */
#define SAY "0061736d010000000105016000017f030201000707010373617900000a0601040041070b"
/* A global of 1; `_initialize` adds 10, "warm" multiplies by 3, "get" gives it. */
#define INIT                                                                                       \
    "0061736d010000000108026000006000017f03040300000105030100010606017f0141010b071c030b5f696e6974" \
    "69616c697a650000047761726d00010367657400020a1a0309002300410a6a24000b0900230041036c24000b0400" \
    "23000b"
/* "warm" calls random_get. */
#define RANDOM                                                                                     \
    "0061736d01000000010e0360027f7f017f6000006000017f02250116776173695f736e617073686f745f70726576" \
    "69"                                                                                           \
    "6577310a72616e646f6d5f676574000003030201020503010001071703066d656d6f72790200047761726d000103" \
    "67657400020a100209004100410810001a0b040041010b"
/* "warm" never ends. */
#define SPIN                                                                                       \
    "0061736d010000000108026000006000017f0303020001070e02047761726d00000367657400010a0e0207000340" \
    "0c000b0b040041010b"
/* Imports elsewhere.gift. */
#define UNMET                                                                                      \
    "0061736d010000000108026000006000017f02120109656c73657768657265046769667400000302010107070103" \
    "67"                                                                                           \
    "657400010a0601040041010b"

static struct ctl_server server;
static char folder[64];
static struct plat_table *table; /* the last that was pushed */
static unsigned tables;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *nn_setting = "auto", *image_setting = "on";

/* ---- What the registry uses of the rest ---- */

void ctl_workers_push(struct ctl_server *s, struct plat_message *m)
{
    struct plat_table *t = NULL;
    struct sv_err err = {0};

    (void)s;
    if (m->kind != PLAT_TABLE || m->nfds != 1 || plat_table_open(&err, m->fds[0], &t) < 0)
        abort();
    pthread_mutex_lock(&table_lock);
    plat_table_unref(table);
    table = t;
    tables++;
    pthread_mutex_unlock(&table_lock);
}

bool ctl_workers_wanting(struct ctl_server *s, char ret[CTL_TENANT_SIZE])
{
    (void)s;
    (void)ret;
    return false;
}

void ctl_workers_secret(struct ctl_server *s, struct sv_str tenant, uint8_t ret[SV_SHA256_LEN])
{
    (void)s;
    (void)tenant;
    memset(ret, 0, SV_SHA256_LEN);
}

void ctl_workers_push_isolated(struct ctl_server *s, const char *tenant, struct plat_message *m)
{
    (void)s;
    (void)tenant;
    (void)m;
}

void ctl_workers_ask_all(struct ctl_server *s, struct plat_message *m, uint64_t deadline_ns,
                         void (*fn)(void *, unsigned, const char *, const struct plat_message *),
                         void *data)
{
    (void)s;
    (void)m;
    (void)deadline_ns;
    (void)fn;
    (void)data;
}

int ctl_cron_follow(struct ctl_sql *sql, struct sv_err *err, uint64_t function_id)
{
    (void)sql;
    (void)err;
    (void)function_id;
    return 0;
}

bool ctl_command_allowed(struct ctl_server *s, const char *name)
{
    (void)s;
    (void)name;
    return true;
}

int ctl_pool_every(struct ctl_server *s, unsigned every_ms, void (*fn)(struct ctl_server *, void *),
                   void *data)
{
    (void)s;
    (void)every_ms;
    (void)fn;
    (void)data;
    return 0;
}

own char *ctl_setting(const struct ctl_server *s, const char *option)
{
    (void)s;
    if (strcmp(option, "nn") == 0)
        return sv_strdup(nn_setting);
    if (strcmp(option, "image") == 0)
        return sv_strdup(image_setting);
    return strcmp(option, "max-module") == 0 ? sv_strdup("4096") : NULL;
}

/* ---- Helpers ---- */

static size_t unhex(const char *hex, uint8_t *ret)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        unsigned byte;

        sscanf(hex + 2 * i, "%2x", &byte);
        ret[i] = (uint8_t)byte;
    }
    return n;
}

/* SAY, answering n. */
static size_t make_say(uint8_t n, uint8_t *ret)
{
    size_t len = unhex(SAY, ret);

    ret[len - 2] = n;
    return len;
}

static int deploy_bytes(struct sv_err *err, struct ctl_deploy *in, const uint8_t *bytes, size_t len,
                        struct ctl_deployed *ret)
{
    in->tenant = in->tenant ? in->tenant : "default";
    in->module = (struct sv_str){(const char *)bytes, len};
    memset(err, 0, sizeof *err);
    *ret = (struct ctl_deployed){0};
    return ctl_deploy(&server, err, in, ret);
}

static uint32_t deploy_say(const char *name, uint8_t n, uint32_t weight)
{
    struct ctl_deploy in = {.name = name, .weight = weight};
    struct ctl_deployed done;
    struct sv_err err;
    uint8_t bytes[256];
    size_t len = make_say(n, bytes);

    if (deploy_bytes(&err, &in, bytes, len, &done) < 0)
        fail_msg("%s", err.text);
    ctl_function_unref(done.function);
    return done.number;
}

static void expect_failure(const char *hex, const char *manifest, int code, const char *text)
{
    struct ctl_deploy in = {.manifest = sv_str_of(manifest)};
    struct ctl_deployed done;
    struct sv_err err;
    uint8_t bytes[512];
    size_t len = unhex(hex, bytes);
    int r = deploy_bytes(&err, &in, bytes, len, &done);

    if (r != code || !strstr(err.text, text))
        fail_msg("%d '%s', not %d '%s'", r, err.text, code, text);
}

struct import {
    const char *module, *name;
    const char *told; /* of a manifest without grants; NULL: nothing about grants */
};

static size_t put_text(uint8_t *to, const char *text)
{
    size_t len = strlen(text);

    to[0] = (uint8_t)len;
    memcpy(to + 1, text, len);
    return len + 1;
}

/* A module that imports these functions, of type () -> (). */
static size_t make_importer(const struct import *imports, size_t n, uint8_t *ret)
{
    static const uint8_t head[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 2};
    size_t at = sizeof head + 2, size;

    memcpy(ret, head, sizeof head);
    ret[at++] = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        at += put_text(ret + at, imports[i].module);
        at += put_text(ret + at, imports[i].name);
        ret[at++] = 0;
        ret[at++] = 0;
    }
    size = at - sizeof head - 2;
    ret[sizeof head] = (uint8_t)(size & 0x7f) | 0x80;
    ret[sizeof head + 1] = (uint8_t)(size >> 7);
    return at;
}

static void expect_refusal(const struct import *imports, size_t n, const char *grants, int code,
                           struct sv_err *ret)
{
    struct ctl_deployed done;
    uint8_t bytes[4096];
    char manifest[400];
    struct ctl_deploy in = {0};
    int r;

    snprintf(manifest, sizeof manifest, "name: bad\nmodule: a.wasm\n%s", grants);
    in.manifest = sv_str_of(manifest);
    r = deploy_bytes(ret, &in, bytes, make_importer(imports, n, bytes), &done);
    if (r != code)
        fail_msg("%s: %d '%s'", imports[0].name, r, ret->text);
}

/* The table's function, with the table held. */
static const struct plat_function *told(const char *tenant, const char *name)
{
    return plat_table_find(table, sv_str_of(tenant), sv_str_of(name));
}

static void expect_weights(const char *name, unsigned n, const uint32_t *numbers,
                           const uint32_t *weights)
{
    const struct plat_function *f;

    pthread_mutex_lock(&table_lock);
    f = told("default", name);
    assert_non_null(f);
    for (unsigned i = 0; i < n; i++) {
        bool found = false;

        for (uint32_t k = 0; k < f->nversions; k++) {
            const struct plat_version *v = plat_table_version(table, f, k);

            found |= v->number == numbers[i] && v->weight == weights[i];
        }
        if (!found)
            fail_msg("version %u has not the weight %u", numbers[i], weights[i]);
    }
    pthread_mutex_unlock(&table_lock);
}

static bool has_blob(const uint8_t digest[PLAT_DIGEST_BYTES])
{
    int fd = ctl_blob_open(&server, digest);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- Tests ---- */

static void test_deploy(void **state)
{
    static const char manifest[] = "name: hello\nmodule: a.wasm\n"
                                   "handler: say\n"
                                   "routes: [{path: /hi, host: Example.org, methods: [GET]}, /ho]\n"
                                   "grants: {env: {A: '1'}, kv: on}\n"
                                   "limits: {deadline: 2s, gas: 500}\n";
    struct ctl_deploy in = {.manifest = sv_str_of(manifest), .description = "greets"};
    const struct plat_function *f;
    const struct plat_route *route;
    struct ctl_deployed done;
    struct sv_err err;
    uint8_t bytes[256], digest[PLAT_DIGEST_BYTES];
    size_t len = make_say(7, bytes);

    (void)state;
    assert_int_equal(deploy_bytes(&err, &in, bytes, len, &done), 0);
    sv_sha256(bytes, len, digest);
    assert_true(done.is_new);
    assert_int_equal(done.number, 1);
    assert_string_equal(done.function->name, "hello");
    assert_string_equal(done.function->description, "greets");
    assert_memory_equal(done.function->main->digest, digest, sizeof digest);
    assert_non_null(strstr(done.function->main->exports, "\"say\""));
    assert_true(has_blob(digest));
    ctl_function_unref(done.function);
    pthread_mutex_lock(&table_lock);
    f = told("default", "hello");
    assert_non_null(f);
    assert_int_equal(f->limits.wall_ms, 2000);
    assert_int_equal(f->limits.gas, 500);
    assert_int_equal(f->ntexts, 2);
    assert_true(sv_str_eq(plat_table_text(table, f->handler), sv_str_of("say")));
    assert_memory_equal(plat_table_version(table, f, 0)->ready, digest, sizeof digest);
    route = plat_table_route(table, sv_str_of("example.ORG"), 0, sv_str_of("/hi/there"));
    assert_non_null(route);
    assert_ptr_equal(plat_table_at(table, route->function), f);
    assert_null(plat_table_route(table, sv_str_of("example.org"), 2, sv_str_of("/hi")));
    assert_non_null(plat_table_route(table, sv_str_of(""), 2, sv_str_of("/ho")));
    pthread_mutex_unlock(&table_lock);
    /* The same again is the same version. */
    assert_int_equal(deploy_bytes(&err, &in, bytes, len, &done), 0);
    assert_false(done.is_new);
    assert_int_equal(done.number, 1);
    ctl_function_unref(done.function);
}

static void test_rollback(void **state)
{
    struct ctl_deployed done;
    struct sv_err err = {0};
    struct ctl_function *f;

    (void)state;
    assert_int_equal(deploy_say("back", 1, 0), 1);
    assert_int_equal(ctl_rollback(&server, &err, "default", "back", NULL, &done), SV_ENOTFOUND);
    assert_int_equal(deploy_say("back", 2, 0), 2);
    assert_int_equal(deploy_say("back", 3, 0), 3);
    assert_int_equal(deploy_say("back", 1, 0), 1);
    expect_weights("back", 1, (uint32_t[]){1}, (uint32_t[]){CTL_WEIGHT_ALL});
    /* The one that had the requests before, whatever its number; and back again. */
    for (unsigned i = 0; i < 3; i++) {
        memset(&err, 0, sizeof err);
        assert_int_equal(ctl_rollback(&server, &err, "default", "back", NULL, &done), 0);
        assert_int_equal(done.number, i % 2 ? 1 : 3);
        ctl_function_unref(done.function);
    }
    assert_int_equal(ctl_rollback(&server, &err, "default", "back", "2", &done), 0);
    ctl_function_unref(done.function);
    expect_weights("back", 1, (uint32_t[]){2}, (uint32_t[]){CTL_WEIGHT_ALL});
    assert_int_equal(ctl_rollback(&server, &err, "default", "back", "9", &done), SV_ENOTFOUND);
    memset(&err, 0, sizeof err);
    assert_int_equal(ctl_rollback(&server, &err, "default", "nobody", NULL, &done), SV_ENOTFOUND);
    f = ctl_registry_find(&server, "default", "back");
    assert_int_equal(f->nversions, 3);
    assert_int_equal(f->versions[0].number, 3);
    ctl_function_unref(f);
}

static void test_split(void **state)
{
    const struct ctl_share shares[] = {{1, 1}, {2, 1}, {3, 1}}, twice[] = {{1, 1}, {1, 2}},
                           nobody[] = {{4, 1}}, nothing[] = {{1, 0}, {2, 0}};
    struct sv_err err = {0};

    (void)state;
    deploy_say("canary", 1, 0);
    deploy_say("canary", 2, 500);
    expect_weights("canary", 2, (uint32_t[]){1, 2}, (uint32_t[]){9500, 500});
    deploy_say("canary", 3, 5000);
    expect_weights("canary", 3, (uint32_t[]){1, 2, 3}, (uint32_t[]){4750, 250, 5000});
    assert_int_equal(ctl_registry_split(&server, &err, "default", "canary", shares, 3), 0);
    expect_weights("canary", 3, (uint32_t[]){1, 2, 3}, (uint32_t[]){3334, 3333, 3333});
    assert_int_equal(ctl_registry_split(&server, &err, "default", "canary", twice, 2), SV_EUSAGE);
    assert_int_equal(ctl_registry_split(&server, &err, "default", "canary", nothing, 2), SV_EUSAGE);
    memset(&err, 0, sizeof err);
    assert_int_equal(ctl_registry_split(&server, &err, "default", "canary", nobody, 1),
                     SV_ENOTFOUND);
    deploy_say("canary", 2, 0);
    expect_weights("canary", 1, (uint32_t[]){2}, (uint32_t[]){CTL_WEIGHT_ALL});
}

static void test_alias(void **state)
{
    struct ctl_deploy in = {.name = "named", .alias = "next", .no_switch = true};
    const struct plat_function *f;
    struct ctl_function *g;
    struct ctl_deployed done;
    struct sv_err err;
    uint8_t bytes[256];
    size_t len = make_say(2, bytes);

    (void)state;
    deploy_say("named", 1, 0);
    assert_int_equal(deploy_bytes(&err, &in, bytes, len, &done), 0);
    assert_int_equal(done.function->main->number, 1);
    ctl_function_unref(done.function);
    assert_int_equal(ctl_registry_alias(&server, &err, "default", "named", "also", 2), 0);
    pthread_mutex_lock(&table_lock);
    f = told("default", "named");
    assert_int_equal(plat_table_version(table, f, 0)->number, 1);
    assert_int_equal(plat_table_alias(table, f, sv_str_of("next"))->number, 2);
    assert_int_equal(plat_table_alias(table, f, sv_str_of("also"))->number, 2);
    pthread_mutex_unlock(&table_lock);
    g = ctl_registry_find(&server, "default", "named");
    assert_int_equal(ctl_function_version(g, "next")->number, 2);
    assert_int_equal(ctl_function_version(g, "")->number, 1);
    assert_null(ctl_function_version(g, "nex"));
    ctl_function_unref(g);
    assert_int_equal(ctl_registry_alias(&server, &err, "default", "named", "next", 0), 0);
    assert_int_equal(ctl_registry_alias(&server, &err, "default", "named", "a b", 1), SV_EUSAGE);
    memset(&err, 0, sizeof err);
    assert_int_equal(ctl_registry_alias(&server, &err, "default", "named", "x", 5), SV_ENOTFOUND);
    pthread_mutex_lock(&table_lock);
    assert_null(plat_table_alias(table, told("default", "named"), sv_str_of("next")));
    pthread_mutex_unlock(&table_lock);
}

/* Two tenants' functions of one name have nothing to do with each other. */
static void test_tenants(void **state)
{
    struct ctl_deploy in = {.name = "hello", .tenant = "other"};
    struct ctl_deployed done;
    struct sv_err err;
    uint8_t bytes[256], key[PLAT_KEY_BYTES];
    size_t len = make_say(9, bytes);

    (void)state;
    assert_int_equal(deploy_bytes(&err, &in, bytes, len, &done), 0);
    assert_int_equal(done.number, 1);
    ctl_function_unref(done.function);
    memset(key, 3, sizeof key);
    assert_int_equal(ctl_registry_set_key(&server, &err, "other", "hello", key), 0);
    assert_int_equal(
        ctl_registry_set_text(&server, &err, "other", "hello", CTL_FUNCTION_STATE, "true"), 0);
    pthread_mutex_lock(&table_lock);
    assert_true(told("other", "hello")->flags & PLAT_FUNCTION_KEYED);
    assert_memory_equal(told("other", "hello")->key, key, sizeof key);
    assert_true(
        sv_str_eq(plat_table_text(table, told("other", "hello")->state), sv_str_of("true")));
    assert_false(told("default", "hello")->flags & PLAT_FUNCTION_KEYED);
    assert_int_not_equal(told("other", "hello")->id, told("default", "hello")->id);
    pthread_mutex_unlock(&table_lock);
    assert_int_equal(ctl_registry_delete(&server, &err, "other", "hello"), 0);
    pthread_mutex_lock(&table_lock);
    assert_null(told("other", "hello"));
    assert_non_null(told("default", "hello"));
    pthread_mutex_unlock(&table_lock);
    memset(&err, 0, sizeof err);
    assert_int_equal(ctl_registry_delete(&server, &err, "other", "hello"), SV_ENOTFOUND);
    /* The name is free again, under another id. */
    assert_int_equal(deploy_bytes(&err, &in, bytes, len, &done), 0);
    assert_int_equal(done.number, 1);
    ctl_function_unref(done.function);
}

/* What the initialiser did is in the module that runs. */
static void test_snapshot(void **state)
{
    struct ctl_deploy in = {.manifest = sv_str_of("name: warm\nmodule: a.wasm\ninit: warm\n"
                                                  "smoke: {path: /get}\n")};
    struct ctl_deployed done;
    struct sv_err err;
    uint8_t bytes[512];
    size_t len = unhex(INIT, bytes);
    char module[4096];
    ssize_t n;
    int fd;

    (void)state;
    if (deploy_bytes(&err, &in, bytes, len, &done) < 0)
        fail_msg("%s", err.text);
    assert_memory_not_equal(done.function->main->ready, done.function->main->digest,
                            PLAT_DIGEST_BYTES);
    fd = ctl_blob_open(&server, done.function->main->ready);
    n = read(fd, module, sizeof module);
    close(fd);
    ctl_function_unref(done.function);
    assert_true(n > 8);
    /* (global (mut i32) (i32.const 33)), and neither of the exports that have run. */
    assert_non_null(memmem(module, (size_t)n, "\x7f\x01\x41\x21\x0b", 5));
    assert_null(memmem(module, (size_t)n, "warm", 4));
    assert_null(memmem(module, (size_t)n, "_initialize", 11));
    assert_non_null(memmem(module, (size_t)n, "get", 3));
}

static void test_refused(void **state)
{
    struct ctl_deploy in = {.name = "large"};
    struct ctl_deployed done;
    struct sv_err err;
    uint8_t bytes[8192] = {0};
    struct ctl_function *f;

    (void)state;
    expect_failure("00617364", "name: bad\nmodule: a.wasm\n", SV_EMALFORMED, "magic");
    expect_failure("0061736d01000000010501", "name: bad\nmodule: a.wasm\n", SV_EMALFORMED, "");
    expect_failure(UNMET, "name: bad\nmodule: a.wasm\n", SV_ELINK, "gift");
    expect_failure(RANDOM, "name: bad\nmodule: a.wasm\ninit: warm\n", SV_EGUEST, "random bytes");
    expect_failure(SPIN, "name: bad\nmodule: a.wasm\ninit: warm\nlimits: {gas: 100000}\n",
                   SV_EGUEST, "gas");
    expect_failure(SAY, "name: bad\nmodule: a.wasm\ninit: nothing\n", SV_ENOTFOUND, "nothing");
    expect_failure(SAY, "name: bad\nmodule: a.wasm\nsmoke: {path: /say, status: 404}\n", SV_EGUEST,
                   "it answered 200, not 404");
    expect_failure(SAY, "name: bad\nmodule: a.wasm\nsmoke: {path: /no}\n", SV_ENOTFOUND, "no");
    expect_failure(SAY, "name: bad\nmodule: a.wasm\nlimits: {deadline: soon}\n", SV_EUSAGE,
                   "ssvm.yaml:3");
    expect_failure("", "name: bad\nmodule: a.wasm\n", SV_EUSAGE, "no module");
    assert_int_equal(deploy_bytes(&err, &in, bytes, sizeof bytes, &done), SV_ELIMIT);
    in.tenant = "../x";
    assert_int_equal(deploy_bytes(&err, &in, bytes, 100, &done), SV_EUSAGE);
    f = ctl_registry_find(&server, "default", "bad");
    assert_null(f);
}

#define NOT_GRANTED "it imports what its manifest does not grant: "

/* Each grant that is missing is told before the first call, and as the manifest spells it. */
static void test_missing_grants(void **state)
{
    static const struct import imports[] = {
        {"ssvm_state", "kv_get", "kv: on (for ssvm_state.kv_get)"},
        {"ssvm_native", "ssvm_storage_beginStoreTx", "kv: on (for ssvm_native.ssvm_storage_beg"},
        {"wasmedge_native", "wasmedge_storage_beginStoreTx", "kv: on (for wasmedge_native."},
        {"ssvm_state", "sql_query", "sql: on (for ssvm_state.sql_query)"},
        {"ssvm_state", "secret_get", "secret: [NAME] (for ssvm_state.secret_get)"},
        {"ssvm_state", "http_request", "allow-http: [HOST] (for ssvm_state.http_request)"},
        {"ssvm_state", "queue_push", "call: [FUNCTION] (for ssvm_state.queue_push)"},
        {"ssvm_state", "call", "call: [FUNCTION] (for ssvm_state.call)"},
        {"ssvm_process", "ssvm_process_run", "allow-command: [NAME] (for ssvm_process."},
        {"wasi_snapshot_preview1", "sock_open", "allow-connect: ['HOST:PORT'] or allow-listen: "},
        {"wasi", "thread-spawn", "threads: N (for wasi.thread-spawn)"},
        {"ssvm_image", "ssvm_image_x", "image: on (for ssvm_image.ssvm_image_x)"},
        {"wasmedge_tensorflow", "wasmedge_tensorflow_create_session", "nn: on (for wasmedge_tens"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_create_session", "nn: on (for ssvm_tensor"},
        {"wasi_ephemeral_nn", "load", "nn: on (for wasi_ephemeral_nn.load)"},
        {"wasi_snapshot_preview1", "sock_shutdown", NULL}, /* of another type, not of a grant */
        {"wasi_snapshot_preview1", "no_such", NULL},
        {"ssvm_stat", "kv_get", NULL},
    };
    struct sv_err err;

    (void)state;
    for (size_t i = 0; i < SV_COUNT(imports); i++) {
        expect_refusal(&imports[i], 1, "", SV_ELINK, &err);
        if (imports[i].told ? !strstr(err.text, NOT_GRANTED) || !strstr(err.text, imports[i].told)
                            : strstr(err.text, NOT_GRANTED) || !strstr(err.text, imports[i].name))
            fail_msg("%s: %s", imports[i].name, err.text);
    }
    /* All of them together, each once. */
    expect_refusal(imports, SV_COUNT(imports), "grants: {sql: on, image: on}\n", SV_ELINK, &err);
    for (size_t i = 0; i < SV_COUNT(imports); i++) {
        const char *told = imports[i].told, *at;
        char word[20];

        if (!told)
            continue;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(told, "("), told);
        at = strstr(err.text, word);
        if (strncmp(told, "sql", 3) == 0 || strncmp(told, "image", 5) == 0)
            assert_null(at);
        else if (!at || strstr(at + 1, word))
            fail_msg("%s: %s", word, err.text);
    }
    /* What is granted is of another type: that is told. */
    expect_refusal(&imports[0], 1, "grants: {kv: on}\n", SV_ELINK, &err);
    assert_null(strstr(err.text, NOT_GRANTED));
}

/* What the server does not offer cannot be granted. */
static void test_not_offered(void **state)
{
    (void)state;
    nn_setting = "none";
    image_setting = "off";
    expect_failure(SAY, "name: bad\nmodule: a.wasm\ngrants: {nn: on}\n", SV_EUSAGE,
                   "the manifest's grants have 'nn', which this server does not offer");
    expect_failure(SAY, "name: bad\nmodule: a.wasm\ngrants: {image: on}\n", SV_EUSAGE,
                   "(its setting image)");
    nn_setting = "auto";
    expect_failure(SAY, "name: bad\nmodule: a.wasm\ngrants: {nn: on, image: on}\n", SV_EUSAGE,
                   "'image'");
    image_setting = "on";
}

/* A file that was lost or damaged is made anew by deploying it again. */
static void test_damaged_blob(void **state)
{
    struct ctl_function *f;
    uint8_t digest[PLAT_DIGEST_BYTES], found[PLAT_DIGEST_BYTES];
    char hex[CTL_HEX_LEN + 1], path[256], bytes[512];
    ssize_t n;
    int fd;

    (void)state;
    deploy_say("damaged", 77, 0);
    f = ctl_registry_find(&server, "default", "damaged");
    memcpy(digest, f->main->digest, sizeof digest);
    ctl_function_unref(f);
    ctl_hex(digest, hex);
    snprintf(path, sizeof path, "%s/blobs/%s.wasm", folder, hex);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "XXXX", 4, 20), 4);
    close(fd);
    deploy_say("damaged", 77, 0);
    fd = open(path, O_RDONLY);
    n = read(fd, bytes, sizeof bytes);
    close(fd);
    sv_sha256(bytes, (size_t)n, found);
    assert_memory_equal(found, digest, sizeof digest);
}

static void test_collect(void **state)
{
    uint8_t digest[PLAT_DIGEST_BYTES], kept[PLAT_DIGEST_BYTES];
    struct ctl_function *f;
    struct sv_err err = {0};
    char temporary[128];

    (void)state;
    snprintf(temporary, sizeof temporary, "%s/blobs/tmp.1.1", folder);
    close(open(temporary, O_CREAT | O_WRONLY, 0600));
    deploy_say("gone", 55, 0);
    f = ctl_registry_find(&server, "default", "gone");
    memcpy(digest, f->main->digest, sizeof digest);
    ctl_function_unref(f);
    f = ctl_registry_find(&server, "default", "warm");
    memcpy(kept, f->main->ready, sizeof kept);
    ctl_function_unref(f);
    assert_int_equal(ctl_registry_delete(&server, &err, "default", "gone"), 0);
    ctl_blob_collect(&server, 60);
    assert_true(has_blob(digest));
    usleep(1100000);
    ctl_blob_collect(&server, 0);
    assert_false(has_blob(digest));
    assert_true(has_blob(kept));
    assert_int_equal(access(temporary, F_OK), -1);
}

/* After a new start all is as it was. */
static void test_restart(void **state)
{
    struct ctl_function *f;
    struct sv_err err = {0};
    unsigned before;

    (void)state;
    ctl_publisher_stop(&server);
    ctl_registry_stop(&server);
    ctl_publish_stop(&server);
    before = tables;
    assert_int_equal(ctl_publish_start(&server, &err), 0);
    assert_int_equal(ctl_registry_start(&server, &err), 0);
    assert_int_equal(ctl_publisher_start(&server, &err), 0);
    for (unsigned i = 0; i < 6000 && tables == before; i++)
        usleep(10000);
    expect_weights("back", 1, (uint32_t[]){2}, (uint32_t[]){CTL_WEIGHT_ALL});
    f = ctl_registry_find(&server, "default", "hello");
    assert_string_equal(f->description, "greets");
    assert_int_equal(f->manifest.nroutes, 2);
    ctl_function_unref(f);
}

/* A thousand functions: each deployment pays for a table, and many share one. */
static void *deploy_many(void *data)
{
    unsigned from = *(unsigned *)data;

    for (unsigned i = from; i < 1000; i += 8) {
        struct ctl_deploy in = {0};
        struct ctl_deployed done;
        struct sv_err err;
        uint8_t bytes[256];
        char name[32];
        size_t len = make_say((uint8_t)(i % 4), bytes);

        snprintf(name, sizeof name, "many-%u", i);
        in.name = name;
        if (deploy_bytes(&err, &in, bytes, len, &done) < 0) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
        ctl_function_unref(done.function);
    }
    return NULL;
}

static void test_many(void **state)
{
    unsigned from[8], before = tables, count;
    uint64_t start = sv_clock_ns();
    pthread_t threads[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        from[i] = i;
        pthread_create(&threads[i], NULL, deploy_many, &from[i]);
    }
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_lock(&table_lock);
    count = plat_table_count(table);
    pthread_mutex_unlock(&table_lock);
    printf("1,000 deployments: %.1f s, %u tables\n", (double)(sv_clock_ns() - start) / 1e9,
           tables - before);
    assert_true(count > 1000);
}

static int set_up(void **state)
{
    struct sv_err err = {0};
    char url[128];

    (void)state;
    snprintf(folder, sizeof folder, "/tmp/ssvm-registry-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    server.data = folder;
    server.data_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    if (ctl_db_open(&err, url, &server.db) < 0 || ctl_publish_start(&server, &err) < 0 ||
        ctl_registry_start(&server, &err) < 0 || ctl_publisher_start(&server, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    ctl_publisher_stop(&server);
    ctl_registry_stop(&server);
    ctl_publish_stop(&server);
    ctl_db_close(server.db);
    plat_table_unref(table);
    close(server.data_fd);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deploy),      cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_split),       cmocka_unit_test(test_alias),
        cmocka_unit_test(test_tenants),     cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_missing_grants),
        cmocka_unit_test(test_not_offered), cmocka_unit_test(test_damaged_blob),
        cmocka_unit_test(test_collect),     cmocka_unit_test(test_restart),
        cmocka_unit_test(test_many),
    };

    if (argc > 1 && strcmp(argv[1], CTL_PREPARE_ROLE) == 0)
        return ctl_prepare_child(argc, argv);
    if (argc > 1 && strcmp(argv[1], CTL_COMPILE_ROLE) == 0)
        return ctl_compile_child(argc, argv);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
