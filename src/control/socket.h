/* Sockets of functions, made in control: workers may open none. */
#ifndef CONTROL_SOCKET_H
#define CONTROL_SOCKET_H

#include "control/control.h"

/* Handler of PLAT_SOCKET. OP; ALLOW and LISTEN (rules of outbound/net.h) for each; descriptor 0:
 * the socket, of all but `socket` and `resolve`. socket: NUMBER family, COUNT type. connect, bind:
 * VALUE, a sockaddr. listen: NUMBER. send: VALUE, BODY. resolve: NAME, TEXT (service), NUMBER
 * family, COUNT type, LIMIT flags, TIMEOUT_MS. Answer: NUMBER, the result or -errno; a descriptor;
 * VALUE, an address each. Of send: VALUE, the address that was used, and TIMEOUT_MS: for so long
 * the worker may send there without asking. */
int ctl_socket(struct ctl_server *, struct sv_err *, struct plat_message *request,
               struct plat_message *ret);

#endif
