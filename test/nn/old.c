/* A library that is older than what its backend needs: of ONNX Runtime, whose interface says so
 * itself. */
#include <stddef.h>
#include <stdint.h>

static const void *get_api(uint32_t version)
{
    (void)version;
    return NULL;
}

static const char *version(void)
{
    return "1.2.0";
}

static const struct {
    const void *(*get_api)(uint32_t);
    const char *(*version)(void);
} base = {get_api, version};

__attribute__((visibility("default"))) const void *OrtGetApiBase(void);
const void *OrtGetApiBase(void)
{
    return &base;
}
