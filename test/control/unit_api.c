/* The router of the admin interfaces on a real database: what is refused, who may what (each row of
 * api.def), tokens from their making to their end, and the OpenAPI document. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/blob.h"
#include "control/dispatch.h"
#include "control/log.h"
#include "control/part.h"
#include "control/registry.h"
#include "control/route.h"
#include "control/shape.h"
#include "control/throttle.h"
#include "control/token.h"

/* The handlers of files that are not linked here. */
#define ROUTE(method, path, scope, handler, status, request, reply, summary)                       \
    __attribute__((weak)) int handler(struct ctl_request *r, struct ctl_reply *reply_,             \
                                      struct sv_err *err)                                          \
    {                                                                                              \
        (void)r, (void)reply_;                                                                     \
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "not supported by this build");         \
    }
#define QUERY(handler, name, type, doc)
#include "control/api.def"
#undef ROUTE
#undef QUERY

/* The log is not what is tested here, but for what is said to it. */
static unsigned changes;

void ctl_log_event(struct ctl_server *s, enum ctl_log_level level, const char *event,
                   const char *tenant, const char *function, const char *id, const char *message)
{
    (void)s, (void)level, (void)tenant, (void)function, (void)id, (void)message;
    changes += strcmp(event, "changed") == 0;
}

/* ---- What the call of a function needs: one, and a worker that answers as it is told ---- */

static struct ctl_version version;
static struct ctl_function function = {.versions = &version, .nversions = 1};
static struct {
    uint64_t status;
    const char *fields;
} worker;

own struct ctl_function *ctl_registry_find(struct ctl_server *s, const char *tenant,
                                           const char *name)
{
    (void)s, (void)tenant;
    return strcmp(name, "called") == 0 ? &function : NULL;
}

void ctl_function_unref(own struct ctl_function *f)
{
    (void)f;
}

const struct ctl_version *ctl_function_version(const struct ctl_function *f, const char *which)
{
    (void)which;
    return f->versions;
}

void ctl_hex(const uint8_t digest[PLAT_DIGEST_BYTES], char ret[CTL_HEX_LEN + 1])
{
    (void)digest;
    ret[0] = '\0';
}

int ctl_workers_ask(struct ctl_server *s, struct sv_err *err, struct plat_message *m,
                    uint64_t deadline_ns, struct plat_message *ret)
{
    (void)s, (void)err, (void)deadline_ns;
    plat_message_init(ret, m->kind);
    plat_put_u64(ret, PLAT_TAG_STATUS, worker.status);
    plat_put_str(ret, PLAT_TAG_FIELDS, worker.fields);
    return 0;
}

static char folder[] = "/tmp/ssvm-api-XXXXXX";
static struct ctl_server server = {.data = folder, .public_url = "http://127.0.0.1:1"};
static char first[CTL_TOKEN_TEXT];

struct answer {
    unsigned status;
    char fields[1024];
    own json_t *json; /* NULL: it is none */
};

static void ask_from(const char *peer, const char *method, const char *target, const char *token,
                     const char *body, struct answer *ret)
{
    const char *question = strchr(target, '?');
    size_t len = question ? (size_t)(question - target) : strlen(target);
    struct plat_message request, reply;
    struct sv_err err = {0};
    struct sv_str text;
    char fields[256] = "Host: a\r\n";
    uint64_t status;

    if (token)
        snprintf(fields, sizeof fields, "Host: a\r\nauthorization: Bearer %s\r\n", token);
    plat_message_init(&request, PLAT_FORWARD);
    plat_message_init(&reply, PLAT_FORWARD);
    plat_put_str(&request, PLAT_TAG_METHOD, method);
    plat_put(&request, PLAT_TAG_PATH, target, len);
    plat_put_str(&request, PLAT_TAG_QUERY, question ? question + 1 : "");
    plat_put_str(&request, PLAT_TAG_FIELDS, fields);
    plat_put_str(&request, PLAT_TAG_BODY, body ? body : "");
    plat_put_str(&request, PLAT_TAG_PEER, peer);
    plat_put_str(&request, PLAT_TAG_REQUEST_ID, "0123456789abcdef");
    assert_int_equal(ctl_api_forward(&server, &err, &request, &reply), 0);
    assert_true(plat_get_u64(&reply, PLAT_TAG_STATUS, &status));
    ret->status = (unsigned)status;
    text = plat_get(&reply, PLAT_TAG_FIELDS);
    assert_true(text.len < sizeof ret->fields);
    snprintf(ret->fields, sizeof ret->fields, "%.*s", (int)text.len, text.ptr ? text.ptr : "");
    text = plat_get(&reply, PLAT_TAG_BODY);
    ret->json = text.len ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
    plat_message_release(&request);
    plat_message_release(&reply);
}

static unsigned ask(const char *method, const char *target, const char *token, const char *body)
{
    struct answer answer;

    ask_from("127.0.0.1", method, target, token, body, &answer);
    if (answer.status >= 400) { /* every failure looks alike */
        struct sv_err err = {0};

        assert_non_null(answer.json);
        assert_int_equal(ctl_shape_check(&err,
                                         strncmp(target, "/api/", 5) == 0 ? "FaasError" : "Error",
                                         answer.json),
                         0);
    }
    json_decref(answer.json);
    return answer.status;
}

/* A token made over the interface itself. */
static void make_token(const char *tenant, const char *scope, char *ret, char id[24])
{
    char target[128] = "/v1/tokens", body[128];
    struct answer answer;

    if (tenant)
        snprintf(target, sizeof target, "/v1/tenants/%s/tokens", tenant);
    snprintf(body, sizeof body, "{\"name\":\"a\",\"scopes\":[\"%s\"]}", scope);
    ask_from("127.0.0.1", "POST", target, first, body, &answer);
    assert_int_equal(answer.status, 201);
    strcpy(ret, json_string_value(json_object_get(answer.json, "token")));
    strcpy(id, json_string_value(json_object_get(answer.json, "id")));
    assert_int_equal(strlen(ret), CTL_TOKEN_TEXT - 1);
    assert_non_null(strstr(answer.fields, "no-store"));
    json_decref(answer.json);
}

static void first_token(void **state)
{
    struct sv_err err = {0};
    struct stat st;
    char path[128], again[CTL_TOKEN_TEXT];
    FILE *f;

    (void)state;
    snprintf(path, sizeof path, "%s/admin-token", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(ask("GET", "/v1/tenants/default/tokens", first, NULL), 200);
    /* The next start makes none. */
    assert_int_equal(ctl_token_first(&server, &err), 0);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(again, 1, CTL_TOKEN_TEXT - 1, f), CTL_TOKEN_TEXT - 1);
    fclose(f);
    assert_memory_equal(again, first, CTL_TOKEN_TEXT - 1);
}

static void refusals(void **state)
{
    static const struct {
        const char *method, *target, *body;
        unsigned status;
    } rows[] = {
        {"GET", "/livez", NULL, 200},
        {"HEAD", "/livez", NULL, 200},
        {"GET", "/readyz", NULL, 200},
        {"GET", "/livez?x=1", NULL, 400},
        {"POST", "/livez", NULL, 405},
        {"OPTIONS", "/livez", NULL, 204},
        {"BREW", "/livez", NULL, 405},
        {"GET", "/v1/openapi.json", NULL, 200},
        {"GET", "/v1/", NULL, 404},
        {"GET", "/v1", NULL, 404},
        {"GET", "/v1/openapi.json/", NULL, 404},
        {"GET", "//v1/openapi.json", NULL, 404},
        {"GET", "/v1/%6fpenapi.json", NULL, 404},
        {"GET", "/v1/tenants//tokens", NULL, 404},
        {"GET", "/v1/tenants/..%2fdefault/tokens", NULL, 404},
        {"GET", "/v1/tenants/a%00b/tokens", NULL, 404},
        {"GET", "/v1/tenants/%/tokens", NULL, 404},
        {"GET", "/v1/tenants/default/tokens?tenant=other", NULL, 400},
        {"POST", "/v1/tenants/default/tokens", "", 400},
        {"POST", "/v1/tenants/default/tokens", "{", 400},
        {"POST", "/v1/tenants/default/tokens", "[]", 400},
        {"POST", "/v1/tenants/default/tokens",
         "{\"name\":\"a\",\"name\":\"b\",\"scopes\":[\"read\"]}", 400},
        {"POST", "/v1/tenants/default/tokens", "{\"name\":\"a\",\"scopes\":[\"root\"]}", 400},
        {"POST", "/v1/tenants/default/tokens", "{\"name\":\"a\",\"scopes\":[]}", 400},
        {"POST", "/v1/tenants/default/tokens", "{\"name\":\"a\",\"scopes\":\"read\"}", 400},
        {"POST", "/v1/tenants/default/tokens", "{\"name\":\"a\",\"scopes\":[\"read\"],\"more\":1}",
         400},
        {"POST", "/v1/tenants/default/tokens",
         "{\"name\":\"a\",\"scopes\":[\"read\"],\"expires_in_s\":-1}", 400},
        {"POST", "/v1/tenants/default/tokens",
         "{\"name\":\"a\",\"scopes\":[\"read\"],\"expires_in_s\":9223372036854775807}", 400},
        {"POST", "/v1/tenants/default/tokens", "{\"name\":\"\",\"scopes\":[\"read\"]}", 400},
        {"POST", "/v1/tenants/nobody/tokens", "{\"name\":\"a\",\"scopes\":[\"read\"]}", 404},
        {"POST", "/v1/tenants/default/tokens/x/rotate", NULL, 404},
        {"POST", "/v1/tenants/default/tokens/99999/rotate", NULL, 404},
        {"DELETE", "/v1/tenants/default/tokens/99999", NULL, 404},
        {"DELETE", "/v1/tenants/default/tokens/99999999999999999999999", NULL, 404},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(rows); i++) {
        unsigned status = ask(rows[i].method, rows[i].target, first, rows[i].body);

        if (status != rows[i].status)
            fail_msg("%s %s %s: %u", rows[i].method, rows[i].target,
                     rows[i].body ? rows[i].body : "", status);
    }
    assert_int_equal(changes, 0); /* nothing was changed, and the log says nothing else */
}

/* A target for a row's template, in that tenant. */
static void fill_path(const char *template, const char *tenant, char ret[256])
{
    char *out = ret;

    for (const char *p = template; *p;) {
        size_t len = strcspn(p, "}");

        if (*p != '{') {
            *out++ = *p++;
            continue;
        }
        out += sprintf(out, "%s",
                       strncmp(p, "{tenant}", 8) == 0      ? tenant
                       : strncmp(p, "{function}", 10) == 0 ? "f"
                                                           : "1");
        p += len + 1;
    }
    *out = '\0';
}

/* Whether a token with that scope, of the tenant or of all, may use the row; from the words of the
 * table alone. */
static bool may(const struct ctl_route *route, const char *scope, bool all)
{
    static const char *const names[CTL_SCOPE_COUNT] = {"", "", "read", "invoke", "deploy", "state"};

    if (route->scope <= CTL_SCOPE_ANY)
        return true;
    if (route->scope == CTL_SCOPE_OPERATOR)
        return all && strcmp(scope, "admin") == 0;
    return strcmp(scope, "admin") == 0 ||
           (names[route->scope] && strcmp(scope, names[route->scope]) == 0);
}

static void who_may_what(void **state)
{
    static const char *const scopes[] = {"read", "invoke", "deploy", "state", "admin"};
    char own_token[CTL_TOKEN_TEXT], all[CTL_TOKEN_TEXT], id[24], path[256];
    const struct ctl_route *routes;
    size_t n;

    (void)state;
    routes = ctl_routes(&n);
    assert_true(n > 20);
    for (size_t s = 0; s < SV_COUNT(scopes); s++) {
        make_token("default", scopes[s], own_token, id);
        make_token(NULL, scopes[s], all, id);
        for (size_t i = 0; i < n; i++) {
            const struct ctl_route *route = &routes[i];
            bool open = route->scope == CTL_SCOPE_NONE,
                 has_tenant = strstr(route->path, "{tenant}");
            unsigned status;

            fill_path(route->path, "default", path);
            if (strcmp(route->method, "DELETE") == 0 && strstr(path, "/tokens/"))
                strcpy(strrchr(path, '/'), "/999999"); /* our own stay */
            status = ask(route->method, path, NULL, NULL);
            if (open ? status == 401 : status != 401)
                fail_msg("%s %s without a token: %u", route->method, path, status);
            status = ask(route->method, path, own_token, NULL);
            if ((status == 403) == may(route, scopes[s], false) || status == 401)
                fail_msg("%s %s with %s: %u", route->method, path, scopes[s], status);
            status = ask(route->method, path, all, NULL);
            if ((status == 403) == may(route, scopes[s], true) || status == 401)
                fail_msg("%s %s with %s of all: %u", route->method, path, scopes[s], status);
            if (!has_tenant)
                continue;
            fill_path(route->path, "other", path);
            status = ask(route->method, path, own_token, NULL);
            if (status != 403)
                fail_msg("%s %s of another tenant with %s: %u", route->method, path, scopes[s],
                         status);
        }
    }
}

static void life_of_a_token(void **state)
{
    char token[CTL_TOKEN_TEXT], id[24], target[128], next[CTL_TOKEN_TEXT];
    struct answer answer;

    (void)state;
    changes = 0;
    make_token("default", "admin", token, id);
    assert_int_equal(changes, 1);
    assert_int_equal(ask("GET", "/v1/whoami", token, NULL), 200);
    assert_int_equal(changes, 1);
    /* A new secret; the old one for no time more. */
    snprintf(target, sizeof target, "/v1/tenants/default/tokens/%s/rotate", id);
    ask_from("127.0.0.1", "POST", target, token, "{\"grace_s\":0}", &answer);
    assert_int_equal(answer.status, 200);
    strcpy(next, json_string_value(json_object_get(answer.json, "token")));
    strcpy(id, json_string_value(json_object_get(answer.json, "id")));
    json_decref(answer.json);
    assert_int_equal(ask("GET", "/v1/whoami", token, NULL), 401);
    assert_int_equal(ask("GET", "/v1/whoami", next, NULL), 200);
    /* With grace both are good. */
    snprintf(target, sizeof target, "/v1/tenants/default/tokens/%s/rotate", id);
    ask_from("127.0.0.1", "POST", target, next, NULL, &answer);
    assert_int_equal(answer.status, 200);
    strcpy(token, json_string_value(json_object_get(answer.json, "token")));
    strcpy(id, json_string_value(json_object_get(answer.json, "id")));
    json_decref(answer.json);
    assert_int_equal(ask("GET", "/v1/whoami", token, NULL), 200);
    assert_int_equal(ask("GET", "/v1/whoami", next, NULL), 200);
    /* Revoked, by itself even; nobody revokes another tenant's, or an operator's this way. */
    snprintf(target, sizeof target, "/v1/tokens/%s", id);
    assert_int_equal(ask("DELETE", target, first, NULL), 404);
    snprintf(target, sizeof target, "/v1/tenants/default/tokens/%s", id);
    assert_int_equal(ask("DELETE", target, token, NULL), 204);
    assert_int_equal(ask("GET", "/v1/whoami", token, NULL), 401);
    /* One that has expired. */
    ask_from("127.0.0.1", "POST", "/v1/tokens", first,
             "{\"name\":\"short\",\"scopes\":[\"read\"],\"expires_in_s\":0}", &answer);
    assert_int_equal(answer.status, 201);
    strcpy(token, json_string_value(json_object_get(answer.json, "token")));
    json_decref(answer.json);
    assert_int_equal(ask("GET", "/v1/whoami", token, NULL), 401);
}

static void lists_show_no_secrets(void **state)
{
    struct answer answer;
    char *text;

    (void)state;
    ask_from("127.0.0.1", "GET", "/v1/tokens", first, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_true(json_array_size(json_object_get(answer.json, "tokens")) >= 1);
    text = json_dumps(answer.json, 0);
    assert_null(strstr(text, "ssvm_"));
    free(text);
    json_decref(answer.json);
}

static void guessing(void **state)
{
    struct answer answer;
    char guess[CTL_TOKEN_TEXT];
    unsigned refused = 0, slowed = 0;

    (void)state;
    /* First a good one from that address, then bad ones, from a network of 64 bits. */
    ask_from("2001:db8:1:2::9", "GET", "/v1/whoami", first, NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_decref(answer.json);
    for (int i = 0; i < 30; i++) {
        char peer[40];

        snprintf(peer, sizeof peer, "2001:db8:1:2::%x", i + 1);
        snprintf(guess, sizeof guess, "ssvm_%043d", i);
        ask_from(peer, "GET", "/v1/whoami", guess, NULL, &answer);
        refused += answer.status == 401;
        slowed += answer.status == 429;
        if (answer.status == 429)
            assert_non_null(strstr(answer.fields, "Retry-After: "));
        else
            assert_non_null(strstr(answer.fields, "WWW-Authenticate: Bearer"));
        json_decref(answer.json);
    }
    assert_int_equal(refused, CTL_THROTTLE_GUESSES);
    assert_int_equal(slowed, 30 - CTL_THROTTLE_GUESSES);
    /* The good one still is, there; a good one that was never used there has to wait. */
    ask_from("2001:db8:1:2::9", "GET", "/v1/whoami", first, NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_decref(answer.json);
    make_token(NULL, "read", guess, (char[24]){0});
    ask_from("2001:db8:1:2::9", "GET", "/v1/whoami", guess, NULL, &answer);
    assert_int_equal(answer.status, 429);
    json_decref(answer.json);
    ask_from("2001:db8:1:3::9", "GET", "/v1/whoami", guess, NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_decref(answer.json);
}

/* A worker that was taken over says what is no answer of HTTP. */
static void answers_of_workers(void **state)
{
    static const struct {
        uint64_t status;
        const char *fields, *wanted;
        unsigned wanted_status;
    } cases[] = {
        {200, "Content-Type: a/b\r\nX-A:\r\n", "Content-Type: a/b\r\nX-A:\r\n", 200},
        {404, "", "", 404},
        {200, "A: b\r\n\r\nHTTP/1.1 200 OK\r\nB: c\r\n", "A: b\r\nB: c\r\n", 200},
        {200, "A b: c\r\n: d\r\nE\r\nF: \n\r\nG: \r\r\nH: i", "H: i\r\n", 200},
        {99, "", "", 502},
        {600, "", "", 502},
        {UINT64_C(1) << 32 | 200, "", "", 502},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct answer answer;
        char wanted[256];

        worker.status = cases[i].status;
        worker.fields = cases[i].fields;
        snprintf(wanted, sizeof wanted, "%sX-Content-Type-Options: nosniff\r\n", cases[i].wanted);
        ask_from("127.0.0.1", "POST", "/v1/tenants/default/functions/called/invoke", first, NULL,
                 &answer);
        assert_string_equal(answer.fields, wanted);
        assert_int_equal(answer.status, cases[i].wanted_status);
        json_decref(answer.json);
    }
}

/* Every reference of the document leads somewhere, every route is in it once. */
static void check_references(const json_t *json, const json_t *schemas)
{
    const char *key;
    json_t *item;
    size_t i;

    json_object_foreach((json_t *)json, key, item)
    {
        if (strcmp(key, "$ref") == 0)
            assert_non_null(json_object_get(schemas, strrchr(json_string_value(item), '/') + 1));
        check_references(item, schemas);
    }
    json_array_foreach(json, i, item) check_references(item, schemas);
}

static void document(void **state)
{
    const struct ctl_route *routes;
    struct answer answer;
    json_t *ids = json_object(), *paths;
    size_t n;

    (void)state;
    ask_from("127.0.0.1", "GET", "/v1/openapi.json", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    paths = json_object_get(answer.json, "paths");
    routes = ctl_routes(&n);
    for (size_t i = 0; i < n; i++) {
        char method[16] = "";
        json_t *operation;

        for (size_t k = 0; routes[i].method[k]; k++)
            method[k] = (char)(routes[i].method[k] | 32);
        operation = json_object_get(json_object_get(paths, routes[i].path), method);
        assert_non_null(operation);
        assert_null(json_object_get(ids, routes[i].name));
        json_object_set_new(ids, routes[i].name, json_true());
        assert_true(strcmp(routes[i].request, "NONE") == 0 ||
                    json_object_get(operation, "requestBody"));
    }
    check_references(answer.json,
                     json_object_get(json_object_get(answer.json, "components"), "schemas"));
    json_decref(ids);
    json_decref(answer.json);
}

static int open_server(void **state)
{
    struct sv_err err = {0};
    char url[128];
    int fd;

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    server.data_fd = open(folder, O_RDONLY | O_DIRECTORY);
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    if (ctl_db_open(&err, url, &server.db) < 0 || ctl_api_start(&server, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    fd = openat(server.data_fd, "admin-token", O_RDONLY);
    if (fd < 0 || read(fd, first, CTL_TOKEN_TEXT - 1) != CTL_TOKEN_TEXT - 1)
        return -1;
    return close(fd);
}

static int close_server(void **state)
{
    char command[128];

    (void)state;
    ctl_api_stop(&server);
    ctl_db_close(server.db);
    close(server.data_fd);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_token),           cmocka_unit_test(refusals),
        cmocka_unit_test(who_may_what),          cmocka_unit_test(life_of_a_token),
        cmocka_unit_test(lists_show_no_secrets), cmocka_unit_test(guessing),
        cmocka_unit_test(answers_of_workers),    cmocka_unit_test(document),
    };

    return cmocka_run_group_tests(tests, open_server, close_server);
}
