/* Profiles of ssvm.h: started and ended, and their form as folded stacks. The pictures are
 * flame.c's, the samples runtime/profile.c's. */
#include "api/profile.h"

#include <inttypes.h>

#define TEXT_MAX (256u << 20)

own ssvm_error *ssvm_store_profile_start(ssvm_store *s)
{
    struct sv_err err = {0};
    ssvm_error *error;

    if (!s)
        return sv_api_error(SSVM_EUSAGE, "no store to profile");
    error = sv_api_enter(s);
    if (error)
        return error;
    if (s->profile)
        error = sv_api_error(SSVM_EUSAGE, "the store is being profiled already");
    else if (sv_profile_new(&err, s->store, &s->profile) < 0)
        error = sv_api_error_of(&err);
    sv_api_leave(s);
    return error;
}

void sv_api_print_node(struct sv_buf *b, const struct sv_profile *p, uint32_t node)
{
    static const char *const pseudo[] = {[SV_PROFILE_RUNTIME] = "[host]",
                                         [SV_PROFILE_UNKNOWN] = "[unknown]",
                                         [SV_PROFILE_DEEPER] = "[deeper]"};
    const struct sv_profile_node *n = &p->nodes[node];

    if (node == 0)
        sv_buf_puts(b, "all");
    else if (n->module)
        sv_api_print_func(b, n->module, n->func);
    else
        sv_buf_puts(b, pseudo[n->func]);
}

/* Callers first, parted by semicolons, which names may not have. */
static void fold_stack(struct sv_buf *b, const struct sv_profile *p, uint32_t node)
{
    uint32_t path[SV_PROFILE_DEPTH], n = 0;

    for (uint32_t at = node; at && n < SV_PROFILE_DEPTH; at = p->nodes[at].parent)
        path[n++] = at;
    while (n > 0 && !b->failed) {
        size_t begin = b->len;

        sv_api_print_node(b, p, path[--n]);
        for (size_t i = begin; i < b->len; i++) {
            if (b->data[i] == ';')
                b->data[i] = ':';
        }
        if (n > 0)
            sv_buf_putc(b, ';');
    }
}

static void print_folded(struct sv_buf *b, const struct sv_profile *p)
{
    for (uint32_t i = 1; i < p->nnodes && !b->failed; i++) {
        if (p->nodes[i].samples == 0)
            continue;
        fold_stack(b, p, i);
        sv_buf_printf(b, " %" PRIu64 "\n", p->nodes[i].samples);
    }
}

own ssvm_error *ssvm_store_profile_end(ssvm_store *s, ssvm_profile_format format, own char **ret,
                                       size_t *ret_len)
{
    struct sv_buf b;
    ssvm_error *error;

    if (!s || !ret || !ret_len || (format != SSVM_PROFILE_SVG && format != SSVM_PROFILE_FOLDED))
        return sv_api_error(SSVM_EUSAGE, "a profile's end needs a store, a format and a place");
    error = sv_api_enter(s);
    if (error)
        return error;
    if (!s->profile || s->profile->thread != &sv_os_self) {
        error = sv_api_error(SSVM_EUSAGE, "the store is not being profiled on this thread");
        goto out;
    }
    sv_profile_stop(s->profile);
    sv_buf_init(&b, TEXT_MAX);
    if (format == SSVM_PROFILE_SVG)
        sv_api_print_flame(&b, s->profile);
    else
        print_folded(&b, s->profile);
    if (b.failed || !sv_buf_reserve(&b, 1)) {
        error = sv_api_nomem();
        sv_buf_release(&b);
    } else {
        *ret = sv_buf_take(&b, ret_len);
    }
    sv_profile_delete(s->profile);
    s->profile = NULL;
out:
    sv_api_leave(s);
    return error;
}
