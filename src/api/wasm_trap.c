/* Traps and frames of wasm.h. What traps mean is the runtime's. */
#include "api/wasm_api.h"
#include "api/wasm_vec.h"

void sv_wasm_trap_release(own struct sv_wasm_trap *t)
{
    if (!t)
        return;
    sv_free(t->message);
    sv_free(t->frames);
    sv_free(t);
}

own wasm_trap_t *sv_wasm_trap_new(wasm_store_t *s, const char *message, size_t len)
{
    struct sv_wasm_trap *t = sv_alloc_zero(sizeof *t);
    struct wasm_ref_t *r = NULL;

    if (t) {
        t->message = sv_strndup(message, len);
        t->len = len + 1;
    }
    if (t && t->message)
        r = sv_wasm_ref_new(s, SV_WASM_TRAP, t);
    if (!r) {
        sv_wasm_trap_release(t);
        return wasm_trap_copy(s->nomem);
    }
    return (wasm_trap_t *)r;
}

own wasm_trap_t *sv_wasm_trap_of(wasm_store_t *s, const char *message)
{
    return sv_wasm_trap_new(s, message, strlen(message));
}

/* The instance that a frame belongs to: the newest of the module. Frames name modules only. */
static struct wasm_instance_t *instance_of(wasm_store_t *s, const struct sv_module *m)
{
    struct sv_instance *i = sv_wasm_store(s)->instances;

    while (i && i->module != m)
        i = i->next;
    return i ? (struct wasm_instance_t *)sv_wasm_ref_borrow(s, SV_WASM_INSTANCE, i) : NULL;
}

/* Give the trap the backtrace of the thread; without memory it stays without. */
static void take_frames(wasm_store_t *s, struct sv_wasm_trap *t)
{
    const struct sv_trap *from = &sv_wasm_store(s)->thread.trap;

    if (from->nframes == 0 || t->frames)
        return;
    t->frames = sv_alloc_array_zero(from->nframes, sizeof *t->frames);
    for (uint32_t i = 0; t->frames && i < from->nframes; i++) {
        const struct sv_frame *f = &from->frames[i];
        const struct sv_func_decl *decl =
            f->module && f->func < f->module->nfuncs ? &f->module->funcs[f->func] : NULL;

        if (!f->module)
            continue;
        t->frames[t->nframes++] = (struct wasm_frame_t){
            .instance = instance_of(s, f->module),
            .func = f->func,
            .module_offset = f->offset,
            .func_offset =
                decl && f->offset >= decl->body_offset ? f->offset - decl->body_offset : 0,
        };
    }
}

own wasm_trap_t *sv_wasm_trap_call(wasm_store_t *s, const struct sv_err *err, int r)
{
    struct sv_thread *th = &sv_wasm_store(s)->thread;
    wasm_trap_t *pending = s->pending, *trap = NULL;
    char text[SV_ERR_TEXT_MAX + 32];

    s->pending = NULL;
    if (r == SV_ETRAP && th->trap.code == SV_TRAP_HOST && pending) {
        trap = pending;
        pending = NULL;
    } else if (r == SV_ETRAP) {
        trap = sv_wasm_trap_of(s, th->trap.text[0] ? th->trap.text : sv_trap_text(th->trap.code));
    } else if (r == SV_EEXCEPTION) {
        trap = sv_wasm_trap_of(s, sv_trap_text(SV_TRAP_EXCEPTION));
        th->exn = SV_REF_NULL;
    } else if (err && err->code != SV_OK && err->text[0]) {
        trap = sv_wasm_trap_of(s, sv_err_format(err, text, sizeof text));
    } else {
        trap = sv_wasm_trap_of(s, sv_code_text(r));
    }
    wasm_trap_delete(pending);
    if (trap != s->nomem)
        take_frames(s, SV_WASM_REF(trap)->trap);
    sv_trap_clear(&th->trap);
    return trap;
}

own wasm_trap_t *wasm_trap_new(wasm_store_t *s, const wasm_message_t *message)
{
    size_t len;

    if (!s || !s->store)
        return NULL;
    if (!message || !message->data)
        return sv_wasm_trap_of(s, sv_trap_text(SV_TRAP_HOST));
    len = message->size;
    if (len && message->data[len - 1] == '\0')
        len--;
    return sv_wasm_trap_new(s, message->data, len);
}

void wasm_trap_message(const wasm_trap_t *trap, own wasm_message_t *out)
{
    const struct sv_wasm_trap *t = trap ? SV_WASM_REF(trap)->trap : NULL;

    if (t)
        wasm_byte_vec_new(out, t->len, t->message);
    else
        wasm_byte_vec_new_empty(out);
}

own wasm_frame_t *wasm_trap_origin(const wasm_trap_t *trap)
{
    const struct sv_wasm_trap *t = trap ? SV_WASM_REF(trap)->trap : NULL;

    return t && t->nframes ? wasm_frame_copy(&t->frames[0]) : NULL;
}

void wasm_trap_trace(const wasm_trap_t *trap, own wasm_frame_vec_t *out)
{
    const struct sv_wasm_trap *t = trap ? SV_WASM_REF(trap)->trap : NULL;

    wasm_frame_vec_new_uninitialized(out, t ? t->nframes : 0);
    for (size_t i = 0; out && i < out->size; i++) {
        out->data[i] = wasm_frame_copy(&t->frames[i]);
        if (!out->data[i]) {
            wasm_frame_vec_delete(out);
            return;
        }
    }
}

own wasm_frame_t *wasm_frame_copy(const wasm_frame_t *f)
{
    wasm_frame_t *copy = f ? sv_alloc(sizeof *copy) : NULL;

    if (copy)
        *copy = *f;
    return copy;
}

void wasm_frame_delete(own wasm_frame_t *f)
{
    sv_free(f);
}

struct wasm_instance_t *wasm_frame_instance(const wasm_frame_t *f)
{
    return f ? f->instance : NULL;
}

uint32_t wasm_frame_func_index(const wasm_frame_t *f)
{
    return f ? f->func : 0;
}

size_t wasm_frame_func_offset(const wasm_frame_t *f)
{
    return f ? f->func_offset : 0;
}

size_t wasm_frame_module_offset(const wasm_frame_t *f)
{
    return f ? f->module_offset : 0;
}

SV_WASM_PTR_VEC(frame)
