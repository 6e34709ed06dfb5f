/* The registry: functions, their versions, and which of these get requests. The truth is in the
 * database; here is what of it workers are told (publish.h) and the API shows. Makes no versions:
 * that is deploy.h.
 *
 * Codes of failures: SV_ENOTFOUND no such function or version; SV_EUSAGE what was asked makes no
 * sense; SV_EIO the database or the disk does not work now. */
#ifndef CONTROL_REGISTRY_H
#define CONTROL_REGISTRY_H

#include <stdatomic.h>

#include "control/control.h"
#include "platform/manifest.h"
#include "platform/table.h"

#define CTL_WEIGHT_ALL 10000
#define CTL_VERSIONS_KEPT 50  /* of a function, beside those with a weight or an alias */
#define CTL_BLOB_GRACE_S 3600 /* a module that nobody names any more stays so long */

struct ctl_version {
    uint32_t number;                   /* 1 is the function's first */
    uint32_t weight;                   /* its share of the requests, of CTL_WEIGHT_ALL */
    uint32_t activated;                /* the greatest had all requests last; 0 = never */
    uint8_t digest[PLAT_DIGEST_BYTES]; /* SHA-256 of the deployed module */
    uint8_t ready[PLAT_DIGEST_BYTES];  /* of the module that runs: see table.h */
    bool has_site;
    uint8_t site[PLAT_DIGEST_BYTES]; /* of its static files (site.h) */
    uint64_t size, created_ms;
    const char *manifest; /* as deployed, "" = none */
    const char *exports;  /* JSON: [{"name", "signature"}] */
    const char *note;     /* what is to be known about it, lines */
    const char *aliases;  /* with blanks between them, "" = none */
};

/* Does not change while there is a reference. */
struct ctl_function {
    _Atomic uint32_t refs;
    uint64_t id; /* wasm_id of /api */
    const char *tenant, *name, *description;
    const char *state, *callback; /* of /api */
    uint64_t created_ms, updated_ms;
    bool keyed;                       /* callers need a usage key */
    uint8_t key[PLAT_KEY_BYTES];      /* its SHA-256 */
    struct plat_manifest manifest;    /* of the main version */
    own struct ctl_version *versions; /* the newest first */
    uint32_t nversions;
    const struct ctl_version *main; /* the one with most requests; NULL: none has any */
    struct sv_arena arena;          /* of all its texts */
};

/* A reference for the caller; NULL: there is none. */
own struct ctl_function *ctl_registry_find(struct ctl_server *, const char *tenant,
                                           const char *name);
own struct ctl_function *ctl_registry_find_id(struct ctl_server *, uint64_t id);
void ctl_function_unref(own struct ctl_function *);
/* Each function of the tenant (NULL: of all), by tenant and name; until one says false. */
int ctl_registry_list(struct ctl_server *, struct sv_err *, const char *tenant,
                      bool (*each)(void *data, const struct ctl_function *), void *data);
/* Likewise, those that were deployed first before others. */
int ctl_registry_each(struct ctl_server *, struct sv_err *, const char *tenant,
                      bool (*each)(void *data, const struct ctl_function *), void *data);
/* By number ("3"), alias, or at least 4 digits of the digest; "" is the one with most requests.
 * NULL: none. */
const struct ctl_version *ctl_function_version(const struct ctl_function *, const char *which);
/* The file of a version's module, to read. Negative: there is none. */
own int ctl_registry_open_blob(struct ctl_server *, const uint8_t digest[PLAT_DIGEST_BYTES]);

/* Changes. Durable, and told to all workers of this node, when they return 0. */
struct ctl_share {
    uint32_t number, weight; /* weights are shares of their sum */
};
int ctl_registry_split(struct ctl_server *, struct sv_err *, const char *tenant, const char *name,
                       const struct ctl_share *, unsigned n);
/* Version `number` = 0: take the alias away. */
int ctl_registry_alias(struct ctl_server *, struct sv_err *, const char *tenant, const char *name,
                       const char *alias, uint32_t number);
int ctl_registry_delete(struct ctl_server *, struct sv_err *, const char *tenant, const char *name);
/* `digest`: SHA-256 of the usage key, NULL: everybody may call. */
int ctl_registry_set_key(struct ctl_server *, struct sv_err *, const char *tenant, const char *name,
                         const uint8_t *digest);
enum ctl_function_text { CTL_FUNCTION_STATE, CTL_FUNCTION_CALLBACK, CTL_FUNCTION_DESCRIPTION };
int ctl_registry_set_text(struct ctl_server *, struct sv_err *, const char *tenant,
                          const char *name, enum ctl_function_text which, const char *text);
/* Somebody else has changed a function's rows: read them again, publish. Who changes them in a
 * transaction of his own calls ctl_registry_note in it, and this after it. Tenants' limits are read
 * when anything notifies "tenants". */
int ctl_registry_refresh(struct ctl_server *, struct sv_err *, uint64_t id);
void ctl_registry_note(struct ctl_sql *, uint64_t id);

#endif
