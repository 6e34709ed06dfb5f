/* Errors of the host: what failed, where, in words. Not traps (runtime/trap.h) and not guest exits.
 */
#ifndef SV_BASE_ERR_H
#define SV_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum sv_code {
    SV_OK = 0,
#define ERR(name, number, text) SV_E##name = -(number),
#include "base/err.def"
#undef ERR
};

#define SV_ERR_TEXT_MAX 2000

/* The caller's, fixed size, so that failing needs no memory. Zero-initialise, or sv_err_init. */
struct sv_err {
    int code;        /* an sv_code, 0 = none */
    bool has_offset; /* `offset` means something */
    uint64_t offset; /* byte offset in the module file */
    char text[SV_ERR_TEXT_MAX];
};

/* As zeroes would: without writing the whole text, which costs what a small call does. */
static inline void sv_err_init(struct sv_err *err)
{
    err->code = 0;
    err->has_offset = false;
    err->offset = 0;
    err->text[0] = '\0';
}

/* "No offset" for the `offset` argument of sv_fail. */
#define SV_NO_OFFSET UINT64_MAX

/* Fill *err (NULL is allowed) and return `code`. The text is lower case, without full stop, names
 * in single quotes. " at 0x<offset>" is appended by sv_err_format, not here. The first failure
 * wins: an err that already holds a code keeps it. */
int sv_fail(struct sv_err *err, int code, uint64_t offset, const char *fmt, ...)
    __attribute__((format(printf, 4, 5), cold));
int sv_vfail(struct sv_err *err, int code, uint64_t offset, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0), cold));
/* The common out-of-memory case: `what` is the thing that could not be allocated. */
int sv_fail_nomem(struct sv_err *err, const char *what) __attribute__((cold));

/* The general text of a code ("malformed module"). Never NULL. */
const char *sv_code_text(int code);

/* Put `prefix` + ": " before the text (truncating at the end). Used by outer layers to name the
 * file. */
void sv_err_prefix(struct sv_err *err, const char *prefix);

/* "text at 0xOFFSET" into buf (always terminated); returns buf. */
const char *sv_err_format(const struct sv_err *err, char *buf, unsigned size);

#endif
