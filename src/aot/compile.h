/* The one function of libssvm-aot.so. */
#ifndef SV_AOT_COMPILE_H
#define SV_AOT_COMPILE_H

#include "aot/aot.h"
#include "wasm/module.h"

/* How much of a part is compiled: less when its process came to a bad end. */
enum sv_aot_effort {
    SV_AOT_ALL,     /* all but functions beyond limits */
    SV_AOT_CAREFUL, /* small functions, little optimised */
    SV_AOT_NOTHING, /* all functions stay interpreted */
};
/* weigh.c: is the function beyond what this effort allows? */
bool sv_aot_too_big(const struct sv_module *, uint32_t index, enum sv_aot_effort);

#define SV_AOT_REPORT_MAX 16
/* What became of the functions. */
struct sv_aot_report {
    uint32_t functions, ninterpreted;
    uint32_t interpreted[SV_AOT_REPORT_MAX]; /* some of those that stay interpreted: too big */
};

/* Compile a module of `len` bytes (borrowed) to an image that is not sealed yet (sv_image_seal).
 * On success *ret is the caller's, to give to sv_aot_free. Errors as sv_module_new's; SV_EUSAGE for
 * an unknown target; SV_EUNSUPPORTED. Any thread. */
__attribute__((visibility("default"))) int sv_aot_compile(struct sv_err *err, const uint8_t *wasm,
                                                          size_t len,
                                                          const struct sv_aot_options *opts,
                                                          own uint8_t **ret, size_t *ret_len,
                                                          struct sv_aot_report *ret_report);
__attribute__((visibility("default"))) void sv_aot_free(own uint8_t *);

#endif
