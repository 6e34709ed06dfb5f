/* What all parts of the server share. Made by main.c before the threads start; fields that change
 * later are atomic. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <stdatomic.h>

#include "serve/config.h"
#include "serve/function.h"
#include "serve/grant.h"
#include "serve/log.h"
#include "serve/pool.h"

#define SRV_LISTENERS_MAX 16

struct srv_loop;
struct srv_tls;

/* An address where we listen. */
struct srv_listener {
    int fd;
    bool tls;
    uint16_t port;
    char address[80]; /* as text */
};

struct srv_server {
    struct srv_config config;
    ssvm_engine *engine;
    int root;                                         /* DIR, O_PATH */
    struct srv_listener listeners[SRV_LISTENERS_MAX]; /* shared by the loops */
    unsigned nlisteners;
    own struct srv_tls *tls; /* NULL: no address is served with it */
    int spare_fd; /* given up for a moment to refuse a connection when descriptors run out */
    unsigned nloops;
    struct srv_loop *loops;
    struct srv_grant grant;
    struct srv_functions functions;
    struct srv_pool pool;
    struct srv_log log;
    _Atomic uint64_t connections;
    _Atomic uint64_t bodies;  /* bytes of large request bodies held */
    _Atomic uint64_t next_id; /* request ids */
    _Atomic bool draining;
};

#endif
