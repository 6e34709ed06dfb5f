/* The OpenAPI 3.1 document, made from api.def and shape.def. */
#include <stdio.h>

#include "base/buf.h"
#include "control/route.h"
#include "control/shape.h"
#include "ssvm.h"

#define PATH_MAX_LEN 256

/* {"MEDIA TYPE": {"schema": ...}} for the word of a row; NULL: no body. */
static json_t *content_new(const char *word)
{
    const char *type = "application/json";
    json_t *schema;

    if (strcmp(word, "NONE") == 0)
        return NULL;
    if (ctl_shape_exists(word)) {
        schema = ctl_shape_type_new(word);
    } else if (strcmp(word, "JSON") == 0 || strcmp(word, "ANYJSON") == 0) {
        schema = json_object();
    } else if (strcmp(word, "TEXT") == 0) {
        type = "text/plain";
        schema = json_pack("{s:s}", "type", "string");
    } else {
        type = strcmp(word, "ANY") == 0 ? "*/*" : "application/octet-stream";
        schema = json_object();
    }
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

static json_t *multipart_new(void)
{
    json_t *content = content_new("BINARY");
    json_t *form =
        json_pack("{s:{s:s,s:{s:{s:s,s:s},s:{s:s}},s:{s:s}}}", "schema", "type", "object",
                  "properties", "wasm", "type", "string", "contentMediaType", "application/wasm",
                  "manifest", "type", "string", "additionalProperties", "type", "string");

    json_object_set_new(content, "multipart/form-data", form);
    return content;
}

static json_t *response_new(const char *what, json_t *content)
{
    json_t *response = json_pack("{s:s}", "description", what);

    if (content)
        json_object_set_new(response, "content", content);
    return response;
}

/* What is wrong with the request as such is told by a worker, under /api too. */
static json_t *error_content_new(const struct ctl_route *route)
{
    if (strcmp(route->reply, "ANY") == 0)
        return content_new("ANY");
    if (strncmp(route->path, "/api/", 5) != 0)
        return content_new("Error");
    return json_pack("{s:{s:{s:[o,o]}}}", "application/json", "schema", "anyOf",
                     ctl_shape_type_new("FaasError"), ctl_shape_type_new("Error"));
}

static json_t *responses_new(const struct ctl_route *route)
{
    json_t *responses = json_object(), *content = content_new(route->reply);
    char status[8];

    snprintf(status, sizeof status, "%d", route->status);
    if (strcmp(route->name, "ctl_v1_usage") == 0) /* the only one with a choice */
        json_object_set_new(content, "text/csv", json_pack("{s:{}}", "schema"));
    json_object_set_new(responses, status, response_new("success", content));
    json_object_set_new(responses, "default", response_new("it failed", error_content_new(route)));
    return responses;
}

static const char *param_type(const char *name, size_t len)
{
    static const char *const names[] = {"tenant", "function", "alias", "secret"},
                             *const numbers[] = {"token", "job", "entry", "id"};

    for (size_t i = 0; i < SV_COUNT(names); i++) {
        if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
            return "name";
    }
    for (size_t i = 0; i < SV_COUNT(numbers); i++) {
        if (strlen(numbers[i]) == len && strncmp(numbers[i], name, len) == 0)
            return "integer";
    }
    return "text";
}

static json_t *parameters_new(const struct ctl_route *route)
{
    json_t *array = json_array();
    const struct ctl_query *query;

    for (const char *p = route->path; (p = strchr(p, '{')); p++) {
        size_t len = strcspn(p + 1, "}");

        json_array_append_new(array, json_pack("{s:s%,s:s,s:b,s:o}", "name", p + 1, len, "in",
                                               "path", "required", 1, "schema",
                                               ctl_shape_type_new(param_type(p + 1, len))));
    }
    for (unsigned n = 0; (query = ctl_route_query(route, n)); n++)
        json_array_append_new(array, json_pack("{s:s,s:s,s:s,s:o}", "name", query->name, "in",
                                               "query", "description", query->doc, "schema",
                                               ctl_shape_type_new(query->type)));
    return array;
}

/* For people: the security scheme cannot say it. */
static const char *scope_text(enum ctl_scope scope)
{
    static const char *const texts[CTL_SCOPE_COUNT] = {
        "no token is needed",
        "any token will do",
        "the token needs the scope read",
        "the token needs the scope invoke",
        "the token needs the scope deploy",
        "the token needs the scope state",
        "the token needs the scope admin",
        "the token needs the scope admin, and must be for all tenants",
    };

    return texts[scope];
}

/* A body that may be left out stands for an empty object (api.c): not where that lacks something.
 */
static bool needs_body(const struct ctl_route *route)
{
    struct sv_err err = {0};
    json_t *empty;
    bool needs;

    if (!ctl_shape_exists(route->request))
        return strcmp(route->request, "ANYJSON") == 0;
    empty = json_object();
    needs = ctl_shape_check(&err, route->request, empty) < 0;
    json_decref(empty);
    return needs;
}

static json_t *operation_new(const struct ctl_route *route)
{
    json_t *operation =
        json_pack("{s:s,s:s,s:s,s:o,s:o}", "operationId", route->name + 4, "summary",
                  route->summary, "description", scope_text(route->scope), "parameters",
                  parameters_new(route), "responses", responses_new(route));
    json_t *content =
        strcmp(route->request, "MULTIPART") == 0 ? multipart_new() : content_new(route->request);

    if (content)
        json_object_set_new(
            operation, "requestBody",
            json_pack("{s:o,s:b}", "content", content, "required", needs_body(route)));
    if (route->scope == CTL_SCOPE_NONE)
        json_object_set_new(operation, "security", json_array());
    return operation;
}

static void add_route(json_t *paths, const struct ctl_route *route)
{
    json_t *path = json_object_get(paths, route->path);
    char method[16];
    size_t n = 0;

    if (!path) {
        path = json_object();
        json_object_set_new(paths, route->path, path);
    }
    for (; route->method[n]; n++)
        method[n] = (char)(route->method[n] | 32);
    method[n] = '\0';
    json_object_set_new(path, method, operation_new(route));
}

own json_t *ctl_openapi_new(void)
{
    json_t *paths = json_object();
    const struct ctl_route *routes;
    size_t n;

    routes = ctl_routes(&n);
    for (size_t i = 0; i < n; i++)
        add_route(paths, &routes[i]);
    return json_pack("{s:s,s:{s:s,s:s,s:s},s:[{s:s}],s:[{s:[]}],s:o,s:{s:o,s:{s:{s:s,s:s}}}}",
                     "openapi", "3.1.0", "info", "title", "ssvm serve", "version", ssvm_version(),
                     "description", "The interface of the server for its operators and tenants.",
                     "servers", "url", "/", "security", "token", "paths", paths, "components",
                     "schemas", ctl_shape_all_new(), "securitySchemes", "token", "type", "http",
                     "scheme", "bearer");
}
