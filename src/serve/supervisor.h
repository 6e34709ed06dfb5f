/* What the supervisor's files share: supervise.c (what is to happen when), supervise_start.c
 * (starting workers and control), supervise_isolated.c (workers of one tenant), supervise_ring.c
 * (rings of records), supervise_compile.c (compilers for workers), supervise_library.c (inference
 * libraries for workers of one tenant), supervise_upgrade.c (becoming another program). One thread.
 */
#ifndef SERVE_SUPERVISOR_H
#define SERVE_SUPERVISOR_H

#include <limits.h>

#include "platform/cache.h"
#include "platform/channel.h"
#include "platform/manifest.h"
#include "serve/process.h"
#include "serve/server.h"

#define SRV_WORKERS_MAX 256
#define SRV_SLOTS_MAX 600 /* workers of two generations, and some that drain */
#define SRV_COMPILES_MAX 2048
#define SRV_LIBRARIES_MAX 1024
#define SRV_END_GRACE_MS 7000 /* beyond its time, for a worker to end by itself */
#define SRV_TENANT_SIZE (PLAT_NAME_MAX + 1)

/* A process that is started again when it ends. */
struct srv_life {
    pid_t pid; /* 0 = none */
    uint64_t started_ns;
    uint64_t due_ns; /* when to start it again, 0 = not */
    unsigned short_lives;
};

enum srv_slot_state { SRV_SLOT_FREE, SRV_SLOT_STARTING, SRV_SLOT_READY, SRV_SLOT_RETIRING };

/* A worker's place. Its ring of records stays, whoever comes. */
struct srv_slot {
    struct srv_supervisor *supervisor;
    enum srv_slot_state state;
    struct srv_life life;
    unsigned generation;
    char tenant[SRV_TENANT_SIZE]; /* whose guests alone run here, the ring's too; "": all */
    int door[2]; /* for connections that the others ask for: the worker's end, ours; -1 = none */
    int ring;    /* -1: never used */
    int worker_end, control_end; /* of the channel between worker and control; -1 = none */
    own struct plat_channel *link;
    uint64_t kill_ns;    /* when it has drained for too long, 0 = never */
    bool ring_told;      /* control has the ring */
    bool told;           /* and knows who writes there */
    bool served;         /* RETIRING: before it was to end */
    unsigned unready;    /* processes in a row that ended before they served, of one tenant's */
    unsigned silent;     /* beats asked for since the last one that came */
    uint64_t library_ns; /* when a second began in which its worker has asked for processes of */
    unsigned nstarted;   /* libraries, and for how many */
};

/* A compiler that runs for a worker, or waits for its turn (pid 0). */
struct srv_compile {
    pid_t pid;
    struct srv_slot *slot; /* NULL: the worker is gone */
    uint64_t id;           /* of its message */
    uint64_t number;       /* the order in which they came */
    uint64_t kill_ns;      /* when it has run for too long; 0: it was killed */
    bool used, cached;
    int fds[3];
    char form[24], loop[48];
};

/* The process of an inference library, of a worker of one tenant. */
struct srv_library {
    pid_t pid;             /* 0: nobody */
    struct srv_slot *slot; /* NULL: the worker is gone, and this is killed */
    uint64_t number;       /* that the worker knows it by; never another's */
    char folder[64];       /* the only one that it may write to; "": none */
};

struct srv_supervisor {
    struct srv_server *server;
    own struct srv_server *previous; /* the settings to go back to while we reload */
    int argc;
    char **argv;
    char program[PATH_MAX], compiler[PATH_MAX + 64], control_program[PATH_MAX + 64];
    /* The files of the programs that run, whatever is put in their places meanwhile. */
    int program_fd, control_fd;
    struct srv_user user;
    unsigned generation, nworkers;
    struct srv_slot slots[SRV_SLOTS_MAX];
    struct srv_life control;
    own struct plat_channel *control_link;
    bool has_control, control_ready, control_told;
    bool control_clean;  /* the last one ended as it should */
    bool control_ending; /* it was told to end */
    bool started;        /* all of the first generation are there, and it has been said */
    bool reloading;      /* the workers of `generation` are not all ready yet */
    bool reload_again;   /* asked for meanwhile */
    bool ending;
    int status;                      /* to exit with */
    uint64_t close_ns;               /* when the addresses are given up, 0 = not yet */
    uint64_t kill_ns;                /* when whatever is left is killed */
    uint64_t beat_ns;                /* when workers are asked for a beat */
    own struct srv_tickets *tickets; /* keys for workers; NULL: none */
    int ticket_fd;
    own struct srv_tally *tally; /* what workers count together; NULL: nothing */
    int tally_fd;
    uint64_t rotate_ns; /* when there is to be another key */
    uint32_t functions, broken;
    struct srv_compile compiles[SRV_COMPILES_MAX];
    uint64_t ncompiles; /* ever */
    struct srv_library libraries[SRV_LIBRARIES_MAX];
    uint64_t nlibraries;          /* ever */
    struct plat_message isolated; /* control's last of this kind: the tenants with a process */
    int signals;                  /* signalfd */
    int watch;                    /* inotify: of DIR */
};

/* ---- supervise_start.c ---- */
/* The supervisor's end of a worker's channel. */
void srv_slot_link(struct srv_slot *, own int fd);
bool srv_start_worker(struct srv_supervisor *, struct srv_slot *, bool announce);
bool srv_start_control(struct srv_supervisor *);
/* A slot that nobody has; NULL: there is none, or no memory. */
struct srv_slot *srv_slot_find_free(struct srv_supervisor *);
/* Its process is gone. */
void srv_slot_release(struct srv_slot *);
/* Tell control what it does not know yet; called until all is told. */
bool srv_tell_control(struct srv_supervisor *);

/* ---- supervise_ring.c ---- */
/* A fresh one, in a file of the data folder, or, where that cannot be, in memory; -1: nowhere.
 * `tenant`: who alone writes there, which the next server must know; "": all. */
int srv_ring_new(const struct srv_supervisor *, const char *tenant);
/* Before a worker starts: it is a ring for it, whatever the one before wrote over its head. */
void srv_ring_renew(const struct srv_slot *);
/* It is another tenant's from now on. False: not all of it is counted. */
bool srv_ring_rename(const struct srv_supervisor *, const struct srv_slot *, const char *tenant);
/* Free slots get the rings that an earlier server of the data folder left with records in them. */
void srv_rings_take(struct srv_supervisor *);
/* The files of those of which control has read all; all processes are gone. */
void srv_rings_remove(const struct srv_supervisor *);

/* ---- supervise_compile.c ---- */
void srv_compile_ask(struct srv_slot *, struct plat_message *);
/* Kill those whose time is over. When the next one's is; UINT64_MAX: none's. */
uint64_t srv_compile_time(struct srv_supervisor *, uint64_t now);
/* Was it a compiler that ended? */
bool srv_compile_end(struct srv_supervisor *, pid_t, int status);
void srv_compile_forget(struct srv_slot *);

/* ---- supervise_library.c ---- */
void srv_library_ask(struct srv_slot *, const struct plat_message *);
/* The worker does not want one any more. */
void srv_library_stop(struct srv_slot *, const struct plat_message *);
/* Was it one of these that ended? */
bool srv_library_end(struct srv_supervisor *, pid_t, int status);
/* The worker is gone: its own go too. */
void srv_library_forget(struct srv_slot *);

/* ---- supervise_isolated.c ---- */
/* Control says who may have one. Takes what is in the message. */
void srv_isolated_list(struct srv_supervisor *, struct plat_message *);
/* A worker wants a connection to a tenant's own. */
void srv_isolated_ask(struct srv_slot *, const struct plat_message *);
/* A tenant's worker starts: the door, where there is none yet. */
bool srv_isolated_open(struct srv_slot *);
void srv_isolated_close(struct srv_slot *);
/* Does somebody wait at the door? Nobody does of a tenant that has no process any more. */
bool srv_isolated_awaited(struct srv_slot *);
/* The folder of the tenant's native code. False: there is none. */
bool srv_isolated_cache(const struct srv_slot *, char path[PLAT_CACHE_PATH]);
/* The server ends: when no worker is left that may ask, these end. */
void srv_isolated_end(struct srv_supervisor *);

/* ---- supervise_upgrade.c ---- */
/* Become the program that now has our name, if it can take over; workers go on. Returns when it
 * cannot, with a message. */
void srv_upgrade(struct srv_supervisor *);
/* Take over what the program that we were has left. False: nothing was left. */
bool srv_upgrade_take(struct srv_supervisor *);

/* ---- supervise.c ---- */
/* When a worker that is told now to end, or to retire, has had its time. */
uint64_t srv_end_ns(const struct srv_supervisor *, bool retires);
/* Let it end, with that signal. */
void srv_slot_end(struct srv_supervisor *, struct srv_slot *, int number);
unsigned srv_supervise_count(const struct srv_server *);
/* All settings, as control is told them. */
void srv_settings_print(const struct srv_server *, struct sv_buf *);
/* Message of a worker or of control. */
void srv_supervise_take(void *slot, struct plat_channel *, struct plat_message *);
void srv_supervise_take_control(void *supervisor, struct plat_channel *, struct plat_message *);

#endif
