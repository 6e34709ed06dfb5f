/* In the place of tls.c where OpenSSL was not there when this was built. */
#include <stdio.h>

#include "serve/server.h"
#include "serve/tls.h"

bool srv_tls_init(struct srv_server *server)
{
    for (unsigned i = 0; i < server->nlisteners; i++) {
        if (!server->listeners[i].tls)
            continue;
        fprintf(stderr, "ssvm-serve: this program was built without TLS (OpenSSL)\n");
        return false;
    }
    return true;
}

void srv_tls_release(struct srv_server *server)
{
    (void)server;
}

bool srv_tls_begin(struct srv_conn *conn)
{
    (void)conn;
    return false;
}
