/* The block function of SHA-256 with Armv8's SHA2 instructions. Included by sha256.c only. */
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

static bool cpu_has_sha256(void)
{
    return getauxval(AT_HWCAP) & HWCAP_SHA2;
}

/* Four rounds, with the words of group i in m[i % 4], and the words of group i + 4 in their place
 * afterwards (FIPS 180-4, 6.2.2, step 1). */
#define ROUNDS(i)                                                                                  \
    do {                                                                                           \
        k = vaddq_u32(m[(i) % 4], vld1q_u32(round_constants + 4 * (i)));                           \
        before = abcd;                                                                             \
        abcd = vsha256hq_u32(abcd, efgh, k);                                                       \
        efgh = vsha256h2q_u32(efgh, before, k);                                                    \
    } while (0)
#define ROUNDS_AND_NEXT(i)                                                                         \
    do {                                                                                           \
        ROUNDS(i);                                                                                 \
        m[(i) % 4] = vsha256su1q_u32(vsha256su0q_u32(m[(i) % 4], m[((i) + 1) % 4]),                \
                                     m[((i) + 2) % 4], m[((i) + 3) % 4]);                          \
    } while (0)

#ifdef __clang__
__attribute__((target("sha2")))
#else
__attribute__((target("+crypto")))
#endif
static void blocks_cpu(uint32_t state[8], const uint8_t *bytes, size_t count)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    uint32x4_t m[4], k, before;

    for (; count; count--, bytes += SV_SHA256_BLOCK) {
        uint32x4_t abcd_before = abcd, efgh_before = efgh;

        for (int i = 0; i < 4; i++)
            m[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes + 16 * i)));
        ROUNDS_AND_NEXT(0);
        ROUNDS_AND_NEXT(1);
        ROUNDS_AND_NEXT(2);
        ROUNDS_AND_NEXT(3);
        ROUNDS_AND_NEXT(4);
        ROUNDS_AND_NEXT(5);
        ROUNDS_AND_NEXT(6);
        ROUNDS_AND_NEXT(7);
        ROUNDS_AND_NEXT(8);
        ROUNDS_AND_NEXT(9);
        ROUNDS_AND_NEXT(10);
        ROUNDS_AND_NEXT(11);
        ROUNDS(12);
        ROUNDS(13);
        ROUNDS(14);
        ROUNDS(15);
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

#undef ROUNDS
#undef ROUNDS_AND_NEXT
