/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of computers with AVX2 that compilers find in no loop. */
#ifndef MCT_AVX2_H
#define MCT_AVX2_H

#ifdef __AVX2__

#include <immintrin.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

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

/* Eight int8 as int32. */
static inline __m256i mct_load_s8(const int8_t *from)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
}

/* mct_rounded_product (mct/fixedpoint.h) of eight: (a * b + 2^30) / 2^31, whose low words are what
 * is wanted. */
static inline __m256i mct_rounded_products(__m256i a, __m256i b)
{
    const __m256i half = _mm256_set1_epi64x(INT64_C(1) << 30);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(a, b), half);
    const __m256i odd = _mm256_add_epi64(
        _mm256_mul_epi32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32)), half);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xaa);
}

/* mct_requantize of eight. */
static inline __m256i mct_requantize_eight(__m256i acc, __m256i multiplier, __m256i shift)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i left = _mm256_max_epi32(shift, zero);
    const __m256i right = _mm256_max_epi32(_mm256_sub_epi32(zero, shift), zero);
    const __m256i x = mct_rounded_products(_mm256_sllv_epi32(acc, left), multiplier);
    /* mct_rounding_shift_right */
    const __m256i mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, right), one);
    const __m256i threshold =
        _mm256_sub_epi32(_mm256_srli_epi32(mask, 1), _mm256_srai_epi32(x, 31));
    const __m256i rounds_up = _mm256_cmpgt_epi32(_mm256_and_si256(x, mask), threshold);
    return _mm256_sub_epi32(_mm256_srav_epi32(x, right), rounds_up);
}

/* out[k] = values + out_offset, clamped, of eight. */
static inline void mct_put_eight(__m256i values, int32_t out_offset, int32_t act_min,
                                 int32_t act_max, int8_t *out)
{
    const __m256i moved = _mm256_add_epi32(values, _mm256_set1_epi32(out_offset));
    const __m256i clamped = _mm256_min_epi32(_mm256_max_epi32(moved, _mm256_set1_epi32(act_min)),
                                             _mm256_set1_epi32(act_max));
    const __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128(clamped), _mm256_extracti128_si256(clamped, 1));
    _mm_storel_epi64((__m128i *)(void *)out, _mm_packs_epi16(halves, halves));
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

#ifdef __cplusplus
}
#endif

#endif

#endif
