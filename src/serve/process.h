/* Starting our own programs: with the descriptors that they are given and no others, as the user
 * that they are to be. Ends none. */
#ifndef SERVE_PROCESS_H
#define SERVE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "ssvm.h" /* own */

#define SRV_PROCESS_ARGS 128
#define SRV_PROCESS_FDS 24

struct srv_process {
    const char *program;
    int program_fd; /* the file itself; -1: whatever has the name */
    bool silent;    /* nothing of its standard output */
    bool bare;      /* neither standard streams nor what of our environment is others' business */
    bool patient;   /* SIGTERM and SIGUSR1 wait until it asks for them */
    own char *args[SRV_PROCESS_ARGS + 1];
    unsigned nargs;
    int fds[SRV_PROCESS_FDS]; /* that it inherits, by the same numbers; the caller's */
    unsigned nfds;
    bool failed; /* an argument was too many, or found no memory */
};

/* Who processes are to be. */
struct srv_user {
    bool given;
    uid_t uid;
    gid_t gid;
    char name[64];
};

/* "none", or a user's name, which only root may give. False with a message on standard error. */
bool srv_user_find(struct srv_user *, const char *name);
/* Become the user. False: could not. */
bool srv_user_become(const struct srv_user *);

void srv_process_init(struct srv_process *, const char *program, int program_fd);
void srv_process_release(struct srv_process *);
void srv_process_arg(struct srv_process *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void srv_process_fd(struct srv_process *, int fd);
/* It ends when this process does. -1 with errno. */
pid_t srv_process_start(const struct srv_process *, const struct srv_user *);
/* `ssvm compile` for a worker, in a jail of its own that may write `cache` (NULL: nothing), with
 * these standard streams. */
pid_t srv_process_compile(const char *program, const struct srv_user *, const char *cache,
                          const char *form, const char *loop, const int fds[3]);
/* An inference library's process: `program` is ssvm-nn, `plugin` what opens `library` ("":
 * searched) for `device`, `folder` the only one that it may write to ("": none), `end` its socket.
 */
pid_t srv_process_library(const char *program, const struct srv_user *, const char *plugin,
                          const char *library, const char *device, const char *folder, int end);
/* A program that belongs to us: `ssvm`, say. False: it is not there. */
bool srv_process_find(const char *name, char *path, size_t size);

#endif
