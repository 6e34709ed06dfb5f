/* Inside of state-file.so: the back end of `ssvm_state` for programs without a server. */
#ifndef PLUGIN_STATE_H
#define PLUGIN_STATE_H

#include <pthread.h>

#include <sqlite3.h>

#include "outbound/client.h"
#include "ssvm_state.h"

/* A database in a file, used by one thread at a time. */
struct state_db {
    sqlite3 *db; /* NULL: not granted */
    pthread_mutex_t lock;
    const ssvm_state_op *op; /* that is under way */
};

struct state_secret {
    char *name, *value;
};

struct state_files {
    struct state_db kv, sql;
    struct state_secret *secrets;
    size_t nsecrets;
    struct out_rule *rules;
    size_t nrules;
};

/* 0, or -1 with a message. */
int state_db_open(struct state_db *, const char *path, char *error);
void state_db_close(struct state_db *);
/* Begin with an op, and end: 0, or the code of what SQLite said last, with its words. */
void state_db_enter(struct state_db *, const ssvm_state_op *);
int state_db_leave(struct state_db *, ssvm_state_op *, int result);
uint64_t state_now_ms(void);

int state_kv_open(struct state_db *, const char *path, char *error);
/* The functions of the back end's table. */
int state_kv_get(void *, ssvm_state_op *, ssvm_state_bytes key);
int state_kv_set(void *, ssvm_state_op *, ssvm_state_bytes key, ssvm_state_bytes value,
                 uint64_t ttl_ms);
int state_kv_cas(void *, ssvm_state_op *, ssvm_state_bytes key, const ssvm_state_bytes *old,
                 ssvm_state_bytes value, uint64_t ttl_ms);
int state_kv_delete(void *, ssvm_state_op *, ssvm_state_bytes key);
int state_kv_increment(void *, ssvm_state_op *, ssvm_state_bytes key, int64_t by, uint64_t ttl_ms);
int state_kv_list(void *, ssvm_state_op *, ssvm_state_bytes prefix, ssvm_state_bytes after,
                  uint32_t limit);
int state_sql_open(struct state_db *, const char *path, char *error);
int state_sql(void *, ssvm_state_op *, ssvm_state_bytes text, ssvm_state_bytes params);

#endif
