/* Asking control for a function that runs. */
#include "serve/session.h"

#include "serve/link.h"
#include "serve/loop.h"
#include "serve/registry.h"

bool srv_session_init(struct srv_session *s, const struct srv_session_kind *kind, void *store_data)
{
    if (!store_data)
        return false;
    *s = (struct srv_session){.kind = kind, .conn = store_data};
    s->deadline_ns = srv_pool_guest_deadline(s->conn);
    return true;
}

int srv_session_open(const struct srv_session_kind *kind, void *store_data, own void **ret)
{
    struct srv_session *s = sv_alloc(sizeof *s);
    int r = !s ? kind->nomem : srv_session_init(s, kind, store_data) ? 0 : kind->denied;

    if (r == 0)
        *ret = s;
    else
        sv_free(s);
    return r;
}

void srv_session_close(own void *session)
{
    sv_free(session);
}

struct srv_request *srv_session_request(const struct srv_session *s)
{
    return &s->conn->work->request;
}

uint64_t srv_session_deadline(const struct srv_session *s, uint64_t deadline_ns)
{
    return deadline_ns < s->deadline_ns ? deadline_ns : s->deadline_ns;
}

void srv_session_part(const struct srv_session *s)
{
    uint64_t ticket = srv_session_request(s)->ticket;

    if (ticket)
        (void)srv_pool_part(&s->conn->loop->server->pool, s->conn->loop, ticket);
}

/* Where grants go. */
struct putting {
    struct plat_message *m;
    enum plat_tag tag;
};

static void put_grant(void *data, const char *rest)
{
    const struct putting *p = data;

    plat_put_str(p->m, p->tag, rest);
}

void srv_session_put_grants(const struct srv_session *s, struct plat_message *m, const char *word,
                            enum plat_tag tag)
{
    struct putting p = {m, tag};

    srv_registry_grants(srv_session_request(s), word, put_grant, &p);
}

static int code_of(const struct srv_session_kind *kind, int error)
{
    for (unsigned i = 0; i < SRV_SAID_MAX && kind->said[i].error; i++)
        if (kind->said[i].error == error)
            return kind->said[i].code;
    return error == SV_ENOMEM ? kind->nomem : kind->other;
}

int srv_session_ask(const struct srv_session *s, struct sv_err *err, own struct plat_message *m,
                    uint64_t deadline_ns, own struct plat_message *ret)
{
    uint64_t until = srv_session_deadline(s, deadline_ns), most = srv_clock_ns();
    int r;

    if (s->kind->most_ns && until > most + s->kind->most_ns)
        until = most + s->kind->most_ns;
    until += s->kind->patience_ns;
    r = m->values.failed ? sv_fail_nomem(err, "a message")
                         : srv_link_call_of(s->conn->loop->server, err, m, until,
                                            srv_session_request(s)->guest, ret);
    plat_message_release(m);
    if (r == 0)
        return 0;
    return r == SV_EEXIT || srv_clock_ns() >= until ? s->kind->late : code_of(s->kind, r);
}
