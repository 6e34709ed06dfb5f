/* `ssvm invoke`: a function's own answer, from a server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/server.h"

#define BODY_MAX ((size_t)1 << 30)

/* As a text of a command line is meant: what JSON has as a number is one, all else is a text. */
static void put_argument(struct sv_buf *to, const char *text)
{
    bool numeric = *text && strspn(text, "-+.0123456789eE") == strlen(text);
    json_t *number =
        numeric ? json_loads(text, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL) : NULL;

    if (number)
        sv_buf_puts(to, text);
    else
        sv_buf_json_string(to, text, strlen(text));
    json_decref(number);
}

/* ARG...: one is the body, @FILE and - as bytes, @@X is the text @X; several are a JSON array.
 * False: reported. */
static bool read_arguments(char **argv, int n, struct sv_buf *ret, const char **ret_type)
{
    if (n == 1 && (strcmp(argv[0], "-") == 0 || (argv[0][0] == '@' && argv[0][1] != '@'))) {
        *ret_type = "application/octet-stream";
        return cln_read_file(argv[0][0] == '@' ? argv[0] + 1 : "-", BODY_MAX, ret);
    }
    sv_buf_init(ret, BODY_MAX);
    if (n == 1) {
        *ret_type = "text/plain; charset=utf-8";
        return sv_buf_puts(ret, argv[0] + (argv[0][0] == '@'));
    }
    *ret_type = "application/json";
    sv_buf_putc(ret, '[');
    for (int i = 0; i < n; i++) {
        sv_buf_puts(ret, i ? ", " : "");
        put_argument(ret, argv[i] + (strncmp(argv[i], "@@", 2) == 0));
    }
    return sv_buf_putc(ret, ']');
}

/* NAME@ALIAS, or NAME@DIGEST: *ret_version is what stands behind the @. */
static own char *split_name(const char *text, const char **ret_version)
{
    const char *at = strchr(text, '@');

    *ret_version = at ? at + 1 : NULL;
    return sv_strndup(text, at ? (size_t)(at - text) : strlen(text));
}

/* The exports of the version that answers, where the one that was asked for is none of them. */
static void print_exports(struct cln_server *server, const char *name)
{
    struct cln_reply reply;
    struct sv_buf path, names;
    json_t *json = NULL, *version, *main = NULL, *export;
    size_t i;

    sv_buf_init(&path, CLN_PATH_MAX);
    sv_buf_init(&names, CLN_PATH_MAX);
    cln_path(server, &path, CLN_PARTS("functions", name, "versions"));
    if (cln_server_send(server, "GET", sv_buf_cstr(&path), NULL, &reply) == 0 &&
        reply.status == 200)
        json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
    json_array_foreach(json_object_get(json, "versions"), i, version)
    {
        if (!main || json_integer_value(json_object_get(version, "weight")) >
                         json_integer_value(json_object_get(main, "weight")))
            main = version;
    }
    json_array_foreach(json_object_get(main, "exports"), i, export)
    {
        const char *word = json_string_value(json_object_get(export, "name"));

        if (word && word[0] != '_')
            sv_buf_printf(&names, "%s%s", names.len ? ", " : "", word);
    }
    if (names.len > 0)
        cln_message("its functions are: %s", sv_buf_cstr(&names));
    json_decref(json);
    cln_reply_release(&reply);
    sv_buf_release(&path);
    sv_buf_release(&names);
}

static bool is_code(const json_t *error, const char *code)
{
    const char *text = json_string_value(json_object_get(error, "code"));

    return text && strcmp(text, code) == 0;
}

static int print_reply(struct cln_server *server, const char *name, struct cln_reply *reply)
{
    json_t *json, *error;

    if (reply->status < 400) {
        fwrite(reply->body.data, 1, reply->body.len, stdout);
        return cln_finish(0);
    }
    json = json_loadb((const char *)reply->body.data, reply->body.len, 0, NULL);
    error = json_object_get(json, "error");
    if (error) {
        cln_server_refused(server, "the call failed", reply);
        if (reply->status >= 500 && reply->request_id.len > 0)
            fprintf(stderr, "'ssvm why %s' tells more.\n", sv_buf_cstr(&reply->request_id));
        else if (reply->status == 404 && is_code(error, "no_function"))
            print_exports(server, name);
        else if (reply->status == 404)
            fprintf(stderr, "'ssvm functions' lists what is there.\n");
    } else {
        fwrite(reply->body.data, 1, reply->body.len, stdout);
        cln_message("the function answered %ld", reply->status);
    }
    json_decref(json);
    return cln_finish(CLN_STATUS_ERROR);
}

int cln_invoke(const struct cln_args *args)
{
    struct cln_body body = {0};
    struct sv_buf bytes = {0}, path;
    struct cln_server server;
    struct cln_reply reply;
    const char *version, *function = args->noperands > 1 ? args->operands[1] : "";
    char *name;
    int status;

    if (args->noperands < 1)
        return cln_usage(args, "which function?");
    if (args->noperands > 2) {
        if (!read_arguments(args->operands + 2, args->noperands - 2, &bytes, &body.type))
            return CLN_STATUS_ERROR;
        body.bytes = sv_buf_cstr(&bytes);
        body.len = bytes.len;
    } else {
        body.bytes = ""; /* POST has a body, if an empty one */
    }
    name = split_name(args->operands[0], &version);
    status = name ? cln_server_open(&server, args) : cln_fail("out of memory");
    if (status == 0) {
        struct sv_buf behind;

        sv_buf_init(&behind, CLN_PATH_MAX);
        sv_buf_printf(&behind, "%s%s", !*function || *function == '/' ? "" : "/", function);
        sv_buf_init(&path, CLN_PATH_MAX);
        cln_path(&server, &path, CLN_PARTS("functions", name, "invoke"));
        cln_query(&path, "path", behind.len ? sv_buf_cstr(&behind) : NULL);
        cln_query(&path, "version", version);
        status = cln_server_send(&server, "POST", sv_buf_cstr(&path), &body, &reply);
        if (status == 0)
            status = print_reply(&server, name, &reply);
        cln_reply_release(&reply);
        sv_buf_release(&path);
        sv_buf_release(&behind);
        cln_server_close(&server);
    }
    sv_buf_release(&bytes);
    sv_free(name);
    return status;
}
