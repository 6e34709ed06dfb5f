/* WASI grants of ssvm.h: the public description becomes the host layer's. What a grant means is
 * host/wasi's. */
#include "api/api.h"

/* First version of ssvm_wasi: all that there is now. */
#define WASI_MIN sizeof(ssvm_wasi)

_Static_assert((int)SSVM_STREAM_CALLBACK == (int)SV_WASI_STREAM_CALLBACK,
               "public and internal stream kinds agree");
_Static_assert((int)SSVM_STREAM_BYTES == (int)SV_WASI_STREAM_BYTES,
               "public and internal stream kinds agree");
_Static_assert((int)SSVM_STREAM_INHERIT == (int)SV_WASI_STREAM_INHERIT,
               "public and internal stream kinds agree");

static bool stream(struct sv_wasi_stream *ret, const ssvm_stream *s, bool input)
{
    if ((unsigned)s->kind > SSVM_STREAM_CALLBACK ||
        (s->kind == SSVM_STREAM_BYTES && s->len && !s->bytes) ||
        (s->kind == SSVM_STREAM_CALLBACK && !(input ? s->read != NULL : s->write != NULL)) ||
        (!input && s->kind == SSVM_STREAM_BYTES))
        return false;
    *ret = (struct sv_wasi_stream){
        .kind = (enum sv_wasi_stream_kind)s->kind,
        .fd = s->fd,
        .bytes = s->bytes,
        .len = s->len,
        .write = s->write,
        .read = s->read,
        .arg = s->data,
    };
    return true;
}

own ssvm_error *sv_api_grant_init(struct sv_api_grant *g, const ssvm_store *s,
                                  const ssvm_wasi *wasi)
{
    ssvm_wasi w = SSVM_WASI_INIT;

    *g = (struct sv_api_grant){0};
    if (wasi && !sv_api_copy_sized(&w, sizeof w, wasi, WASI_MIN))
        return sv_api_error(SSVM_EUSAGE, "ssvm_wasi has a size that this library does not know");
    if ((w.nargs && !w.args) || (w.nenv && !w.env) || (w.ndirs && !w.dirs))
        return sv_api_error(SSVM_EUSAGE, "ssvm_wasi counts entries of a missing array");
    if (!stream(&g->grant.in, &w.in, true) || !stream(&g->grant.out, &w.out, false) ||
        !stream(&g->grant.err, &w.err, false))
        return sv_api_error(SSVM_EUSAGE, "ssvm_wasi has a stream of a wrong kind");
    g->grant.args = w.args;
    g->grant.nargs = w.nargs;
    g->grant.env = w.env;
    g->grant.nenv = w.nenv;
    g->grant.coarse_clock = w.coarse_clock;
    g->grant.max_fds = s->limits.open_files;
    g->grant.max_output = s->limits.output_bytes;
    if (w.ndirs == 0)
        return NULL;
    g->dirs = sv_alloc_array(w.ndirs, sizeof *g->dirs);
    if (!g->dirs)
        return sv_api_nomem();
    for (size_t i = 0; i < w.ndirs; i++)
        g->dirs[i] = (struct sv_wasi_dir){w.dirs[i].guest, w.dirs[i].host, w.dirs[i].readonly};
    g->grant.dirs = g->dirs;
    g->grant.ndirs = w.ndirs;
    return NULL;
}

void sv_api_grant_release(struct sv_api_grant *g)
{
    sv_free(g->dirs);
    g->dirs = NULL;
}

own ssvm_error *ssvm_linker_define_wasi(ssvm_linker *l, const ssvm_wasi *wasi)
{
    struct sv_api_grant grant;
    struct sv_err err = {0};
    ssvm_error *error;

    if (!l)
        return sv_api_error(SSVM_EUSAGE, "ssvm_linker_define_wasi needs a linker");
    if (l->has_wasi)
        return sv_api_error(SSVM_EUSAGE, "WASI is defined in this linker already");
    error = sv_api_grant_init(&grant, l->store, wasi);
    if (error)
        return error;
    if (sv_host_link(&err, l->linker, l->store->store, &sv_host_wasi, &grant.grant,
                     &l->wasi_state) < 0)
        error = sv_api_error_of(&err);
    else
        l->has_wasi = true;
    sv_api_grant_release(&grant);
    return error;
}
