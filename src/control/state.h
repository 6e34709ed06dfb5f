/* What functions keep, asked for by workers over the channel: keys and values, SQL, secrets, and
 * the store of /api that forgets. Each handler answers a KIND of message.def; its request and its
 * answer are described here.
 *
 * All requests: TENANT (text). A worker says whose request it runs; which of these a function may
 * use at all (its grants) is checked there, before it asks. All answers: STATUS (number): 200 done,
 * 404 there is no such key, 409 not as was expected. What is wrong otherwise is an error
 * (plat_take_error): SV_EUSAGE what was asked makes no sense, SV_ELIMIT too large or over the
 * tenant's quota, SV_EIO the database does not work now.
 *
 * Numbers are those of plat_put_u64; where they may be negative, in two's complement. */
#ifndef CONTROL_STATE_H
#define CONTROL_STATE_H

#include "control/control.h"

#define CTL_KV_KEY_MAX 1024
#define CTL_KV_VALUE_MAX (4U << 20)
#define CTL_KV_LIST_MAX 1000
#define CTL_KV_LIST_BYTES (16U << 20)     /* of one answer to "list" */
#define CTL_STORAGE_DEFAULT (64ULL << 20) /* bytes of a tenant without a limit of its own */
#define CTL_SQL_STATEMENTS_MAX 64         /* of one request */
#define CTL_SQL_TEXT_MAX (1U << 20)
#define CTL_SQL_PARAMS_MAX 1000
#define CTL_SQL_ROWS_MAX 100000
#define CTL_SQL_RESULT_MAX (16U << 20)
#define CTL_SQL_TIMEOUT_MS 5000 /* unless said */
#define CTL_SQL_TIMEOUT_MAX_MS 60000
#define CTL_EPHEMERAL_TTL_MS 3600000
#define CTL_EPHEMERAL_VALUE_MAX (4U << 20)

/* clang-format off */
/* KV. OP is a word; keys and values are bytes.
 *
 *   get        KEY  -> VALUE, NUMBER = its version; or 404
 *   set        KEY VALUE [TTL_MS] [LIMIT]  -> NUMBER = its new version
 *   cas        KEY VALUE NUMBER [TTL_MS] [LIMIT]: only if its version is NUMBER (0: only if there is no
 *              such key)  -> NUMBER = its new version; or 409, NUMBER = that it has, 0 = no such key
 *   cas        KEY VALUE OLD ...: likewise, only if its value is OLD
 *   delete     KEY [NUMBER: only that version]  -> nothing; or 404; or 409 as above
 *   increment  KEY [NUMBER = what to add, signed; absent: 1] [TTL_MS] [LIMIT]  -> NUMBER = the sum. The
 *              value is decimal digits of 64 bits; none is 0. A sum that does not fit, or a value that
 *              is no number: SV_EUSAGE
 *   list       [KEY = prefix] [OLD = cursor] [COUNT, at most CTL_KV_LIST_MAX] [TEXT: with values]
 *              -> KEY, NUMBER (version) and, if asked, VALUE for each, in the order of bytes; OLD =
 *              cursor for the next call, absent at the end
 *
 * TTL_MS: it is gone so many milliseconds from now; 0 or absent: it stays. `increment` leaves the time
 * that a key has, unless TTL_MS is given. LIMIT: of the function, in bytes that its tenant may keep
 * (limits.storage); it and the tenant's own limit both hold. A version is never used again, not even
 * after a delete. */
/* clang-format on */
int ctl_state_kv(struct ctl_server *, struct sv_err *, struct plat_message *request,
                 struct plat_message *ret);

/* clang-format off */
/* SQL on the tenant's own database. The statements of one request are one transaction: all or nothing.
 *
 *   TEXT, for each statement: one, without BEGIN and the like; parameters are $1, $2, ...
 *   NUMBER, for each statement: how many of VALUE are its parameters; absent: all are the first's
 *   VALUE, for each parameter: a cell (below)
 *   [TIMEOUT_MS] [LIMIT = bytes of storage, as above] [COUNT = rows at most, of all statements: more is SV_ELIMIT]
 *   -> BODY, for each statement:
 *        u32 columns; of each: u32 length, bytes of its name
 *        u32 rows; of each: its cells
 *        i64 rows that were changed, i64 rowid of the last insert (0 with PostgreSQL)
 *   A cell: u8 type, then: 'n' nothing; 'i' i64; 'f' f64; 't' u32 length, UTF-8; 'b' u32 length, bytes.
 *   In VALUE, 't' and 'b' have no length: the rest of it is meant. All little-endian.
 *
 * SV_EGUEST: the statement is wrong, or broke a constraint; the text is the database's. */
/* clang-format on */
int ctl_state_sql(struct ctl_server *, struct sv_err *, struct plat_message *request,
                  struct plat_message *ret);

/* All that the tenant has in its database is gone; it may have none. */
int ctl_state_sql_drop(struct ctl_server *, struct sv_err *, const char *tenant);

/* NAME -> VALUE, or 404. */
int ctl_state_secret(struct ctl_server *, struct sv_err *, struct plat_message *request,
                     struct plat_message *ret);

/* The store of /api/ephemeral_storage: a key lives for TTL_MS (absent: an hour) after it was last
 * put.
 *
 *   put     VALUE [KEY: one that is there; absent: a new one is made] [TTL_MS]
 *           -> KEY; or 404 for a key that was given and is not there
 *   get     KEY -> VALUE; or 404
 *   delete  KEY -> KEY; or 404 */
int ctl_state_ephemeral(struct ctl_server *, struct sv_err *, struct plat_message *request,
                        struct plat_message *ret);

/* Forgets what has expired; control runs it every minute. */
void ctl_state_sweep(struct ctl_server *, void *unused);

#endif
