/* SPDX-License-Identifier: Apache-2.0 */
/* SIMD within a word, as Armv7E-M and Armv8-M with the DSP extension have it (ACLE 2021Q4, 9.5). On
 * other processors the same in C: kernels that are built of these run there too, slowly, so that
 * tests can look at them with sanitizers. */
#ifndef MCT_DSP_H
#define MCT_DSP_H

#include <stdint.h>
#include <string.h>

#include "mct/fixedpoint.h"

#ifdef __ARM_FEATURE_DSP
#include <arm_acle.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A part of a loop whose sums stay in registers. */
#define MCT_INLINED inline __attribute__((always_inline))

/* For loops that fill all registers: GCC otherwise begins loads early, and spills sums for them. */
#if defined __GNUC__ && !defined __clang__
#define MCT_AS_WRITTEN __attribute__((optimize("no-schedule-insns")))
#else
#define MCT_AS_WRITTEN
#endif

/* Four bytes from any address, little-endian. */
static inline uint32_t mct_load4(const int8_t *from)
{
    uint32_t four;
    memcpy(&four, from, sizeof four);
    return four;
}

static inline uint32_t mct_pair(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffffu) | (uint32_t)high << 16;
}

/* sum + a.lo * b.lo, and sum + a.hi * b.hi: the compiler has SMLABB and SMLATT for these. */
static inline int32_t mct_multiply_low(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + (int16_t)a * (int16_t)b;
}

static inline int32_t mct_multiply_high(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + (int16_t)(a >> 16) * (int16_t)(b >> 16);
}

#ifdef __ARM_FEATURE_DSP

/* Bytes 0 and 2 as two int16. */
static inline uint32_t mct_even(uint32_t four)
{
    return __sxtb16((int8x4_t)four);
}

/* Bytes 1 and 3 as two int16. The compiler does not know that SXTB16 can rotate. */
static inline uint32_t mct_odd(uint32_t four)
{
    uint32_t pair;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(four));
    return pair;
}

/* Bytes 0 and 2, or 1 and 3, added to the two int16 of `to`. */
static inline uint32_t mct_add_even(uint32_t to, uint32_t four)
{
    return __sxtab16((int16x2_t)to, (int8x4_t)four);
}

static inline uint32_t mct_add_odd(uint32_t to, uint32_t four)
{
    uint32_t pair;
    __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(pair) : "r"(to), "r"(four));
    return pair;
}

/* sum + a.lo * b.lo + a.hi * b.hi */
static inline int32_t mct_multiply_pairs(uint32_t a, uint32_t b, int32_t sum)
{
    return __smlad((int16x2_t)a, (int16x2_t)b, sum);
}

/* round(a * b / 2^32), ties toward +inf. ACLE has no name for SMMULR. */
static inline int32_t mct_high_mul(int32_t a, int32_t b)
{
    int32_t high;
    __asm("smmulr %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
}

/* The low halves of both words, a's below, and the high ones. */
static inline uint32_t mct_low_halves(uint32_t a, uint32_t b)
{
    uint32_t halves;
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(a), "r"(b));
    return halves;
}

static inline uint32_t mct_high_halves(uint32_t a, uint32_t b)
{
    uint32_t halves;
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(halves) : "r"(b), "r"(a));
    return halves;
}

#else

static inline int32_t mct_byte(uint32_t four, uint32_t k)
{
    return (int8_t)(four >> 8 * k);
}

static inline uint32_t mct_even(uint32_t four)
{
    return mct_pair(mct_byte(four, 0), mct_byte(four, 2));
}

static inline uint32_t mct_odd(uint32_t four)
{
    return mct_pair(mct_byte(four, 1), mct_byte(four, 3));
}

static inline uint32_t mct_add_even(uint32_t to, uint32_t four)
{
    return mct_pair((int16_t)to + mct_byte(four, 0), (int16_t)(to >> 16) + mct_byte(four, 2));
}

static inline uint32_t mct_add_odd(uint32_t to, uint32_t four)
{
    return mct_pair((int16_t)to + mct_byte(four, 1), (int16_t)(to >> 16) + mct_byte(four, 3));
}

static inline int32_t mct_multiply_pairs(uint32_t a, uint32_t b, int32_t sum)
{
    return mct_multiply_high(a, b, mct_multiply_low(a, b, sum));
}

static inline int32_t mct_high_mul(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32);
}

static inline uint32_t mct_low_halves(uint32_t a, uint32_t b)
{
    return (a & 0xffffu) | b << 16;
}

static inline uint32_t mct_high_halves(uint32_t a, uint32_t b)
{
    return a >> 16 | (b & 0xffff0000u);
}

#endif

/* How the sums of one channel become outputs. Twin of trainer/ops/dsp.py. Where `right` is 0 the
 * fast way is not exact, and `rounding` is TFLite's shift. */
typedef struct {
    int32_t multiplier;
    int32_t rounding; /* half of the last place, and the output's offset in front of it */
    int32_t right;
    int32_t offset;
} mct_requant;

/* The table of a layer, which is printed as an array of int32_t. */
static inline const mct_requant *mct_requants(const int32_t *table)
{
    return (const mct_requant *)(const void *)table;
}

/* mct_requantize and the output's offset, in fewer instructions where the doubled sum does not
 * overflow: the high word of a product, and one shift. */
static inline int32_t mct_requantize_dsp(int32_t acc, const mct_requant *q)
{
    int32_t doubled = (int32_t)((uint32_t)acc << 1);
    int32_t right = q->right;
    if (__builtin_expect(right == 0 || (acc ^ doubled) < 0, 0)) {
        int32_t shift = right == 0 ? q->rounding : -right;
        return mct_wrapping_add(mct_requantize(acc, q->multiplier, shift), q->offset);
    }
    int32_t scaled = mct_high_mul(doubled, q->multiplier);
    scaled += scaled >> 31; /* ties go away from zero */
    return (scaled + q->rounding) >> right;
}

#ifdef __cplusplus
}
#endif

#endif
