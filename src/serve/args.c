/* Arguments of a typed call. Values of JSON are cut out here, and read by the library. */
#include "serve/args.h"

#include <string.h>
#include <strings.h>

#include "serve/function.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The end of the string literal that begins at `s`, or NULL. */
static const char *skip_string(const char *s, const char *end)
{
    for (s++; s < end; s++) {
        if (*s == '\\')
            s++;
        else if (*s == '"')
            return s + 1;
    }
    return NULL;
}

int srv_args_next_json(const char **s, const char *end, const char **ret, size_t *ret_len)
{
    const char *p = *s, *from, *rest;
    size_t depth = 0;
    bool comma;

    while (p < end && is_space(*p))
        p++;
    if (p >= end)
        return 0;
    for (from = p; p < end && (depth > 0 || *p != ','); p++) {
        if (*p == '"') {
            p = skip_string(p, end);
            if (!p)
                return -1;
            p--;
        } else if (*p == '[' || *p == '{') {
            depth++;
        } else if (*p == ']' || *p == '}') {
            if (depth == 0)
                return -1;
            depth--;
        }
    }
    if (depth > 0)
        return -1;
    comma = p < end;
    rest = *s = comma ? p + 1 : p;
    while (p > from && is_space(p[-1]))
        p--;
    if (p == from)
        return -1;
    while (comma && rest < end && is_space(*rest))
        rest++;
    if (comma && rest == end)
        return -1; /* a comma, and nothing behind it */
    *ret = from;
    *ret_len = (size_t)(p - from);
    return 1;
}

static int read_array(const struct srv_request *request, ssvm_arg *args, const char **ret_why)
{
    const char *s = request->body, *end = s + request->body_len, *value;
    size_t len;
    int n = 0, r;

    while (is_space(*s))
        s++;
    while (is_space(end[-1]))
        end--;
    *ret_why = "the body is not a JSON array";
    if (end - s < 2 || end[-1] != ']')
        return -1;
    s++;
    end--;
    while ((r = srv_args_next_json(&s, end, &value, &len)) > 0) {
        if (n == SRV_PARAMS_MAX) {
            *ret_why = "there are too many arguments";
            return -1;
        }
        args[n++] = (ssvm_arg){.kind = SSVM_ARG_JSON, .bytes = value, .len = len};
    }
    return r < 0 ? -1 : n;
}

/* A body that is all of the arguments. What takes one JSON value gets an array as that value. */
static bool is_json_array(const struct srv_request *request, const char *type, size_t len)
{
    const struct srv_export *ex = request->export;

    if (ex->known && ex->nparams == 1 && ex->params[0] == SRV_PARAM_JSON)
        return false;
    if (!type || len < 16 || strncasecmp(type, "application/json", 16) != 0 ||
        (len > 16 && type[16] != ';' && type[16] != ' '))
        return false;
    for (size_t i = 0; i < request->body_len; i++) {
        if (!is_space(request->body[i]))
            return request->body[i] == '[';
    }
    return false;
}

/* The body as the first argument, by the type of the parameter; where that is not known, by the
 * type of the body. */
static ssvm_arg read_body(const struct srv_request *request, const char *type, size_t len)
{
    const struct srv_export *ex = request->export;
    ssvm_arg arg = {.kind = SSVM_ARG_TEXT,
                    .bytes = request->body ? request->body : "",
                    .len = request->body_len};

    if (ex->known && ex->nparams > 0) {
        if (ex->params[0] == SRV_PARAM_STRING || ex->params[0] == SRV_PARAM_JSON)
            arg.kind = SSVM_ARG_STRING;
        else if (ex->params[0] == SRV_PARAM_BYTES)
            arg.kind = SSVM_ARG_BYTES;
    } else if (type && len >= 5 &&
               (strncasecmp(type, "text/", 5) == 0 || strncasecmp(type, "appli", 5) == 0)) {
        arg.kind = len >= 24 && strncasecmp(type, "application/octet-stream", 24) == 0
                       ? SSVM_ARG_BYTES
                       : SSVM_ARG_STRING;
    } else if (type && len >= 6 && strncasecmp(type, "image/", 6) == 0) {
        arg.kind = SSVM_ARG_BYTES;
    }
    return arg;
}

int srv_args_read(struct srv_request *request, const char *content_type, size_t type_len,
                  bool has_body, ssvm_arg *args, const char **ret_why)
{
    const char *s = request->query, *end = s + request->query_len, *value;
    size_t len;
    int n = 0;

    if (has_body && is_json_array(request, content_type, type_len))
        return read_array(request, args, ret_why);
    if (has_body)
        args[n++] = read_body(request, content_type, type_len);
    while (request->query_len > 0 && srv_query_next(&s, end, &value, &len)) {
        /* In place: what was encoded is longer. */
        char *text = request->query + (value - request->query);
        long decoded = srv_query_decode(text, len);

        if (decoded < 0 || n == SRV_PARAMS_MAX) {
            *ret_why = decoded < 0 ? "the query string has a bad percent encoding"
                                   : "there are too many arguments";
            return -1;
        }
        args[n] = (ssvm_arg){.kind = SSVM_ARG_TEXT, .bytes = text, .len = (size_t)decoded};
        if (request->export->known && n < request->export->nparams &&
            request->export->params[n] == SRV_PARAM_STRING)
            args[n].kind = SSVM_ARG_STRING;
        n++;
    }
    return n;
}
