/* Descriptors on their way through a socket (AF_UNIX), with a message. */
#ifndef SV_BASE_FDS_H
#define SV_BASE_FDS_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SV_FDS_MAX 5 /* with one message */

/* As sendmsg. The descriptors stay the caller's. */
ssize_t sv_fds_send(int sock, const struct iovec *parts, size_t nparts, const int *fds,
                    unsigned nfds, int flags);
/* As recvmsg. At most `max` descriptors, *ret_n of them, are the caller's; they are not inherited.
 * -1 with EBADMSG: what came is longer than `part`, or has more descriptors, or there was no room
 * for one; nothing of it is left. */
ssize_t sv_fds_receive(int sock, const struct iovec *part, int *fds, unsigned max, unsigned *ret_n,
                       int flags);

#endif
