/* Routes that two functions have. Looks at manifests only; requests are routed by the table that is
 * made of them. */
#include "control/claim.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What of the hosts and paths a function wants. */
struct claim {
    const char *host, *path;
    uint32_t methods; /* 0 = all */
};

/* Number i of a manifest's routes; behind them its static files. False: no more. */
static bool claim_at(const struct plat_manifest *m, uint32_t i, struct claim *ret)
{
    if (i < m->nroutes)
        *ret = (struct claim){m->routes[i].host, m->routes[i].path,
                              plat_manifest_methods(&m->routes[i])};
    else if (i == m->nroutes && m->site.given)
        *ret = (struct claim){m->site.host, m->site.path, 0};
    else
        return false;
    return true;
}

/* "/a/" is "/a", and "/" is "". */
static size_t trimmed(const char *path)
{
    size_t n = strlen(path);

    while (n > 0 && path[n - 1] == '/')
        n--;
    return n;
}

static bool overlap(const struct claim *a, const struct claim *b)
{
    size_t n = trimmed(a->path);

    return n == trimmed(b->path) && memcmp(a->path, b->path, n) == 0 &&
           strcasecmp(a->host, b->host) == 0 &&
           (a->methods == 0 || b->methods == 0 || (a->methods & b->methods) != 0);
}

static bool has(const struct plat_manifest *m, const struct claim *wanted)
{
    struct claim claim;

    for (uint32_t i = 0; claim_at(m, i, &claim); i++) {
        if (overlap(&claim, wanted))
            return true;
    }
    return false;
}

/* ---- Of another tenant ---- */

struct check {
    const char *tenant;
    const struct plat_manifest *wanted, *before; /* NULL: it is new */
    struct claim taken;
    bool found;
};

static bool check_function(void *data, const struct ctl_function *f)
{
    struct check *c = data;

    if (!f->main || strcmp(f->tenant, c->tenant) == 0)
        return true;
    for (uint32_t i = 0; !c->found && claim_at(c->wanted, i, &c->taken); i++)
        c->found = has(&f->manifest, &c->taken) && !(c->before && has(c->before, &c->taken));
    return !c->found;
}

int ctl_claim_check(struct ctl_server *server, struct sv_err *err, const char *tenant,
                    const char *name, const struct plat_manifest *wanted)
{
    struct ctl_function *own_function = ctl_registry_find(server, tenant, name);
    struct check c = {.tenant = tenant,
                      .wanted = wanted,
                      .before =
                          own_function && own_function->main ? &own_function->manifest : NULL};
    int r = ctl_registry_each(server, err, NULL, check_function, &c);

    ctl_function_unref(own_function);
    if (r < 0 || !c.found)
        return r;
    return sv_fail(
        err, SV_EINVALID, SV_NO_OFFSET,
        "the manifest's route '%s%s' is another tenant's: take another path, or a host of "
        "your own (host: NAME)",
        c.taken.host, c.taken.path);
}

/* ---- Of the same tenant ---- */

struct rivals {
    const struct ctl_function *function;
    struct claim claim;
    uint64_t first; /* its id */
    char name[PLAT_NAME_MAX + 1];
    unsigned n;
};

static bool find_rival(void *data, const struct ctl_function *f)
{
    struct rivals *r = data;

    if (!f->main || f->id == r->function->id || !has(&f->manifest, &r->claim))
        return true;
    if (r->n++ == 0 || f->id < r->first) {
        r->first = f->id;
        snprintf(r->name, sizeof r->name, "%s", f->name);
    }
    return true;
}

void ctl_claim_notes(struct ctl_server *server, const struct ctl_function *function,
                     struct sv_buf *to)
{
    struct rivals r = {.function = function};

    for (uint32_t i = 0; function->main && claim_at(&function->manifest, i, &r.claim); i++) {
        r.n = 0;
        if (ctl_registry_each(server, NULL, function->tenant, find_rival, &r) < 0 || r.n == 0)
            continue;
        sv_buf_printf(to,
                      "%sthe route '%s%s' is one of '%s' too: requests go to '%s', which was "
                      "deployed first",
                      to->len ? "\n" : "", r.claim.host, r.claim.path, r.name,
                      r.first < function->id ? r.name : function->name);
    }
}
