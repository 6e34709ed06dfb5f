/* Reading of multipart/form-data. See multipart.h. */
#include "platform/multipart.h"

#include <strings.h>

#include "base/tchar.h"

#define TYPE "multipart/form-data"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct sv_str trim(struct sv_str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool equals(struct sv_str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

/* Cut `; name=value` or `; name="value"` from *s; the value's escapes stay. 1, 0 at the end, or -1.
 */
static int next_parameter(struct sv_str *s, struct sv_str *ret_name, struct sv_str *ret_value)
{
    const char *p, *end = s->ptr + s->len;

    *s = trim(*s);
    if (s->len == 0)
        return 0;
    if (s->ptr[0] != ';')
        return -1;
    for (p = s->ptr + 1; p < end && is_blank(*p); p++)
        ;
    ret_name->ptr = p;
    while (p < end && sv_is_tchar(*p))
        p++;
    ret_name->len = (size_t)(p - ret_name->ptr);
    if (ret_name->len == 0 || p == end || *p++ != '=')
        return -1;
    if (p < end && *p == '"') {
        ret_value->ptr = ++p;
        for (; p < end && *p != '"'; p++) {
            if (*p == '\\' && p + 1 < end && p[1] == '"')
                p++;
        }
        if (p >= end)
            return -1;
        ret_value->len = (size_t)(p++ - ret_value->ptr);
    } else {
        ret_value->ptr = p;
        while (p < end && sv_is_tchar(*p))
            p++;
        ret_value->len = (size_t)(p - ret_value->ptr);
        if (ret_value->len == 0)
            return -1;
    }
    *s = (struct sv_str){p, (size_t)(end - p)};
    return 1;
}

bool plat_multipart_is(struct sv_str type)
{
    const size_t n = sizeof TYPE - 1;

    return type.len >= n && strncasecmp(type.ptr, TYPE, n) == 0 &&
           (type.len == n || type.ptr[n] == ';' || is_blank(type.ptr[n]));
}

/* RFC 2046: digits, letters and '()+_,-./:=? and blanks, but none at the end. */
static bool is_boundary(struct sv_str s)
{
    if (s.len == 0 || s.len > PLAT_BOUNDARY_MAX || s.ptr[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("'()+_,-./:=? ", c))))
            return false;
    }
    return true;
}

static bool find_boundary(struct sv_str type, struct sv_str *ret)
{
    struct sv_str rest, name, value;
    unsigned found = 0;
    int r;

    if (!plat_multipart_is(type))
        return false;
    rest = (struct sv_str){type.ptr + sizeof TYPE - 1, type.len - (sizeof TYPE - 1)};
    while ((r = next_parameter(&rest, &name, &value)) > 0) {
        if (!equals(name, "boundary"))
            continue;
        *ret = value;
        found++;
    }
    return r == 0 && found == 1 && is_boundary(*ret);
}

bool plat_multipart_init(struct plat_multipart *m, struct sv_str type, struct sv_str body)
{
    struct sv_str boundary = {NULL, 0};
    size_t n;

    memset(m, 0, sizeof *m);
    m->ended = true;
    if (!find_boundary(type, &boundary)) {
        m->why = "the Content-Type is not multipart/form-data with a boundary";
        return false;
    }
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.ptr, boundary.len);
    n = m->delimiter_len = boundary.len + 4;
    /* The first delimiter begins the body: a preamble has no use. */
    if (body.len < n || memcmp(body.ptr, m->delimiter + 2, n - 2) != 0) {
        m->why = "the body does not begin with its boundary";
        return false;
    }
    body.ptr += n - 2;
    body.len -= n - 2;
    m->rest = body;
    m->ended = false;
    return true;
}

static int refuse(struct plat_multipart *m, const char *why)
{
    m->why = why;
    m->ended = true;
    return -1;
}

/* Behind a delimiter: its line's end, or the end of all. 1, 0 at the end, or -1. */
static int pass_line_end(struct plat_multipart *m)
{
    struct sv_str *rest = &m->rest;

    if (rest->len >= 2 && memcmp(rest->ptr, "--", 2) == 0) {
        m->ended = true;
        rest->ptr += 2;
        rest->len -= 2;
        if (rest->len == 0 || (rest->len == 2 && memcmp(rest->ptr, "\r\n", 2) == 0))
            return 0;
        return refuse(m, "something follows the last boundary");
    }
    if (rest->len < 2 || memcmp(rest->ptr, "\r\n", 2) != 0)
        return refuse(m, "a boundary is not followed by a line end");
    rest->ptr += 2;
    rest->len -= 2;
    return 1;
}

/* `form-data; name="..."; filename="..."` */
static bool read_disposition(struct sv_str value, struct plat_part *part)
{
    struct sv_str name, rest;
    size_t n = 0;
    bool named = false;
    int r;

    while (n < value.len && sv_is_tchar(value.ptr[n]))
        n++;
    if (!equals((struct sv_str){value.ptr, n}, "form-data"))
        return false;
    rest = (struct sv_str){value.ptr + n, value.len - n};
    while ((r = next_parameter(&rest, &name, &value)) > 0) {
        if (equals(name, "name")) {
            if (named || value.len > PLAT_PART_NAME_MAX || memchr(value.ptr, '\\', value.len))
                return false;
            named = true;
            part->name = value;
        } else if (equals(name, "filename")) {
            if (part->is_file)
                return false;
            part->is_file = true;
            part->filename = value;
        }
    }
    return r == 0 && named;
}

static bool is_plain_encoding(struct sv_str value)
{
    return equals(value, "7bit") || equals(value, "8bit") || equals(value, "binary");
}

/* One line of a part's head. NULL, or why it is refused. */
static const char *read_field(struct sv_str line, struct plat_part *part, bool *placed)
{
    struct sv_str name = {line.ptr, 0}, value;

    while (name.len < line.len && sv_is_tchar(line.ptr[name.len]))
        name.len++;
    if (name.len == 0 || name.len == line.len || line.ptr[name.len] != ':')
        return "a part has a malformed field";
    value = trim((struct sv_str){line.ptr + name.len + 1, line.len - name.len - 1});
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return "a part has a control character in a field";
    }
    if (equals(name, "content-disposition")) {
        if (*placed || !read_disposition(value, part))
            return "a part has no proper Content-Disposition";
        *placed = true;
    } else if (equals(name, "content-type")) {
        if (part->type.len > 0)
            return "a part has two types";
        part->type = value;
    } else if (equals(name, "content-transfer-encoding") && !is_plain_encoding(value)) {
        return "a part has a Content-Transfer-Encoding";
    }
    return NULL;
}

/* The fields of a part, with the empty line behind them. NULL, or why they are refused. */
static const char *read_head(struct plat_multipart *m, struct plat_part *part)
{
    bool placed = false;
    size_t used = 0;

    for (unsigned n = 0;; n++) {
        size_t most = m->rest.len < PLAT_PART_HEAD_MAX ? m->rest.len : PLAT_PART_HEAD_MAX;
        const char *line = m->rest.ptr + used, *end = NULL, *why;

        if (used < most)
            end = memmem(line, most - used, "\r\n", 2);
        if (!end || n > PLAT_PART_FIELDS_MAX)
            return "a part's head does not end, or is too long";
        used = (size_t)(end + 2 - m->rest.ptr);
        if (end == line)
            break;
        why = read_field((struct sv_str){line, (size_t)(end - line)}, part, &placed);
        if (why)
            return why;
    }
    if (!placed)
        return "a part has no Content-Disposition";
    m->rest.ptr += used;
    m->rest.len -= used;
    return NULL;
}

int plat_multipart_next(struct plat_multipart *m, struct plat_part *ret)
{
    struct plat_part part = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, false};
    const char *end, *why;
    int r;

    if (m->ended)
        return m->why ? -1 : 0;
    r = pass_line_end(m);
    if (r <= 0)
        return r;
    if (m->nparts++ == PLAT_PARTS_MAX)
        return refuse(m, "there are too many parts");
    why = read_head(m, &part);
    if (why)
        return refuse(m, why);
    end = memmem(m->rest.ptr, m->rest.len, m->delimiter, m->delimiter_len);
    if (!end)
        return refuse(m, "the last boundary is missing");
    part.body = (struct sv_str){m->rest.ptr, (size_t)(end - m->rest.ptr)};
    m->rest.len -= part.body.len + m->delimiter_len;
    m->rest.ptr = end + m->delimiter_len;
    *ret = part;
    return 1;
}
