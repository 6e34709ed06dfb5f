/* The module `ssvm_state` from host-state.so, which must be of this build: it knows the runtime's
 * structs. */
#include <dlfcn.h>

#include "base/library.h"
#include "host/state/state.h"
#include "runtime/native.h"

int sv_state_module(struct sv_err *err, const struct sv_host_module **ret)
{
    const struct sv_state_library *library;
    void *handle;
    int r = sv_library_open(err, "host-state.so", NULL, &handle);

    if (r < 0)
        return r;
    library = dlsym(handle, SV_STATE_LIBRARY_SYMBOL);
    if (!library || library->version != SV_STATE_LIBRARY_VERSION ||
        strcmp(library->build, sv_native_build_text()) != 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "host-state.so is of another build");
    *ret = library->module;
    return 0;
}
