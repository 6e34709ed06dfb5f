/* Stands for yaml.c where libyaml was not there when ssvm was built. */
#include "platform/yaml.h"

int plat_yaml_read(struct sv_err *err, const char *file, const char *text, size_t len,
                   struct sv_arena *arena, struct plat_yaml **ret)
{
    (void)text;
    (void)len;
    (void)arena;
    (void)ret;
    return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                   "%s: this ssvm was built without libyaml (libyaml-dev) and reads no YAML", file);
}
