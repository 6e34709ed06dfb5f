/* `ssvm_native` inside of host-state.so. */
#ifndef SV_HOST_STATE_STORAGE_H
#define SV_HOST_STATE_STORAGE_H

#include "host/part.h"
#include "host/state/guest.h"

extern const struct sv_host_module storage_module;
extern const struct sv_host_services *storage_services; /* the part's */

#define FUNC(name, impl, sig, cost, doc) sv_host_fn impl;
#include "host/state/storage.def"
#undef FUNC

#endif
