/* Keys of TLS session tickets: the supervisor makes them, workers read them, so that a session that
 * one worker began goes on with any other. They are in memory alone, shared, and replaced in turn:
 * the one before the newest still opens tickets. Knows no TLS. */
#ifndef SERVE_TICKET_H
#define SERVE_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "ssvm.h" /* own */

#define SRV_TICKET_KEYS 2 /* the newest first */
#define SRV_TICKET_ROTATE_S 43200

struct srv_tickets; /* the shared memory */

struct srv_ticket_key {
    uint8_t name[16];
    uint8_t cipher[32]; /* AES-256-CBC */
    uint8_t mac[32];    /* HMAC-SHA-256 */
};

/* The supervisor's. *ret_fd: for workers, who can read and no more. NULL: there are none, and each
 * worker has its own. */
own struct srv_tickets *srv_tickets_new(own int *ret_fd);
/* A new key; the oldest is forgotten. */
void srv_tickets_rotate(struct srv_tickets *);
/* A worker's. Takes the descriptor; -1 or one that cannot be mapped: NULL. */
own const struct srv_tickets *srv_tickets_open(own int fd);
void srv_tickets_close(own const struct srv_tickets *);
void srv_tickets_read(const struct srv_tickets *, struct srv_ticket_key ret[SRV_TICKET_KEYS]);

#endif
