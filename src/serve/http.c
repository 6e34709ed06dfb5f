/* The HTTP/1.1 request parser (RFC 9112). It refuses whatever two readers could understand in two
 * ways, and repairs nothing. */
#include "serve/http.h"

#include <string.h>
#include <strings.h>

enum byte_class {
    BYTE_TOKEN = 1,  /* RFC 9110, 5.6.2 */
    BYTE_TARGET = 2, /* visible ASCII, but for '#' */
    BYTE_VALUE = 4,  /* field values: visible, space, tab, obs-text */
    BYTE_HOST = 8    /* RFC 3986 reg-name, address and port, without percent encoding */
};

#define SEEN (BYTE_TARGET | BYTE_VALUE)
#define WORD (BYTE_TOKEN | BYTE_TARGET | BYTE_VALUE | BYTE_HOST)

/* clang-format off */
static const uint8_t classes[256] = {
    ['\t'] = BYTE_VALUE, [' '] = BYTE_VALUE,
    ['!'] = SEEN | BYTE_TOKEN, ['"'] = SEEN, ['#'] = BYTE_VALUE | BYTE_TOKEN, ['$'] = SEEN | BYTE_TOKEN,
    ['%'] = SEEN | BYTE_TOKEN, ['&'] = SEEN | BYTE_TOKEN, ['\''] = SEEN | BYTE_TOKEN, ['('] = SEEN, [')'] = SEEN,
    ['*'] = SEEN | BYTE_TOKEN, ['+'] = SEEN | BYTE_TOKEN, [','] = SEEN, ['-'] = WORD, ['.'] = WORD, ['/'] = SEEN,
    ['0' ... '9'] = WORD, [':'] = SEEN | BYTE_HOST, [';'] = SEEN, ['<'] = SEEN, ['='] = SEEN, ['>'] = SEEN,
    ['?'] = SEEN, ['@'] = SEEN, ['A' ... 'Z'] = WORD, ['['] = SEEN | BYTE_HOST, ['\\'] = SEEN,
    [']'] = SEEN | BYTE_HOST, ['^'] = SEEN | BYTE_TOKEN, ['_'] = WORD, ['`'] = SEEN | BYTE_TOKEN, ['a' ... 'z'] = WORD,
    ['{'] = SEEN, ['|'] = SEEN | BYTE_TOKEN, ['}'] = SEEN, ['~'] = WORD,
    [0x80 ... 0xff] = BYTE_VALUE,
};

static const struct {
    const char *text;
    uint8_t len;
} method_names[SRV_METHOD_COUNT] = {
    [SRV_METHOD_GET] = {"GET", 3}, [SRV_METHOD_HEAD] = {"HEAD", 4}, [SRV_METHOD_POST] = {"POST", 4},
    [SRV_METHOD_PUT] = {"PUT", 3}, [SRV_METHOD_PATCH] = {"PATCH", 5}, [SRV_METHOD_DELETE] = {"DELETE", 6},
    [SRV_METHOD_OPTIONS] = {"OPTIONS", 7},
};

static const struct {
    const char *text;
    uint8_t len;
} known_names[SRV_KNOWN_COUNT] = {
#define FIELD(name, text) [SRV_KNOWN_##name] = {text, sizeof(text) - 1},
#include "serve/http_field.def"
#undef FIELD
};
/* clang-format on */

static bool all_of(const char *s, size_t len, enum byte_class class)
{
    unsigned all = class;

    /* Nearly always all are: to look after each costs more than to go on. */
    for (size_t i = 0; i < len; i++)
        all &= classes[(uint8_t)s[i]];
    return all != 0;
}

bool srv_http_is_token(const char *s, size_t len)
{
    return len > 0 && all_of(s, len, BYTE_TOKEN);
}

bool srv_http_is_value(const char *s, size_t len)
{
    return all_of(s, len, BYTE_VALUE);
}

static char field_char(char c)
{
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

const char *srv_http_field(const struct srv_http *h, const char *buf, const char *name,
                           size_t *ret_len)
{
    size_t len = strlen(name);

    for (unsigned i = 0; i < h->nfields; i++) {
        const struct srv_field *f = &h->fields[i];
        const char *have = buf + f->name.at;
        size_t k = 0;

        while (k < f->name.len && k < len && field_char(have[k]) == field_char(name[k]))
            k++;
        if (k == len && k == f->name.len) {
            *ret_len = f->value.len;
            return buf + f->value.at;
        }
    }
    return NULL;
}

const char *srv_method_name(enum srv_method method)
{
    return method_names[method].text;
}

void srv_http_init(struct srv_http *h)
{
    memset(h, 0, offsetof(struct srv_http, fields));
}

static enum srv_http_result bad(struct srv_http *h, int status, const char *why)
{
    h->phase = SRV_HTTP_FAILED;
    h->status = status;
    h->why = why;
    h->keep_alive = false;
    return SRV_HTTP_BAD;
}

/* ---- The request line ---- */

static enum srv_http_result read_version(struct srv_http *h, const char *s, size_t len)
{
    if (len != 8 || memcmp(s, "HTTP/", 5) != 0 || s[6] != '.' || s[5] < '0' || s[5] > '9' ||
        s[7] < '0' || s[7] > '9')
        return bad(h, 400, "the request line does not end in an HTTP version");
    if (s[5] != '1' || s[7] > '1')
        return bad(h, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
    h->minor = (uint8_t)(s[7] - '0');
    h->keep_alive = h->minor == 1;
    return SRV_HTTP_DONE;
}

/* origin-form, absolute-form (of http) and, for OPTIONS, '*'. */
static enum srv_http_result split_target(struct srv_http *h, const char *buf)
{
    const char *s = buf + h->target.at;
    uint32_t len = h->target.len, from = 0;
    const char *mark;

    if (len == 1 && s[0] == '*' && h->method == SRV_METHOD_OPTIONS) {
        h->path = h->target;
        return SRV_HTTP_DONE;
    }
    if (len > 7 && strncasecmp(s, "http://", 7) == 0) {
        for (from = 7; from < len && (classes[(uint8_t)s[from]] & BYTE_HOST); from++)
            ;
        if (from == 7)
            return bad(h, 400, "the request target names no host");
    }
    if (from >= len || s[from] != '/')
        return bad(h, 400, "the request target is not a path");
    h->path = (struct srv_span){h->target.at + from, len - from};
    mark = memchr(s + from, '?', len - from);
    if (mark) {
        h->path.len = (uint32_t)(mark - s) - from;
        h->query = (struct srv_span){h->path.at + h->path.len + 1, len - from - h->path.len - 1};
    }
    return SRV_HTTP_DONE;
}

static enum srv_http_result read_request_line(struct srv_http *h, const char *buf, const char *line,
                                              size_t len)
{
    const char *space = memchr(line, ' ', len);
    const char *target, *end;
    int m;

    if (!space || !srv_http_is_token(line, (size_t)(space - line)))
        return bad(h, 400, "the request line does not begin with a method");
    for (m = 0; m < SRV_METHOD_COUNT; m++) {
        if (method_names[m].len == (size_t)(space - line) &&
            memcmp(line, method_names[m].text, method_names[m].len) == 0)
            break;
    }
    target = space + 1;
    end = memchr(target, ' ', len - (size_t)(target - line));
    if (!end || end == target || !all_of(target, (size_t)(end - target), BYTE_TARGET))
        return bad(h, 400, "the request line has no valid target");
    if (read_version(h, end + 1, len - (size_t)(end + 1 - line)) != SRV_HTTP_DONE)
        return SRV_HTTP_BAD;
    if (m == SRV_METHOD_COUNT)
        return bad(h, 501, "the method is not known here");
    h->method = (enum srv_method)m;
    h->target = (struct srv_span){(uint32_t)(target - buf), (uint32_t)(end - target)};
    h->phase = SRV_HTTP_FIELDS;
    return split_target(h, buf);
}

/* ---- Fields ---- */

static int find_known(const char *name, size_t len)
{
    for (int i = 0; i < SRV_KNOWN_COUNT; i++) {
        if (known_names[i].len == len && strncasecmp(name, known_names[i].text, len) == 0)
            return i;
    }
    return -1;
}

int srv_http_length(const char *s, size_t len, uint64_t *ret, const char **ret_why)
{
    uint64_t n = 0;

    *ret_why = len == 0 ? "Content-Length is empty" : "Content-Length is not a number";
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return 400;
        if (i >= SRV_HTTP_LENGTH_DIGITS_MAX) {
            *ret_why = "Content-Length is too large";
            return 413;
        }
        n = n * 10 + (uint64_t)(s[i] - '0');
    }
    *ret = n;
    return len == 0 ? 400 : 0;
}

static enum srv_http_result read_length(struct srv_http *h, const char *s, size_t len)
{
    const char *why;
    int status = srv_http_length(s, len, &h->length, &why);

    if (status != 0)
        return bad(h, status, why);
    h->has_length = true;
    h->left = h->length;
    return SRV_HTTP_DONE;
}

static enum srv_http_result check_host(struct srv_http *h, const char *s, size_t len)
{
    if (!all_of(s, len, BYTE_HOST))
        return bad(h, 400, "the Host field is not a host");
    return SRV_HTTP_DONE;
}

static enum srv_http_result read_known(struct srv_http *h, enum srv_known known, const char *value,
                                       size_t len)
{
    bool repeated = h->known[known] != 0;

    switch (known) {
    case SRV_KNOWN_HOST:
        return repeated ? bad(h, 400, "the Host field is repeated") : check_host(h, value, len);
    case SRV_KNOWN_CONTENT_LENGTH:
        return repeated ? bad(h, 400, "Content-Length is repeated") : read_length(h, value, len);
    case SRV_KNOWN_TRANSFER_ENCODING:
        if (repeated)
            return bad(h, 400, "Transfer-Encoding is repeated");
        if (!srv_http_is(value, len, "chunked"))
            return bad(h, 501, "the transfer coding is not known here");
        h->chunked = true;
        return SRV_HTTP_DONE;
    case SRV_KNOWN_CONNECTION:
        if (srv_http_has_token(value, len, "close"))
            h->keep_alive = false;
        else if (h->minor == 0 && srv_http_has_token(value, len, "keep-alive"))
            h->keep_alive = true;
        return SRV_HTTP_DONE;
    case SRV_KNOWN_EXPECT:
        if (!srv_http_is(value, len, "100-continue"))
            return bad(h, 417, "the expectation is not known here");
        h->want_continue = h->minor == 1;
        return SRV_HTTP_DONE;
    default:
        return SRV_HTTP_DONE;
    }
}

static enum srv_http_result read_field(struct srv_http *h, const char *buf, const char *line,
                                       size_t len)
{
    const char *colon = memchr(line, ':', len);
    const char *value, *end = line + len;
    size_t nname;
    int known;

    if (line[0] == ' ' || line[0] == '\t')
        return bad(h, 400, "a field is folded over two lines");
    if (!colon || !srv_http_is_token(line, (size_t)(colon - line)))
        return bad(h, 400, "a field has no valid name");
    nname = (size_t)(colon - line);
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
        ;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (!srv_http_is_value(value, (size_t)(end - value)))
        return bad(h, 400, "a field has a control character in its value");
    if (h->nfields == SRV_HTTP_FIELDS_MAX)
        return bad(h, 431, "the request has too many fields");
    known = find_known(line, nname);
    if (known >= 0 &&
        read_known(h, (enum srv_known)known, value, (size_t)(end - value)) != SRV_HTTP_DONE)
        return SRV_HTTP_BAD;
    h->fields[h->nfields++] = (struct srv_field){
        .name = {(uint32_t)(line - buf), (uint32_t)nname},
        .value = {(uint32_t)(value - buf), (uint32_t)(end - value)},
    };
    if (known >= 0 && h->known[known] == 0)
        h->known[known] = h->nfields;
    return SRV_HTTP_DONE;
}

static enum srv_http_result end_head(struct srv_http *h)
{
    h->head_len = h->line;
    if (h->minor == 1 && h->known[SRV_KNOWN_HOST] == 0)
        return bad(h, 400, "the Host field is missing");
    if (h->chunked && h->minor == 0)
        return bad(h, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (h->chunked && h->has_length)
        return bad(h, 400, "both Content-Length and Transfer-Encoding are given");
    if (h->chunked)
        h->phase = SRV_HTTP_CHUNK_SIZE;
    else if (h->length > 0)
        h->phase = SRV_HTTP_LENGTH;
    else
        h->phase = SRV_HTTP_COMPLETE;
    if (h->phase == SRV_HTTP_COMPLETE)
        h->want_continue = false;
    return SRV_HTTP_DONE;
}

static enum srv_http_result need_more(struct srv_http *h, size_t len)
{
    h->scanned = (uint32_t)len;
    if (len - h->line > SRV_HTTP_LINE_MAX) {
        if (h->phase == SRV_HTTP_START)
            return bad(h, 414, "the request line is too long");
        return bad(h, 431, "a field is too long");
    }
    if (len >= SRV_HTTP_HEAD_MAX)
        return bad(h, 431, "the fields are too long");
    return SRV_HTTP_MORE;
}

static enum srv_http_result read_line(struct srv_http *h, const char *buf, const char *line,
                                      size_t len)
{
    if (h->phase == SRV_HTTP_FIELDS)
        return read_field(h, buf, line, len);
    if (len > 0)
        return read_request_line(h, buf, line, len);
    if (++h->empty_lines > SRV_HTTP_EMPTY_LINES_MAX)
        return bad(h, 400, "the request begins with empty lines");
    return SRV_HTTP_DONE;
}

enum srv_http_result srv_http_read_head(struct srv_http *h, const char *buf, size_t len)
{
    if (h->phase == SRV_HTTP_FAILED)
        return SRV_HTTP_BAD;
    for (;;) {
        const char *lf = memchr(buf + h->scanned, '\n', len - h->scanned);
        const char *line = buf + h->line;
        size_t n;

        if (!lf)
            return need_more(h, len);
        n = (size_t)(lf - line);
        if (n == 0 || lf[-1] != '\r')
            return bad(h, 400, "a line of the head ends in a bare line feed");
        n--;
        if (n > SRV_HTTP_LINE_MAX || (size_t)(lf - buf) >= SRV_HTTP_HEAD_MAX)
            return bad(h, h->phase == SRV_HTTP_START ? 414 : 431,
                       "the head of the request is too long");
        h->line = h->scanned = (uint32_t)(lf + 1 - buf);
        if (n == 0 && h->phase == SRV_HTTP_FIELDS)
            return end_head(h);
        if (read_line(h, buf, line, n) != SRV_HTTP_DONE)
            return SRV_HTTP_BAD;
    }
}

/* ---- The body ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum srv_http_result read_chunk_size(struct srv_http *h, char c)
{
    int digit = hex_digit(c);

    if (digit >= 0) {
        if (h->digits++ >= SRV_HTTP_CHUNK_DIGITS_MAX)
            return bad(h, 413, "a chunk is too large");
        h->left = h->left << 4 | (uint64_t)digit;
        return SRV_HTTP_MORE;
    }
    if (h->digits == 0)
        return bad(h, 400, "a chunk has no size");
    if (c == '\r')
        h->phase = SRV_HTTP_CHUNK_SIZE_LF;
    else if (c == ';')
        h->phase = SRV_HTTP_CHUNK_EXTENSION;
    else
        return bad(h, 400, "the size of a chunk is not a number");
    return SRV_HTTP_MORE;
}

static enum srv_http_result read_trailer(struct srv_http *h, char c)
{
    if (h->overhead++ >= SRV_HTTP_TRAILER_MAX)
        return bad(h, 431, "the trailer is too long");
    switch (h->phase) {
    case SRV_HTTP_TRAILER_START:
        if (c == '\r')
            h->phase = SRV_HTTP_LAST_LF;
        else if (classes[(uint8_t)c] & BYTE_TOKEN)
            h->phase = SRV_HTTP_TRAILER_NAME;
        else
            return bad(h, 400, "the trailer has no valid field name");
        return SRV_HTTP_MORE;
    case SRV_HTTP_TRAILER_NAME:
        if (c == ':')
            h->phase = SRV_HTTP_TRAILER_VALUE;
        else if (!(classes[(uint8_t)c] & BYTE_TOKEN))
            return bad(h, 400, "the trailer has no valid field name");
        return SRV_HTTP_MORE;
    default:
        if (c == '\r')
            h->phase = SRV_HTTP_TRAILER_LF;
        else if (!(classes[(uint8_t)c] & BYTE_VALUE))
            return bad(h, 400, "the trailer has a control character");
        return SRV_HTTP_MORE;
    }
}

static enum srv_http_result expect(struct srv_http *h, char c, char wanted,
                                   enum srv_http_phase next)
{
    if (c != wanted)
        return bad(h, 400, "a chunk does not end where its size says");
    h->phase = next;
    return next == SRV_HTTP_COMPLETE ? SRV_HTTP_DONE : SRV_HTTP_MORE;
}

/* One byte of the framing of a chunked body. */
static enum srv_http_result read_framing(struct srv_http *h, char c)
{
    switch (h->phase) {
    case SRV_HTTP_CHUNK_SIZE:
        return read_chunk_size(h, c);
    case SRV_HTTP_CHUNK_EXTENSION:
        if (c == '\r')
            h->phase = SRV_HTTP_CHUNK_SIZE_LF;
        else if (!(classes[(uint8_t)c] & BYTE_VALUE) || h->overhead++ >= SRV_HTTP_EXTENSION_MAX)
            return bad(h, 400, "the extension of a chunk is not valid");
        return SRV_HTTP_MORE;
    case SRV_HTTP_CHUNK_SIZE_LF:
        h->overhead = 0;
        h->digits = 0;
        return expect(h, c, '\n', h->left > 0 ? SRV_HTTP_CHUNK_DATA : SRV_HTTP_TRAILER_START);
    case SRV_HTTP_CHUNK_CR:
        return expect(h, c, '\r', SRV_HTTP_CHUNK_LF);
    case SRV_HTTP_CHUNK_LF:
        return expect(h, c, '\n', SRV_HTTP_CHUNK_SIZE);
    case SRV_HTTP_TRAILER_LF:
        return expect(h, c, '\n', SRV_HTTP_TRAILER_START);
    case SRV_HTTP_LAST_LF:
        return expect(h, c, '\n', SRV_HTTP_COMPLETE);
    default:
        return read_trailer(h, c);
    }
}

enum srv_http_result srv_http_read_body(struct srv_http *h, const char *in, size_t len,
                                        size_t *ret_used, const char **ret_data, size_t *ret_len)
{
    enum srv_http_result r = SRV_HTTP_MORE;
    size_t used = 0;

    *ret_data = in;
    *ret_len = 0;
    if (h->phase == SRV_HTTP_COMPLETE)
        r = SRV_HTTP_DONE;
    else if (h->phase == SRV_HTTP_FAILED)
        r = SRV_HTTP_BAD;
    while (r == SRV_HTTP_MORE && used < len) {
        if (h->phase == SRV_HTTP_LENGTH || h->phase == SRV_HTTP_CHUNK_DATA) {
            size_t n = len - used < h->left ? len - used : (size_t)h->left;

            *ret_data = in + used;
            *ret_len = n;
            used += n;
            h->left -= n;
            if (h->left == 0 && h->phase == SRV_HTTP_LENGTH) {
                h->phase = SRV_HTTP_COMPLETE;
                r = SRV_HTTP_DONE;
            } else if (h->left == 0) {
                h->phase = SRV_HTTP_CHUNK_CR;
            }
            break;
        }
        r = read_framing(h, in[used++]);
    }
    *ret_used = used;
    return r;
}

/* ---- Reading values ---- */

const char *srv_http_known(const struct srv_http *h, const char *buf, enum srv_known known,
                           size_t *ret_len)
{
    const struct srv_field *f;

    if (h->known[known] == 0)
        return NULL;
    f = &h->fields[h->known[known] - 1];
    *ret_len = f->value.len;
    return buf + f->value.at;
}

bool srv_http_next_item(struct srv_items *list, const char **ret, size_t *ret_len)
{
    const char *comma, *from = list->at, *to;

    if (from >= list->end)
        return false;
    comma = memchr(from, ',', (size_t)(list->end - from));
    to = comma ? comma : list->end;
    list->at = comma ? comma + 1 : list->end;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    *ret = from;
    *ret_len = (size_t)(to - from);
    return true;
}

bool srv_http_is(const char *s, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

bool srv_http_is_of(const char *s, size_t len, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (srv_http_is(s, len, words[i]))
            return true;
    return false;
}

bool srv_http_has_token(const char *list, size_t len, const char *token)
{
    struct srv_items items = {list, list + len};
    const char *item;
    size_t n;

    while (srv_http_next_item(&items, &item, &n)) {
        if (srv_http_is(item, n, token))
            return true;
    }
    return false;
}
