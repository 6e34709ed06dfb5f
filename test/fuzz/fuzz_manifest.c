/* Manifests: whatever the bytes, they are read or refused with a reason; what was read is printed
 * as a manifest that reads back to the same text. */
#include <stdlib.h>
#include <string.h>

#include "platform/manifest.h"
#include "platform/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct plat_manifest *m, struct sv_buf *to)
{
    sv_buf_init(to, 8 * PLAT_YAML_BYTES_MAX);
    plat_manifest_print(m, to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plat_manifest m, again;
    struct sv_err err = {0};
    struct sv_buf first, second;

    if (plat_manifest_read(&err, "f", (const char *)data, size, &m) < 0) {
        if (!err.text[0])
            abort();
        plat_manifest_release(&m);
        return 0;
    }
    print(&m, &first);
    if (first.len <= PLAT_YAML_BYTES_MAX) {
        if (plat_manifest_read(&err, "f", sv_buf_cstr(&first), first.len, &again) < 0)
            abort();
        print(&again, &second);
        if (second.len != first.len || memcmp(first.data, second.data, first.len) != 0)
            abort();
        sv_buf_release(&second);
        plat_manifest_release(&again);
    }
    sv_buf_release(&first);
    plat_manifest_release(&m);
    return 0;
}
