/* Sampling profiles: where the guests of a store spend a thread's CPU time, as a tree of calls.
 * What is made of it is api/'s. */
#ifndef SV_RUNTIME_PROFILE_H
#define SV_RUNTIME_PROFILE_H

#include "runtime/signal.h"

/* Frames of one sample; what is further out is one frame SV_PROFILE_DEEPER. */
#define SV_PROFILE_DEPTH 512
/* Different stacks, and beginnings of them; more are told by their beginnings. */
#define SV_PROFILE_NODES 65536u

/* Frames without a module. */
enum sv_profile_frame {
    SV_PROFILE_RUNTIME, /* our own code and host functions */
    SV_PROFILE_UNKNOWN, /* a guest's, between two instructions */
    SV_PROFILE_DEEPER
};

struct sv_sample {
    uint32_t n;
    struct {
        const struct sv_module *module; /* NULL: func is an enum sv_profile_frame */
        uint32_t func;
    } frames[SV_PROFILE_DEPTH]; /* innermost first */
};

/* A call in the tree; callers come before callees. Number 0 is the root, which is no function. */
struct sv_profile_node {
    const struct sv_module *module;
    uint32_t func;
    uint32_t parent, child, next; /* numbers; 0: none */
    uint64_t samples;             /* in the function itself */
};

struct sv_profile {
    struct sv_store *store;
    struct sv_os_thread *thread; /* that is sampled; NULL: stopped */
    int timer;                   /* kernel's number */
    uint32_t nnodes;
    struct sv_profile_node *nodes;
    struct sv_sample sample; /* the handler's */
};

/* Sample this thread from now on, each millisecond of its CPU time (a kernel whose clock ticks more
 * seldom sends fewer signals, each counts for more). One profile a thread. */
int sv_profile_new(struct sv_err *err, struct sv_store *, own struct sv_profile **ret);
/* On the thread: no more samples. */
void sv_profile_stop(struct sv_profile *);
/* Stopped before, if its thread still runs guests. NULL is allowed. */
void sv_profile_delete(own struct sv_profile *);

#endif
