/* Tokens of the admin interfaces: who holds one may do what its scopes say, for one tenant or for
 * all (CTL_ALL_TENANTS). The database has SHA-256 of the secret alone: 256 random bits need no slow
 * hash. Who guesses from one address is made to wait (throttle.h). */
#ifndef CONTROL_TOKEN_H
#define CONTROL_TOKEN_H

#include <jansson.h>

#include "control/control.h"
#include "control/key.h"

#define CTL_TOKEN_GRACE_S 3600 /* of a secret that was replaced */
#define CTL_TOKENS_MAX 1000    /* of a tenant */

struct ctl_token {
    int64_t id;
    unsigned scopes; /* bits 1 << enum ctl_scope */
    char tenant[64 + 1];
};

enum ctl_token_result {
    CTL_TOKEN_GOOD,
    CTL_TOKEN_BAD,    /* unknown, expired, revoked */
    CTL_TOKEN_WAIT,   /* too many bad ones came from this address */
    CTL_TOKEN_FAILED, /* the database does not work now: err says it */
};

/* Look a secret up that came from `peer`. */
enum ctl_token_result ctl_token_check(struct ctl_server *, struct sv_err *, struct sv_str secret,
                                      const char *peer, struct ctl_token *ret);
/* A new one; its secret goes into `ret` (CTL_TOKEN_TEXT bytes). expires_ms: 0 = never.
 * SV_ELIMIT: the tenant has too many. SV_ENOTFOUND: there is no such tenant. */
int ctl_token_add(struct ctl_server *, struct sv_err *, const char *tenant, const char *name,
                  unsigned scopes, int64_t expires_ms, char *ret, int64_t *ret_id);
/* A new secret with what the token `id` may do; the old one ends after grace_ms. SV_ENOTFOUND. */
int ctl_token_rotate(struct ctl_server *, struct sv_err *, const char *tenant, int64_t id,
                     int64_t grace_ms, char *ret, int64_t *ret_id, int64_t *ret_expires_ms);
int ctl_token_revoke(struct ctl_server *, struct sv_err *, const char *tenant, int64_t id);
/* An array of the shape Token. */
int ctl_token_list(struct ctl_server *, struct sv_err *, const char *tenant, own json_t **ret);
/* If there is no token of an operator that is good: make one, print it, and write it to
 * DATA/admin-token. */
int ctl_token_first(struct ctl_server *, struct sv_err *);

/* "read,state" as bits, from an array of words; the words of bits. */
unsigned ctl_scopes_read(const json_t *words);
own json_t *ctl_scopes_json(unsigned scopes);

#endif
