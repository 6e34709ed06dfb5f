/* Which server, with what token; its interface /v1 over libcurl. */
#include "client/server.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"

#define REPLY_MAX (256U << 20)
#define TOKEN_MAX 4096
#define SERVERS_MAX (64U << 10)
#define CONNECT_S 10L
#define TIMEOUT_S 600L /* a deployment compiles */

/* ---- Which server ---- */

static bool servers_path(char *ret, size_t size)
{
    return sv_folder_of_user(SV_FOLDER_CONFIG, "ssvm/servers", ret, size);
}

/* Without blanks at its ends; NULL when it is empty or no memory. */
static own char *trimmed(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    while (len > 0 && strchr(" \t\r\n", *text)) {
        text++;
        len--;
    }
    return len > 0 ? sv_strndup(text, len) : NULL;
}

/* The words of the line in `servers` that begins with `url` (NULL: the first). 1: found; 0: not;
 * negative: reported. */
static int find_saved(const char *url, char **ret_url, char **ret_token, char **ret_tenant)
{
    char path[4096], *words[3] = {NULL};
    struct sv_buf text;
    struct stat st;
    int found = 0;

    if (!servers_path(path, sizeof path) || stat(path, &st) < 0)
        return 0;
    if (st.st_uid != geteuid() || (st.st_mode & 077)) {
        cln_message("'%s' has tokens and is not used: it must be yours alone: chmod 600 '%s'", path,
                    path);
        return -1;
    }
    if (!cln_read_file(path, SERVERS_MAX, &text))
        return -1;
    for (char *line = (char *)(uintptr_t)sv_buf_cstr(&text), *end; *line && !found; line = end) {
        unsigned n = 0;

        end = line + strcspn(line, "\n");
        for (char *p = line; p < end && *line != '#' && n < 3;) {
            size_t len = strcspn(p, " \t\r\n");

            if (len > 0) {
                sv_free(words[n]);
                words[n++] = sv_strndup(p, len);
            }
            p += len + 1;
        }
        found = n >= 2 && words[0] && words[1] && (!url || strcmp(url, words[0]) == 0);
        if (n < 3) {
            sv_free(words[2]);
            words[2] = NULL;
        }
        end += *end == '\n';
    }
    sv_buf_release(&text);
    *ret_url = found ? words[0] : (sv_free(words[0]), NULL);
    *ret_token = found ? words[1] : (sv_free(words[1]), NULL);
    *ret_tenant = found ? words[2] : (sv_free(words[2]), NULL);
    return found;
}

static own char *clean_url(const char *url)
{
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/')
        len--;
    return sv_strndup(url, len);
}

static bool is_url(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

/* One word: a line more would be one of the request's head. */
static bool is_token(const char *token)
{
    for (; *token > ' ' && *token < 0x7f; token++)
        ;
    return !*token;
}

/* False: reported. *ret is NULL when none was given. */
static bool find_token(const struct cln_args *args, own char **ret, const char **ret_from)
{
    const char *file = cln_option(args, "token-file"), *env = getenv("SSVM_TOKEN");
    struct sv_buf text;

    *ret = NULL;
    if (file) {
        if (!cln_read_file(file, TOKEN_MAX, &text))
            return false;
        *ret = trimmed(sv_buf_cstr(&text), text.len);
        *ret_from = file;
        sv_buf_release(&text);
    } else if (env && *env) {
        *ret = trimmed(env, strlen(env));
        *ret_from = "$SSVM_TOKEN";
    } else {
        return true;
    }
    if (*ret && is_token(*ret))
        return true;
    cln_message("%s has no token: one word is expected", *ret_from);
    sv_free(*ret);
    *ret = NULL;
    return false;
}

/* Tokens in the clear go no farther than this machine unnoticed. */
static void warn_of_plain(const char *url)
{
    static const char *const here[] = {"http://127.", "http://localhost", "http://[::1]"};

    for (size_t i = 0; i < SV_COUNT(here); i++) {
        if (strncmp(url, here[i], strlen(here[i])) == 0)
            return;
    }
    if (strncmp(url, "http://", 7) == 0)
        cln_message("warning: the token goes to %s unencrypted", url);
}

int cln_server_open_as(struct cln_server *server, const char *url, own char *token,
                       const char *tenant)
{
    *server = (struct cln_server){.token = token, .token_from = "--token-file"};
    server->url = clean_url(url);
    server->tenant = tenant ? sv_strdup(tenant) : NULL;
    if (server->url && (!tenant || server->tenant) && curl_global_init(CURL_GLOBAL_DEFAULT) == 0)
        server->curl = curl_easy_init();
    if (server->curl)
        return 0;
    cln_server_close(server);
    return cln_fail("out of memory");
}

/* The tenant that the token is for. */
static int ask_tenant(struct cln_server *server)
{
    const char *name = NULL;
    json_t *json = NULL;
    int status = cln_server_ask(server, "asking who we are", "GET", "/v1/whoami", NULL, &json);

    if (status == 0) {
        if (json_unpack(json, "{s:s}", "tenant", &name) < 0 || strcmp(name, "*") == 0)
            name = "default";
        server->tenant = sv_strdup(name);
        status = server->tenant ? 0 : cln_fail("out of memory");
    }
    json_decref(json);
    return status;
}

/* Its whole path: folders are changed. What is not there is said when it is needed. */
static void take_ca(struct cln_server *server, const struct cln_args *args)
{
    const char *ca = cln_option(args, "ca");
    char path[PATH_MAX];

    if (ca)
        server->ca = sv_strdup(realpath(ca, path) ? path : ca);
}

int cln_server_open(struct cln_server *server, const struct cln_args *args)
{
    const char *option = cln_option(args, "server"), *env = getenv("SSVM_SERVER");
    const char *tenant = cln_option(args, "tenant"), *from = "~/.config/ssvm/servers";
    char *url = NULL, *saved_url = NULL, *saved_token = NULL, *saved_tenant = NULL, *token = NULL;
    int status = CLN_STATUS_ERROR;

    *server = (struct cln_server){0};
    if (option || (env && *env))
        url = clean_url(option ? option : env);
    if (find_saved(url, &saved_url, &saved_token, &saved_tenant) < 0 ||
        !find_token(args, &token, &from))
        goto fail;
    if (!url && !saved_url) {
        cln_message(
            "which server? --server URL, $SSVM_SERVER, or once 'ssvm login URL --token-file "
            "FILE'; 'ssvm serve' starts one");
        goto fail;
    }
    if (!is_url(url ? url : saved_url)) {
        cln_message("a server is http://HOST:PORT or https://HOST, not '%s'",
                    url ? url : saved_url);
        goto fail;
    }
    if (!token) {
        token = saved_token;
        saved_token = NULL;
    }
    status =
        cln_server_open_as(server, url ? url : saved_url, token, tenant ? tenant : saved_tenant);
    token = NULL;
    if (status != 0)
        goto fail;
    server->token_from = from;
    take_ca(server, args);
    if (server->token)
        warn_of_plain(server->url);
    status = server->tenant ? 0 : ask_tenant(server);
    if (status != 0)
        cln_server_close(server);
fail:
    sv_free(token);
    sv_free(url);
    sv_free(saved_url);
    sv_free(saved_token);
    sv_free(saved_tenant);
    return status;
}

void cln_server_close(struct cln_server *server)
{
    if (server->curl)
        curl_easy_cleanup(server->curl);
    sv_free(server->ca);
    sv_free(server->url);
    sv_free(server->token);
    sv_free(server->tenant);
    *server = (struct cln_server){0};
}

/* ---- Requests ---- */

static size_t take_body(char *data, size_t size, size_t n, void *reply)
{
    struct sv_buf *body = &((struct cln_reply *)reply)->body;

    return sv_buf_append(body, data, size * n) ? size * n : 0;
}

/* The first of that name: a function's own stands before that of the request which called it. */
static void take_field(struct sv_buf *to, const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    char *value;

    if (to->len > 0 || len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return;
    value = trimmed(line + n + 1, len - n - 1);
    if (value)
        sv_buf_puts(to, value);
    sv_free(value);
}

static size_t take_line(char *data, size_t size, size_t n, void *arg)
{
    struct cln_reply *reply = arg;

    take_field(&reply->request_id, data, size * n, "x-request-id");
    take_field(&reply->type, data, size * n, "content-type");
    return size * n;
}

void cln_reply_release(struct cln_reply *reply)
{
    sv_buf_release(&reply->body);
    sv_buf_release(&reply->request_id);
    sv_buf_release(&reply->type);
}

static int unreachable(const struct cln_server *server, CURLcode code)
{
    const char *why = *server->error ? server->error : curl_easy_strerror(code);

    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        return cln_fail(
            "cannot reach %s: %s\nIs 'ssvm serve' running there? --server, $SSVM_SERVER "
            "or ~/.config/ssvm/servers say which server.",
            server->url, why);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return cln_fail(
            "%s shows a certificate that is not trusted: %s\n--ca FILE names what it is "
            "to be checked with.",
            server->url, why);
    return cln_fail("%s: %s", server->url, why);
}

/* The lines of our own in the request's head. */
static struct curl_slist *fields(const struct cln_server *server, const struct cln_body *body)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"), *next;
    struct sv_buf line;

    sv_buf_init(&line, TOKEN_MAX + 256);
    if (list && server->token) {
        sv_buf_printf(&line, "Authorization: Bearer %s", server->token);
        next = line.failed ? NULL : curl_slist_append(list, sv_buf_cstr(&line));
        if (!next)
            curl_slist_free_all(list);
        list = next;
    }
    if (list && body && body->bytes) {
        sv_buf_clear(&line);
        sv_buf_printf(&line, "Content-Type:%s%s", body->type ? " " : "",
                      body->type ? body->type : "");
        next = curl_slist_append(list, sv_buf_cstr(&line));
        if (!next)
            curl_slist_free_all(list);
        list = next;
    }
    sv_buf_release(&line);
    return list;
}

int cln_server_send(struct cln_server *server, const char *method, const char *path,
                    const struct cln_body *body, struct cln_reply *ret)
{
    struct sv_buf url;
    struct curl_slist *list = fields(server, body);
    CURL *curl = server->curl;
    CURLcode code;

    *ret = (struct cln_reply){0};
    sv_buf_init(&ret->body, REPLY_MAX);
    sv_buf_init(&ret->request_id, 256);
    sv_buf_init(&ret->type, 256);
    sv_buf_init(&url, 64U << 10);
    sv_buf_printf(&url, "%s%s", server->url, path);
    if (url.failed || !list) {
        sv_buf_release(&url);
        curl_slist_free_all(list);
        return cln_fail("out of memory");
    }
    *server->error = '\0';
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, sv_buf_cstr(&url));
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "ssvm-client");
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, server->error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_line);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, ret);
    if (server->ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, server->ca);
    if (body && body->form) {
        curl_easy_setopt(curl, CURLOPT_MIMEPOST, body->form);
    } else if (body && body->bytes) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->bytes);
    }
    code = curl_easy_perform(curl);
    curl_slist_free_all(list);
    sv_buf_release(&url);
    if (code != CURLE_OK)
        return unreachable(server, code);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
    return 0;
}

/* {"error": {"code": ..., "message": ...}}; else the beginning of what came. */
int cln_server_refused(const struct cln_server *server, const char *what, struct cln_reply *reply)
{
    json_t *json = json_loadb((const char *)reply->body.data, reply->body.len, 0, NULL);
    const char *code = "", *message = NULL, *id = NULL;

    json_unpack(json, "{s:{s?s,s?s,s?s}}", "error", "code", &code, "message", &message,
                "request_id", &id);
    /* Of a function that was called through /v1 the body has its own, which the logs have. */
    if (id) {
        sv_buf_clear(&reply->request_id);
        sv_buf_puts(&reply->request_id, id);
    }
    id = sv_buf_cstr(&reply->request_id);
    if (!message)
        message = reply->body.len < 200 ? sv_buf_cstr(&reply->body) : "";
    if (reply->status == 401 && !server->token)
        cln_message(
            "%s: %s wants a token: --token-file FILE, $SSVM_TOKEN, or 'ssvm login'\nThe first "
            "one is in the server's data folder, admin-token.",
            what, server->url);
    else if (reply->status == 401)
        cln_message(
            "%s: %s does not know this token (from %s)\nThe first one is in the server's data "
            "folder, admin-token; 'ssvm login' remembers one.",
            what, server->url, server->token_from);
    else if (reply->status == 403)
        cln_message("%s: the token (from %s) may not do that: %s", what, server->token_from,
                    message);
    else if (reply->status == 404 && !*code)
        cln_message(
            "%s: %s has no /v1: it is no ssvm server, or one without a registry (--data none)",
            what, server->url);
    else
        cln_message("%s: %s (%ld%s%s%s%s)", what, *message ? message : "refused", reply->status,
                    *code ? " " : "", code, *id ? ", request " : "", id);
    json_decref(json);
    return CLN_STATUS_ERROR;
}

int cln_server_ask(struct cln_server *server, const char *what, const char *method,
                   const char *path, const struct cln_body *body, json_t **ret_json)
{
    struct cln_reply reply;
    json_error_t error;
    int status = cln_server_send(server, method, path, body, &reply);

    if (status == 0 && (reply.status < 200 || reply.status > 299))
        status = cln_server_refused(server, what, &reply);
    if (status == 0 && ret_json) {
        *ret_json = json_loadb((const char *)reply.body.data, reply.body.len, 0, &error);
        if (!*ret_json)
            status = cln_fail("%s: the answer is not JSON: %s", what, error.text);
    }
    cln_reply_release(&reply);
    return status;
}

void cln_encode(struct sv_buf *to, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (; *text; text++) {
        if (strchr(plain, *text))
            sv_buf_putc(to, *text);
        else
            sv_buf_printf(to, "%%%02X", (unsigned char)*text);
    }
}

void cln_path(const struct cln_server *server, struct sv_buf *ret, const char *const *parts)
{
    sv_buf_clear(ret);
    sv_buf_puts(ret, "/v1/tenants/");
    cln_encode(ret, server->tenant);
    for (; *parts; parts++) {
        sv_buf_putc(ret, '/');
        cln_encode(ret, *parts);
    }
}

void cln_query(struct sv_buf *path, const char *name, const char *value)
{
    if (!value)
        return;
    sv_buf_putc(path, memchr(path->data, '?', path->len) ? '&' : '?');
    sv_buf_printf(path, "%s=", name);
    cln_encode(path, value);
}

/* ---- ssvm login ---- */

/* The new line first, then those of other servers. */
static bool save(const char *path, const char *url, const char *token, const char *tenant)
{
    struct sv_buf text, old = {0};
    size_t len = strlen(url);
    bool ok = access(path, F_OK) < 0 || cln_read_file(path, SERVERS_MAX, &old);

    sv_buf_init(&text, 2 * SERVERS_MAX);
    sv_buf_printf(&text, "%s %s%s%s\n", url, token, tenant ? " " : "", tenant ? tenant : "");
    for (const char *line = sv_buf_cstr(&old), *end; ok && *line; line = end) {
        end = line + strcspn(line, "\n");
        end += *end == '\n';
        if (strncmp(line, url, len) != 0 || !strchr(" \t", line[len]))
            sv_buf_append(&text, line, (size_t)(end - line));
    }
    ok = ok && !text.failed && cln_write_file(path, text.data, text.len, 0600);
    sv_buf_release(&text);
    sv_buf_release(&old);
    return ok;
}

/* The folders of `path`, which has room to be changed. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            cln_message("cannot make '%s': %s", path, strerror(errno));
            *slash = '/';
            return false;
        }
        *slash = '/';
    }
    return true;
}

int cln_login(const struct cln_args *args)
{
    char path[4096], *token = NULL;
    const char *from = NULL, *tenant = cln_option(args, "tenant");
    struct cln_server server;
    int status;

    if (args->noperands != 1 || !is_url(args->operands[0]))
        return cln_usage(args, "which server? http://HOST:PORT or https://HOST");
    if (!servers_path(path, sizeof path))
        return cln_fail("neither $XDG_CONFIG_HOME nor $HOME says where to remember it");
    if (!find_token(args, &token, &from))
        return CLN_STATUS_ERROR;
    if (!token)
        return cln_usage(args, "which token? --token-file FILE, or $SSVM_TOKEN; the first one of a "
                               "server is in its data folder, admin-token");
    status = cln_server_open_as(&server, args->operands[0], token, NULL);
    if (status != 0)
        return status;
    server.token_from = from;
    take_ca(&server, args);
    warn_of_plain(server.url);
    status = ask_tenant(&server);
    if (status == 0 && !(make_folders(path) &&
                         save(path, server.url, server.token, tenant ? tenant : server.tenant)))
        status = CLN_STATUS_ERROR;
    if (status == 0)
        printf("%s is remembered in %s\n", server.url, path);
    cln_server_close(&server);
    return cln_finish(status);
}
