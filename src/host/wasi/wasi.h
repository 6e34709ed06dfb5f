/* The grant of WASI preview1: what a guest may see. Plain data; copied by open. */
#ifndef SV_HOST_WASI_WASI_H
#define SV_HOST_WASI_WASI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/host.h"

enum sv_wasi_stream_kind {
    SV_WASI_STREAM_NULL,    /* reads end, writes vanish */
    SV_WASI_STREAM_INHERIT, /* the process's own; terminal output is filtered of escape sequences */
    SV_WASI_STREAM_FD,      /* a descriptor, borrowed */
    SV_WASI_STREAM_BYTES,   /* stdin from memory, borrowed for the store's life */
    SV_WASI_STREAM_CALLBACK, /* from or to a function */
};
struct sv_wasi_stream {
    enum sv_wasi_stream_kind kind;
    int fd;
    const void *bytes;
    size_t len;
    /* Returns the bytes taken, or -1 (EIO). */
    long (*write)(void *arg, const void *bytes, size_t len);
    long (*read)(void *arg, void *bytes, size_t len);
    void *arg;
};
struct sv_wasi_dir {
    const char *guest, *host;
    bool readonly;
};
struct sv_wasi_grant {
    const char *const *args; /* argv, [0] the program's name */
    size_t nargs;
    const char *const *env; /* "K=V" */
    size_t nenv;
    const struct sv_wasi_dir *dirs;
    size_t ndirs;
    struct sv_wasi_stream in, out, err;
    uint32_t max_fds;    /* open handles; 0 = default */
    uint64_t max_output; /* bytes to out and err together; 0 = default (unlimited for run) */
    bool coarse_clock;   /* 1 ms resolution, for untrusted tenants */
};
extern const struct sv_host_module sv_host_wasi;

#endif
