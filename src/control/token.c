/* Tokens: made, looked up, replaced, revoked. See token.h. */
#include "control/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/api.h"
#include "control/key.h"
#include "control/shape.h"
#include "control/throttle.h"

#define SCOPES_TEXT_MAX 64
#define FILE_NAME "admin-token"
#define ALL_SCOPES (1U << CTL_SCOPE_ADMIN)

static const char *const words[CTL_SCOPE_COUNT] = {
    [CTL_SCOPE_READ] = "read",   [CTL_SCOPE_INVOKE] = "invoke", [CTL_SCOPE_DEPLOY] = "deploy",
    [CTL_SCOPE_STATE] = "state", [CTL_SCOPE_ADMIN] = "admin",
};

/* ---- Scopes ---- */

static unsigned scope_bit(struct sv_str word)
{
    for (unsigned i = 0; i < CTL_SCOPE_COUNT; i++) {
        if (words[i] && sv_str_eq(word, sv_str_of(words[i])))
            return 1U << i;
    }
    return 0;
}

unsigned ctl_scopes_read(const json_t *array)
{
    unsigned scopes = 0;

    for (size_t i = 0; i < json_array_size(array); i++)
        scopes |= scope_bit(sv_str_of(json_string_value(json_array_get(array, i))));
    return scopes;
}

own json_t *ctl_scopes_json(unsigned scopes)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < CTL_SCOPE_COUNT; i++) {
        if (words[i] && scopes & 1U << i)
            json_array_append_new(array, json_string(words[i]));
    }
    return array;
}

/* As the database has them: "read,state". */
static void write_scopes(unsigned scopes, char ret[SCOPES_TEXT_MAX])
{
    size_t n = 0;

    ret[0] = '\0';
    for (unsigned i = 0; i < CTL_SCOPE_COUNT; i++) {
        if (words[i] && scopes & 1U << i)
            n += (size_t)snprintf(ret + n, SCOPES_TEXT_MAX - n, "%s%s", n ? "," : "", words[i]);
    }
}

static unsigned parse_scopes(struct sv_str text)
{
    unsigned scopes = 0;

    while (text.len > 0) {
        const char *comma = memchr(text.ptr, ',', text.len);
        size_t n = comma ? (size_t)(comma - text.ptr) : text.len;

        scopes |= scope_bit((struct sv_str){text.ptr, n});
        n += comma != NULL;
        text.ptr += n;
        text.len -= n;
    }
    return scopes;
}

/* ---- Looking up ---- */

struct lookup {
    uint8_t digest[SV_SHA256_LEN];
    int64_t now;
    bool found;
    struct ctl_token token;
};

/* The index finds by the digest of a secret: what its time tells is of the digest, which nobody can
 * choose. */
static int read_token(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct lookup *lookup = data;
    struct sv_str digest, tenant;
    int r = ctl_sql_run(sql, err,
                        "select id, tenant, scopes, digest from tokens where digest = $1 and "
                        "(expires_ms is null or expires_ms > $2)",
                        CTL_PARAMS(CTL_BLOB(lookup->digest, SV_SHA256_LEN), CTL_INT(lookup->now)));

    lookup->found = false;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    digest = ctl_sql_str(sql, 3);
    tenant = ctl_sql_str(sql, 1);
    /* What is no text names nobody. */
    if (!tenant.ptr || digest.len != SV_SHA256_LEN ||
        !sv_secret_eq(digest.ptr, lookup->digest, SV_SHA256_LEN) ||
        tenant.len >= sizeof lookup->token.tenant)
        return 0;
    lookup->found = true;
    lookup->token.id = ctl_sql_int(sql, 0);
    lookup->token.scopes = parse_scopes(ctl_sql_str(sql, 2));
    memcpy(lookup->token.tenant, tenant.ptr, tenant.len);
    lookup->token.tenant[tenant.len] = '\0';
    return 0;
}

enum ctl_token_result ctl_token_check(struct ctl_server *server, struct sv_err *err,
                                      struct sv_str secret, const char *peer, struct ctl_token *ret)
{
    struct lookup lookup = {.now = sv_clock_wall_ms()};

    ctl_token_digest(secret, lookup.digest);
    if (ctl_throttle_must_wait(peer, lookup.digest))
        return CTL_TOKEN_WAIT;
    if (ctl_db_read(server->db, err, read_token, &lookup) < 0)
        return CTL_TOKEN_FAILED;
    ctl_throttle_note(peer, lookup.digest, lookup.found);
    if (!lookup.found)
        return CTL_TOKEN_BAD;
    *ret = lookup.token;
    return CTL_TOKEN_GOOD;
}

/* ---- Making ---- */

struct change {
    const char *tenant, *name;
    int64_t id, now, expires, grace;
    bool first; /* only if there is no operator's yet */
    uint8_t digest[SV_SHA256_LEN];
    char scopes[SCOPES_TEXT_MAX];
    /* Of the result. */
    int64_t new_id, new_expires;
};

/* A statement whose first row has one number. */
static int get_number(struct ctl_sql *sql, struct sv_err *err, const char *text,
                      const struct ctl_param *params, int64_t *ret)
{
    int r = ctl_sql_run(sql, err, text, params);

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    *ret = r > 0 ? ctl_sql_int(sql, 0) : 0;
    return 0;
}

static int insert_token(struct ctl_sql *sql, struct sv_err *err, struct change *change,
                        const char *name, const char *scopes, int64_t expires)
{
    change->new_expires = expires;
    return get_number(
        sql, err,
        "insert into tokens (tenant, name, digest, scopes, created_ms, expires_ms) values "
        "($1, $2, $3, $4, $5, $6) returning id",
        CTL_PARAMS(CTL_TEXT(change->tenant), CTL_TEXT(name),
                   CTL_BLOB(change->digest, SV_SHA256_LEN), CTL_TEXT(scopes), CTL_INT(change->now),
                   expires ? CTL_INT(expires) : CTL_NULL),
        &change->new_id);
}

static int add_token(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct change *change = data;
    int64_t n = 0, there = 1;
    int r;

    change->new_id = 0;
    r = ctl_sql_run(sql, err,
                    "delete from tokens where tenant = $1 and expires_ms is not null and "
                    "expires_ms <= $2",
                    CTL_PARAMS(CTL_TEXT(change->tenant), CTL_INT(change->now)));
    if (r == 0)
        r = get_number(sql, err, "select count(*) from tokens where tenant = $1",
                       CTL_PARAMS(CTL_TEXT(change->tenant)), &n);
    if (r == 0 && strcmp(change->tenant, CTL_ALL_TENANTS) != 0)
        r = get_number(sql, err, "select count(*) from tenants where name = $1",
                       CTL_PARAMS(CTL_TEXT(change->tenant)), &there);
    if (r < 0)
        return r;
    if (there == 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no tenant '%s'", change->tenant);
    if (change->first && n > 0)
        return 0;
    if (n >= CTL_TOKENS_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "there are %d tokens already", CTL_TOKENS_MAX);
    return insert_token(sql, err, change, change->name, change->scopes, change->expires);
}

int ctl_token_add(struct ctl_server *server, struct sv_err *err, const char *tenant,
                  const char *name, unsigned scopes, int64_t expires_ms, char *ret, int64_t *ret_id)
{
    struct change change = {
        .tenant = tenant, .name = name, .now = sv_clock_wall_ms(), .expires = expires_ms};
    int r = ctl_token_make(err, ret, change.digest);

    write_scopes(scopes, change.scopes);
    if (r == 0)
        r = ctl_db_write(server->db, err, add_token, &change);
    if (r == 0)
        *ret_id = change.new_id;
    return r;
}

static int rotate_token(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct change *change = data;
    char *name = NULL, *scopes = NULL;
    int64_t expires;
    int r = ctl_sql_run(
        sql, err,
        "select name, scopes, expires_ms from tokens where id = $1 and tenant = $2 "
        "and (expires_ms is null or expires_ms > $3)",
        CTL_PARAMS(CTL_INT(change->id), CTL_TEXT(change->tenant), CTL_INT(change->now)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    if (r == 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such token");
    name = ctl_sql_text(sql, 0);
    scopes = ctl_sql_text(sql, 1);
    expires = ctl_sql_int(sql, 2);
    if (!name || !scopes) {
        r = sv_fail_nomem(err, "a token");
        goto done;
    }
    r = ctl_sql_run(sql, err,
                    "update tokens set expires_ms = $1 where id = $2 and (expires_ms is null or "
                    "expires_ms > $1)",
                    CTL_PARAMS(CTL_INT(change->now + change->grace), CTL_INT(change->id)));
    if (r == 0)
        r = insert_token(sql, err, change, name, scopes, expires);
done:
    sv_free(name);
    sv_free(scopes);
    return r;
}

int ctl_token_rotate(struct ctl_server *server, struct sv_err *err, const char *tenant, int64_t id,
                     int64_t grace_ms, char *ret, int64_t *ret_id, int64_t *ret_expires_ms)
{
    struct change change = {
        .tenant = tenant, .id = id, .now = sv_clock_wall_ms(), .grace = grace_ms};
    int r = ctl_token_make(err, ret, change.digest);

    if (r == 0)
        r = ctl_db_write(server->db, err, rotate_token, &change);
    if (r < 0)
        return r;
    *ret_id = change.new_id;
    *ret_expires_ms = change.new_expires;
    return 0;
}

static int delete_token(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct change *change = data;
    int r = ctl_sql_run(sql, err, "delete from tokens where id = $1 and tenant = $2",
                        CTL_PARAMS(CTL_INT(change->id), CTL_TEXT(change->tenant)));

    if (r == 0 && ctl_sql_changes(sql) == 0)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such token");
    return r;
}

int ctl_token_revoke(struct ctl_server *server, struct sv_err *err, const char *tenant, int64_t id)
{
    struct change change = {.tenant = tenant, .id = id};

    return ctl_db_write(server->db, err, delete_token, &change);
}

/* ---- Lists ---- */

struct list {
    const char *tenant;
    int64_t now;
    own json_t *array;
};

static int read_tokens(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct list *list = data;
    int r = ctl_sql_run(sql, err,
                        "select id, name, scopes, created_ms, expires_ms from tokens where "
                        "tenant = $1 and (expires_ms is null or expires_ms > $2) order by id",
                        CTL_PARAMS(CTL_TEXT(list->tenant), CTL_INT(list->now)));

    json_decref(list->array);
    list->array = json_array();
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        char id[24];

        snprintf(id, sizeof id, "%lld", (long long)ctl_sql_int(sql, 0));
        json_array_append_new(
            list->array, json_pack("{s:s,s:o,s:s,s:o,s:o,s:o}", "id", id, "name",
                                   ctl_json_str(ctl_sql_str(sql, 1)), "tenant", list->tenant,
                                   "scopes", ctl_scopes_json(parse_scopes(ctl_sql_str(sql, 2))),
                                   "created", ctl_json_time(ctl_sql_int(sql, 3)), "expires",
                                   ctl_json_time(ctl_sql_int(sql, 4))));
        r = 0;
    }
    return r;
}

int ctl_token_list(struct ctl_server *server, struct sv_err *err, const char *tenant,
                   own json_t **ret)
{
    struct list list = {tenant, sv_clock_wall_ms(), NULL};
    int r = ctl_db_read(server->db, err, read_tokens, &list);

    if (r < 0)
        json_decref(list.array);
    else
        *ret = list.array;
    return r;
}

/* ---- The first ---- */

static int write_file(struct ctl_server *server, struct sv_err *err, const char *secret)
{
    int fd =
        openat(server->data_fd, FILE_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && dprintf(fd, "%s\n", secret) > 0 && fsync(fd) == 0;

    if (fd >= 0 && close(fd) < 0)
        good = false;
    if (!good || renameat(server->data_fd, FILE_NAME ".new", server->data_fd, FILE_NAME) < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write '%s/%s': %s", server->data,
                       FILE_NAME, strerror(errno));
    return 0;
}

static int find_operator(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct change *change = data;

    return get_number(sql, err,
                      "select id from tokens where tenant = $1 and (expires_ms is null or "
                      "expires_ms > $2) limit 1",
                      CTL_PARAMS(CTL_TEXT(change->tenant), CTL_INT(change->now)), &change->id);
}

int ctl_token_first(struct ctl_server *server, struct sv_err *err)
{
    struct change change = {
        .tenant = CTL_ALL_TENANTS, .name = "first", .now = sv_clock_wall_ms(), .first = true};
    char secret[CTL_TOKEN_TEXT];
    int r = ctl_token_make(err, secret, change.digest);

    write_scopes(ALL_SCOPES, change.scopes);
    if (r == 0)
        r = ctl_db_read(server->db, err, find_operator, &change);
    if (r < 0 || change.id != 0)
        return r;
    /* Into the file before it is good: a start that is killed between leaves a file that the next
     * one replaces. */
    r = write_file(server, err, secret);
    if (r == 0)
        r = ctl_db_write(server->db, err, add_token, &change);
    if (r < 0)
        return r;
    if (change.new_id == 0) { /* another node was first */
        unlinkat(server->data_fd, FILE_NAME, 0);
        return 0;
    }
    /* A log that others read is no place for it. */
    if (isatty(STDOUT_FILENO))
        printf("ssvm-serve: admin token, shown this once and kept in '%s/%s': %s\n", server->data,
               FILE_NAME, secret);
    else
        printf("ssvm-serve: the admin token is in '%s/%s'\n", server->data, FILE_NAME);
    fflush(stdout);
    return 0;
}
