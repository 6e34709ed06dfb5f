/* Running one native command: streams in both directions at once, a time, nothing left over. What
 * may run is allow.h's. */
#ifndef COMMAND_RUN_H
#define COMMAND_RUN_H

#include <poll.h>
#include <stddef.h>

#include "base/err.h"

struct cmd_request {
    const char *path;        /* of the program */
    const char *const *args; /* its argv, NULL at the end */
    const char *const *env;  /* "K=V", NULL at the end: all that it gets */
    const char *folder; /* to run in, confined to it and the system; NULL: ours, and not confined */
    const void *input;  /* its standard input, and then the end of it */
    size_t input_len;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; UINT64_MAX: none */
    const char *keeper;   /* ssvm-keeper's path; NULL: beside the library */
    /* Wait as poll does, at most so long (-1: for ever), or until the command is to be given up: a
     * negative number then, which cmd_run returns. NULL: poll. */
    int (*wait)(void *data, struct pollfd *fds, unsigned n, int64_t timeout_ns);
    /* What it writes, to its output or (`error`) to its standard error. False: too much. */
    bool (*put)(void *data, bool error, const void *bytes, size_t len);
    void *data;
};

/* 0, and *ret is of waitpid. The command, and all that it has started, is over in any case.
 * SV_EEXIT: its time is; SV_ELIMIT: `put` said so; SV_EIO: it could not be started; SV_EINVALID:
 * how it ended is not known; else what `wait` returned. Safe from any thread, and in processes that
 * wait for children of their own. */
int cmd_run(struct sv_err *, const struct cmd_request *, int *ret);
/* The exit code as guests have always got it: 8 bits, sign-extended; 128 and the signal of one that
 * was killed, likewise. */
int cmd_exit_code(int wait_status);

#endif
