/* In the place of faas.c where jansson was not there when this was built: there is no control
 * process then either, and nobody comes here. */
#include "serve/faas.h"

enum srv_find srv_faas_find(struct srv_conn *conn)
{
    (void)conn;
    return SRV_FIND_NONE;
}

void srv_faas_delete(own struct srv_faas *faas)
{
    (void)faas;
}

int srv_faas_args(struct srv_conn *conn, ssvm_arg *args)
{
    (void)args;
    srv_conn_fail(conn, 501, "unsupported", "this server is built without /api");
    return -1;
}

void srv_faas_surround(const struct srv_conn *conn, struct srv_surroundings *around)
{
    (void)conn;
    (void)around;
}

ssvm_result_kind srv_faas_wanted(const struct srv_request *request)
{
    (void)request;
    return SSVM_RESULT_AUTO;
}

void srv_faas_answer(struct srv_conn *conn, ssvm_result *result)
{
    (void)conn;
    ssvm_string_delete(result->bytes);
}
