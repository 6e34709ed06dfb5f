/* The control process for fuzzers, in this process: its parts on a database of SQLite in memory's
 * file system, without its pool of threads (what would run there runs when the fuzzer says so) and
 * without the processes that prepare versions. */
#ifndef SV_TEST_FUZZ_CONTROL_H
#define SV_TEST_FUZZ_CONTROL_H

#include <stdio.h>
#include <stdlib.h>

#include "control/control.h"

/* Start the parts, or abort with the reason. Once in a process; its folder goes with it. */
struct ctl_server *fuzz_control_start(void);
/* Run what waits for a thread; one piece of it: false: there was none. */
void fuzz_control_run(struct ctl_server *);
bool fuzz_control_run_one(struct ctl_server *);
/* Run the n-th piece of the work that is done every so often. How many there are; forget those that
 * came since there were n. */
void fuzz_control_tick(struct ctl_server *, unsigned n);
unsigned fuzz_control_ticks(void);
void fuzz_control_forget(unsigned n);
/* Make the ring of a slot, as the supervisor does, and tell control of it. */
struct plat_ring *fuzz_control_ring(struct ctl_server *, unsigned slot);
/* A file of memory that has these bytes. */
int fuzz_memory(const void *bytes, size_t len);
/* Stop at a file descriptor, or memory, that is kept; to be called after each input. */
void fuzz_control_count(void);
/* No other network than one's own. False: it could not be had. */
bool fuzz_no_network(void);

static inline void fuzz_check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

#endif
