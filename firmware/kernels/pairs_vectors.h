/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of vectors times factors on processors with vectors: a vector is a run of int8, such as the
 * channels of a position or the weights of a tap, and four sums share each of them. Vectors are
 * taken in pairs, because an instruction multiplies two int16 and adds their products. */
#ifndef MCT_KERNELS_PAIRS_VECTORS_H
#define MCT_KERNELS_PAIRS_VECTORS_H

#include <stdint.h>

#include "mct/avx2.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LANES = 16, /* values of a vector */
    SIDE = 4    /* sums that share a vector */
};

/* `count` vectors, each `stride` values behind the one before it. */
typedef struct {
    const int8_t *first;
    int32_t stride, count;
} vectors;

/* sums[f * sums_step + l] += sum over n of v[n][l] * factors[f][n]. Behind an odd count the factors
 * have a 0, which meets the last vector a second time. */
#ifdef __AVX2__

static void add_vectors(vectors v, const int16_t *const factors[SIDE], int32_t *sums,
                        int32_t sums_step)
{
    const int16_t *const f0 = factors[0];
    const int16_t *const f1 = factors[1];
    const int16_t *const f2 = factors[2];
    const int16_t *const f3 = factors[3];
    int32_t *const s1 = sums + sums_step;
    int32_t *const s2 = s1 + sums_step;
    int32_t *const s3 = s2 + sums_step;
    __m256i low0 = mct_load_s32(sums);
    __m256i low1 = mct_load_s32(s1);
    __m256i low2 = mct_load_s32(s2);
    __m256i low3 = mct_load_s32(s3);
    __m256i high0 = mct_load_s32(sums + 8);
    __m256i high1 = mct_load_s32(s1 + 8);
    __m256i high2 = mct_load_s32(s2 + 8);
    __m256i high3 = mct_load_s32(s3 + 8);
    const int8_t *a = v.first;
    for (int32_t n = 0; n < v.count; n += 2, a += 2 * v.stride) {
        const int8_t *b = a + (n + 1 < v.count ? v.stride : 0);
        const __m128i of_a = _mm_loadu_si128((const __m128i *)(const void *)a);
        const __m128i of_b = _mm_loadu_si128((const __m128i *)(const void *)b);
        const __m256i low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(of_a, of_b));
        const __m256i high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(of_a, of_b));
        const __m256i pair0 = mct_repeat_pair(f0 + n);
        const __m256i pair1 = mct_repeat_pair(f1 + n);
        const __m256i pair2 = mct_repeat_pair(f2 + n);
        const __m256i pair3 = mct_repeat_pair(f3 + n);
        low0 = MCT_ADD_PAIRS(low0, low, pair0);
        low1 = MCT_ADD_PAIRS(low1, low, pair1);
        low2 = MCT_ADD_PAIRS(low2, low, pair2);
        low3 = MCT_ADD_PAIRS(low3, low, pair3);
        high0 = MCT_ADD_PAIRS(high0, high, pair0);
        high1 = MCT_ADD_PAIRS(high1, high, pair1);
        high2 = MCT_ADD_PAIRS(high2, high, pair2);
        high3 = MCT_ADD_PAIRS(high3, high, pair3);
    }
    mct_store_s32(sums, low0);
    mct_store_s32(s1, low1);
    mct_store_s32(s2, low2);
    mct_store_s32(s3, low3);
    mct_store_s32(sums + 8, high0);
    mct_store_s32(s1 + 8, high1);
    mct_store_s32(s2 + 8, high2);
    mct_store_s32(s3 + 8, high3);
}

#else

static void add_vectors(vectors v, const int16_t *const factors[SIDE], int32_t *sums,
                        int32_t sums_step)
{
    for (int32_t f = 0; f < SIDE; f++, sums += sums_step) {
        const int8_t *a = v.first;
        for (int32_t n = 0; n < v.count; n += 2, a += 2 * v.stride) {
            const int8_t *b = a + (n + 1 < v.count ? v.stride : 0);
            const int16_t first = factors[f][n];
            const int16_t second = factors[f][n + 1];
            for (int32_t l = 0; l < LANES; l++) {
                sums[l] += (int16_t)a[l] * first + (int16_t)b[l] * second;
            }
        }
    }
}

#endif

#ifdef __cplusplus
}
#endif

#endif
