/* The access log: lines of JSON, gathered in memory and written by a thread of its own, so that a
 * slow disk or pipe stops nobody. */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssvm.h" /* own */

#define SRV_LOG_BUFFER                                                                             \
    (512 << 10)              /* bytes that may wait; what does not fit is counted and dropped */
#define SRV_LOG_TEXT_MAX 256 /* bytes of a path or a message in a line */

struct srv_log {
    int fd;                           /* -1 = none */
    pthread_mutex_t lock, write_lock; /* the latter first */
    own char *waiting, *writing;
    size_t len;
    uint64_t dropped; /* lines that found no room */
    /* Of the thread that writes. */
    uint64_t lost; /* lines that are not in the log, and not yet told there */
    bool torn;     /* the last line was not written whole: a full disk */
};

/* "-" is standard error, "none" none, else a file to append to. False with a message on standard
 * error. */
bool srv_log_open(struct srv_log *, const char *where);
/* Could it be opened, by who we are? Makes no file. */
bool srv_log_try(const char *where);
void srv_log_close(struct srv_log *); /* writes what is left */
/* One line, with its line feed. Never blocks. */
void srv_log_line(struct srv_log *, const char *line, size_t len);
/* Bytes that wait to be written. */
size_t srv_log_waiting(struct srv_log *);
/* Write what has gathered; may block. */
void srv_log_write(struct srv_log *);
/* Something other than a request, for people:
 * {"time":...,"event":...,"function":...,"message":...}. */
void srv_log_event(struct srv_log *, const char *event, const char *function, const char *message);
/* With a "tenant" too, unless that is empty. */
void srv_log_guest(struct srv_log *, const char *event, const char *tenant, const char *function,
                   const char *message);

#endif
