/* ssvm-serve: static files and functions over HTTP. Decides which of its processes this one is.
 *
 * The process that people start is the supervisor (supervise.c). It starts workers (worker.c),
 * which are this program too, and the control process (src/control). The path of a request, in a
 * worker: listen -> http -> route -> body -> pool -> call -> send -> log (the stages: conn.h). */
#include <stdlib.h>
#include <string.h>

#include "serve/config.h"
#include "serve/status.h"
#include "serve/supervise.h"
#include "serve/worker.h"

#define ROLE "--role="

static int run(struct srv_server *server, const struct srv_role *role, int argc, char **argv)
{
    switch (srv_config_read(&server->config, argc, argv)) {
    case SRV_CONFIG_EXIT:
        return 0;
    case SRV_CONFIG_USAGE:
        return SRV_STATUS_USAGE;
    default:
        break;
    }
    if (server->config.check)
        return srv_worker_check(server);
    return role->kind == SRV_ROLE_SUPERVISOR ? srv_supervise(server, argc, argv)
                                             : srv_worker_run(server, role);
}

int main(int argc, char **argv)
{
    static struct srv_server server = {
        .root = -1, .spare_fd = -1, .data_lock = -1, .log = {.fd = -1}};
    struct srv_role role = {.kind = SRV_ROLE_SUPERVISOR};
    int status;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], ROLE, strlen(ROLE)) != 0)
            continue;
        if (!srv_role_read(&role, &server, argv[i] + strlen(ROLE)))
            return SRV_STATUS_USAGE;
        memmove(argv + i, argv + i + 1, (size_t)(argc - i) * sizeof *argv); /* the NULL too */
        argc--;
        break;
    }
    if (role.kind == SRV_ROLE_SUPERVISOR && !role.test) {
        unsetenv(SRV_TEST_CRASH);
        unsetenv(SRV_TEST_HANG);
        unsetenv(SRV_TEST_COMPILE);
    }
    status = run(&server, &role, argc, argv);
    srv_config_release(&server.config);
    return status;
}
