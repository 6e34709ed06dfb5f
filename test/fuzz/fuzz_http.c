/* The HTTP parser against itself: any bytes, whole and in pieces, must give the same request, with
 * every span inside the input; and what is routed by must be canonical. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/http.h"
#include "serve/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 65536

struct outcome {
    enum srv_http_result head, body;
    int status;
    uint32_t head_len;
    uint64_t sum; /* of the body's bytes and places */
    size_t used;
};

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_span(struct srv_span span, size_t len)
{
    check(span.at <= len && span.len <= len - span.at);
}

static void check_head(const struct srv_http *h, const char *buf)
{
    char path[SRV_PATH_MAX + 1];
    size_t len = 0;

    check(h->head_len <= SRV_HTTP_HEAD_MAX);
    check_span(h->target, h->head_len);
    check_span(h->path, h->head_len);
    check_span(h->query, h->head_len);
    check(h->nfields <= SRV_HTTP_FIELDS_MAX);
    for (unsigned i = 0; i < h->nfields; i++) {
        check_span(h->fields[i].name, h->head_len);
        check_span(h->fields[i].value, h->head_len);
        check(srv_http_is_token(buf + h->fields[i].name.at, h->fields[i].name.len));
        check(srv_http_is_value(buf + h->fields[i].value.at, h->fields[i].value.len));
    }
    check(!(h->chunked && h->has_length));
    if (srv_path_normalise(buf + h->path.at, h->path.len, path, &len))
        return;
    check(len > 0 && len <= SRV_PATH_MAX && path[len] == '\0' && path[0] == '/' &&
          strlen(path) == len);
    check(!strstr(path, "//") && !strstr(path, "/../") && !strstr(path, "/./"));
    check(len < 3 || strcmp(path + len - 3, "/..") != 0);
}

static void run(const char *buf, size_t len, size_t step, struct outcome *out)
{
    struct srv_http h;
    size_t have = 0, at;

    memset(out, 0, sizeof *out);
    srv_http_init(&h);
    out->head = SRV_HTTP_MORE;
    while (out->head == SRV_HTTP_MORE && have < len) {
        have += step < len - have ? step : len - have;
        out->head = srv_http_read_head(&h, buf, have);
    }
    out->status = h.status;
    if (out->head != SRV_HTTP_DONE)
        return;
    check_head(&h, buf);
    out->head_len = h.head_len;
    at = h.head_len;
    out->body = h.phase == SRV_HTTP_COMPLETE ? SRV_HTTP_DONE : SRV_HTTP_MORE;
    while (out->body == SRV_HTTP_MORE && at < len) {
        size_t give = step < len - at ? step : len - at, used, n;
        const char *data;

        out->body = srv_http_read_body(&h, buf + at, give, &used, &data, &n);
        check(used <= give && (used > 0 || out->body != SRV_HTTP_MORE));
        check(n == 0 || (data >= buf + at && data + n <= buf + at + used));
        for (size_t i = 0; i < n; i++)
            out->sum = out->sum * 31 + (unsigned char)data[i];
        at += used;
    }
    out->status = h.status;
    out->used = out->body == SRV_HTTP_BAD ? 0 : at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 7, 1000};
    struct outcome whole, parts;
    char *buf;

    if (size > BODY_MAX)
        return 0;
    buf = malloc(size + 1); /* exact, for the sanitizer */
    check(buf != NULL);
    memcpy(buf, data, size);
    run(buf, size, size ? size : 1, &whole);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        run(buf, size, steps[i], &parts);
        /* Which of two things is too long first may depend on the pieces; whether it is refused may
         * not. */
        check(parts.head == whole.head && parts.body == whole.body);
        check(parts.status == whole.status || whole.status == 414 || whole.status == 431 ||
              parts.status == 414 || parts.status == 431);
        check(parts.head_len == whole.head_len && parts.sum == whole.sum &&
              parts.used == whole.used);
    }
    free(buf);
    return 0;
}
