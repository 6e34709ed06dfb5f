/* What a server tells: functions and versions, logs, failures, usage, secrets. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/show.h"

#define FOLLOW_WAIT "20"      /* seconds that the server waits for a line */
#define FOLLOW_WAIT_SHORT "1" /* that of ssvm dev, which ends soon after a word */
#define FAILURE_TRIES 5
#define FAILURE_WAIT_US 100000
#define SECRET_MAX ((size_t)64 << 10)
/* Numbers as the server wrote them: decimals with so many digits survive a double. */
#define DECIMALS JSON_REAL_PRECISION(15)

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static long long number_of(json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* Names and messages are others' texts. */
static void put(const char *text)
{
    cln_print(text, strlen(text));
}

/* Ask for `path` and show it: whole as JSON, or by `show`. */
static int ask_and_show(struct cln_server *server, const char *what, struct sv_buf *path,
                        bool as_json, void (*show)(json_t *))
{
    json_t *json = NULL;
    int status = cln_server_ask(server, what, "GET", sv_buf_cstr(path), NULL, &json);

    if (status == 0 && as_json) {
        json_dumpf(json, stdout, JSON_INDENT(2) | DECIMALS);
        putchar('\n');
    } else if (status == 0) {
        show(json);
    }
    json_decref(json);
    return cln_finish(status);
}

/* ---- functions ---- */

/* Its share of the requests, unless that goes without saying, and its aliases. */
static void show_share(json_t *version, bool alone)
{
    long long weight = number_of(version, "weight");
    json_t *alias;
    size_t i;

    if (!alone)
        printf(" %lld.%02lld%%", weight / 100, weight % 100);
    json_array_foreach(json_object_get(version, "aliases"), i, alias)
    {
        printf(" @");
        put(json_string_value(alias));
    }
}

void cln_show_targets(json_t *function)
{
    json_t *target, *targets = json_object_get(function, "targets");
    size_t i;

    put(text_of(function, "name"));
    json_array_foreach(targets, i, target)
    {
        printf("%s version %lld", i ? "," : ":", number_of(target, "number"));
        show_share(target, json_array_size(targets) == 1);
    }
    printf("%s  ", json_is_true(json_object_get(function, "keyed")) ? ", keyed" : "");
    put(text_of(function, "url"));
    putchar('\n');
}

static void show_functions(json_t *json)
{
    json_t *function, *functions = json_object_get(json, "functions");
    size_t i;

    json_array_foreach(functions, i, function) cln_show_targets(function);
    if (json_array_size(functions) == 0)
        printf("no functions yet: 'ssvm deploy' publishes one\n");
}

static void show_versions(json_t *json)
{
    json_t *version;
    size_t i;

    json_array_foreach(json_object_get(json, "versions"), i, version)
    {
        printf("%lld  %.12s  ", number_of(version, "number"), text_of(version, "digest"));
        put(text_of(version, "created"));
        printf("  %lld bytes ", number_of(version, "bytes"));
        show_share(version, number_of(version, "weight") == 0);
        putchar('\n');
    }
}

int cln_functions(const struct cln_args *args)
{
    struct cln_server server;
    struct sv_buf path;
    int status;

    if (args->noperands > 1)
        return cln_usage(args, "one function at most");
    status = cln_server_open(&server, args);
    if (status != 0)
        return status;
    sv_buf_init(&path, CLN_PATH_MAX);
    if (args->noperands)
        cln_path(&server, &path, CLN_PARTS("functions", args->operands[0], "versions"));
    else
        cln_path(&server, &path, CLN_PARTS("functions"));
    status = ask_and_show(&server, "listing", &path, cln_option(args, "json"),
                          args->noperands ? show_versions : show_functions);
    sv_buf_release(&path);
    cln_server_close(&server);
    return status;
}

/* Each has its whole text, and the same in parts. */
static void show_frames(json_t *frames)
{
    json_t *frame;
    size_t i;

    json_array_foreach(frames, i, frame)
    {
        const char *text = text_of(frame, "text");

        text += strspn(text, " ");
        printf("    ");
        put(*text ? text : text_of(frame, "function"));
        putchar('\n');
    }
}

/* ---- logs ---- */

/* Without the newlines at its end. */
static size_t line_length(const char *text)
{
    size_t len = strlen(text);

    while (len > 0 && text[len - 1] == '\n')
        len--;
    return len;
}

/* One line: time, what it is about, then what is left of its values. */
static void show_line(json_t *line)
{
    static const char *const first[] = {"time", "level", "event", "function", "id", "tenant"};
    const char *key;
    json_t *value;

    for (size_t i = 0; i + 1 < SV_COUNT(first); i++) {
        const char *text = text_of(line, first[i]);

        if (!*text || (strcmp(first[i], "level") == 0 && strcmp(text, "info") == 0))
            continue;
        put(text);
        putchar(' ');
    }
    json_object_foreach(line, key, value)
    {
        bool told = false;
        char *text;

        for (size_t i = 0; i < SV_COUNT(first); i++)
            told = told || strcmp(first[i], key) == 0;
        if (told || (json_is_string(value) && json_string_length(value) == 0))
            continue;
        if (strcmp(key, "text") != 0 && strcmp(key, "message") != 0)
            printf("%s=", key);
        text = json_is_string(value)
                   ? NULL
                   : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        if (text)
            put(text);
        else if (json_is_string(value))
            cln_print(json_string_value(value), line_length(json_string_value(value)));
        putchar(' ');
        free(text);
    }
    putchar('\n');
}

/* Where a request of the developer's own failed. What failed is noted behind the answer: there may
 * be nothing yet. */
static void show_failure(struct cln_server *server, const char *id)
{
    struct cln_reply reply = {0};
    struct sv_buf path;
    json_t *json = NULL;

    sv_buf_init(&path, CLN_PATH_MAX);
    sv_buf_puts(&path, "/v1/failures/");
    cln_encode(&path, id);
    for (unsigned i = 0; i < FAILURE_TRIES && !json; i++) {
        if (i > 0)
            usleep(FAILURE_WAIT_US);
        if (cln_server_send(server, "GET", sv_buf_cstr(&path), NULL, &reply) == 0 &&
            reply.status == 200)
            json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
        cln_reply_release(&reply);
    }
    if (*text_of(json, "message")) {
        printf("    ");
        put(text_of(json, "message"));
        putchar('\n');
    }
    show_frames(json_object_get(json, "backtrace"));
    json_decref(json);
    sv_buf_release(&path);
}

/* To who develops: requests that went well, and his own deployments. */
static bool is_expected(json_t *line)
{
    const char *event = text_of(line, "event");

    return strcmp(event, "changed") == 0 ||
           (strcmp(event, "request") == 0 && number_of(line, "status") < 400);
}

/* quiet (NULL: all is shown): not what is expected; of requests that failed why, asked of this
 * server. */
static void show_lines(json_t *page, bool as_json, struct cln_server *quiet)
{
    json_t *line;
    size_t i;

    json_array_foreach(json_object_get(page, "lines"), i, line)
    {
        if (quiet && is_expected(line))
            continue;
        if (as_json) {
            json_dumpf(line, stdout, JSON_COMPACT | DECIMALS);
            putchar('\n');
        } else {
            show_line(line);
        }
        if (quiet && number_of(line, "status") >= 500)
            show_failure(quiet, text_of(line, "id"));
    }
    fflush(stdout);
}

/* The page of lines behind `before` (NULL: the last ones), as the query says. */
static int next_page(struct cln_server *server, const struct cln_args *args, const char *lines,
                     json_t *before, json_t **ret)
{
    struct sv_buf path;
    int status;

    sv_buf_init(&path, CLN_PATH_MAX);
    sv_buf_puts(&path, "/v1/logs");
    cln_query(&path, "tenant", server->tenant);
    if (args) {
        cln_query(&path, "function", args->noperands ? args->operands[0] : NULL);
        cln_query(&path, "request", cln_option(args, "request"));
        cln_query(&path, "level", cln_option(args, "level"));
    }
    cln_query(&path, "limit", before ? NULL : lines);
    cln_query(&path, "cursor", before ? text_of(before, "cursor") : NULL);
    cln_query(&path, "wait", !before ? NULL : args ? FOLLOW_WAIT : FOLLOW_WAIT_SHORT);
    status = cln_server_ask(server, "reading logs", "GET", sv_buf_cstr(&path), NULL, ret);
    sv_buf_release(&path);
    return status;
}

static int show_pages(struct cln_server *server, const struct cln_args *args, const char *lines,
                      bool follow)
{
    json_t *page = NULL;
    int status;

    do {
        json_t *before = page;

        page = NULL;
        status = next_page(server, args, lines, before, &page);
        /* Of those who only follow the first page is of another time. */
        if (status == 0 && (args || before))
            show_lines(page, args && cln_option(args, "json"), args ? NULL : server);
        json_decref(before);
    } while (status == 0 && follow);
    json_decref(page);
    return status;
}

void cln_follow_logs(struct cln_server *server)
{
    show_pages(server, NULL, "1", true);
}

int cln_logs(const struct cln_args *args)
{
    const char *lines = cln_option(args, "lines");
    struct cln_server server;
    uint64_t n;
    int status;

    if (args->noperands > 1)
        return cln_usage(args, "one function at most");
    if (!cln_option_number(args, "lines", 2000, 200, &n))
        return CLN_STATUS_USAGE;
    status = cln_server_open(&server, args);
    if (status != 0)
        return status;
    signal(SIGPIPE, SIG_DFL); /* `ssvm logs -f | head` ends */
    status = show_pages(&server, args, lines ? lines : "200", cln_option(args, "follow"));
    cln_server_close(&server);
    return cln_finish(status);
}

/* ---- why ---- */

static void show_why(json_t *json)
{
    static const char *const numbers[] = {"wall_ms", "run_ms",      "wait_ms",  "cpu_ms",
                                          "gas",     "memory_peak", "bytes_in", "bytes_out"};
    const char *key, *stderr_text = text_of(json, "stderr");
    json_t *value;
    size_t at;

    printf("%s %s %s\n", text_of(json, "time"), text_of(json, "method"), text_of(json, "path"));
    put(text_of(json, "function"));
    printf(" (%.12s): %lld %s: ", text_of(json, "digest"), number_of(json, "status"),
           text_of(json, "code"));
    put(text_of(json, "message"));
    putchar('\n');
    show_frames(json_object_get(json, "backtrace"));
    if (*stderr_text) {
        printf("standard error:\n");
        put(stderr_text);
        if (stderr_text[strlen(stderr_text) - 1] != '\n')
            putchar('\n');
    }
    printf("used:");
    for (size_t i = 0; i < SV_COUNT(numbers); i++) {
        value = json_object_get(json, numbers[i]);
        if (json_is_number(value))
            printf(" %s=%.10g", numbers[i], json_number_value(value));
    }
    json_array_foreach(json_object_get(json, "host_calls"), at, value)
    {
        printf("%s%s: %lld (gas %lld)", at ? ", " : "\nhost calls: ", text_of(value, "name"),
               number_of(value, "calls"), number_of(value, "gas"));
    }
    printf("\nlimits:");
    json_object_foreach(json_object_get(json, "limits"), key, value)
        printf(" %s=%.20g", key, json_number_value(value));
    putchar('\n');
}

int cln_why(const struct cln_args *args)
{
    struct cln_server server;
    struct sv_buf path;
    int status;

    if (args->noperands != 1)
        return cln_usage(args,
                         "which request? Its id is in the answer (X-Request-Id) and in the logs");
    status = cln_server_open(&server, args);
    if (status != 0)
        return status;
    sv_buf_init(&path, CLN_PATH_MAX);
    sv_buf_puts(&path, "/v1/failures/");
    cln_encode(&path, args->operands[0]);
    status = ask_and_show(&server, "asking why", &path, cln_option(args, "json"), show_why);
    sv_buf_release(&path);
    cln_server_close(&server);
    return status;
}

/* ---- usage ---- */

/* Rows have what the server counts: the first row's keys are the columns. */
static void show_usage(json_t *json)
{
    json_t *row, *value, *rows = json_object_get(json, "usage");
    const char *key;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        json_object_foreach(row, key, value)
        {
            printf("%s=", key);
            if (json_is_string(value))
                put(json_string_value(value));
            else if (json_is_integer(value))
                printf("%lld", (long long)json_integer_value(value));
            else
                printf("%.3f", json_number_value(value));
            putchar(' ');
        }
        putchar('\n');
    }
    if (json_array_size(rows) == 0)
        printf("nothing was used\n");
}

static int show_csv(struct cln_server *server, struct sv_buf *path)
{
    struct cln_reply reply;
    int status = cln_server_send(server, "GET", sv_buf_cstr(path), NULL, &reply);

    if (status == 0 && reply.status == 200)
        fwrite(reply.body.data, 1, reply.body.len, stdout);
    else if (status == 0)
        status = cln_server_refused(server, "reading usage", &reply);
    cln_reply_release(&reply);
    return cln_finish(status);
}

int cln_usage_of(const struct cln_args *args)
{
    const char *csv = cln_option(args, "csv");
    struct cln_server server;
    struct sv_buf path;
    int status;

    if (args->noperands > 1)
        return cln_usage(args, "one function at most");
    status = cln_server_open(&server, args);
    if (status != 0)
        return status;
    sv_buf_init(&path, CLN_PATH_MAX);
    sv_buf_puts(&path, "/v1/usage");
    cln_query(&path, "tenant", server.tenant);
    cln_query(&path, "function", args->noperands ? args->operands[0] : NULL);
    cln_query(&path, "from", cln_option(args, "from"));
    cln_query(&path, "until", cln_option(args, "until"));
    cln_query(&path, "step", cln_option(args, "step"));
    cln_query(&path, "by", cln_option(args, "by"));
    cln_query(&path, "format", csv ? "csv" : NULL);
    status =
        csv ? show_csv(&server, &path)
            : ask_and_show(&server, "reading usage", &path, cln_option(args, "json"), show_usage);
    sv_buf_release(&path);
    cln_server_close(&server);
    return status;
}

/* ---- secrets ---- */

static void show_secrets(json_t *json)
{
    json_t *secret;
    size_t i;

    json_array_foreach(json_object_get(json, "secrets"), i, secret)
    {
        put(text_of(secret, "name"));
        printf("  ");
        put(text_of(secret, "updated"));
        putchar('\n');
    }
}

/* A text, @FILE, or standard input: what is on a command line can be seen by others. */
static int set_secret(struct cln_server *server, struct sv_buf *path, const char *value)
{
    struct sv_buf bytes;
    struct cln_body body = {.type = "application/octet-stream"};
    int status;

    if (value[0] == '@' || strcmp(value, "-") == 0) {
        if (!cln_read_file(value[0] == '@' ? value + 1 : "-", SECRET_MAX, &bytes))
            return CLN_STATUS_ERROR;
    } else {
        sv_buf_init(&bytes, SECRET_MAX);
        if (!sv_buf_puts(&bytes, value))
            return cln_fail("a secret is at most %zu bytes", SECRET_MAX);
    }
    body.bytes = sv_buf_cstr(&bytes);
    body.len = bytes.len;
    status = cln_server_ask(server, "setting the secret", "PUT", sv_buf_cstr(path), &body, NULL);
    sv_buf_release(&bytes);
    return status;
}

int cln_secret(const struct cln_args *args)
{
    bool remove = cln_option(args, "delete");
    struct cln_server server;
    struct sv_buf path;
    int status;

    if (args->noperands > 2 || (remove && args->noperands != 1))
        return cln_usage(args, remove ? "which secret?" : "one name, one value");
    if (args->noperands > 0 && !plat_name_valid(args->operands[0], strlen(args->operands[0])))
        return cln_usage(args, "a secret's name is 1 to 64 letters, digits, '-' and '_'");
    status = cln_server_open(&server, args);
    if (status != 0)
        return status;
    sv_buf_init(&path, CLN_PATH_MAX);
    if (args->noperands == 0)
        cln_path(&server, &path, CLN_PARTS("secrets"));
    else
        cln_path(&server, &path, CLN_PARTS("secrets", args->operands[0]));
    if (args->noperands == 0)
        status = ask_and_show(&server, "listing secrets", &path, false, show_secrets);
    else if (remove)
        status = cln_server_ask(&server, "removing the secret", "DELETE", sv_buf_cstr(&path), NULL,
                                NULL);
    else
        status = set_secret(&server, &path, args->noperands == 2 ? args->operands[1] : "-");
    sv_buf_release(&path);
    cln_server_close(&server);
    return status;
}
