/* Sockets for guests of `run`: what --allow-connect, --allow-listen and --allow-af-unix grant. */
#include <stdlib.h>

#include "cli/cli.h"

bool cli_sockets_init(struct cli_sockets *s, size_t n)
{
    *s = (struct cli_sockets){
        .grant = SSVM_SOCKETS_INIT,
        .connect = calloc(n, sizeof *s->connect),
        .listen = calloc(n, sizeof *s->listen),
    };
    s->grant.connect = s->connect;
    s->grant.listen = s->listen;
    return s->connect && s->listen;
}

void cli_sockets_release(struct cli_sockets *s)
{
    free(s->connect);
    free(s->listen);
}

bool cli_sockets_add(struct cli_sockets *s, const char *address, bool listen)
{
    if (listen)
        s->listen[s->grant.nlisten++] = address;
    else
        s->connect[s->grant.nconnect++] = address;
    return true;
}

own ssvm_error *cli_sockets_define(struct cli_sockets *s, ssvm_linker *linker)
{
    if (s->grant.nconnect == 0 && s->grant.nlisten == 0 && !s->grant.af_unix)
        return NULL;
    return ssvm_linker_define_sockets(linker, &s->grant);
}
