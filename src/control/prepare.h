/* Preparing a version, in processes that hostile modules may exhaust or break: validation, exports,
 * imports against grants, initialisation, native code, a smoke test. Changes nothing but files that
 * are named by their contents. */
#ifndef CONTROL_PREPARE_H
#define CONTROL_PREPARE_H

#include "control/control.h"
#include "platform/manifest.h"

#define CTL_PREPARE_ROLE "--role=prepare" /* first argument of such a process */
#define CTL_COMPILE_ROLE "--role=compile"

struct ctl_prepared {
    uint8_t ready[PLAT_DIGEST_BYTES]; /* of the module that runs; its file is in DATA/blobs */
    own char *exports;                /* JSON: [{"name", "signature"}] */
    own char *note;                   /* lines */
};

/* The module with this digest lies in DATA/blobs; `text` is the manifest's; `costs` is the table
 * that what is made ready gets (empty: none); `cache`: the folder that its native code goes to,
 * NULL: none is made. Codes of failures as ctl_deploy. */
int ctl_prepare(struct ctl_server *, struct sv_err *, const uint8_t digest[PLAT_DIGEST_BYTES],
                struct sv_str text, struct sv_str costs, const char *cache,
                struct ctl_prepared *ret);
void ctl_prepared_release(struct ctl_prepared *);
/* Native code for this node, of a module in DATA/blobs, if the folder has none yet; false: *err
 * says why not. */
bool ctl_prepare_native(struct ctl_server *, struct sv_err *,
                        const uint8_t ready[PLAT_DIGEST_BYTES], const char *cache);

/* The processes' main functions. */
int ctl_prepare_child(int argc, char **argv);
int ctl_compile_child(int argc, char **argv);

/* The server, or this process, ends: who prepares has so long, and fails then (SV_EIO). */
void ctl_prepare_end(struct ctl_server *, unsigned grace_ms);

#endif
