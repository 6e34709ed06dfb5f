/* State for guests: the host module `ssvm_state` (doc/format/state.md) asks a back end, which is a
 * table of functions. The library has none built in but that over files (ssvm_state_files of
 * ssvm.h); the server and embedders bring their own.
 *
 * The module checks every pointer, length and handle of the guest; a back end gets bytes that are
 * the host's for the call. It says no by one of the codes below, which the guest gets as it is. */
#ifndef SSVM_STATE_H
#define SSVM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SSVM_STATE_ABI 1
#define SSVM_STATE_ERROR_MAX 256
/* Keys of the records of `ssvm_native` (doc/format/storage.md): this, then the guest's 32 bytes. */
#define SSVM_STATE_STORAGE_PREFIX "storage/"

/* What a call says when it fails; guests know the numbers. */
#define SSVM_STATE_CODES(C)                                                                        \
    C(ENOENT, -1, "there is no such thing")                                                        \
    C(EDENIED, -2, "it was not granted")                                                           \
    C(EINVAL, -3, "an argument is wrong")                                                          \
    C(EFAULT, -4, "a pointer is outside of the guest's memory")                                    \
    C(ELIMIT, -5, "it is too large, or too many")                                                  \
    C(ECONFLICT, -6, "it has changed meanwhile")                                                   \
    C(EIO, -7, "what is behind it failed")                                                         \
    C(ETIME, -8, "it took too long")                                                               \
    C(EHANDLE, -9, "there is no such handle, or it is of another kind")                            \
    C(ENOMEM, -10, "out of memory")
enum ssvm_state_code {
    SSVM_STATE_OK = 0,
#define SSVM_STATE_CODE(name, number, text) SSVM_STATE_##name = (number),
    SSVM_STATE_CODES(SSVM_STATE_CODE)
#undef SSVM_STATE_CODE
};

typedef struct ssvm_state_bytes {
    const void *ptr;
    size_t len;
} ssvm_state_bytes;

/* Parts of an answer. */
enum ssvm_state_part { SSVM_STATE_BODY, SSVM_STATE_FIELDS, SSVM_STATE_PART_COUNT };

/* One call of a guest, and the answer in the making. */
typedef struct ssvm_state_op {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC: give up then, with ETIME. UINT64_MAX: none */
    /* The guest is to end at once: looked at by whoever waits long. Any thread. */
    bool (*stopped)(const struct ssvm_state_op *);
    /* Append `len` bytes, to be filled in, to a part of the answer; what was appended before may
     * move. NULL: too much, for the code ELIMIT. */
    void *(*room)(struct ssvm_state_op *, enum ssvm_state_part, size_t len);
    int64_t number;                   /* answered, by some */
    char error[SSVM_STATE_ERROR_MAX]; /* why it failed; "": the code's own words */
} ssvm_state_op;

/* A request to another server, or to a function. */
typedef struct ssvm_state_request {
    ssvm_state_bytes function; /* of `call` */
    ssvm_state_bytes method;   /* "GET": a word in capitals */
    ssvm_state_bytes target;   /* URL; path and query behind the function's own, "" or "/..." */
    ssvm_state_bytes fields;   /* lines "name: value\r\n", as they come from the guest */
    ssvm_state_bytes body;
} ssvm_state_request;

/* Each returns 0 or a code. A back end without a function (NULL) cannot grant its part. Threads:
 * one call a session at a time; sessions may be anywhere. */
typedef struct ssvm_state_backend {
    uint32_t abi; /* SSVM_STATE_ABI */
    /* A store's first call. `data`: of the grant; `store_data`: ssvm_store_data. May be NULL: the
     * session is `data`. */
    int (*open)(void *data, void *store_data, void **ret_session);
    void (*close)(void *session); /* with the store; may be NULL */
    void (*release)(void *data);  /* for who made the grant; may be NULL */
    int (*kv_get)(void *session, ssvm_state_op *, ssvm_state_bytes key); /* BODY */
    /* ttl_ms 0: until it is deleted. */
    int (*kv_set)(void *session, ssvm_state_op *, ssvm_state_bytes key, ssvm_state_bytes value,
                  uint64_t ttl_ms);
    /* Only if the value is `old`, or, with NULL, if there is none; else ECONFLICT. */
    int (*kv_cas)(void *session, ssvm_state_op *, ssvm_state_bytes key, const ssvm_state_bytes *old,
                  ssvm_state_bytes value, uint64_t ttl_ms);
    int (*kv_delete)(void *session, ssvm_state_op *, ssvm_state_bytes key); /* ENOENT */
    /* Decimal text, 0 if there is none; number: the sum. The ttl is for one that is made by it. */
    int (*kv_increment)(void *session, ssvm_state_op *, ssvm_state_bytes key, int64_t by,
                        uint64_t ttl_ms);
    /* Keys that begin with `prefix` and come behind `after` in the order of their bytes, at most
     * `limit`: BODY is a u32 of its length and the bytes of each. */
    int (*kv_list)(void *session, ssvm_state_op *, ssvm_state_bytes prefix, ssvm_state_bytes after,
                   uint32_t limit);
    /* One statement, a transaction of its own; `params` are values as below. BODY: u32 columns; u32
     * length and name of each; the rows' values. number: rows that it changed. */
    int (*sql)(void *session, ssvm_state_op *, ssvm_state_bytes text, ssvm_state_bytes params);
    int (*secret)(void *session, ssvm_state_op *, ssvm_state_bytes name); /* BODY */
    /* request: function, target, body. number: the message's id. It is durable when 0 is
     * returned. */
    int (*queue)(void *session, ssvm_state_op *, const ssvm_state_request *, uint64_t delay_ms);
    /* number: the status. FIELDS: lines "name: value\r\n". BODY. */
    int (*http)(void *session, ssvm_state_op *, const ssvm_state_request *);
    int (*call)(void *session, ssvm_state_op *, const ssvm_state_request *);
} ssvm_state_backend;

/* What state-file.so has: its one symbol. The strings are borrowed for the call of open. */
struct ssvm_state_file_library {
    uint32_t abi; /* SSVM_STATE_ABI */
    const ssvm_state_backend *backend;
    int (*open)(const char *kv, const char *sql, const char *const *secrets, size_t nsecrets,
                const char *const *hosts, size_t nhosts, void **ret_data, char *error);
};
#define SSVM_STATE_FILE_SYMBOL "ssvm_state_file"

/* ---- Values of SQL: a byte of type; 8 bytes of INT and FLOAT, a u32 of length and as many bytes
 * of TEXT and BLOB. Little-endian. ---- */

enum ssvm_state_type {
    SSVM_STATE_NULL = 0,
    SSVM_STATE_INT = 1,
    SSVM_STATE_FLOAT = 2,
    SSVM_STATE_TEXT = 3,
    SSVM_STATE_BLOB = 4
};
typedef struct ssvm_state_value {
    enum ssvm_state_type type;
    int64_t i;
    double f;
    ssvm_state_bytes bytes;
} ssvm_state_value;

static inline uint64_t ssvm_state_read_u(const uint8_t *p, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)p[i] << (8 * i);
    return n;
}

/* The value at *at, which moves behind it. False: there is none, or it is cut off. */
static inline bool ssvm_state_value_read(ssvm_state_bytes in, size_t *at, ssvm_state_value *ret)
{
    const uint8_t *p = (const uint8_t *)in.ptr;
    size_t left = in.len - *at, len = 0;
    uint64_t bits;

    if (*at >= in.len)
        return false;
    p += *at;
    memset(ret, 0, sizeof *ret);
    ret->type = (enum ssvm_state_type)p[0];
    switch (p[0]) {
    case SSVM_STATE_NULL:
        len = 1;
        break;
    case SSVM_STATE_INT:
    case SSVM_STATE_FLOAT:
        len = 9;
        if (left < len)
            return false;
        bits = ssvm_state_read_u(p + 1, 8);
        memcpy(p[0] == SSVM_STATE_INT ? (void *)&ret->i : (void *)&ret->f, &bits, sizeof bits);
        break;
    case SSVM_STATE_TEXT:
    case SSVM_STATE_BLOB:
        if (left < 5)
            return false;
        len = (size_t)ssvm_state_read_u(p + 1, 4);
        if (len > left - 5)
            return false;
        ret->bytes.ptr = p + 5;
        ret->bytes.len = len;
        len += 5;
        break;
    default:
        return false;
    }
    *at += len;
    return true;
}

/* Append to a part of an answer. False: there is no room. */
static inline bool ssvm_state_put(ssvm_state_op *op, enum ssvm_state_part part, const void *bytes,
                                  size_t len)
{
    void *to = op->room(op, part, len);

    if (to && len > 0)
        memcpy(to, bytes, len);
    return to != NULL;
}

/* A length (u32) and the bytes. */
static inline bool ssvm_state_put_text(ssvm_state_op *op, const void *bytes, size_t len)
{
    uint8_t head[4] = {(uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
                       (uint8_t)(len >> 24)};

    return len <= UINT32_MAX && ssvm_state_put(op, SSVM_STATE_BODY, head, sizeof head) &&
           ssvm_state_put(op, SSVM_STATE_BODY, bytes, len);
}

static inline bool ssvm_state_put_value(ssvm_state_op *op, const ssvm_state_value *v)
{
    uint8_t head[9] = {(uint8_t)v->type};
    uint64_t bits = 0;

    if (v->type == SSVM_STATE_TEXT || v->type == SSVM_STATE_BLOB)
        return ssvm_state_put(op, SSVM_STATE_BODY, head, 1) &&
               ssvm_state_put_text(op, v->bytes.ptr, v->bytes.len);
    if (v->type == SSVM_STATE_NULL)
        return ssvm_state_put(op, SSVM_STATE_BODY, head, 1);
    memcpy(&bits, v->type == SSVM_STATE_INT ? (const void *)&v->i : (const void *)&v->f,
           sizeof bits);
    for (unsigned i = 0; i < 8; i++)
        head[1 + i] = (uint8_t)(bits >> (8 * i));
    return ssvm_state_put(op, SSVM_STATE_BODY, head, sizeof head);
}

#ifdef __cplusplus
}
#endif

#endif
