/* Reads JSON, as much of it as arguments of typed calls need: one value at a time, no tree. */
#include "api/typed.h"

#define DEPTH_MAX 64

static void skip_blanks(struct sv_json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

static bool skip_string(struct sv_json *j)
{
    for (j->at++; j->at < j->end; j->at++) {
        if (*j->at == '"') {
            j->at++;
            return true;
        }
        if ((unsigned char)*j->at < 0x20)
            return false;
        if (*j->at == '\\')
            j->at++;
    }
    return false;
}

/* At least one digit. */
static bool skip_digits(struct sv_json *j)
{
    const char *from = j->at;

    while (j->at < j->end && *j->at >= '0' && *j->at <= '9')
        j->at++;
    return j->at > from;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool skip_number(struct sv_json *j)
{
    const char *from;

    if (*j->at == '-')
        j->at++;
    from = j->at;
    if (!skip_digits(j) || (*from == '0' && j->at > from + 1))
        return false;
    if (j->at < j->end && *j->at == '.') {
        j->at++;
        if (!skip_digits(j))
            return false;
    }
    if (j->at == j->end || (*j->at | 0x20) != 'e')
        return true;
    j->at++;
    if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
        j->at++;
    return skip_digits(j);
}

/* An array or object: brackets are balanced; what stands between them is checked when it is used.
 */
static bool skip_nested(struct sv_json *j)
{
    unsigned depth = 0;

    while (j->at < j->end) {
        char c = *j->at;

        if (c == '"') {
            if (!skip_string(j))
                return false;
            continue;
        }
        if ((c == '[' || c == '{') && ++depth > DEPTH_MAX)
            return false;
        j->at++;
        if ((c == ']' || c == '}') && --depth == 0)
            return true;
    }
    return false;
}

enum sv_json_kind sv_json_next(struct sv_json *j, struct sv_str *ret)
{
    static const struct {
        const char *word;
        enum sv_json_kind kind;
    } words[] = {{"null", SV_JSON_NULL}, {"true", SV_JSON_TRUE}, {"false", SV_JSON_FALSE}};
    enum sv_json_kind kind = SV_JSON_BAD;
    const char *from;

    skip_blanks(j);
    from = j->at;
    if (from == j->end)
        return SV_JSON_BAD;
    if (*from == '"') {
        kind = skip_string(j) ? SV_JSON_STRING : SV_JSON_BAD;
    } else if (*from == '[' || *from == '{') {
        kind = !skip_nested(j) ? SV_JSON_BAD : *from == '[' ? SV_JSON_ARRAY : SV_JSON_OBJECT;
    } else if (*from == '-' || (*from >= '0' && *from <= '9')) {
        kind = skip_number(j) ? SV_JSON_NUMBER : SV_JSON_BAD;
    } else {
        for (unsigned i = 0; i < SV_COUNT(words); i++) {
            size_t len = strlen(words[i].word);
            if ((size_t)(j->end - from) >= len && memcmp(from, words[i].word, len) == 0) {
                j->at += len;
                kind = words[i].kind;
            }
        }
    }
    *ret = (struct sv_str){from, (size_t)(j->at - from)};
    return kind;
}

bool sv_json_end(struct sv_json *j)
{
    skip_blanks(j);
    return j->at == j->end;
}

/* Four hex digits. */
static bool read_unit(const char *p, const char *end, uint32_t *ret)
{
    uint32_t v = 0;

    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i], lower = c | 0x20u;
        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v << 4 | (lower - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

/* \uXXXX, and a second one where it is half of a pair; returns what follows, or NULL. */
static const char *unquote_unit(const char *p, const char *end, struct sv_buf *b)
{
    uint32_t c, low;
    char utf8[4];

    if (!read_unit(p, end, &c))
        return NULL;
    p += 4;
    if (c >= 0xd800 && c < 0xdc00) {
        if (end - p < 6 || p[0] != '\\' || p[1] != 'u' || !read_unit(p + 2, end, &low) ||
            low < 0xdc00 || low >= 0xe000)
            return NULL;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    } else if (c >= 0xdc00 && c < 0xe000) {
        return NULL;
    }
    return sv_buf_append(b, utf8, sv_typed_utf8(c, utf8)) ? p : NULL;
}

bool sv_json_unquote(struct sv_str text, struct sv_buf *ret)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *p = text.ptr + 1, *end = text.ptr + text.len - 1;

    while (p < end) {
        const char *which, *plain = p;

        while (p < end && *p != '\\')
            p++;
        if (!sv_buf_append(ret, plain, (size_t)(p - plain)))
            return false;
        if (p == end)
            break;
        if (++p == end)
            return false;
        if (*p == 'u') {
            p = unquote_unit(p + 1, end, ret);
            if (!p)
                return false;
            continue;
        }
        which = memchr(from, *p++, sizeof from - 1);
        if (!which || !sv_buf_putc(ret, to[which - from]))
            return false;
    }
    return true;
}

bool sv_json_array_next(struct sv_json *j, bool *first, bool *ret_done)
{
    skip_blanks(j);
    *ret_done = false;
    if (j->at == j->end)
        return false;
    if (*first) {
        *first = false;
        if (*j->at++ != '[')
            return false;
        skip_blanks(j);
        if (j->at < j->end && *j->at == ']') {
            j->at++;
            *ret_done = true;
        }
        return true;
    }
    if (*j->at == ']')
        *ret_done = true;
    else if (*j->at != ',')
        return false;
    j->at++;
    return true;
}
