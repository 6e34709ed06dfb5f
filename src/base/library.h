/* Shared objects of this project that are opened on demand: compiler, host modules, backends. */
#ifndef SV_BASE_LIBRARY_H
#define SV_BASE_LIBRARY_H

#include <stddef.h>

#include "base/err.h"

/* Open `name` ("libssvm-aot.so"): from `path` where that is not NULL, else beside the file that
 * this code is in or beside the program, or in
 * ../lib/ssvm of either: build trees and installations. *ret is dlopen's handle, the caller's.
 * SV_ENOTFOUND. Any thread. */
int sv_library_open(struct sv_err *err, const char *name, const char *path, void **ret);
/* Where `name` is, to `ret`; false when it is nowhere. */
bool sv_library_find(const char *name, char *ret, size_t size);

#endif
