/* wasi-threads: the import that starts a thread, and the shared memory that its guests import. The
 * threads themselves are runtime/threads.c's. */
#ifndef SV_HOST_THREADS_THREADS_H
#define SV_HOST_THREADS_THREADS_H

#include "host/host.h"
#include "runtime/threads.h"

/* Its grant is a struct sv_threads_grant. */
extern const struct sv_host_module sv_host_threads;

/* A shared memory for an import of one that nobody else defines: for sv_linker_define_lazy with the
 * linker as its argument, where later modules find the same one. */
sv_link_lazy_fn sv_threads_define_memory;

#endif
