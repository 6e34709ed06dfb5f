/* A guest of ssvm_state: does what its arguments say, one word after the other, and prints what
 * came of it, a line each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ssvm_state.h"

static char **arg;

static char *next(void)
{
    return arg && *arg ? *arg++ : (char *)"";
}

static uint32_t len(const char *s)
{
    return (uint32_t)strlen(s);
}

static void print_code(const char *what, int64_t code)
{
    char text[300];
    int32_t n = ssvm_state_error(text, sizeof text);

    printf("%s: %lld %.*s\n", what, (long long)code, (int)n, text);
}

static void print_handle(const char *what, int32_t handle)
{
    size_t size;
    char *p;

    if (handle < 0) {
        print_code(what, handle);
        return;
    }
    p = ssvm_state_take(handle, &size);
    printf("%s: %.*s\n", what, (int)size, p);
    free(p);
}

#ifndef NO_KV
static void get(void)
{
    const char *key = next();

    print_handle("get", ssvm_kv_get(key, len(key)));
}

static void set(void)
{
    const char *key = next(), *value = next();
    int32_t r = ssvm_kv_set(key, len(key), value, len(value), strtoull(next(), NULL, 10));

    if (r < 0)
        print_code("set", r);
    else
        printf("set: ok\n");
}

static void cas(void)
{
    const char *key = next(), *old = next(), *value = next();
    int none = strcmp(old, "-") == 0;
    int32_t r = ssvm_kv_cas(key, len(key), old, none ? SSVM_STATE_NO_VALUE : len(old), value,
                            len(value), 0);

    if (r < 0)
        print_code("cas", r);
    else
        printf("cas: ok\n");
}

static void delete(void)
{
    const char *key = next();
    int32_t r = ssvm_kv_delete(key, len(key));

    if (r < 0)
        print_code("delete", r);
    else
        printf("delete: ok\n");
}

static void increment(void)
{
    const char *key = next();
    int64_t by = strtoll(next(), NULL, 10), sum;
    int32_t r = ssvm_kv_increment(key, len(key), by, 0, &sum);

    if (r < 0)
        print_code("increment", r);
    else
        printf("increment: %lld\n", (long long)sum);
}

static void list(void)
{
    const char *prefix = next(), *after = next();
    int32_t h = ssvm_kv_list(prefix, len(prefix), after, len(after), (uint32_t)atoi(next()));
    uint32_t n;
    char key[512];

    if (h < 0) {
        print_code("list", h);
        return;
    }
    printf("list:");
    while (ssvm_state_read(h, &n, sizeof n) == sizeof n) {
        ssvm_state_read(h, key, n);
        printf(" %.*s", (int)n, key);
    }
    printf("\n");
    ssvm_state_close(h);
}

#endif

#ifndef NO_SQL
static void print_row(int32_t rows)
{
    char text[512];
    int32_t n;

    for (uint32_t i = 0; i < (uint32_t)ssvm_sql_columns(rows); i++) {
        switch (ssvm_sql_type(rows, i)) {
        case SSVM_STATE_INT:
            printf(" i%lld", (long long)ssvm_sql_int(rows, i));
            break;
        case SSVM_STATE_FLOAT:
            printf(" f%g", ssvm_sql_float(rows, i));
            break;
        case SSVM_STATE_NULL:
            printf(" null");
            break;
        default:
            n = ssvm_sql_bytes(rows, i, text, sizeof text);
            printf(" %c%.*s", ssvm_sql_type(rows, i) == SSVM_STATE_TEXT ? 't' : 'b', (int)n, text);
        }
    }
    printf("\n");
}

/* Parameters: iNUMBER, fNUMBER, tTEXT, bTEXT, null; up to `.`. */
static void sql(void)
{
    static uint8_t room[4096];
    struct ssvm_params p = {room, 0, sizeof room};
    const char *text = next(), *v;
    char name[128];
    int32_t rows, r = 0;

    while (strcmp(v = next(), ".") != 0 && *v) {
        if (*v == 'i')
            ssvm_params_int(&p, strtoll(v + 1, NULL, 10));
        else if (*v == 'f')
            ssvm_params_float(&p, strtod(v + 1, NULL));
        else if (*v == 't')
            ssvm_params_text(&p, v + 1, len(v + 1));
        else if (*v == 'b')
            ssvm_params_blob(&p, v + 1, len(v + 1));
        else
            ssvm_params_null(&p);
    }
    rows = ssvm_sql_query(text, len(text), p.data, p.len);
    if (rows < 0) {
        print_code("sql", rows);
        return;
    }
    printf("sql: %lld changes,", (long long)ssvm_sql_changes(rows));
    for (uint32_t i = 0; i < (uint32_t)ssvm_sql_columns(rows); i++) {
        int32_t n = ssvm_sql_name(rows, i, name, sizeof name);

        printf(" %.*s", (int)n, name);
    }
    printf("\n");
    while ((r = ssvm_sql_next(rows)) > 0)
        print_row(rows);
    if (r < 0)
        print_code("row", r);
    ssvm_state_close(rows);
}

#endif

#ifndef NO_SECRET
static void secret(void)
{
    const char *name = next();

    print_handle("secret", ssvm_secret_get(name, len(name)));
}

#endif

#if !defined NO_HTTP || defined SERVED
static void print_answer(const char *what, int32_t h)
{
    int32_t fields;
    char *text;

    if (h < 0) {
        print_code(what, h);
        return;
    }
    printf("%s: %d\n", what, ssvm_http_status(h));
    fields = ssvm_http_fields(h);
    text = ssvm_state_take(fields, NULL);
    if (getenv("FIELDS"))
        printf("%s", text ? text : "");
    free(text);
    print_handle("body", h);
}

#endif

#ifndef NO_HTTP
static void http(void)
{
    const char *method = next(), *url = next(), *fields = next(), *body = next();

    print_answer("http", ssvm_http_request(method, len(method), url, len(url), fields, len(fields),
                                           body, len(body), strtoull(next(), NULL, 10)));
}

#endif

#ifdef SERVED /* what `ssvm run` does not have */
/* A body of words has \v for the ends of its lines. */
static const char *next_body(void)
{
    char *body = next();

    for (char *p = body; *p; p++)
        if (*p == '\v')
            *p = '\n';
    return body;
}

static void call(void)
{
    const char *function = next(), *path = next(), *body = next_body();

    print_answer("call", ssvm_call(function, len(function), "POST", 4, path, len(path), "", 0, body,
                                   len(body), 0));
}

static void push(void)
{
    const char *function = next(), *body = next_body();
    int64_t id;
    int32_t r = ssvm_queue_push(function, len(function), "", 0, body, len(body),
                                strtoull(next(), NULL, 10), &id);

    if (r < 0)
        print_code("push", r);
    else
        printf("push: %lld\n", (long long)id);
}

/* Call ourselves until it is refused. */
static void nest(void)
{
    const char *function = next();
    char body[128];
    long depth = strtol(next(), NULL, 10);
    int n = snprintf(body, sizeof body, "nest\n%s\n%ld\n", function, depth + 1);
    int32_t h = ssvm_call(function, len(function), "POST", 4, "", 0, "", 0, body, (uint32_t)n, 0);

    if (h < 0)
        print_code("nest", h);
    else
        printf("%ld ", depth);
    if (h >= 0)
        print_handle("in", h);
}

static void print_env(void)
{
    const char *name = next(), *value = getenv(name);

    printf("env: %s\n", value ? value : "(none)");
}

static void pause_ms(void)
{
    long ms = strtol(next(), NULL, 10);
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
    printf("slept\n");
}

/* The words are the lines of the body. */
static char **read_words(void)
{
    static char body[65536], *words[4096];
    size_t n = fread(body, 1, sizeof body - 1, stdin), count = 0;
    char *at = body;

    body[n] = '\0';
    while (*at && count + 1 < sizeof words / sizeof words[0]) {
        char *end = strchr(at, '\n');

        words[count++] = at;
        if (!end)
            break;
        *end = '\0';
        at = end + 1;
    }
    return words;
}
#endif

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } words[] = {
#ifndef NO_KV
        {"get", get},       {"set", set},        {"cas", cas},
        {"delete", delete}, {"list", list},      {"increment", increment},
#endif
#ifndef NO_SQL
        {"sql", sql},
#endif
#ifndef NO_SECRET
        {"secret", secret},
#endif
#ifndef NO_HTTP
        {"http", http},
#endif
#ifdef SERVED
        {"push", push},     {"call", call},      {"nest", nest},
        {"env", print_env}, {"sleep", pause_ms},
#endif
    };
    (void)argc;
#ifdef SERVED
    (void)argv;
    arg = read_words();
    printf("Content-Type: text/plain\n");
    if (*arg && strcmp(*arg, "status") == 0) {
        next();
        printf("Status: %s\n", next());
    }
    printf("\n");
#else
    arg = argv + 1;
#endif
    while (*arg) {
        const char *word = next();

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (strcmp(words[i].name, word) == 0)
                words[i].run();
    }
    return 0;
}
