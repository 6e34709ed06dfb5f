/* Loaded modules, ready for calls: their imports resolved, their exports known. Where they come
 * from is function.c's and registry.c's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/function.h"
#include "serve/grant.h"

#define BROKEN_MAX 400 /* bytes of the reason that a version is broken */

void srv_version_unref(own struct srv_version *version)
{
    if (!version || atomic_fetch_sub(&version->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < version->nexports; i++)
        free(version->exports[i].name);
    free(version->exports);
    free(version->hosts);
    if (version->snapshot_bytes)
        atomic_fetch_sub(version->snapshots_of, version->snapshot_bytes);
    ssvm_template_delete(version->template);
    ssvm_module_delete(version->module);
    free(version->broken);
    free(version);
}

own struct srv_version *srv_version_ref(struct srv_version *version)
{
    atomic_fetch_add(&version->refs, 1);
    return version;
}

void srv_version_set_broken(struct srv_version *version, const char *what, const char *why)
{
    char text[BROKEN_MAX];

    snprintf(text, sizeof text, "%s%s%s", what, *why ? ": " : "", why);
    free(version->broken);
    version->broken = strdup(text);
}

void srv_version_set_starved(struct srv_version *version)
{
    srv_version_set_broken(version, "out of memory", "");
    version->starved = true;
}

void srv_version_set_refused(struct srv_version *version, const ssvm_error *error)
{
    srv_version_set_broken(version, "not a module that runs here", ssvm_error_message(error));
    version->starved = ssvm_error_kind_of(error) == SSVM_ENOMEM;
}

/* `type` is the text of one parameter in a signature. */
static enum srv_param read_param(const char *type, size_t len)
{
    static const struct {
        const char *text;
        enum srv_param param;
    } texts[] = {
        {"String", SRV_PARAM_STRING}, {"&str", SRV_PARAM_STRING},
        {"str", SRV_PARAM_STRING},    {"Vec<u8>", SRV_PARAM_BYTES},
        {"&[u8]", SRV_PARAM_BYTES},   {"Box<[u8]>", SRV_PARAM_BYTES},
        {"bytes", SRV_PARAM_BYTES},   {"&mut [u8]", SRV_PARAM_BYTES},
        {"JSON", SRV_PARAM_JSON},
    };

    if (len > 8 && memcmp(type, "Option<", 7) == 0)
        return read_param(type + 7, len - 8);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strlen(texts[i].text) == len && memcmp(texts[i].text, type, len) == 0)
            return texts[i].param;
    }
    return SRV_PARAM_OTHER;
}

/* "name(T, T) -> T": the parameters' kinds. */
static void read_signature(struct srv_export *ex, const char *text)
{
    const char *p = strchr(text, '(');
    int depth = 0;

    if (!p || (p[1] == ')')) {
        ex->known = p != NULL;
        return;
    }
    for (const char *from = ++p; *p; p++) {
        if (*p == '<' || *p == '[' || *p == '(')
            depth++;
        bool end = depth == 0 && (*p == ',' || *p == ')');

        if (end && ex->nparams == SRV_PARAMS_MAX)
            return;
        if (end) {
            while (*from == ' ')
                from++;
            ex->params[ex->nparams++] = (uint8_t)read_param(from, (size_t)(p - from));
            from = p + 1;
        }
        if (end && *p == ')') {
            ex->known = true;
            return;
        }
        if (*p == '>' || *p == ']' || *p == ')')
            depth--;
    }
}

static bool is_callable(const char *name, size_t len)
{
    static const char *const own_names[] = {"_start", "_initialize", "__wbindgen_start",
                                            "__wasm_call_ctors"};

    for (size_t i = 0; i < sizeof own_names / sizeof own_names[0]; i++) {
        if (strlen(own_names[i]) == len && memcmp(name, own_names[i], len) == 0)
            return false;
    }
    return len > 0 && len <= 256 && !(len > 2 && memcmp(name, "__", 2) == 0);
}

static bool add_export(struct srv_version *version, const char *name, size_t len)
{
    struct srv_export *ex = &version->exports[version->nexports];
    char *signature = NULL;
    ssvm_error *error;

    memset(ex, 0, sizeof *ex);
    ex->name = strndup(name, len);
    if (!ex->name)
        return false;
    ex->name_len = len;
    version->nexports++;
    error = ssvm_module_signature(version->module, ex->name, &signature);
    if (!error)
        read_signature(ex, signature);
    ssvm_error_delete(error);
    ssvm_string_delete(signature);
    return true;
}

/* `say_0123456789abcdef`, as newer versions of wasm-bindgen name it, is called `say`. */
static size_t plain_length(const char *name, size_t len)
{
    if (len < 18 || name[len - 17] != '_')
        return len;
    for (size_t i = len - 16; i < len; i++) {
        if (!((name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'f')))
            return len;
    }
    return len - 17;
}

static bool list_exports(struct srv_version *version)
{
    size_t n = ssvm_module_nexports(version->module);

    version->exports =
        calloc(n < SRV_EXPORTS_MAX ? n + 1 : SRV_EXPORTS_MAX, sizeof *version->exports);
    if (!version->exports)
        return false;
    for (size_t i = 0; i < n && version->nexports < SRV_EXPORTS_MAX; i++) {
        size_t len;
        ssvm_extern_kind kind;
        const char *name = ssvm_module_export(version->module, i, &len, &kind, NULL);

        if (kind != SSVM_EXTERN_FUNC)
            continue;
        if (len == 6 && memcmp(name, "_start", 6) == 0)
            version->command = true;
        else if (is_callable(name, len) && !add_export(version, name, plain_length(name, len)))
            return false;
    }
    if (version->command)
        return version->nexports > 0 || add_export(version, "_start", 6);
    return true;
}

/* Resolve the imports, once for all instances. What WASI grants is said anew for each of them. */
static ssvm_error *make_template(ssvm_engine *engine, const struct srv_grant *grant, unsigned parts,
                                 struct srv_version *version)
{
    ssvm_wasi nothing = SSVM_WASI_INIT;
    ssvm_store *store = NULL;
    ssvm_linker *linker = NULL;
    ssvm_error *error = ssvm_store_new(engine, NULL, &store);

    if (!error)
        error = ssvm_linker_new(store, &linker);
    if (!error)
        error = ssvm_linker_define_wasi(linker, &nothing);
    if (!error)
        error = ssvm_linker_define_bindgen(linker);
    if (!error)
        error = srv_grant_define(grant, parts, linker);
    if (!error)
        error = ssvm_template_new(linker, version->module, &version->template);
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    return error;
}

/* Its host functions are among its imports. */
static bool list_hosts(struct srv_version *version)
{
    size_t n = ssvm_module_nimports(version->module);

    version->hosts = calloc(n + 1, sizeof *version->hosts);
    version->nhosts = version->hosts ? (uint32_t)n : 0;
    return version->hosts;
}

/* All modules of inference, those of earlier names too, are called after what they give. */
static bool wants_inference(const struct srv_version *version)
{
    for (size_t i = 0; i < ssvm_module_nimports(version->module); i++) {
        const char *module;
        size_t len;

        ssvm_module_import(version->module, i, &module, &len, NULL, NULL, NULL);
        if (memmem(module, len, "tensorflow", 10) || memmem(module, len, "_nn", 3))
            return true;
    }
    return false;
}

void srv_version_link(struct srv_version *version, ssvm_engine *engine,
                      const struct srv_grant *grant, unsigned parts)
{
    ssvm_error *error = make_template(engine, grant, parts, version);

    if (error)
        srv_version_set_refused(version, error);
    else if (!list_exports(version) || !list_hosts(version))
        srv_version_set_starved(version);
    version->threads = parts >> SRV_GRANT_THREADS != 0;
    version->infers = parts & SRV_GRANT_NN && grant && grant->nn && wants_inference(version);
    ssvm_error_delete(error);
}

struct srv_export *srv_version_export(const struct srv_version *version, const char *name,
                                      size_t len)
{
    for (uint32_t i = 0; i < version->nexports; i++) {
        if (version->exports[i].name_len == len && memcmp(version->exports[i].name, name, len) == 0)
            return &version->exports[i];
    }
    return NULL;
}
