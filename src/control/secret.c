/* Secrets at rest. Who may read which is not decided here. */
#include "control/secret.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/key.h"

#define NONCE_LEN 12
#define TAG_LEN 16
#define CHECK_TEXT (2 * CTL_KEY_LEN + 1)

/* What one secret is: its place, and it. */
struct secret {
    const uint8_t *key; /* of the node */
    const char *tenant;
    struct sv_str name, value;
    uint8_t nonce[NONCE_LEN];
    struct sv_buf sealed; /* encrypted, and the tag */
};

static bool cipher_start(EVP_CIPHER_CTX *c, const struct secret *s, bool encrypt)
{
    uint8_t key[CTL_KEY_LEN];
    int len;
    bool good;

    ctl_key_derive(s->key, "secrets", key);
    good = EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, s->nonce, encrypt) == 1 &&
           EVP_CipherUpdate(c, NULL, &len, (const uint8_t *)s->tenant,
                            (int)strlen(s->tenant) + 1) == 1 &&
           EVP_CipherUpdate(c, NULL, &len, (const uint8_t *)s->name.ptr, (int)s->name.len) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return good;
}

static int seal(struct sv_err *err, struct secret *s)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int r = ctl_random(err, s->nonce, sizeof s->nonce), len = 0, rest = 0;
    bool good;

    sv_buf_init(&s->sealed, CTL_SECRET_VALUE_MAX + TAG_LEN);
    good = c && sv_buf_reserve(&s->sealed, s->value.len + TAG_LEN) && r == 0 &&
           cipher_start(c, s, true) &&
           EVP_CipherUpdate(c, s->sealed.data, &len, (const uint8_t *)s->value.ptr,
                            (int)s->value.len) == 1 &&
           EVP_CipherFinal_ex(c, s->sealed.data + len, &rest) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_LEN, s->sealed.data + len) == 1;
    s->sealed.len = good ? (size_t)len + TAG_LEN : 0;
    EVP_CIPHER_CTX_free(c);
    if (r < 0)
        return r;
    return good ? 0 : sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "the secret cannot be encrypted");
}

/* Append what `sealed` was. */
static int unseal(struct sv_err *err, const struct secret *s, struct sv_str sealed,
                  struct sv_buf *ret)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    size_t n = sealed.len < TAG_LEN ? 0 : sealed.len - TAG_LEN;
    uint8_t tag[TAG_LEN];
    int len = 0, rest = 0;
    bool good = c && sealed.len >= TAG_LEN && sv_buf_reserve(ret, n + 1);

    if (good) {
        memcpy(tag, sealed.ptr + n, TAG_LEN);
        good = cipher_start(c, s, false) &&
               EVP_CipherUpdate(c, ret->data + ret->len, &len, (const uint8_t *)sealed.ptr,
                                (int)n) == 1 &&
               EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
               EVP_CipherFinal_ex(c, ret->data + ret->len + len, &rest) == 1;
    }
    EVP_CIPHER_CTX_free(c);
    if (!good)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "secret '%.*s' was encrypted with another key, or is damaged",
                       (int)s->name.len, s->name.ptr);
    ret->len += n;
    return 0;
}

static int write_secret(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct secret *s = data;

    return ctl_sql_run(
        sql, err,
        "insert into secrets (tenant, name, nonce, ciphertext, created_ms) values "
        "($1, $2, $3, $4, $5) on conflict (tenant, name) do update set nonce = "
        "excluded.nonce, ciphertext = excluded.ciphertext, created_ms = "
        "excluded.created_ms",
        CTL_PARAMS(CTL_TEXT(s->tenant), CTL_STR(s->name), CTL_BLOB(s->nonce, NONCE_LEN),
                   CTL_BLOB(s->sealed.data, s->sealed.len), CTL_INT(sv_clock_wall_ms())));
}

int ctl_secret_set(struct ctl_server *server, struct sv_err *err, const char *tenant,
                   struct sv_str name, struct sv_str value)
{
    struct secret s = {.key = server->key, .tenant = tenant, .name = name, .value = value};
    int r;

    if (name.len == 0 || name.len > CTL_SECRET_NAME_MAX || !sv_utf8_valid(name.ptr, name.len) ||
        memchr(name.ptr, '\0', name.len))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a secret's name is text of 1 to %d bytes",
                       CTL_SECRET_NAME_MAX);
    if (value.len > CTL_SECRET_VALUE_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "a secret has at most %d bytes",
                       CTL_SECRET_VALUE_MAX);
    r = seal(err, &s);
    if (r == 0)
        r = ctl_db_write(server->db, err, write_secret, &s);
    sv_buf_release(&s.sealed);
    return r;
}

struct lookup {
    struct secret secret;
    struct sv_buf *ret;
    size_t len; /* of *ret before */
};

static int read_secret(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct lookup *l = data;
    struct sv_str nonce;
    int r = ctl_sql_run(sql, err,
                        "select nonce, ciphertext from secrets where tenant = $1 and name = $2",
                        CTL_PARAMS(CTL_TEXT(l->secret.tenant), CTL_STR(l->secret.name)));

    l->ret->len = l->len;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    if (r == 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no secret '%.*s'",
                       (int)l->secret.name.len, l->secret.name.ptr);
    nonce = ctl_sql_str(sql, 0);
    if (nonce.len == NONCE_LEN)
        memcpy(l->secret.nonce, nonce.ptr, NONCE_LEN);
    return unseal(err, &l->secret, ctl_sql_str(sql, 1), l->ret);
}

int ctl_secret_get(struct ctl_server *server, struct sv_err *err, const char *tenant,
                   struct sv_str name, struct sv_buf *ret)
{
    struct lookup l = {
        .secret = {.key = server->key, .tenant = tenant, .name = name},
        .ret = ret,
        .len = ret->len,
    };

    return ctl_db_read(server->db, err, read_secret, &l);
}

static int delete_secret(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct secret *s = data;
    int r = ctl_sql_run(sql, err, "delete from secrets where tenant = $1 and name = $2",
                        CTL_PARAMS(CTL_TEXT(s->tenant), CTL_STR(s->name)));

    if (r == 0 && ctl_sql_changes(sql) == 0)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no secret '%.*s'", (int)s->name.len,
                    s->name.ptr);
    return r;
}

int ctl_secret_delete(struct ctl_server *server, struct sv_err *err, const char *tenant,
                      struct sv_str name)
{
    struct secret s = {.tenant = tenant, .name = name};

    return ctl_db_write(server->db, err, delete_secret, &s);
}

struct listing {
    const char *tenant;
    int (*fn)(void *data, struct sv_str name, int64_t created_ms);
    void *data;
};

static int list_secrets(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct listing *l = data;
    int r = ctl_sql_run(sql, err,
                        "select name, created_ms from secrets where tenant = $1 order by name",
                        CTL_PARAMS(CTL_TEXT(l->tenant)));

    while (r >= 0 && (r = ctl_sql_next(sql, err)) > 0)
        r = l->fn(l->data, ctl_sql_str(sql, 0), ctl_sql_int(sql, 1));
    return r;
}

int ctl_secret_list(struct ctl_server *server, struct sv_err *err, const char *tenant,
                    int (*fn)(void *data, struct sv_str name, int64_t created_ms), void *data)
{
    struct listing l = {tenant, fn, data};

    return ctl_db_read(server->db, err, list_secrets, &l);
}

/* What the database knows of the key: not enough to find it. */
static void key_check(const uint8_t key[CTL_KEY_LEN], char ret[CHECK_TEXT])
{
    uint8_t mac[CTL_KEY_LEN];

    ctl_key_derive(key, "check", mac);
    for (unsigned i = 0; i < sizeof mac; i++)
        snprintf(ret + (size_t)2 * i, 3, "%02x", mac[i]);
}

struct check {
    bool shared;
    char mine[CHECK_TEXT], others[CHECK_TEXT];
};

static int write_check(struct ctl_sql *sql, struct sv_err *err, const char *check)
{
    return ctl_sql_run(
        sql, err,
        "insert into meta (key, value) values ('key_check', $1) on conflict (key) do "
        "update set value = excluded.value",
        CTL_PARAMS(CTL_TEXT(check)));
}

/* The first key that comes is the database's; one that is lost may be another as long as there is
 * nothing that needs it. */
static int agree(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct check *c = data;
    struct sv_str text;
    int r = ctl_sql_run(sql, err, "select value from meta where key = 'key_check'", CTL_NO_PARAMS);

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    text = ctl_sql_str(sql, 0);
    snprintf(c->others, sizeof c->others, "%.*s", (int)text.len, text.len ? text.ptr : "");
    if (strcmp(c->others, c->mine) == 0)
        return 0;
    if (r && !c->shared) {
        r = ctl_sql_run(sql, err, "select 1 from secrets limit 1", CTL_NO_PARAMS);
        if (r == 0)
            r = ctl_sql_next(sql, err);
    }
    if (r != 0)
        return r < 0 ? r : 0;
    memcpy(c->others, c->mine, sizeof c->others);
    return write_check(sql, err, c->mine);
}

/* 1: they agree already. */
static int do_agree(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct check *c = data;
    int r = ctl_sql_run(sql, err, "select value from meta where key = 'key_check'", CTL_NO_PARAMS);

    if (r == 0)
        r = ctl_sql_next(sql, err);
    return r <= 0 ? r : sv_str_eq(ctl_sql_str(sql, 0), sv_str_of(c->mine));
}

int ctl_secret_check(struct ctl_server *server, struct sv_err *err)
{
    struct check c = {.shared = ctl_db_is_shared(server->db)};
    uint8_t fresh[CTL_KEY_LEN];
    char check[CHECK_TEXT];
    int r;

    key_check(server->key, c.mine);
    r = ctl_db_read(server->db, err, do_agree, &c);
    if (r > 0)
        memcpy(c.others, c.mine, sizeof c.others);
    else if (r == 0)
        r = ctl_db_write(server->db, err, agree, &c);
    if (r < 0)
        return r;
    if (strcmp(c.others, c.mine) == 0) {
        unlinkat(server->data_fd, "key.new", 0); /* of a rotation that did not happen */
        return 0;
    }
    if (ctl_key_load(NULL, server->data_fd, "key.new", false, fresh) == 0) {
        key_check(fresh, check);
        if (strcmp(check, c.others) == 0 &&
            renameat(server->data_fd, "key.new", server->data_fd, "key") == 0 &&
            fsync(server->data_fd) == 0) {
            memcpy(server->key, fresh, sizeof fresh);
            return 0;
        }
    }
    return sv_fail(
        err, SV_EUSAGE, SV_NO_OFFSET,
        "the database's secrets were encrypted with another key than '%s/key': copy that "
        "of another node, or of the backup",
        server->data);
}

struct rotation {
    const uint8_t *old, *fresh;
};

/* The next secret in order after (tenant, name), decrypted. 1: there was one. */
static int next_secret(struct ctl_sql *sql, struct sv_err *err, const struct rotation *rotation,
                       char **tenant, char **name, struct sv_buf *value)
{
    struct secret s = {.key = rotation->old};
    struct sv_str nonce;
    int r = ctl_sql_run(sql, err,
                        "select tenant, name, nonce, ciphertext from secrets where tenant > $1 or "
                        "(tenant = $1 and name > $2) order by tenant, name limit 1",
                        CTL_PARAMS(CTL_TEXT(*tenant), CTL_TEXT(*name)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    sv_free(*tenant);
    sv_free(*name);
    *tenant = ctl_sql_text(sql, 0);
    *name = ctl_sql_text(sql, 1);
    if (!*tenant || !*name)
        return sv_fail_nomem(err, "a secret");
    s.tenant = *tenant;
    s.name = sv_str_of(*name);
    nonce = ctl_sql_str(sql, 2);
    if (nonce.len == NONCE_LEN)
        memcpy(s.nonce, nonce.ptr, NONCE_LEN);
    sv_buf_clear(value);
    r = unseal(err, &s, ctl_sql_str(sql, 3), value);
    return r < 0 ? r : 1;
}

static int encrypt_anew(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct rotation *rotation = data;
    char *tenant = sv_strdup(""), *name = sv_strdup(""), check[CHECK_TEXT];
    struct sv_buf value;
    int r = tenant && name ? 0 : sv_fail_nomem(err, "a secret");

    sv_buf_init(&value, CTL_SECRET_VALUE_MAX + 1);
    while (r >= 0 && (r = next_secret(sql, err, rotation, &tenant, &name, &value)) > 0) {
        struct secret s = {
            .key = rotation->fresh,
            .tenant = tenant,
            .name = sv_str_of(name),
            .value = {(const char *)value.data, value.len},
        };

        r = seal(err, &s);
        if (r == 0)
            r = write_secret(sql, err, &s);
        sv_buf_release(&s.sealed);
    }
    if (value.data)
        OPENSSL_cleanse(value.data, value.cap);
    sv_buf_release(&value);
    sv_free(tenant);
    sv_free(name);
    key_check(rotation->fresh, check);
    return r < 0 ? r : write_check(sql, err, check);
}

int ctl_secret_rotate(struct ctl_server *server, struct sv_err *err)
{
    uint8_t fresh[CTL_KEY_LEN];
    struct rotation rotation = {server->key, fresh};
    int r = ctl_secret_check(server, err);

    if (r == 0)
        r = ctl_key_make(err, server->data_fd, "key.new", fresh);
    if (r == 0)
        r = ctl_db_write(server->db, err, encrypt_anew, &rotation);
    return r < 0 ? r : ctl_secret_check(server, err); /* puts the new key in place */
}
