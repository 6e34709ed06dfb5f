/* In the place of h2.c where libnghttp2 was not there when this was built. */
#include "serve/h2.h"

bool srv_h2_is_built(void)
{
    return false;
}

int srv_h2_is_preface(const char *bytes, size_t len)
{
    (void)bytes;
    (void)len;
    return -1;
}

enum srv_step srv_h2_begin(struct srv_conn *conn)
{
    (void)conn;
    return SRV_STEP_CLOSE;
}

void srv_h2_ready(struct srv_conn *conn)
{
    (void)conn;
}

bool srv_h2_run(struct srv_loop *loop)
{
    (void)loop;
    return true;
}

void srv_h2_leave(struct srv_loop *loop)
{
    (void)loop;
}

void srv_h2_close(struct srv_conn *conn)
{
    (void)conn;
}
