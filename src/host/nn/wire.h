/* What a process of ssvm and its ssvm-nn say to each other: one request, one answer, over a socket
 * of messages; tensors and models in memory that both have. Nothing here is believed unchecked. */
#ifndef SV_HOST_NN_WIRE_H
#define SV_HOST_NN_WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "base/fds.h"
#include "ssvm_nn.h"

#define SV_NN_WIRE_FD 3 /* the child's end of the socket */
#define SV_NN_WIRE_PATH_MAX 4096
#define SV_NN_WIRE_TEXT_MAX 1024

enum sv_nn_wire_op {
    SV_NN_WIRE_OPEN = 1,     /* path, text: device, threads; answer: text, text2 */
    SV_NN_WIRE_LOAD = 2,     /* format, len, and a descriptor of the bytes; answer: cost */
    SV_NN_WIRE_DESCRIBE = 3, /* output, position; answer: tensor */
    SV_NN_WIRE_RUN = 4       /* ninputs, nwanted, len, with a descriptor of the inputs if they lie
                                in other memory than last time; answer: len, likewise */
};

/* A tensor in shared memory: its bytes are at `offset`, tensor.data means nothing. */
struct sv_nn_wire_tensor {
    struct ssvm_nn_port port;
    struct ssvm_nn_tensor tensor;
    uint64_t offset;
};
/* The memory of a run begins with one for each input and then one for each output that is wanted;
 * that of an answer with one for each output. */

/* Of the same program version: both are installed together. */
struct sv_nn_wire {
    uint32_t op;
    int32_t result; /* of an answer: 0, 1, or -1 with the reason in text */
    uint32_t threads, format, output, position, ninputs, nwanted;
    uint64_t len;  /* bytes of the memory */
    uint64_t cost; /* of a model */
    struct sv_nn_wire_tensor tensor;
    char text[SV_NN_WIRE_TEXT_MAX];  /* the device; an answer's error or version */
    char text2[SV_NN_WIRE_TEXT_MAX]; /* an answer's devices */
    char path[SV_NN_WIRE_PATH_MAX];  /* of the library; "": searched */
};

#define SV_NN_WIRE_ALIGN(n) (((n) + 63) & ~(uint64_t)63)

/* One message with at most one descriptor (-1: none). */
static inline bool sv_nn_wire_send(int sock, const struct sv_nn_wire *m, int fd)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)m, .iov_len = sizeof *m};
    ssize_t n;

    do
        n = sv_fds_send(sock, &part, 1, &fd, fd >= 0, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *m;
}

/* Its descriptor, -1 without one, is the caller's. */
static inline bool sv_nn_wire_receive(int sock, struct sv_nn_wire *m, int *ret_fd)
{
    struct iovec part = {.iov_base = m, .iov_len = sizeof *m};
    unsigned nfds;
    ssize_t n;

    do
        n = sv_fds_receive(sock, &part, ret_fd, 1, &nfds, 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof *m && nfds > 0)
        close(*ret_fd);
    if (n != (ssize_t)sizeof *m || nfds == 0)
        *ret_fd = -1;
    return n == (ssize_t)sizeof *m;
}

#endif
