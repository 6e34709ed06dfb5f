/* ssvm_error: what went wrong, told to the embedder. Not where it is decided (that is every layer
 * below). */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"

#define MESSAGE_MAX 2400

/* Out of memory must be reportable without memory. */
static const ssvm_error no_memory = {
    .kind = SSVM_ENOMEM,
    .is_static = true,
    .offset = -1,
    .exit_status = -1,
    .message = "out of memory",
    .backtrace = "",
};

own ssvm_error *sv_api_nomem(void)
{
    return (ssvm_error *)&no_memory;
}

static own ssvm_error *make(ssvm_error_kind kind, const char *message, const char *backtrace)
{
    size_t mlen = strlen(message) + 1, blen = strlen(backtrace) + 1;
    ssvm_error *e = sv_alloc_zero(sizeof *e + mlen + blen);
    char *text;

    if (!e)
        return sv_api_nomem();
    text = (char *)(e + 1);
    memcpy(text, message, mlen);
    memcpy(text + mlen, backtrace, blen);
    e->kind = kind;
    e->offset = -1;
    e->exit_status = -1;
    e->message = text;
    e->backtrace = text + mlen;
    return e;
}

own ssvm_error *sv_api_error(ssvm_error_kind kind, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return make(kind, text, "");
}

own ssvm_error *sv_api_error_of(const struct sv_err *err)
{
    char text[MESSAGE_MAX];
    ssvm_error *e;

    if (err->code == SV_ENOMEM && err->text[0] == '\0')
        return sv_api_nomem();
    if (err->code == SV_OK)
        return make(SSVM_EINTERNAL, "failed without a reason", "");
    e = make((ssvm_error_kind)-err->code,
             err->text[0] ? sv_err_format(err, text, sizeof text) : sv_code_text(err->code), "");
    if (!e->is_static && err->has_offset && err->offset <= INT64_MAX)
        e->offset = (int64_t)err->offset;
    return e;
}

/* The frames of the trap, without the line that says what it was. */
static const char *frames_of(struct sv_buf *buf, const struct sv_trap *trap)
{
    const char *text, *line;

    if (trap->nframes == 0)
        return "";
    sv_trap_print(buf, trap);
    if (buf->failed)
        return "";
    text = sv_buf_cstr(buf);
    line = strchr(text, '\n');
    return line ? line + 1 : "";
}

/* Longest backtrace: SV_FRAMES_MAX lines of names that the module chose. */
#define BACKTRACE_MAX (256u << 10)

own ssvm_error *sv_api_error_call(ssvm_store *s, const struct sv_err *err, int r)
{
    struct sv_thread *th = &s->store->thread;
    struct sv_buf buf;
    ssvm_error *e;

    if (r == 0)
        return NULL;
    sv_buf_init(&buf, BACKTRACE_MAX);
    switch (r) {
    case SV_ETRAP:
        e = make(SSVM_ETRAP, th->trap.text[0] ? th->trap.text : sv_trap_text(th->trap.code),
                 frames_of(&buf, &th->trap));
        if (!e->is_static)
            e->trap_code = th->trap.code;
        sv_trap_clear(&th->trap);
        break;
    case SV_EEXIT:
        e = ssvm_error_new_exit(th->exit_code);
        break;
    case SV_EEXCEPTION:
        e = make(SSVM_EEXCEPTION, sv_trap_text(SV_TRAP_EXCEPTION), frames_of(&buf, &th->trap));
        sv_store_handle_delete(s->store, s->exn_handle);
        s->exn_handle = sv_store_handle_new(s->store, th->exn);
        s->exn_serial++;
        if (!e->is_static)
            e->exn_serial = s->exn_serial;
        th->exn = SV_REF_NULL;
        sv_trap_clear(&th->trap);
        break;
    default:
        if (err && err->code != SV_OK)
            e = sv_api_error_of(err);
        else if (r == SV_ENOMEM)
            e = sv_api_nomem();
        else
            e = make((ssvm_error_kind)-r, sv_code_text(r), "");
        break;
    }
    sv_buf_release(&buf);
    return e;
}

void ssvm_error_delete(own ssvm_error *e)
{
    if (e && !e->is_static)
        sv_free(e);
}

ssvm_error_kind ssvm_error_kind_of(const ssvm_error *e)
{
    return e ? e->kind : (ssvm_error_kind)0;
}

const char *ssvm_error_message(const ssvm_error *e)
{
    return e ? e->message : "";
}

int64_t ssvm_error_offset(const ssvm_error *e)
{
    return e ? e->offset : -1;
}

int ssvm_error_trap_code(const ssvm_error *e)
{
    return e ? e->trap_code : 0;
}

int ssvm_error_exit_status(const ssvm_error *e)
{
    return e ? e->exit_status : -1;
}

const char *ssvm_error_backtrace(const ssvm_error *e)
{
    return e ? e->backtrace : "";
}

own ssvm_error *ssvm_error_new(const char *message)
{
    ssvm_error *e = make(SSVM_ETRAP, message ? message : sv_trap_text(SV_TRAP_HOST), "");

    if (!e->is_static)
        e->trap_code = SV_TRAP_HOST;
    return e;
}

own ssvm_error *ssvm_error_new_exit(int status)
{
    ssvm_error *e = sv_api_error(SSVM_EEXIT, "exit with status %d", status);

    if (!e->is_static)
        e->exit_status = status;
    return e;
}
