/* The HTTP/1.1 request parser: incremental, strict, without allocation. It does no input and
 * output, and knows no routes. */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SRV_HTTP_HEAD_MAX 16384       /* request line and fields together: 431 beyond */
#define SRV_HTTP_LINE_MAX 8192        /* request line: 414 beyond; one field line: 431 */
#define SRV_HTTP_FIELDS_MAX 100       /* fields of a request: 431 beyond */
#define SRV_HTTP_EXTENSION_MAX 256    /* bytes of the extensions of one chunk */
#define SRV_HTTP_TRAILER_MAX 8192     /* bytes of all trailer fields together */
#define SRV_HTTP_EMPTY_LINES_MAX 2    /* empty lines before a request line (RFC 9112, 2.2) */
#define SRV_HTTP_CHUNK_DIGITS_MAX 15  /* hexadecimal digits of a chunk size */
#define SRV_HTTP_LENGTH_DIGITS_MAX 18 /* decimal digits of a Content-Length */

enum srv_method {
    SRV_METHOD_GET,
    SRV_METHOD_HEAD,
    SRV_METHOD_POST,
    SRV_METHOD_PUT,
    SRV_METHOD_PATCH,
    SRV_METHOD_DELETE,
    SRV_METHOD_OPTIONS,
    SRV_METHOD_COUNT
};

/* Fields that the server itself reads. */
enum srv_known {
#define FIELD(name, text) SRV_KNOWN_##name,
#include "serve/http_field.def"
#undef FIELD
    SRV_KNOWN_COUNT
};

/* Bytes of the head: positions in the caller's buffer, so that the buffer may move between calls.
 */
struct srv_span {
    uint32_t at, len;
};

struct srv_field {
    struct srv_span name, value;
};

enum srv_http_phase {
    SRV_HTTP_START,
    SRV_HTTP_FIELDS,
    SRV_HTTP_LENGTH, /* a body of `left` bytes */
    SRV_HTTP_CHUNK_SIZE,
    SRV_HTTP_CHUNK_EXTENSION,
    SRV_HTTP_CHUNK_SIZE_LF,
    SRV_HTTP_CHUNK_DATA,
    SRV_HTTP_CHUNK_CR,
    SRV_HTTP_CHUNK_LF,
    SRV_HTTP_TRAILER_START,
    SRV_HTTP_TRAILER_NAME,
    SRV_HTTP_TRAILER_VALUE,
    SRV_HTTP_TRAILER_LF,
    SRV_HTTP_LAST_LF,
    SRV_HTTP_CARRIED, /* a body that comes in other ways than behind the head */
    SRV_HTTP_COMPLETE,
    SRV_HTTP_FAILED
};

enum srv_http_result {
    SRV_HTTP_MORE, /* all that was given is understood, and it is not the end */
    SRV_HTTP_DONE,
    SRV_HTTP_BAD /* `status` and `why` say what to answer; the connection must end */
};

struct srv_http {
    enum srv_http_phase phase;
    enum srv_method method;
    uint8_t minor;   /* HTTP/1.minor */
    bool keep_alive; /* what the client asks for */
    bool want_continue;
    bool chunked;
    bool has_length;
    uint16_t nfields;
    uint16_t known[SRV_KNOWN_COUNT]; /* index in fields plus one; 0 = absent; of repeated ones the
                                       first */
    int status;
    const char *why;
    struct srv_span target; /* as sent */
    struct srv_span path;   /* of the target, still encoded, begins with '/' or is "*" */
    struct srv_span query;  /* without the '?' */
    uint64_t length;        /* Content-Length */
    uint64_t left;          /* of the body or the chunk */
    uint32_t line, scanned; /* start of the line being read; no line feed before this position */
    uint32_t head_len;      /* bytes of the head, once it is complete */
    uint16_t empty_lines, digits;
    uint32_t overhead; /* bytes of the chunk's extensions, then of the trailers */
    struct srv_field fields[SRV_HTTP_FIELDS_MAX];
};

/* Ready for the next request. Does not touch `fields`. */
void srv_http_init(struct srv_http *);
/* Read the head. `buf` holds everything since the request's first byte, `len` grows from call to
 * call. DONE: head_len, method, target, fields and the body's framing are set; what follows
 * head_len is body or the next request. */
enum srv_http_result srv_http_read_head(struct srv_http *, const char *buf, size_t len);
/* Read the body behind the head. Takes *ret_used bytes of `in`; *ret_data (inside `in`) and
 * *ret_len are body bytes among them, perhaps none. MORE with *ret_used < len: call again with the
 * rest. */
enum srv_http_result srv_http_read_body(struct srv_http *, const char *in, size_t len,
                                        size_t *ret_used, const char **ret_data, size_t *ret_len);
/* The value of a field, or NULL. Borrowed from `buf`. */
const char *srv_http_known(const struct srv_http *, const char *buf, enum srv_known,
                           size_t *ret_len);
const char *srv_method_name(enum srv_method);
/* Likewise of any field, the first of its name; `_` and `-` are alike: proxies drop names with `_`.
 */
const char *srv_http_field(const struct srv_http *, const char *buf, const char *name,
                           size_t *ret_len);

/* The items of a comma-separated field value, without the blanks around them: `at` begins at the
 * value's first byte. False: no more. */
struct srv_items {
    const char *at, *end;
};
bool srv_http_next_item(struct srv_items *, const char **ret, size_t *ret_len);
/* Whether `list` (a comma-separated field value) has the token, in any case of letters. */
bool srv_http_has_token(const char *list, size_t len, const char *token);
/* A Content-Length. 0; or the status of the refusal, and why. */
int srv_http_length(const char *s, size_t len, uint64_t *ret, const char **ret_why);
/* Whether the two words are one, in any case of letters; whether it is one of `n`. */
bool srv_http_is(const char *s, size_t len, const char *word);
bool srv_http_is_of(const char *s, size_t len, const char *const *words, size_t n);
/* Whether the bytes are a token of RFC 9110, 5.6.2; whether they may stand in a field value. */
bool srv_http_is_token(const char *s, size_t len);
bool srv_http_is_value(const char *s, size_t len);

#endif
