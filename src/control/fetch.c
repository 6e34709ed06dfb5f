/* Requests of functions to other servers: how many at a time, and by which rules. The request
 * itself is outbound/client.c's. */
#include "control/fetch.h"

#include <pthread.h>

#include "base/clock.h"
#include "control/dispatch.h"
#include "control/part.h"
#include "outbound/client.h"

#define TIMEOUT_MS 30000
#define NS_PER_MS 1000000
#define PRIVATE_MAX 64

struct ctl_fetches {
    pthread_mutex_t lock;
    struct out_rule private[PRIVATE_MAX];
    size_t nprivate;
    unsigned n;
    struct out_names *names;                /* of sockets */
    struct sv_str tenants[CTL_FETCHES_MAX]; /* of those under way; {NULL}: a free place */
};

/* ---- Places ---- */

static int enter(struct ctl_fetches *f, struct sv_err *err, struct sv_str tenant,
                 unsigned *ret_place)
{
    unsigned same = 0, place = CTL_FETCHES_MAX;

    pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < CTL_FETCHES_MAX; i++) {
        if (!f->tenants[i].ptr)
            place = i;
        else
            same += sv_str_eq(f->tenants[i], tenant);
    }
    if (place < CTL_FETCHES_MAX && same < CTL_FETCHES_OF_TENANT_MAX)
        f->tenants[place] = tenant;
    else
        place = CTL_FETCHES_MAX;
    pthread_mutex_unlock(&f->lock);
    *ret_place = place;
    return place < CTL_FETCHES_MAX ? 0
                                   : sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                                             "too many requests to other servers are "
                                             "under way");
}

static void leave(struct ctl_fetches *f, unsigned place)
{
    pthread_mutex_lock(&f->lock);
    f->tenants[place] = (struct sv_str){NULL, 0};
    pthread_mutex_unlock(&f->lock);
}

/* ---- One request ---- */

struct gather {
    struct sv_buf fields, body;
};

static bool put_field(void *data, struct sv_str line)
{
    struct gather *g = data;

    return sv_buf_append(&g->fields, line.ptr, line.len);
}

static bool put_body(void *data, const void *bytes, size_t len)
{
    struct gather *g = data;

    return sv_buf_append(&g->body, bytes, len);
}

static bool is_cancelled(void *request)
{
    return ctl_dispatch_cancelled(request);
}

static int read_rules(struct sv_err *err, const struct ctl_fetch_request *r,
                      own struct out_rule **ret)
{
    struct out_rule *rules;

    if (r->nallow > OUT_RULES_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %d servers are granted",
                       OUT_RULES_MAX);
    rules = sv_alloc_array_zero(r->nallow ? r->nallow : 1, sizeof *rules);
    if (!rules)
        return sv_fail_nomem(err, "rules");
    for (unsigned i = 0; i < r->nallow; i++) {
        if (out_rule_parse(err, r->allow[i], &rules[i]) < 0) {
            sv_free(rules);
            return SV_EUSAGE;
        }
    }
    *ret = rules;
    return 0;
}

bool ctl_fetch_covers(const struct ctl_server *server, const struct out_rule *rule)
{
    const struct ctl_fetches *f = server->fetches;

    for (size_t k = 0; k < f->nprivate; k++)
        if (out_rule_covers(&f->private[k], rule))
            return true;
    return false;
}

struct out_names *ctl_fetch_names(const struct ctl_server *server)
{
    return server->fetches->names;
}

uint64_t ctl_fetch_asker(struct sv_str tenant)
{
    return sv_hash_seeded(tenant.ptr ? tenant.ptr : "", tenant.len, 0) | 1;
}

/* An address that the operator allows counts only where the function's grant names it, too. */
static size_t name_private(const struct ctl_server *server, const struct out_rule *granted,
                           size_t n, struct out_rule *ret)
{
    size_t named = 0;

    for (size_t i = 0; i < n; i++) {
        if (granted[i].any || granted[i].subdomains)
            continue;
        if (named < PRIVATE_MAX && ctl_fetch_covers(server, &granted[i]))
            ret[named++] = granted[i];
    }
    return named;
}

int ctl_fetch_run(struct ctl_server *server, struct sv_err *err, const struct ctl_fetch_request *r,
                  struct plat_message *ret)
{
    struct ctl_fetches *f = server->fetches;
    uint64_t ms = r->timeout_ms > 0 && r->timeout_ms < OUT_TIME_MAX_MS ? r->timeout_ms : TIMEOUT_MS;
    struct out_request request = {.method = r->method,
                                  .url = r->url,
                                  .fields = r->fields,
                                  .body = r->body,
                                  .deadline_ns = sv_clock_ns() + ms * NS_PER_MS,
                                  .stopped = r->cancelled ? is_cancelled : NULL,
                                  .data = (void *)r->cancelled,
                                  .asker = ctl_fetch_asker(sv_str_of(r->tenant))};
    struct out_rule *rules = NULL, private[PRIVATE_MAX];
    struct out_sink sink = {put_field, put_body, NULL};
    struct out_rules all = {.private = private};
    struct gather g;
    unsigned place;
    int status = 0, result = enter(f, err, sv_str_of(r->tenant), &place);

    if (result < 0)
        return result;
    sv_buf_init(&g.fields, OUT_FIELDS_MAX);
    sv_buf_init(&g.body, CTL_FETCH_BODY_MAX);
    sink.data = &g;
    result = read_rules(err, r, &rules);
    if (result == 0) {
        all.hosts = rules;
        all.nhosts = r->nallow;
        all.nprivate = name_private(server, rules, r->nallow, private);
        result = out_fetch(err, &all, &request, &sink, &status);
    }
    if (result == 0) {
        plat_put_u64(ret, PLAT_TAG_STATUS, (uint64_t)status);
        plat_put(ret, PLAT_TAG_FIELDS, g.fields.data, g.fields.len);
        plat_put(ret, PLAT_TAG_BODY, g.body.data, g.body.len);
    }
    sv_free(rules);
    sv_buf_release(&g.fields);
    sv_buf_release(&g.body);
    leave(f, place);
    return result;
}

int ctl_fetch(struct ctl_server *server, struct sv_err *err, struct plat_message *m,
              struct plat_message *ret)
{
    struct ctl_fetch_request r = {.method = plat_get(m, PLAT_TAG_METHOD),
                                  .url = plat_get(m, PLAT_TAG_URL),
                                  .fields = plat_get(m, PLAT_TAG_FIELDS),
                                  .body = plat_get(m, PLAT_TAG_BODY),
                                  .cancelled = m};
    char *tenant = plat_get_text(m, PLAT_TAG_TENANT);
    struct sv_str allow[OUT_RULES_MAX];
    size_t at = 0;
    int result;

    (void)plat_get_u64(m, PLAT_TAG_TIMEOUT_MS, &r.timeout_ms);
    for (; r.nallow < OUT_RULES_MAX; r.nallow++) {
        allow[r.nallow] = plat_get_next(m, PLAT_TAG_ALLOW, &at);
        if (!allow[r.nallow].ptr)
            break;
    }
    r.allow = allow;
    r.tenant = tenant;
    result = tenant ? ctl_fetch_run(server, err, &r, ret)
                    : sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a request of nobody's");
    sv_free(tenant);
    return result;
}

/* ---- The part ---- */

int ctl_fetch_start(struct ctl_server *server, struct sv_err *err)
{
    char *list = ctl_setting(server, "allow-private"), *save = NULL;
    struct ctl_fetches *f = sv_alloc_zero(sizeof *f);
    int r = 0;

    if (!f) {
        sv_free(list);
        return sv_fail_nomem(err, "requests to other servers");
    }
    pthread_mutex_init(&f->lock, NULL);
    server->fetches = f;
    f->names = out_names_new();
    if (!f->names)
        r = sv_fail_nomem(err, "requests to other servers");
    if (list && strcmp(list, "none") != 0) {
        for (char *one = strtok_r(list, ", ", &save); one && r == 0;
             one = strtok_r(NULL, ", ", &save)) {
            r = f->nprivate < PRIVATE_MAX
                    ? out_rule_parse(err, sv_str_of(one), &f->private[f->nprivate++])
                    : sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                              "allow-private has more than %d entries", PRIVATE_MAX);
        }
    }
    sv_free(list);
    return r < 0 ? r : out_init(err);
}

void ctl_fetch_stop(struct ctl_server *server)
{
    if (server->fetches)
        out_names_delete(server->fetches->names);
    sv_free(server->fetches);
    server->fetches = NULL;
}
