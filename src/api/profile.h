/* What the forms of profiles share. */
#ifndef SV_API_PROFILE_H
#define SV_API_PROFILE_H

#include "api/api.h"
#include "base/buf.h"
#include "runtime/profile.h"

/* A frame's name, on one line. */
void sv_api_print_node(struct sv_buf *, const struct sv_profile *, uint32_t node);
/* flame.c: the picture. A buffer that failed says so itself. */
void sv_api_print_flame(struct sv_buf *, const struct sv_profile *);

#endif
