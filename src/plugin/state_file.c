/* state-file.so: `ssvm_state` for programs without a server, over files, given secrets, and servers
 * that were named. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "plugin/state.h"

static void release(void *data)
{
    struct state_files *f = data;

    state_db_close(&f->kv);
    state_db_close(&f->sql);
    for (size_t i = 0; i < f->nsecrets; i++) {
        sv_free(f->secrets[i].name);
        if (f->secrets[i].value)
            explicit_bzero(f->secrets[i].value, strlen(f->secrets[i].value));
        sv_free(f->secrets[i].value);
    }
    sv_free(f->secrets);
    sv_free(f->rules);
    sv_free(f);
}

static int fail(char *error, const char *what)
{
    snprintf(error, SSVM_STATE_ERROR_MAX, "%.*s", SSVM_STATE_ERROR_MAX - 1, what);
    return -1;
}

static int take_secrets(struct state_files *f, const char *const *secrets, size_t n, char *error)
{
    f->secrets = sv_alloc_array_zero(n ? n : 1, sizeof *f->secrets);
    if (!f->secrets)
        return fail(error, "out of memory for secrets");
    for (size_t i = 0; i < n; i++) {
        const char *eq = strchr(secrets[i], '=');

        if (!eq || eq == secrets[i])
            return fail(error, "a secret is not of the form NAME=VALUE");
        f->secrets[i].name = sv_strndup(secrets[i], (size_t)(eq - secrets[i]));
        f->secrets[i].value = sv_strdup(eq + 1);
        f->nsecrets++;
        if (!f->secrets[i].name || !f->secrets[i].value)
            return fail(error, "out of memory for secrets");
    }
    return 0;
}

static int take_hosts(struct state_files *f, const char *const *hosts, size_t n, char *error)
{
    struct sv_err err = {0};

    if (n == 0)
        return 0;
    f->rules = sv_alloc_array_zero(n, sizeof *f->rules);
    if (!f->rules || out_init(&err) < 0)
        return fail(error, "libcurl cannot be used");
    for (f->nrules = 0; f->nrules < n; f->nrules++) {
        if (out_rule_parse(&err, sv_str_of(hosts[f->nrules]), &f->rules[f->nrules]) < 0)
            return fail(error, err.text);
    }
    return 0;
}

static int open_files(const char *kv, const char *sql, const char *const *secrets, size_t nsecrets,
                      const char *const *hosts, size_t nhosts, void **ret_data, char *error)
{
    struct state_files *f = sv_alloc_zero(sizeof *f);

    if (!f)
        return fail(error, "out of memory for state");
    if ((kv && state_kv_open(&f->kv, kv, error) < 0) ||
        (sql && state_sql_open(&f->sql, sql, error) < 0) ||
        take_secrets(f, secrets, nsecrets, error) < 0 || take_hosts(f, hosts, nhosts, error) < 0) {
        release(f);
        return -1;
    }
    *ret_data = f;
    return 0;
}

static int secret(void *data, ssvm_state_op *op, ssvm_state_bytes name)
{
    const struct state_files *f = data;

    for (size_t i = 0; i < f->nsecrets; i++) {
        const char *value = f->secrets[i].value;

        if (strlen(f->secrets[i].name) == name.len &&
            memcmp(f->secrets[i].name, name.ptr, name.len) == 0)
            return ssvm_state_put(op, SSVM_STATE_BODY, value, strlen(value)) ? SSVM_STATE_OK
                                                                             : SSVM_STATE_ELIMIT;
    }
    return SSVM_STATE_ENOENT;
}

/* ---- Outbound HTTP ---- */

static bool put_field(void *data, struct sv_str line)
{
    return ssvm_state_put(data, SSVM_STATE_FIELDS, line.ptr, line.len);
}

static bool put_body(void *data, const void *bytes, size_t len)
{
    return ssvm_state_put(data, SSVM_STATE_BODY, bytes, len);
}

static bool op_stopped(void *data)
{
    const ssvm_state_op *op = data;

    return op->stopped(op);
}

static struct sv_str str(ssvm_state_bytes b)
{
    return (struct sv_str){b.ptr, b.len};
}

static int state_code(int code)
{
    switch (code) {
    case SV_EUSAGE:
        return SSVM_STATE_EINVAL;
    case SV_EINVALID:
        return SSVM_STATE_EDENIED;
    case SV_ELIMIT:
        return SSVM_STATE_ELIMIT;
    case SV_EEXIT:
        return SSVM_STATE_ETIME;
    case SV_ENOMEM:
        return SSVM_STATE_ENOMEM;
    default:
        return SSVM_STATE_EIO;
    }
}

static int http(void *data, ssvm_state_op *op, const ssvm_state_request *r)
{
    const struct state_files *f = data;
    /* Who starts the program names the addresses himself. */
    struct out_rules rules = {f->rules, f->nrules, f->rules, f->nrules};
    struct out_request request = {
        .method = str(r->method),
        .url = str(r->target),
        .fields = str(r->fields),
        .body = str(r->body),
        .deadline_ns = op->deadline_ns,
        .stopped = op_stopped,
        .data = op,
    };
    struct out_sink sink = {put_field, put_body, op};
    struct sv_err err = {0};
    int status = 0, code = out_fetch(&err, &rules, &request, &sink, &status);

    if (code == 0) {
        op->number = status;
        return op->room(op, SSVM_STATE_BODY, 0) ? SSVM_STATE_OK : SSVM_STATE_ENOMEM;
    }
    snprintf(op->error, sizeof op->error, "%.*s", SSVM_STATE_ERROR_MAX - 1, err.text);
    return state_code(code);
}

static const ssvm_state_backend backend = {
    .abi = SSVM_STATE_ABI,
    .release = release,
    .kv_get = state_kv_get,
    .kv_set = state_kv_set,
    .kv_cas = state_kv_cas,
    .kv_delete = state_kv_delete,
    .kv_increment = state_kv_increment,
    .kv_list = state_kv_list,
    .sql = state_sql,
    .secret = secret,
    .http = http,
};

extern __attribute__((visibility("default"))) const struct ssvm_state_file_library ssvm_state_file;
const struct ssvm_state_file_library ssvm_state_file = {SSVM_STATE_ABI, &backend, open_files};
