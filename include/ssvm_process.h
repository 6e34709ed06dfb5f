/* Native commands for guests: the host module `ssvm_process` (doc/format/process.md) has them run
 * by a back end. The library has one built in, that of ssvm_process_config without a back end; the
 * server and embedders may bring their own.
 *
 * The module checks every pointer and length of the guest; a back end gets what a run needs, and
 * decides whether it may be. */
#ifndef SSVM_PROCESS_H
#define SSVM_PROCESS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SSVM_PROCESS_ABI 1

/* Exit codes beside the command's own, which are -128 to 127. */
enum ssvm_process_code {
    SSVM_PROCESS_FAILED = -1, /* not allowed, or not started; one line of standard error says it */
    SSVM_PROCESS_TIMEOUT = 110,  /* ETIMEDOUT */
    SSVM_PROCESS_NO_STATUS = 22, /* EINVAL: it ran, but how it ended is not known */
};

/* One run of a guest, and its answer in the making. The strings are the host's for the call. */
typedef struct ssvm_process_run {
    const char *const *args; /* NULL at the end; the first is the command as the guest names it */
    const char *const *env;  /* "K=V", NULL at the end */
    const void *input;
    size_t input_len;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC: the guest's time limit, or the end of its call */
    /* poll for whoever waits long: ends, with a negative number, when the guest is to end; the run
     * is to be given up then. fds has room for one more. timeout_ns -1: for ever. */
    int (*wait)(struct ssvm_process_run *, struct pollfd *fds, unsigned n, int64_t timeout_ns);
    /* What the command writes. False: too much, end it. */
    bool (*put)(struct ssvm_process_run *, bool error, const void *bytes, size_t len);
    int code; /* answered: the command's, or one of the above */
} ssvm_process_run;

typedef struct ssvm_process_backend {
    uint32_t abi; /* SSVM_PROCESS_ABI */
    /* `data`: of the configuration; `store_data`: ssvm_store_data. Any thread. */
    void (*run)(void *data, void *store_data, ssvm_process_run *);
} ssvm_process_backend;

#ifdef __cplusplus
}
#endif

#endif
