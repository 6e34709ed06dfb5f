/* Descriptors through a socket. See fds.h. */
#include "base/fds.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int) * SV_FDS_MAX)];
};

ssize_t sv_fds_send(int sock, const struct iovec *parts, size_t nparts, const int *fds,
                    unsigned nfds, int flags)
{
    union control control;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = nparts};

    if (nfds > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * nfds);
    }
    return sendmsg(sock, &message, flags);
}

ssize_t sv_fds_receive(int sock, const struct iovec *part, int *fds, unsigned max, unsigned *ret_n,
                       int flags)
{
    union control control;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(sock, &message, flags | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    int came[SV_FDS_MAX + 1]; /* the control bytes' last word is an alignment's */
    size_t ncame = 0;

    *ret_n = 0;
    if (n < 0)
        return n;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        ncame = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(came, CMSG_DATA(c), sizeof(int) * ncame);
    }
    if (ncame <= max && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        memcpy(fds, came, sizeof(int) * ncame);
        *ret_n = (unsigned)ncame;
        return n;
    }
    while (ncame > 0)
        close(came[--ncame]);
    errno = EBADMSG;
    return -1;
}
