/* Inference, pictures and native commands for functions. */
#include "serve/grant.h"

#include <stdio.h>
#include <string.h>

#include "serve/command.h"
#include "serve/conn.h"
#include "serve/function.h"
#include "serve/isolated.h"
#include "serve/link.h"
#include "serve/server.h"
#include "serve/socket.h"
#include "serve/state.h"

static _Thread_local const char *initialised; /* srv_grant_name */

void srv_grant_name(const char *function)
{
    initialised = function;
}

/* A backend's line, into the server's log; one tenant's worker has none. It is about the call of
 * the thread that tells it: a thread of the guest's own has no name. */
static void log_line(void *data, const char *line)
{
    struct srv_server *server = data;
    const struct srv_conn *conn = srv_pool_guest_conn();
    const struct srv_function *f = conn && !initialised ? conn->work->request.function : NULL;
    const char *name = f ? f->name : initialised;

    if (server->tenant)
        srv_isolated_note(server, name, line);
    else
        srv_log_guest(&server->log, "function_host", f ? f->tenant : "", name ? name : "", line);
}

own ssvm_error *srv_grant_init(struct srv_grant *g, struct srv_server *server)
{
    const struct srv_config *config = &server->config;
    ssvm_nn_config c = SSVM_NN_CONFIG_INIT;
    ssvm_error *error;

    *g = (struct srv_grant){.image = config->image, .server = server};
    g->commands = srv_commands_new();
    error = g->commands && strcmp(config->allow_command, "none") != 0
                ? srv_commands_open(g->commands, NULL)
                : NULL;
    if (error)
        fprintf(stderr, "ssvm-serve: no native commands: %s\n", ssvm_error_message(error));
    ssvm_error_delete(error);
    if (strcmp(config->nn, "none") == 0)
        return NULL;
    c.backends = config->nn;
    c.device = config->nn_device;
    c.threads = (uint32_t)config->nn_threads;
    c.cache_bytes = config->nn_cache;
    c.isolate = config->nn_isolate;
    c.log = log_line;
    c.data = server;
    if (server->tenant) {
        c.start = srv_link_library;
        c.stop = srv_link_library_end;
        c.start_data = server;
    }
    error = ssvm_nn_new(&c, &g->nn);
    if (error || server->tenant)
        return error;
    error = ssvm_nn_open(g->nn);
    if (error)
        fprintf(stderr, "ssvm-serve: no inference yet: %s\n", ssvm_error_message(error));
    ssvm_error_delete(error);
    return NULL;
}

void srv_grant_release(struct srv_grant *g)
{
    ssvm_nn_delete(g->nn);
    srv_commands_delete(g->commands);
    *g = (struct srv_grant){0};
}

own ssvm_error *srv_grant_define(const struct srv_grant *g, unsigned parts, ssvm_linker *l)
{
    ssvm_threads_config threads = SSVM_THREADS_CONFIG_INIT;
    ssvm_image_config image = SSVM_IMAGE_CONFIG_INIT;
    ssvm_process *process = NULL;
    ssvm_error *error = NULL;

    if (g && g->nn && parts & SRV_GRANT_NN)
        error = ssvm_linker_define_nn(l, g->nn);
    if (!error && g && g->image && parts & SRV_GRANT_IMAGE) {
        image.log = log_line;
        image.data = g->server;
        error = ssvm_linker_define_image(l, &image);
    }
    if (!error && g && g->commands && parts & SRV_GRANT_PROCESS) {
        error = srv_commands_open(g->commands, &process);
        if (!error)
            error = ssvm_linker_define_process(l, process);
    }
    if (!error && parts & SRV_GRANT_SOCKETS)
        error = srv_socket_define(l);
    if (!error)
        error = srv_state_define((parts & ((1U << SRV_GRANT_THREADS) - 1)) >> SRV_GRANT_STATE, l);
    threads.max = parts >> SRV_GRANT_THREADS;
    if (!error && threads.max)
        error = ssvm_linker_define_threads(l, &threads);
    return error;
}
