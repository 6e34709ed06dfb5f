/* Sockets of ssvm.h: the grant. What the functions do is host/socket's. */
#include "api/api.h"
#include "host/part.h"

#define SOCKETS_MIN sizeof(ssvm_sockets) /* of the first version: all that there is now */

static void *store_data(const struct sv_store *s)
{
    return sv_api_store_of(s)->data;
}

static bool complete(const struct ssvm_socket_backend *b)
{
    return b->abi == SSVM_SOCKET_ABI && b->socket && b->connect && b->bind && b->listen &&
           b->send_to && b->resolve;
}

own ssvm_error *ssvm_linker_define_sockets(ssvm_linker *l, const ssvm_sockets *sockets)
{
    ssvm_sockets s = SSVM_SOCKETS_INIT;
    const struct sv_host_module *module;
    struct sv_err err = {0};

    if (!l || !sockets)
        return sv_api_error(SSVM_EUSAGE, "ssvm_linker_define_sockets needs a linker and a grant");
    if (!sv_api_copy_sized(&s, sizeof s, sockets, SOCKETS_MIN))
        return sv_api_error(SSVM_EUSAGE, "ssvm_sockets has a size that this library does not know");
    if ((s.nconnect && !s.connect) || (s.nlisten && !s.listen))
        return sv_api_error(SSVM_EUSAGE, "ssvm_sockets counts entries of a missing array");
    if (s.backend && !complete(s.backend))
        return sv_api_error(SSVM_EUSAGE, "the back end of ssvm_sockets lacks a function");
    if (!l->has_wasi)
        return sv_api_error(SSVM_EUSAGE, "sockets need WASI, defined before them");
    for (uint32_t i = 0; i < l->nhosts; i++)
        if (strcmp(l->hosts[i].module->id, "sockets") == 0)
            return sv_api_error(SSVM_EUSAGE, "sockets are defined in this linker already");
    if (sv_host_part_module(&err, "host-socket.so", "sockets", &module) < 0)
        return sv_api_error_of(&err);
    l->grants.sockets = (struct sv_socket_grant){.backend = s.backend,
                                                 .data = s.data,
                                                 .connect = s.connect,
                                                 .nconnect = s.nconnect,
                                                 .listen = s.listen,
                                                 .nlisten = s.nlisten,
                                                 .af_unix = s.af_unix,
                                                 .store_data = store_data};
    return sv_api_define_host(l, module);
}
