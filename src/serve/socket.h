/* Sockets for functions (ssvm_socket.h): the back end of a worker, which may open none and asks the
 * control process. Sending and receiving on those that it has is the worker's own. */
#ifndef SERVE_SOCKET_H
#define SERVE_SOCKET_H

#include "ssvm.h"

/* Define them. The store of each instance has its connection as data. */
own ssvm_error *srv_socket_define(ssvm_linker *);

#endif
