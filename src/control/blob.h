/* Modules as files that are named by their SHA-256: DATA/blobs/HEX.wasm. Where nodes share the
 * database they are kept in it too. */
#ifndef CONTROL_BLOB_H
#define CONTROL_BLOB_H

#include "control/control.h"
#include "platform/table.h"

#define CTL_HEX_LEN (2 * PLAT_DIGEST_BYTES)

void ctl_hex(const uint8_t digest[PLAT_DIGEST_BYTES], char ret[CTL_HEX_LEN + 1]);
/* 64 digits. False: it is none. */
bool ctl_unhex(struct sv_str hex, uint8_t ret[PLAT_DIGEST_BYTES]);
/* Make the folders. */
int ctl_blob_init(struct ctl_server *, struct sv_err *);
/* Durable when it returns 0: temporary name, fsync, rename, fsync of the folder. One that is there
 * and whole stays as it is. */
int ctl_blob_write(struct ctl_server *, struct sv_err *, const void *bytes, size_t len,
                   uint8_t ret[PLAT_DIGEST_BYTES]);
/* To read; negative: there is none. From the database when only that has it. */
own int ctl_blob_open(struct ctl_server *, const uint8_t digest[PLAT_DIGEST_BYTES]);
/* Remove what no version names, and has not been touched for so long. */
void ctl_blob_collect(struct ctl_server *, unsigned grace_s);

#endif
