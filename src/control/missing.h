/* A module that imports what its manifest does not grant: which grants they are, before its first
 * call. */
#ifndef CONTROL_MISSING_H
#define CONTROL_MISSING_H

#include "base/buf.h"
#include "platform/manifest.h"
#include "ssvm.h"

/* Of a module that cannot be linked: "it imports what its manifest does not grant: kv: on (for
 * MODULE.FUNCTION), ..."; nothing where it is not for want of a grant. */
void ctl_missing_grants(const ssvm_module *, const struct plat_manifest_grant *,
                        struct sv_buf *ret);

#endif
