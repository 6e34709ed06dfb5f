/* /api/ephemeral_storage: JSON values that are forgotten after an hour. Who knows a key, which
 * nobody can guess, may do all with its value; there is no list of keys. */
#include <stdlib.h>

#include "control/faas.h"
#include "control/state.h"
#include "control/throttle.h"

#define NEW_PER_MINUTE 100 /* of an address, as in 2020 */

/* Ask state.c. 0, or the reply is ready (no such key), or it failed. *ret is to be released. */
static int ask(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
               const char *op, struct plat_message *ret)
{
    struct plat_message message;
    uint64_t status = 500;
    char *text = NULL;
    int r;

    plat_message_init(ret, PLAT_EPHEMERAL);
    plat_message_init(&message, PLAT_EPHEMERAL);
    plat_put_str(&message, PLAT_TAG_TENANT, CTL_DEFAULT_TENANT);
    plat_put_str(&message, PLAT_TAG_OP, op);
    if (request->params[0].ptr)
        plat_put(&message, PLAT_TAG_KEY, request->params[0].ptr, request->params[0].len);
    if (request->json) {
        text = json_dumps(request->json, JSON_COMPACT | JSON_ENCODE_ANY);
        message.values.failed |= !text;
        plat_put_str(&message, PLAT_TAG_VALUE, text ? text : "");
    }
    r = message.values.failed ? sv_fail_nomem(err, "a request")
                              : ctl_state_ephemeral(request->server, err, &message, ret);
    free(text);
    plat_message_release(&message);
    if (r < 0)
        return r;
    plat_get_u64(ret, PLAT_TAG_STATUS, &status);
    if (status == 200)
        return 0;
    ctl_reply_error(reply, request, 404, "not_found", "Key not found");
    return 1;
}

/* Do it; the answer is the key. */
static int answer_key(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                      const char *op)
{
    struct plat_message ret;
    struct sv_str key;
    int r = ask(request, reply, err, op, &ret);

    if (r == 0) {
        key = plat_get(&ret, PLAT_TAG_KEY);
        ctl_reply_json(reply, 200, json_pack("{s:s%}", "key", key.ptr ? key.ptr : "", key.len));
    }
    plat_message_release(&ret);
    return r < 0 ? r : 0;
}

int ctl_faas_ephemeral_new(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    if (!ctl_throttle_take(request->peer, NEW_PER_MINUTE)) {
        ctl_reply_field(reply, "Retry-After", "60");
        return ctl_reply_error(reply, request, 429, "too_many", "too many keys at once");
    }
    return answer_key(request, reply, err, "put");
}

int ctl_faas_ephemeral_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return answer_key(request, reply, err, "put");
}

int ctl_faas_ephemeral_delete(struct ctl_request *request, struct ctl_reply *reply,
                              struct sv_err *err)
{
    return answer_key(request, reply, err, "delete");
}

int ctl_faas_ephemeral_get(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct plat_message ret;
    struct sv_str value;
    int r = ask(request, reply, err, "get", &ret);

    if (r == 0) {
        value = plat_get(&ret, PLAT_TAG_VALUE);
        ctl_reply_json(
            reply, 200,
            json_pack("{s:o}", "value",
                      json_loadb(value.ptr ? value.ptr : "", value.len, JSON_DECODE_ANY, NULL)));
    }
    plat_message_release(&ret);
    return r < 0 ? r : 0;
}
