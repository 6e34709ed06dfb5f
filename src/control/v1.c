/* /v1: the server itself, and tokens. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/route.h"
#include "control/shape.h"
#include "control/token.h"

/* ---- The server ---- */

int ctl_v1_livez(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)request;
    (void)err;
    return ctl_reply_json(reply, 200, json_pack("{s:s}", "status", "ok"));
}

static int select_one(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select 1", CTL_NO_PARAMS);

    (void)data;
    return r < 0 ? r : ctl_sql_next(sql, err) < 0 ? SV_EIO : 0;
}

int ctl_v1_readyz(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    if (ctl_db_read(request->server->db, err, select_one, NULL) < 0)
        return ctl_reply_error(reply, request, 503, "unavailable", "the database does not work");
    return ctl_reply_json(reply, 200, json_pack("{s:s}", "status", "ok"));
}

int ctl_v1_openapi(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)request;
    (void)err;
    return ctl_reply_json(reply, 200, ctl_openapi_new());
}

int ctl_v1_whoami(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)err;
    return ctl_reply_json(reply, 200,
                          json_pack("{s:s,s:s,s:o}", "token", request->token, "tenant",
                                    request->token_tenant, "scopes",
                                    ctl_scopes_json(request->scopes)));
}

struct question {
    const char *name;
    bool found;
};

static int find_tenant(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct question *question = data;
    int r = ctl_sql_run(sql, err, "select 1 from tenants where name = $1",
                        CTL_PARAMS(CTL_TEXT(question->name)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    question->found = r > 0;
    return r < 0 ? r : 0;
}

int ctl_tenant_exists(struct ctl_server *server, struct sv_err *err, const char *name)
{
    struct question question = {.name = name};
    int r = ctl_db_read(server->db, err, find_tenant, &question);

    return r < 0 ? r : question.found;
}

static int add_default(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(sql, err,
                       "insert into tenants (name, created_ms) values ($1, $2) on conflict (name) "
                       "do nothing",
                       CTL_PARAMS(CTL_TEXT(CTL_DEFAULT_TENANT), CTL_INT(*(int64_t *)data)));
}

int ctl_tenant_default(struct ctl_server *server, struct sv_err *err)
{
    int64_t now = sv_clock_wall_ms();
    int r = ctl_tenant_exists(server, err, CTL_DEFAULT_TENANT);

    /* A start that only reads is quick. */
    return r < 0 ? r : r ? 0 : ctl_db_write(server->db, err, add_default, &now);
}

/* ---- Tokens: a tenant's, and the operators' ---- */

static int list_tokens(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                       const char *tenant)
{
    json_t *tokens = NULL;
    int r = ctl_token_list(request->server, err, tenant, &tokens);

    return r < 0 ? r : ctl_reply_json(reply, 200, json_pack("{s:o}", "tokens", tokens));
}

static int answer_secret(struct ctl_reply *reply, int64_t id, const char *secret, int64_t expires)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)id);
    ctl_reply_field(reply, "Cache-Control", "no-store");
    return ctl_reply_json(
        reply, reply->status,
        json_pack("{s:s,s:s,s:o}", "id", text, "token", secret, "expires", ctl_json_time(expires)));
}

static int new_token(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                     const char *tenant)
{
    const char *name = json_string_value(json_object_get(request->json, "name"));
    unsigned scopes = ctl_scopes_read(json_object_get(request->json, "scopes"));
    json_t *seconds = json_object_get(request->json, "expires_in_s");
    int64_t expires = seconds ? sv_clock_wall_ms() + json_integer_value(seconds) * 1000 : 0, id;
    char secret[CTL_TOKEN_TEXT];
    int r;

    r = ctl_token_add(request->server, err, tenant, name, scopes, expires, secret, &id);
    return r < 0 ? r : answer_secret(reply, id, secret, expires);
}

static int rotate_token(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                        const char *tenant, struct sv_str old)
{
    json_t *grace = json_object_get(request->json, "grace_s");
    int64_t seconds = grace ? json_integer_value(grace) : CTL_TOKEN_GRACE_S, id, expires;
    char secret[CTL_TOKEN_TEXT];
    int r;

    r = ctl_token_rotate(request->server, err, tenant, strtoll(old.ptr, NULL, 10), seconds * 1000,
                         secret, &id, &expires);
    return r < 0 ? r : answer_secret(reply, id, secret, expires);
}

int ctl_v1_tokens_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return list_tokens(request, reply, err, request->tenant);
}

int ctl_v1_tokens_new(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return new_token(request, reply, err, request->tenant);
}

int ctl_v1_tokens_rotate(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return rotate_token(request, reply, err, request->tenant, request->params[1]);
}

int ctl_v1_tokens_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)reply;
    return ctl_token_revoke(request->server, err, request->tenant,
                            strtoll(request->params[1].ptr, NULL, 10));
}

int ctl_v1_operators_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return list_tokens(request, reply, err, CTL_ALL_TENANTS);
}

int ctl_v1_operators_new(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return new_token(request, reply, err, CTL_ALL_TENANTS);
}

int ctl_v1_operators_rotate(struct ctl_request *request, struct ctl_reply *reply,
                            struct sv_err *err)
{
    return rotate_token(request, reply, err, CTL_ALL_TENANTS, request->params[0]);
}

int ctl_v1_operators_delete(struct ctl_request *request, struct ctl_reply *reply,
                            struct sv_err *err)
{
    (void)reply;
    return ctl_token_revoke(request->server, err, CTL_ALL_TENANTS,
                            strtoll(request->params[0].ptr, NULL, 10));
}
