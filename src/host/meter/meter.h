/* What a guest has used and may still use (`ssvm_meter`): it needs no grant. */
#ifndef SV_HOST_METER_METER_H
#define SV_HOST_METER_METER_H

#include "host/host.h"

extern const struct sv_host_module sv_host_meter;

#endif
