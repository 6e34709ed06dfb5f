/* The block function of SHA-256 with Intel's SHA extensions. Included by sha256.c only. */
#include <immintrin.h>

static bool cpu_has_sha256(void)
{
    return __builtin_cpu_supports("sha");
}

/* Four rounds (the instruction does two), with the words of group i in m[i % 4], and the words of
 * group i + 4 in their place afterwards (FIPS 180-4, 6.2.2, step 1). */
#define ROUNDS(i)                                                                                  \
    do {                                                                                           \
        k = _mm_add_epi32(m[(i) % 4], _mm_load_si128(constants + (i)));                            \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);                                               \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));                      \
    } while (0)
#define ROUNDS_AND_NEXT(i)                                                                         \
    do {                                                                                           \
        ROUNDS(i);                                                                                 \
        k = _mm_sha256msg1_epu32(m[(i) % 4], m[((i) + 1) % 4]);                                    \
        k = _mm_add_epi32(k, _mm_alignr_epi8(m[((i) + 3) % 4], m[((i) + 2) % 4], 4));              \
        m[(i) % 4] = _mm_sha256msg2_epu32(k, m[((i) + 3) % 4]);                                    \
    } while (0)

__attribute__((target("sha,sse4.1"))) static void blocks_cpu(uint32_t state[8],
                                                             const uint8_t *bytes, size_t count)
{
    const __m128i *constants = (const __m128i *)round_constants;
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba = _mm_loadu_si128((const __m128i *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    __m128i m[4], k;

    for (; count; count--, bytes += SV_SHA256_BLOCK) {
        __m128i abef_before = abef, cdgh_before = cdgh;

        for (int i = 0; i < 4; i++)
            m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)bytes + i), swap);
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
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    cdab = _mm_shuffle_epi32(abef, 0x1b); /* feba */
    efgh = _mm_shuffle_epi32(cdgh, 0xb1); /* dchg */
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(cdab, efgh, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(efgh, cdab, 8));
}

#undef ROUNDS
#undef ROUNDS_AND_NEXT
