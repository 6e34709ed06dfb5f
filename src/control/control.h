/* The control process: what its parts share. Made by main.c before the threads start. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdatomic.h>

#include "control/db.h"
#include "platform/channel.h"
#include "platform/message.h"

struct ctl_commands;
struct ctl_cron_clock;
struct ctl_fetches;
struct ctl_hostcalls;
struct ctl_queue;
struct ctl_registry;
struct ctl_publish;
struct ctl_ledger;
struct ctl_log;
struct ctl_metrics;
struct ctl_live;
struct ctl_why;

struct ctl_server {
    const char *data; /* the data folder: blobs/, cache/, log/, key, ssvm.db */
    int data_fd, lock_fd;
    const char *public_url; /* "http://127.0.0.1:8080", for messages */
    struct ctl_db *db;
    struct ctl_registry *registry;   /* registry.h */
    struct ctl_publish *publish;     /* publish.h */
    struct ctl_ledger *ledger;       /* ledger.h */
    struct ctl_log *log;             /* log.h */
    struct ctl_metrics *metrics;     /* metrics.h */
    struct ctl_live *live;           /* live.h */
    struct ctl_hostcalls *hostcalls; /* hostcalls.h */
    struct ctl_why *why;             /* why.h */
    struct ctl_queue *queue;         /* queue.h */
    struct ctl_cron_clock *cron;     /* cron.h */
    struct ctl_fetches *fetches;     /* fetch.h */
    struct ctl_commands *commands;   /* command.h */
    uint64_t epoch;                  /* tells one start from another */
    uint8_t key[32];                 /* of this node: secrets, tokens (key.h) */
    char node[17];                   /* its name for good, hex digits */
    /* The workers that there are; see workers.h. */
    struct ctl_workers *workers;
    struct plat_channel *supervisor; /* NULL: there is none */
    struct ctl_pool *pool;
    own char *settings; /* lines "option: value" */
    bool clean;         /* the process before this one has answered all that it had read */
    _Atomic uint64_t
        prepare_until_ns; /* it ends: until then versions are prepared; 0: it does not */
    bool again;           /* the server runs: what is away for a moment is waited for */
};

/* The value of a setting of the server's (config.def); NULL: it has none of that name. */
own char *ctl_setting(const struct ctl_server *, const char *option);

/* A handler of a KIND of message.def: runs on a thread of the pool, may wait, and fills in `ret`
 * (an initialised message) or fails; dispatch.c sends the answer. */
typedef int (*ctl_kind_fn)(struct ctl_server *, struct sv_err *, struct plat_message *request,
                           struct plat_message *ret);

/* All workers, to push and to ask. Any thread. */
void ctl_workers_push(
    struct ctl_server *,
    struct plat_message *); /* to each; a worker that comes later gets the last TABLE */
/* Ask any worker; waits for the answer. SV_ENOTFOUND: there is none to ask. */
int ctl_workers_ask(struct ctl_server *, struct sv_err *, struct plat_message *,
                    uint64_t deadline_ns, struct plat_message *ret);
/* Run `fn(data)` on a thread of the pool; later, `fn` every so many ms (0: once). */
int ctl_pool_run(struct ctl_server *, void (*fn)(struct ctl_server *, void *), void *data);
int ctl_pool_every(struct ctl_server *, unsigned every_ms, void (*fn)(struct ctl_server *, void *),
                   void *data);
/* No regular work is begun any more; wait until all that runs or waits is done. */
void ctl_pool_quiet(struct ctl_server *);

#endif
