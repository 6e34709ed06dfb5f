/* Static files of a version. Packed into one blob, so that they have one digest, are kept and
 * shared as modules are (blob.h), and are switched with their version; unpacked into the folder
 * DATA/blobs/HEX.site, from which workers serve them. */
#ifndef CONTROL_SITE_H
#define CONTROL_SITE_H

#include "base/buf.h"
#include "control/control.h"
#include "platform/table.h"

#define CTL_SITE_FILES_MAX 4000
#define CTL_SITE_PATH_MAX 1024 /* bytes of a file's path */

struct ctl_file {
    struct sv_str path, bytes;
};

/* Pack files, whose paths are relative: SV_EUSAGE when one is not, leads elsewhere, or is there
 * twice. Sorts them. */
int ctl_site_pack(struct sv_err *, struct ctl_file *, unsigned n, struct sv_buf *ret);
/* Unpack the blob, if that was not done. The folder's name, relative to DATA, goes into `ret`. */
#define CTL_SITE_FOLDER_SIZE (sizeof "blobs/" + 64 + sizeof ".site")
int ctl_site_unpack(struct ctl_server *, struct sv_err *, const uint8_t digest[PLAT_DIGEST_BYTES],
                    char ret[CTL_SITE_FOLDER_SIZE]);
/* Remove the folder. */
void ctl_site_remove(struct ctl_server *, const char *folder);

#endif
