/* Filling and printing struct sv_err. Decides nothing about what an error means. */
#include "base/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int sv_vfail(struct sv_err *err, int code, uint64_t offset, const char *fmt, va_list ap)
{
    if (!err || err->code)
        return code;
    err->code = code;
    err->has_offset = offset != SV_NO_OFFSET;
    err->offset = err->has_offset ? offset : 0;
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    return code;
}

int sv_fail(struct sv_err *err, int code, uint64_t offset, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sv_vfail(err, code, offset, fmt, ap);
    va_end(ap);
    return code;
}

int sv_fail_nomem(struct sv_err *err, const char *what)
{
    return sv_fail(err, SV_ENOMEM, SV_NO_OFFSET, "out of memory for %s", what);
}

const char *sv_code_text(int code)
{
    switch (code) {
    case SV_OK:
        return "no error";
#define ERR(name, number, text)                                                                    \
    case SV_E##name:                                                                               \
        return text;
#include "base/err.def"
#undef ERR
    default:
        return "unknown error";
    }
}

void sv_err_prefix(struct sv_err *err, const char *prefix)
{
    char text[SV_ERR_TEXT_MAX];
    size_t len = strnlen(prefix, sizeof text / 2); /* leave room for what failed */

    snprintf(text, sizeof text, "%.*s: %.*s", (int)len, prefix, (int)(sizeof text - len - 3),
             err->text);
    memcpy(err->text, text, sizeof text);
}

const char *sv_err_format(const struct sv_err *err, char *buf, unsigned size)
{
    const char *text = err->text[0] ? err->text : sv_code_text(err->code);

    if (size == 0)
        return buf;
    if (err->has_offset)
        snprintf(buf, size, "%s at 0x%" PRIx64, text, err->offset);
    else
        snprintf(buf, size, "%s", text);
    return buf;
}
