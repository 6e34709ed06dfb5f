/* Names of host functions, as the grants of a manifest open them. The engine knows the same as
 * options of the command line (host/modules.def), which are no help to who writes a manifest. */
#include "control/missing.h"

#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

#define SHOWN_MAX 100 /* bytes of an import's name */

enum grant { KV, SQL, SECRET, HTTP, CALL, COMMAND, SOCKETS, THREADS, IMAGE, NN, GRANTS };

static const char *const words[GRANTS] = {
    [KV] = "kv: on",
    [SQL] = "sql: on",
    [SECRET] = "secret: [NAME]",
    [HTTP] = "allow-http: [HOST]",
    [CALL] = "call: [FUNCTION]",
    [COMMAND] = "allow-command: [NAME]",
    [SOCKETS] = "allow-connect: ['HOST:PORT'] or allow-listen: ['ADDR:PORT']",
    [THREADS] = "threads: N",
    [IMAGE] = "image: on",
    [NN] = "nn: on",
};

/* Both eras' names. */
static const struct {
    const char *module, *prefix; /* of the function's name */
    enum grant grant;
} imports[] = {
    {"ssvm_state", "kv_", KV},
    {"ssvm_state", "sql_", SQL},
    {"ssvm_state", "secret_", SECRET},
    {"ssvm_state", "http_", HTTP},
    {"ssvm_state", "queue_", CALL},
    {"ssvm_state", "call", CALL},
    {"ssvm_native", "", KV},
    {"wasmedge_native", "", KV},
    {"ssvm_process", "", COMMAND},
    {"wasmedge_process", "", COMMAND},
    {"wasi_snapshot_preview1", "sock_", SOCKETS},
    {"wasi_snapshot_preview1", "epoll_", SOCKETS},
    {"wasi", "thread", THREADS},
    {"env", "memory", THREADS},
    {"ssvm_image", "", IMAGE},
    {"wasmedge_image", "", IMAGE},
    {"ssvm_tensorflow", "", NN},
    {"wasmedge_tensorflow", "", NN},
    {"ssvm_tensorflowlite", "", NN},
    {"wasmedge_tensorflowlite", "", NN},
    {"wasi_ephemeral_nn", "", NN},
};

/* WASI's own, which everybody has. */
static const char *const plain_sockets[] = {"sock_accept", "sock_recv", "sock_send",
                                            "sock_shutdown"};

static bool has(const struct plat_manifest_grant *g, enum grant grant)
{
    switch (grant) {
    case KV:
        return g->kv;
    case SQL:
        return g->sql;
    case SECRET:
        return g->secret.n > 0;
    case HTTP:
        return g->allow_http.n > 0;
    case CALL:
        return g->call.n > 0;
    case COMMAND:
        return g->allow_command.n > 0;
    case SOCKETS:
        return g->allow_connect.n > 0 || g->allow_listen.n > 0;
    case THREADS:
        return g->threads > 0;
    case IMAGE:
        return g->image;
    default:
        return g->nn;
    }
}

/* GRANTS: none opens it. */
static enum grant grant_of(struct sv_str module, struct sv_str name)
{
    for (size_t i = 0; i < SV_COUNT(plain_sockets); i++) {
        if (sv_str_eq(name, sv_str_of(plain_sockets[i])))
            return GRANTS;
    }
    for (size_t i = 0; i < SV_COUNT(imports); i++) {
        size_t len = strlen(imports[i].prefix);

        if (sv_str_eq(module, sv_str_of(imports[i].module)) && name.len >= len &&
            memcmp(name.ptr, imports[i].prefix, len) == 0)
            return imports[i].grant;
    }
    return GRANTS;
}

void ctl_missing_grants(const ssvm_module *m, const struct plat_manifest_grant *grants,
                        struct sv_buf *ret)
{
    bool told[GRANTS] = {false}, any = false;
    size_t n = ssvm_module_nimports(m);

    for (size_t i = 0; i < n; i++) {
        struct sv_str module, name;
        ssvm_extern_kind kind;
        enum grant grant;

        ssvm_module_import(m, i, &module.ptr, &module.len, &name.ptr, &name.len, &kind);
        grant = grant_of(module, name);
        if (grant == GRANTS || told[grant] || has(grants, grant))
            continue;
        sv_buf_puts(ret, any ? ", " : "it imports what its manifest does not grant: ");
        sv_buf_printf(ret, "%s (for %.*s.%.*s)", words[grant], (int)module.len, module.ptr,
                      (int)(name.len < SHOWN_MAX ? name.len : SHOWN_MAX), name.ptr);
        told[grant] = any = true;
    }
}
