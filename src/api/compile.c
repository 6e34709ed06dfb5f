/* Native code, as embedders ask for it. Where it comes from is tier.c. */
#include "api/tier.h"

#define OPTIONS_MIN offsetof(ssvm_compile_options, debug)
#define PLACE_MAX ((size_t)1 << 31)

/* Module, head of the section, image: one file. */
static own ssvm_error *join(const struct sv_module *m, const uint8_t *image, size_t len,
                            own char **ret, size_t *ret_len)
{
    struct sv_err err = {0};
    struct sv_buf buf;
    bool ok;

    sv_buf_init(&buf, PLACE_MAX);
    ok = sv_buf_append(&buf, m->bytes, m->wasm_len) &&
         sv_image_wrap(&err, m->wasm_len, len, &buf) == 0 && sv_buf_append(&buf, image, len);
    if (ok)
        *ret = sv_buf_take(&buf, ret_len);
    sv_buf_release(&buf);
    return ok ? NULL : err.code ? sv_api_error_of(&err) : sv_api_nomem();
}

own ssvm_error *ssvm_module_compile(ssvm_module *m, const ssvm_compile_options *options,
                                    own char **ret, size_t *ret_len, ssvm_compile_report *report)
{
    ssvm_compile_options o = SSVM_COMPILE_OPTIONS_INIT;
    struct sv_aot_report done = {0};
    uint8_t key[SV_IMAGE_KEY_LEN];
    struct sv_aot_options opts;
    struct sv_err err = {0};
    ssvm_error *error;
    uint8_t *image = NULL;
    size_t len = 0;

    if (!m || !ret || !ret_len)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_module_compile needs a module and a place for the result");
    if (options && !sv_api_copy_sized(&o, sizeof o, options, OPTIONS_MIN))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_compile_options has a size that this library does not know");
    if (o.optimise > 3)
        return sv_api_error(SSVM_EUSAGE, "there is no optimisation level %u", o.optimise);
    opts = (struct sv_aot_options){.target = o.target,
                                   .cpu = o.cpu,
                                   .opt_level = o.optimise,
                                   .jobs = o.jobs,
                                   .processes = o.processes,
                                   .checked = o.checked,
                                   .metered = o.metered,
                                   .debug = o.debug,
                                   .deterministic = m->engine->deterministic,
                                   .progress = o.progress,
                                   .progress_arg = o.progress_data,
                                   .features = m->engine->features};
    if ((m->engine->tier->cache && sv_cache_key(&err, m->engine->tier->cache, key) < 0) ||
        sv_tier_compile(&err, m->engine->tier, m->module, m->module->wasm_len, &opts,
                        m->engine->tier->cache ? key : NULL, &image, &len, &done) < 0)
        return sv_api_error_of(&err);
    error = join(m->module, image, len, ret, ret_len);
    sv_tier_free(m->engine->tier, image);
    if (!error && report) {
        ssvm_compile_report r = {sizeof r, done.functions, done.ninterpreted};

        memcpy(report, &r, report->size < sizeof r ? report->size : sizeof r);
    }
    return error;
}

_Static_assert((int)SSVM_FORM_CHECKED == SV_NATIVE_CHECKED &&
                   (int)SSVM_FORM_METERED == SV_NATIVE_METERED &&
                   (int)SSVM_FORM_DETERMINISTIC == SV_NATIVE_DETERMINISTIC &&
                   (int)SSVM_FORM_COSTS == SV_NATIVE_FORMS,
               "forms are the engine's own, and one beyond");

own ssvm_error *ssvm_module_fill_cache(ssvm_module *m, unsigned form, uint32_t func, uint32_t loop,
                                       own char **ret, size_t *ret_len)
{
    struct sv_tier_code code = {form, func, loop, true};
    struct sv_err err = {0};
    uint8_t *image = NULL;
    char *bytes = NULL;
    size_t len = 0;

    if (!m || !ret || !ret_len || form >= SV_NATIVE_FORMS)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_module_fill_cache needs a module, a form below %u and a place "
                            "for the result",
                            (unsigned)SV_NATIVE_FORMS);
    if (loop && (func < m->module->nimports_of[SV_EXTERN_FUNC] || func >= m->module->nfuncs))
        return sv_api_error(SSVM_EUSAGE, "the module has no function %u with a loop", func);
    if (sv_tier_fill_cache(&err, m->engine->tier, m->module, &code, &image, &len) < 0)
        return sv_api_error_of(&err);
    if (image) {
        bytes = sv_alloc(len);
        if (bytes)
            memcpy(bytes, image, len);
        sv_tier_free(m->engine->tier, image);
        if (!bytes)
            return sv_api_nomem();
    }
    *ret = bytes;
    *ret_len = len;
    return NULL;
}

/* Functions of the image that are stubs. */
static uint32_t count_interpreted(const struct sv_native *n, uint32_t from)
{
    uint32_t count = 0;

    for (uint32_t i = from; i < n->nfuncs; i++)
        count += !sv_native_has(n, i);
    return count;
}

void ssvm_instance_tier(const ssvm_instance *i, ssvm_tier_stats *ret)
{
    const struct sv_instance *inst = sv_api_instance((ssvm_instance *)i);
    ssvm_tier_stats now = SSVM_TIER_STATS_INIT;
    struct sv_tier_progress progress;
    uint32_t imports;

    if (!inst || !ret || ret->size < sizeof ret->size)
        return;
    imports = inst->module->nimports_of[SV_EXTERN_FUNC];
    sv_tier_progress(inst->store->engine->tier, inst->module, sv_native_form(inst), &progress);
    if (inst->native)
        now.state = progress.state == SV_TIER_READY ? SSVM_TIER_SWITCHED : SSVM_TIER_NATIVE;
    else if (progress.state == SV_TIER_WAITS || progress.state == SV_TIER_COMPILES)
        now.state = SSVM_TIER_COMPILING;
    now.ready_ns = progress.ready_ns;
    now.compile_ns = progress.compile_ns;
    now.loops = progress.loops;
    now.functions = inst->module->nfuncs - imports;
    now.interpreted = inst->native ? count_interpreted(inst->native, imports) : 0;
    now.size = ret->size;
    memcpy(ret, &now, now.size < sizeof now ? now.size : sizeof now);
}

const char *ssvm_module_refusal(const ssvm_module *m)
{
    return m ? m->refusal : NULL;
}

bool ssvm_module_is_native(const ssvm_module *m, unsigned form)
{
    return m && form < SV_NATIVE_FORMS && atomic_load(&m->module->natives[form]) != NULL;
}
