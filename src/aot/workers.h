/* Parts of a work in processes apart: when one ends its process (LLVM aborts where it gets no
 * memory) or does not come to its end, the others are not lost. */
#ifndef SV_AOT_WORKERS_H
#define SV_AOT_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/err.h"

struct sv_workers {
    uint32_t nparts;
    unsigned jobs;   /* at a time */
    uint64_t memory; /* address space of each */
    void *arg;
    /* Seconds of CPU time that a part may have. */
    uint64_t (*seconds)(void *arg, uint32_t part);
    /* In a process that makes several, one after the other, and `forget` when they are sent. */
    int (*make)(struct sv_err *err, void *arg, uint32_t part, const uint8_t **ret, size_t *ret_len);
    void (*forget)(void *arg, uint32_t part);
    /* It was made; false: stop (SV_EINTERNAL "cancelled"). */
    bool (*made)(void *arg, uint32_t part, own uint8_t *bytes, size_t len);
    /* A process that had made nothing else ended before it. False: there is nothing less to try. */
    bool (*lost)(void *arg, uint32_t part);
};

/* Errors are those of `make`; SV_ENOMEM when somebody else's limit is too low; SV_EINTERNAL. Forks:
 * for programs of one thread. */
int sv_workers_run(struct sv_err *err, const struct sv_workers *);

#endif
