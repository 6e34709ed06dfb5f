/* What an image and the engine and machine that run it have to agree on. Images of another build or
 * CPU are recompiled, not guessed. */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "runtime/image.h"
#include "runtime/native.h"
#include "sv_build_id.h" /* made by cmake/build-id.cmake: a digest of the sources that matter */

#if defined(__x86_64__)
#include <sys/platform/x86.h>
#endif

const char *sv_native_build_text(void)
{
    return SV_BUILD_ID;
}

void sv_native_build_id(uint8_t ret[SV_SHA256_LEN])
{
    static const char id[] = "ssvm native " SV_BUILD_ID;

    sv_sha256(id, sizeof id - 1, ret);
}

/* What "native" means on this machine: all that says which instructions there are. */
void sv_native_cpu(uint8_t ret[SV_SHA256_LEN])
{
#if defined(__x86_64__)
    /* glibc's copy: the instruction itself leaves a virtual machine, at 20 us and more. */
    static const unsigned leaves[] = {CPUID_INDEX_1, CPUID_INDEX_7, CPUID_INDEX_80000001,
                                      CPUID_INDEX_7_ECX_1};
    uint32_t words[4 * sizeof leaves / sizeof leaves[0]] = {0};

    for (unsigned i = 0; i < sizeof leaves / sizeof leaves[0]; i++)
        memcpy(&words[4 * i], __x86_get_cpuid_feature_leaf(leaves[i])->active_array, 16);
#else
    uint64_t words[2] = {getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
#endif
    sv_sha256(words, sizeof words, ret);
}

bool sv_native_cpu_fits(const struct sv_image_id *id)
{
    uint8_t host[SV_SHA256_LEN];

    if (strncmp(id->cpu, "native", sizeof id->cpu) == 0) {
        sv_native_cpu(host);
        return memcmp(host, id->features_digest, sizeof host) == 0;
    }
    if (strncmp(id->cpu, "generic", sizeof id->cpu) == 0)
        return true;
#if defined(__x86_64__)
    if (strncmp(id->cpu, "x86-64-v2", sizeof id->cpu) == 0)
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    if (strncmp(id->cpu, "x86-64-v3", sizeof id->cpu) == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
               __builtin_cpu_supports("fma");
    if (strncmp(id->cpu, "x86-64-v4", sizeof id->cpu) == 0)
        return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
#endif
    return false;
}

uint32_t sv_native_image_flags(uint64_t features, bool checked, bool metered, bool deterministic)
{
    return (checked ? 0 : (uint32_t)SV_IMAGE_GUARD) | (metered ? (uint32_t)SV_IMAGE_METERED : 0) |
           (deterministic ? (uint32_t)SV_IMAGE_DETERMINISTIC : 0) |
           (features >> SV_FEATURE_EXN & 1 || features >> SV_FEATURE_LEGACY_EXN & 1
                ? (uint32_t)SV_IMAGE_EXCEPTIONS
                : 0) |
           (features >> SV_FEATURE_THREADS & 1 ? (uint32_t)SV_IMAGE_THREADS : 0) |
           (features >> SV_FEATURE_GC & 1 ? (uint32_t)SV_IMAGE_GC : 0) |
           (features & SV_FEATURES_COSTS ? (uint32_t)SV_IMAGE_COSTS : 0);
}
