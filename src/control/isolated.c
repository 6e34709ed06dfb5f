/* What workers may ask, by the tenant whose guests they run; and the modules of those that may not
 * read them themselves. */
#include "control/isolated.h"

#include <stddef.h>

#include "control/dispatch.h"
#include "control/publish.h"
#include "control/registry.h"
#include "platform/record.h"

#define GRANTS_MAX 256 /* that one message may name */

/* ---- Grants ---- */

/* A line "WORD VALUE" that one function of the tenant must have. */
struct wanted {
    const char *word;
    struct sv_str value;
    bool found;
};

static bool look_at_line(void *data, const char *line)
{
    struct wanted *w = data;
    size_t n = strlen(w->word);

    w->found = w->found || (strncmp(line, w->word, n) == 0 && line[n] == ' ' &&
                            sv_str_eq(sv_str_of(line + n + 1), w->value));
    return true;
}

static bool look_at_function(void *data, const struct ctl_function *f)
{
    struct wanted *w = data;

    (void)plat_manifest_grants(&f->manifest, look_at_line, w);
    return !w->found;
}

/* Is all that the message says is granted granted to a function of the tenant? */
static bool all_granted(struct ctl_server *server, const char *tenant, const struct plat_message *m,
                        enum plat_tag tag, const char *word)
{
    struct wanted w = {.word = word, .found = true};
    unsigned n = 0;
    size_t at = 0;

    while (w.found && (w.value = plat_get_next(m, tag, &at)).ptr) {
        w.found = false;
        if (++n > GRANTS_MAX || ctl_registry_list(server, NULL, tenant, look_at_function, &w) < 0)
            return false;
    }
    return w.found;
}

/* ---- Messages ---- */

/* Whom it is about; {NULL, 0}: it does not say. */
static struct sv_str tenant_of(const struct plat_message *m)
{
    struct sv_str s = plat_get(m, PLAT_TAG_TENANT);

    if (m->kind != PLAT_FAILURE)
        return s;
    s = plat_get(m, PLAT_TAG_RECORD);
    if (s.len != sizeof(struct plat_record))
        return (struct sv_str){NULL, 0};
    s.ptr += offsetof(struct plat_record, tenant);
    s.len = strnlen(s.ptr, sizeof((struct plat_record *)0)->tenant);
    return s;
}

bool ctl_isolated_may(struct ctl_server *server, const char *tenant, const struct plat_message *m)
{
    struct sv_str about = tenant_of(m);

    if (!*tenant)
        return m->kind != PLAT_MODULE && !(about.ptr && ctl_publish_is_isolated(server, about));
    if (m->kind != PLAT_SOCKET && !sv_str_eq(about, sv_str_of(tenant)))
        return false;
    switch (m->kind) {
    case PLAT_KV:
    case PLAT_SQL:
    case PLAT_SECRET:
    case PLAT_QUEUE_PUSH:
    case PLAT_FAILURE:
    case PLAT_LOG:
    case PLAT_MODULE:
        return true;
    case PLAT_FETCH:
        return all_granted(server, tenant, m, PLAT_TAG_ALLOW, "allow-http");
    case PLAT_COMMAND:
        return all_granted(server, tenant, m, PLAT_TAG_ALLOW, "allow-command");
    case PLAT_SOCKET:
        return all_granted(server, tenant, m, PLAT_TAG_ALLOW, "allow-connect") &&
               all_granted(server, tenant, m, PLAT_TAG_LISTEN, "allow-listen");
    default:
        return false;
    }
}

/* ---- Modules ---- */

struct searched {
    struct sv_str digest;
    bool found;
};

static bool has_module(void *data, const struct ctl_function *f)
{
    struct searched *s = data;

    for (uint32_t i = 0; !s->found && i < f->nversions; i++)
        s->found = memcmp(f->versions[i].ready, s->digest.ptr, PLAT_DIGEST_BYTES) == 0;
    return !s->found;
}

int ctl_isolated_module(struct ctl_server *server, struct sv_err *err, struct plat_message *m,
                        struct plat_message *ret)
{
    char *tenant = plat_get_text(m, PLAT_TAG_TENANT);
    struct searched s = {.digest = plat_get(m, PLAT_TAG_DIGEST)};
    int r = 0, fd;

    if (tenant && s.digest.len == PLAT_DIGEST_BYTES)
        r = ctl_registry_list(server, err, tenant, has_module, &s);
    sv_free(tenant);
    if (r < 0)
        return r;
    fd = s.found ? ctl_registry_open_blob(server, (const uint8_t *)s.digest.ptr) : -1;
    if (fd < 0 || !plat_put_fd(ret, fd))
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "the tenant has no such module");
    return 0;
}
