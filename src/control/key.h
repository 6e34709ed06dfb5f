/* The key of this node, DATA/key, of which all others are made; and tokens. The key is in no
 * database: nodes that share one have the same file, copied there by who runs them. */
#ifndef CONTROL_KEY_H
#define CONTROL_KEY_H

#include "base/err.h"
#include "base/sha256.h"
#include "base/str.h"

#define CTL_KEY_LEN 32
#define CTL_TOKEN_TEXT 49 /* "ssvm_", 43 characters, NUL */
#define CTL_UUID_TEXT 37

/* Read `name` ("key") of the data folder, which must be of its owner and for nobody else; with
 * `make` it is made where it is missing. */
int ctl_key_load(struct sv_err *, int data_fd, const char *name, bool make,
                 uint8_t ret[CTL_KEY_LEN]);
/* Make `name` anew, durably; SV_EUSAGE when it is there. */
int ctl_key_make(struct sv_err *, int data_fd, const char *name, uint8_t ret[CTL_KEY_LEN]);
/* A key for one purpose. */
void ctl_key_derive(const uint8_t key[CTL_KEY_LEN], const char *purpose, uint8_t ret[CTL_KEY_LEN]);

/* Bytes that nobody can guess. */
int ctl_random(struct sv_err *, void *ret, size_t len);
/* A random UUID: usage keys and admin keys of functions. */
int ctl_uuid_new(struct sv_err *, char ret[CTL_UUID_TEXT]);
/* A new token, and what of it is kept. */
int ctl_token_make(struct sv_err *, char ret[CTL_TOKEN_TEXT], uint8_t ret_digest[SV_SHA256_LEN]);
void ctl_token_digest(struct sv_str token, uint8_t ret[SV_SHA256_LEN]);

#endif
