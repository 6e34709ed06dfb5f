/* Instead of client.c where libcurl is not. */
#include "outbound/client.h"

int out_init(struct sv_err *err)
{
    (void)err;
    return 0;
}

int out_fetch(struct sv_err *err, const struct out_rules *rules, const struct out_request *request,
              const struct out_sink *sink, int *ret_status)
{
    (void)rules, (void)request, (void)sink, (void)ret_status;
    return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "this build has no libcurl");
}
