/* Deploying: from bytes and a manifest to a version that answers requests, and back. */
#ifndef CONTROL_DEPLOY_H
#define CONTROL_DEPLOY_H

#include "control/key.h"
#include "control/registry.h"
#include "control/site.h"

struct ctl_deploy {
    const char *tenant;
    const char *name;        /* NULL: the manifest's. Made when it is new */
    struct sv_str manifest;  /* ssvm.yaml; {NULL, 0}: that of the version before, or none */
    struct sv_str module;    /* wasm; {NULL, 0}: static files alone */
    struct ctl_file *files;  /* static ones, by path below the manifest's static.dir; are sorted */
    unsigned nfiles;         /* 0: those of the version before */
    const char *description; /* NULL: as before */
    /* Of all requests, in 1/10000, the others go on as before; 0: all. */
    uint32_t weight;
    const char *alias; /* give it this alias; NULL: none */
    bool no_switch;    /* it gets no requests but by its alias or digest */
    bool no_native;    /* native code is made behind its first calls, not now */
    bool no_key;       /* whoever asks is not told one: `usage-key: on` makes none */
};

struct ctl_deployed {
    own struct ctl_function *function; /* a reference */
    uint32_t number;
    bool is_new;          /* no version with these bytes and manifest was there */
    uint64_t prepared_us; /* validated, initialised, compiled, tried out */
    /* The manifest asks for one, and the function had none: this is it, and is never told again.
     * Else "". */
    char usage_key[CTL_UUID_TEXT];
};

/* SV_EUSAGE: name, manifest or options are wrong; SV_ELIMIT: too large; SV_EMALFORMED, SV_EINVALID,
 * SV_ELINK (an import that nothing grants, explained), SV_EGUEST (its initialiser or the smoke test
 * failed): the version is not accepted; SV_EIO. Nothing has changed then. */
int ctl_deploy(struct ctl_server *, struct sv_err *, const struct ctl_deploy *,
               struct ctl_deployed *ret);
/* The tenant is about to have a process of its own: native code of the versions that get requests,
 * where that process looks for it. What there is no time for is compiled when it runs first. */
void ctl_deploy_isolate(struct ctl_server *, const char *tenant);
/* All requests to version `which` (ctl_function_version); NULL: the one that had them before. */
int ctl_rollback(struct ctl_server *, struct sv_err *, const char *tenant, const char *name,
                 const char *which, struct ctl_deployed *ret);

#endif
