/* State for C guests: keys and values, SQL, secrets, the queue, requests to other servers and calls
 * of other functions (the module ssvm_state). `ssvm run --kv FILE --sql FILE --secret NAME=VALUE
 * --allow-http HOST` grants it, in `ssvm serve` the function's manifest. Header only: compile with
 * clang --target=wasm32-wasi. What each function does is in doc/format/state.md.
 *
 * A result below 0 is a code; ssvm_state_error then tells more. What answers with bytes gives a
 * handle: ssvm_state_read until it returns 0, then ssvm_state_close. */
#ifndef SSVM_STATE_GUEST_H
#define SSVM_STATE_GUEST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define SSVM_STATE_IMPORT(name) __attribute__((import_module("ssvm_state"), import_name(name)))
#else
#define SSVM_STATE_IMPORT(name)
#endif

enum ssvm_state_code {
    SSVM_STATE_ENOENT = -1,    /* there is no such thing */
    SSVM_STATE_EDENIED = -2,   /* it was not granted */
    SSVM_STATE_EINVAL = -3,    /* an argument is wrong */
    SSVM_STATE_EFAULT = -4,    /* a pointer is outside of memory */
    SSVM_STATE_ELIMIT = -5,    /* it is too large, or too many */
    SSVM_STATE_ECONFLICT = -6, /* it has changed meanwhile; a constraint of the database */
    SSVM_STATE_EIO = -7,       /* what is behind it failed */
    SSVM_STATE_ETIME = -8,     /* it took too long */
    SSVM_STATE_EHANDLE = -9,   /* no such handle, or of another kind */
    SSVM_STATE_ENOMEM = -10
};
enum ssvm_state_type {
    SSVM_STATE_NULL = 0,
    SSVM_STATE_INT = 1,
    SSVM_STATE_FLOAT = 2,
    SSVM_STATE_TEXT = 3,
    SSVM_STATE_BLOB = 4
};
#define SSVM_STATE_NO_VALUE UINT32_MAX /* old_len of compare-and-set: there is none yet */

/* ---- Handles ---- */

/* Why the last call failed: copies at most len bytes, returns the whole length. */
SSVM_STATE_IMPORT("error") int32_t ssvm_state_error(char *to, uint32_t len);
/* The next bytes; 0 at the end. */
SSVM_STATE_IMPORT("read") int32_t ssvm_state_read(int32_t handle, void *to, uint32_t len);
SSVM_STATE_IMPORT("size") int64_t ssvm_state_size(int32_t handle); /* bytes in all */
SSVM_STATE_IMPORT("close") int32_t ssvm_state_close(int32_t handle);

/* ---- Keys and values; ttl_ms 0: until it is deleted ---- */

SSVM_STATE_IMPORT("kv_get") int32_t ssvm_kv_get(const void *key, uint32_t key_len); /* handle */
SSVM_STATE_IMPORT("kv_set")
int32_t ssvm_kv_set(const void *key, uint32_t key_len, const void *value, uint32_t value_len,
                    uint64_t ttl_ms);
/* Only if the value is `old`: ECONFLICT. */
SSVM_STATE_IMPORT("kv_cas")
int32_t ssvm_kv_cas(const void *key, uint32_t key_len, const void *old, uint32_t old_len,
                    const void *value, uint32_t value_len, uint64_t ttl_ms);
SSVM_STATE_IMPORT("kv_delete") int32_t ssvm_kv_delete(const void *key, uint32_t key_len);
/* A decimal number, 0 before it is there; the ttl is for one that is made. */
SSVM_STATE_IMPORT("kv_increment")
int32_t ssvm_kv_increment(const void *key, uint32_t key_len, int64_t by, uint64_t ttl_ms,
                          int64_t *ret);
/* Handle of keys, each a uint32_t of its length and its bytes: those with the prefix, behind
 * `after`, at most `limit` (0: 1000). */
SSVM_STATE_IMPORT("kv_list")
int32_t ssvm_kv_list(const void *prefix, uint32_t prefix_len, const void *after, uint32_t after_len,
                     uint32_t limit);

/* ---- SQL. One statement is a transaction; `params` are values, see ssvm_params_*. ---- */

SSVM_STATE_IMPORT("sql_query")
int32_t ssvm_sql_query(const char *text, uint32_t len, const void *params, uint32_t params_len);
SSVM_STATE_IMPORT("sql_next") int32_t ssvm_sql_next(int32_t rows); /* 1: a row; 0: no more */
SSVM_STATE_IMPORT("sql_columns") int32_t ssvm_sql_columns(int32_t rows);
SSVM_STATE_IMPORT("sql_changes") int64_t ssvm_sql_changes(int32_t rows);
SSVM_STATE_IMPORT("sql_name")
int32_t ssvm_sql_name(int32_t rows, uint32_t column, char *to, uint32_t len); /* whole length */
SSVM_STATE_IMPORT("sql_type") int32_t ssvm_sql_type(int32_t rows, uint32_t column);
SSVM_STATE_IMPORT("sql_int") int64_t ssvm_sql_int(int32_t rows, uint32_t column);
SSVM_STATE_IMPORT("sql_float") double ssvm_sql_float(int32_t rows, uint32_t column);
SSVM_STATE_IMPORT("sql_bytes")
int32_t ssvm_sql_bytes(int32_t rows, uint32_t column, void *to, uint32_t len); /* whole length */

/* ---- Secrets, queue, other servers, other functions ---- */

SSVM_STATE_IMPORT("secret_get") int32_t ssvm_secret_get(const char *name, uint32_t len);
/* Have a function called with this body, at least once, `delay_ms` from now; *ret_id tells it from
 * others. */
SSVM_STATE_IMPORT("queue_push")
int32_t ssvm_queue_push(const char *function, uint32_t function_len, const char *path,
                        uint32_t path_len, const void *body, uint32_t body_len, uint64_t delay_ms,
                        int64_t *ret_id);
/* Handle of the answer: its body is read, its status and its fields (a handle) are asked for.
 * `fields` are lines "name: value\r\n". timeout_ms 0: 30 s. */
SSVM_STATE_IMPORT("http_request")
int32_t ssvm_http_request(const char *method, uint32_t method_len, const char *url,
                          uint32_t url_len, const char *fields, uint32_t fields_len,
                          const void *body, uint32_t body_len, uint64_t timeout_ms);
SSVM_STATE_IMPORT("http_status") int32_t ssvm_http_status(int32_t answer);
SSVM_STATE_IMPORT("http_fields") int32_t ssvm_http_fields(int32_t answer);
SSVM_STATE_IMPORT("call")
int32_t ssvm_call(const char *function, uint32_t function_len, const char *method,
                  uint32_t method_len, const char *path, uint32_t path_len, const char *fields,
                  uint32_t fields_len, const void *body, uint32_t body_len, uint64_t timeout_ms);

/* ---- Conveniences ---- */

/* All of a handle, with a NUL behind it, for free(); closes the handle. NULL: out of memory. */
static inline char *ssvm_state_take(int32_t handle, size_t *ret_len)
{
    int64_t size = ssvm_state_size(handle);
    char *p = size >= 0 ? (char *)malloc((size_t)size + 1) : NULL;
    int32_t n = p ? ssvm_state_read(handle, p, (uint32_t)size) : -1;

    ssvm_state_close(handle);
    if (n < 0) {
        free(p);
        return NULL;
    }
    p[n] = '\0';
    if (ret_len)
        *ret_len = (size_t)n;
    return p;
}

/* Parameters of a statement, one after the other in a buffer of the caller's. What does not fit is
 * left out, and `len` says so: it is beyond `cap`. */
struct ssvm_params {
    uint8_t *data;
    uint32_t len, cap;
};
static inline void ssvm_params_put(struct ssvm_params *p, const void *bytes, uint32_t len)
{
    if (p->len <= p->cap && len <= p->cap - p->len && len > 0)
        memcpy(p->data + p->len, bytes, len);
    p->len += len;
}
static inline void ssvm_params_null(struct ssvm_params *p)
{
    ssvm_params_put(p, "\0", 1);
}
static inline void ssvm_params_int(struct ssvm_params *p, int64_t value)
{
    ssvm_params_put(p, "\1", 1);
    ssvm_params_put(p, &value, sizeof value);
}
static inline void ssvm_params_float(struct ssvm_params *p, double value)
{
    ssvm_params_put(p, "\2", 1);
    ssvm_params_put(p, &value, sizeof value);
}
static inline void ssvm_params_text(struct ssvm_params *p, const char *text, uint32_t len)
{
    ssvm_params_put(p, "\3", 1);
    ssvm_params_put(p, &len, sizeof len);
    ssvm_params_put(p, text, len);
}
static inline void ssvm_params_blob(struct ssvm_params *p, const void *bytes, uint32_t len)
{
    ssvm_params_put(p, "\4", 1);
    ssvm_params_put(p, &len, sizeof len);
    ssvm_params_put(p, bytes, len);
}

#ifdef __cplusplus
}
#endif

#endif
