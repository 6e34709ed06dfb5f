/* The multipart reader: any bytes, with their first line as Content-Type. Parts must lie in the
 * body, in order; and a body that is made of what was read must read as the same. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "platform/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_inside(struct sv_str s, const char *from, const char *end)
{
    check(s.len == 0 || (s.ptr >= from && s.ptr + s.len <= end));
}

/* Read all parts; write them again into `again`. The result of the last step. */
static int read_all(struct sv_str type, struct sv_str body, struct sv_buf *again, size_t *parts)
{
    const char *at = body.ptr, *end = body.ptr + body.len;
    struct plat_multipart m;
    struct plat_part part;
    int r;

    *parts = 0;
    if (!plat_multipart_init(&m, type, body)) {
        check(m.why != NULL);
        return -1;
    }
    while ((r = plat_multipart_next(&m, &part)) > 0) {
        check_inside(part.name, at, end);
        check_inside(part.filename, at, end);
        check_inside(part.type, at, end);
        check(part.body.ptr >= at && part.body.ptr + part.body.len <= end);
        check(part.name.len <= PLAT_PART_NAME_MAX && !memchr(part.name.ptr, '"', part.name.len));
        check(!memmem(part.body.ptr, part.body.len, m.delimiter, m.delimiter_len));
        at = part.body.ptr + part.body.len;
        check(++*parts <= PLAT_PARTS_MAX);
        sv_buf_printf(again, "--%.*s\r\nContent-Disposition: form-data; name=\"",
                      (int)m.delimiter_len - 4, m.delimiter + 4);
        sv_buf_append(again, part.name.ptr, part.name.len);
        sv_buf_puts(again, "\"\r\n\r\n");
        sv_buf_append(again, part.body.ptr, part.body.len);
        sv_buf_puts(again, "\r\n");
    }
    check(r == 0 || m.why != NULL);
    sv_buf_printf(again, "--%.*s--\r\n", (int)m.delimiter_len - 4, m.delimiter + 4);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = memchr(data, '\n', size);
    size_t n = line ? (size_t)(line - data) : 0, parts, parts_again;
    struct sv_buf again, third;
    char *type, *body;

    if (!line)
        return 0;
    type = malloc(n + 1); /* exact, for the sanitizer */
    body = malloc(size - n);
    check(type && body);
    memcpy(type, data, n);
    memcpy(body, line + 1, size - n - 1);
    sv_buf_init(&again, SIZE_MAX);
    sv_buf_init(&third, SIZE_MAX);
    if (read_all((struct sv_str){type, n}, (struct sv_str){body, size - n - 1}, &again, &parts) ==
        0) {
        check(read_all((struct sv_str){type, n},
                       (struct sv_str){(const char *)again.data, again.len}, &third,
                       &parts_again) == 0);
        check(parts == parts_again && again.len == third.len &&
              memcmp(again.data, third.data, again.len) == 0);
    }
    sv_buf_release(&again);
    sv_buf_release(&third);
    free(type);
    free(body);
    return 0;
}
