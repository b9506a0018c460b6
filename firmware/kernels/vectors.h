/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of computers with AVX2 that compilers find in no loop. */
#ifndef MCT_KERNELS_VECTORS_H
#define MCT_KERNELS_VECTORS_H

#ifdef __AVX2__

#include <immintrin.h>
#include <stdint.h>

/* sum[l] + a[2 l] * b[2 l] + a[2 l + 1] * b[2 l + 1], of int16. */
#if defined __AVX512VNNI__ && defined __AVX512VL__
#define MCT_ADD_PAIRS(sum, a, b) _mm256_dpwssd_epi32(sum, a, b)
#else
#define MCT_ADD_PAIRS(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#endif

static inline __m256i mct_load_s16(const int16_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline __m256i mct_load_s32(const int32_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline void mct_store_s32(int32_t *to, __m256i values)
{
    _mm256_storeu_si256((__m256i *)(void *)to, values);
}

/* Sixteen int8 as int16. */
static inline __m256i mct_widen_s8(const int8_t *from)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from));
}

/* Two int16, again and again. */
static inline __m256i mct_repeat_pair(const int16_t *from)
{
    int32_t both;
    __builtin_memcpy(&both, from, sizeof both);
    return _mm256_set1_epi32(both);
}

/* A bit for each of 32 values: whether it is between the limits, -129..128. */
static inline uint32_t mct_within(const int8_t *x, int32_t x_min, int32_t x_max)
{
    const __m256i values = _mm256_loadu_si256((const __m256i *)(const void *)x);
    const __m256i above = _mm256_cmpgt_epi8(values, _mm256_set1_epi8((char)x_min));
    const __m256i below = _mm256_cmpgt_epi8(_mm256_set1_epi8((char)x_max), values);
    const uint32_t are_above =
        x_min < INT8_MIN ? UINT32_MAX : (uint32_t)_mm256_movemask_epi8(above);
    const uint32_t are_below =
        x_max > INT8_MAX ? UINT32_MAX : (uint32_t)_mm256_movemask_epi8(below);
    return are_above & are_below;
}

#endif

#endif
