/* Trace context: the field `traceparent`, strictly. Sends nothing
 * to anybody. */
#include "serve/trace.h"

#include <string.h>
#include <strings.h>

#include "serve/conn.h"

#define SAMPLED 1 /* the one flag of version 0 */

/* Lower-case hexadecimal digits; false also when all are zero and they may not. */
static bool is_hex(const char *s, size_t n, bool may_be_zero)
{
    bool zero = true;

    for (size_t i = 0; i < n; i++) {
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
        zero &= s[i] == '0';
    }
    return may_be_zero || !zero;
}

bool srv_trace_read(const char *value, size_t len, const char *span, char ret[SRV_TRACE_LEN + 1])
{
    bool ours;
    char flags;

    if (len < SRV_TRACE_LEN || !is_hex(value, 2, true) || memcmp(value, "ff", 2) == 0)
        return false;
    ours = memcmp(value, "00", 2) == 0;
    /* Versions to come may add to it, behind another hyphen. */
    if (len > SRV_TRACE_LEN && (ours || value[SRV_TRACE_LEN] != '-'))
        return false;
    if (value[2] != '-' || value[35] != '-' || value[52] != '-' || !is_hex(value + 3, 32, false) ||
        !is_hex(value + 36, 16, false) || !is_hex(value + 53, 2, true))
        return false;
    flags = value[54] <= '9' ? (char)(value[54] - '0') : (char)(value[54] - 'a' + 10);
    memcpy(ret, value, SRV_TRACE_LEN);
    memcpy(ret, "00", 2);
    memcpy(ret + 36, span, 16);
    ret[53] = '0';
    ret[54] = flags & SAMPLED ? '1' : '0';
    ret[SRV_TRACE_LEN] = '\0';
    return true;
}

/* Two of them contradict each other. */
static bool is_repeated(const struct srv_work *work)
{
    unsigned n = 0;

    for (unsigned i = 0; i < work->http.nfields; i++) {
        const struct srv_field *f = &work->http.fields[i];

        n += f->name.len == 11 && strncasecmp(work->in + f->name.at, "traceparent", 11) == 0;
    }
    return n > 1;
}

void srv_trace_begin(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;
    const char *value;
    size_t len = 0;

    request->trace[0] = '\0';
    value = srv_http_known(&work->http, work->in, SRV_KNOWN_TRACEPARENT, &len);
    if (value && !is_repeated(work) && !srv_trace_read(value, len, request->id, request->trace))
        request->trace[0] = '\0';
}
