/* Snapshots of ssvm.h. The file is written by runtime/snapshot.c. */
#include "runtime/snapshot.h"
#include "api/api.h"
#include "host/host.h"
#include "wasm/limits.h"

static own ssvm_error *snapshot(ssvm_store *s, struct sv_instance *i, const char *const *done,
                                size_t n, struct sv_buf *ret)
{
    const char *held = sv_host_holds(s->store);
    struct sv_str *names;
    struct sv_err err = {0};
    int r;

    if (s->depth > 1)
        return sv_api_error(SSVM_EUSAGE, "cannot snapshot: a guest runs in the store");
    if (held)
        return sv_api_error(SSVM_EUSAGE, "cannot snapshot: the guest has %s", held);
    names = sv_alloc_array(n + 1, sizeof *names);
    if (!names)
        return sv_api_nomem();
    for (size_t k = 0; k < n; k++)
        names[k] = sv_str_of(done[k]);
    names[n] = sv_str_of("_initialize");
    r = sv_instance_snapshot(&err, i, names, n + 1, ret);
    sv_free(names);
    return r < 0 ? sv_api_error_of(&err) : NULL;
}

own ssvm_error *ssvm_instance_snapshot(ssvm_instance *instance, const char *const *done, size_t n,
                                       own char **ret_bytes, size_t *ret_len)
{
    struct sv_instance *i = sv_api_instance(instance);
    ssvm_error *error;
    struct sv_buf b;
    ssvm_store *s;

    if (!i || (n && !done) || !ret_bytes || !ret_len)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_instance_snapshot needs an instance and a place for the bytes");
    s = sv_api_store_of(i->store);
    error = sv_api_enter(s);
    if (error)
        return error;
    sv_buf_init(&b, SV_LIMIT_MODULE_BYTES);
    error = snapshot(s, i, done, n, &b);
    if (!error) {
        size_t len = 0;
        char *bytes = sv_buf_take(&b, &len);

        if (bytes) {
            *ret_bytes = bytes;
            *ret_len = len;
        } else {
            error = sv_api_nomem();
        }
    }
    sv_buf_release(&b);
    sv_api_leave(s);
    return error;
}
