/* A build of ONNX Runtime for CUDA, as far as its backend looks when it opens it: FAKE_CUDA is what
 * making options for a session on the GPU says, "" or not set: nothing, it worked. And the driver's
 * library, of FAKE_GPUS devices: linked as libcuda.so.1 too. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int cuInit(unsigned flags);
EXPORT int cuDeviceGetCount(int *ret);
EXPORT const void *OrtGetApiBase(void);

int cuInit(unsigned flags)
{
    return (int)flags;
}

int cuDeviceGetCount(int *ret)
{
    const char *n = getenv("FAKE_GPUS");

    *ret = n ? (int)strtol(n, NULL, 10) : 0;
    return 0;
}

static char names[][24] = {"CUDAExecutionProvider", "CPUExecutionProvider"};
static char *providers[] = {names[0], names[1]};

static void *nothing(void)
{
    return NULL;
}
static void *get_providers(char ***ret, int *ret_n)
{
    *ret = providers;
    *ret_n = 2;
    return NULL;
}
static void *create_cuda_options(void **ret)
{
    char *said = getenv("FAKE_CUDA");

    *ret = providers;
    return said && *said ? said : NULL;
}
static const char *get_error_message(const char *status)
{
    return status;
}

#define TABLE 400
static union entry {
    void *(*any)(void);
    void *(*providers)(char ***, int *);
    void *(*create)(void **);
    const char *(*message)(const char *);
} table[TABLE];

static const void *get_api(uint32_t version)
{
    (void)version;
    for (int i = 0; i < TABLE; i++)
        table[i].any = nothing;
    table[2].message = get_error_message;
    table[125].providers = get_providers;
    table[205].create = create_cuda_options;
    return table;
}

static const char *version(void)
{
    return "1.99.0";
}

static const struct {
    const void *(*get_api)(uint32_t);
    const char *(*version)(void);
} base = {get_api, version};

const void *OrtGetApiBase(void)
{
    return &base;
}
