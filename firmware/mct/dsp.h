/* SPDX-License-Identifier: Apache-2.0 */
/* SIMD within a word, as Armv7E-M and Armv8-M with the DSP extension have it (ACLE 2021Q4, 9.5).
 * With MCT_INSTRUCTIONS_IN_C the same in C: kernels that are built of these run on any processor
 * then, slowly, so that tests can look at them with sanitizers. */
#ifndef MCT_DSP_H
#define MCT_DSP_H

#include <stdint.h>
#include <string.h>

#include "mct/fixedpoint.h"

#ifdef __ARM_FEATURE_DSP
#include <arm_acle.h>
#elif !defined MCT_INSTRUCTIONS_IN_C
#error                                                                                             \
    "mct/dsp.h: the compiler's core has no DSP instructions; set one that has, as -mcpu=cortex-m4"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A part of a loop whose sums stay in registers. */
#define MCT_INLINED inline __attribute__((always_inline))

/* A function that is written in assembly, without a prologue; its parameters are in registers. */
#define MCT_NAKED __attribute__((naked, noinline))
#define MCT_UNUSED __attribute__((unused))

/* Four bytes from any address, little-endian. */
static inline uint32_t mct_load4(const int8_t *from)
{
    uint32_t four;
    memcpy(&four, from, sizeof four);
    return four;
}

static inline void mct_store4(int8_t *to, uint32_t four)
{
    memcpy(to, &four, sizeof four);
}

/* What lies in two words beside one another. */
typedef struct {
    uint32_t first, second;
} mct_two_words;

static inline uint32_t mct_pair(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffffu) | (uint32_t)high << 16;
}

/* sum + a.lo * b.lo, and sum + a.hi * b.hi, modulo 2^32: the compiler has SMLABB and SMLATT for
 * these. */
static inline int32_t mct_multiply_low(uint32_t a, uint32_t b, int32_t sum)
{
    return mct_wrapping_add(sum, (int16_t)a * (int16_t)b);
}

static inline int32_t mct_multiply_high(uint32_t a, uint32_t b, int32_t sum)
{
    return mct_wrapping_add(sum, (int16_t)(a >> 16) * (int16_t)(b >> 16));
}

#ifdef __ARM_FEATURE_DSP

/* Bytes 0 and 2 as two int16. */
static inline uint32_t mct_even(uint32_t four)
{
    return (uint32_t)__sxtb16((int8x4_t)four);
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
    return (uint32_t)__sxtab16((int16x2_t)to, (int8x4_t)four);
}

static inline uint32_t mct_add_odd(uint32_t to, uint32_t four)
{
    uint32_t pair;
    __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(pair) : "r"(to), "r"(four));
    return pair;
}

/* The low halves of two words, or the high ones, in one: that of the first below. */
static inline uint32_t mct_low_halves(uint32_t first, uint32_t second)
{
    uint32_t halves;
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(first), "r"(second));
    return halves;
}

static inline uint32_t mct_high_halves(uint32_t first, uint32_t second)
{
    uint32_t halves;
    __asm("pkhtb %0, %2, %1, asr #16" : "=r"(halves) : "r"(first), "r"(second));
    return halves;
}

/* 2 * a.lo and 2 * a.hi; both fit. */
static inline uint32_t mct_doubled_pair(uint32_t a)
{
    return (uint32_t)__sadd16((int16x2_t)a, (int16x2_t)a);
}

/* sum + a.lo * b.lo + a.hi * b.hi */
static inline int32_t mct_multiply_pairs(uint32_t a, uint32_t b, int32_t sum)
{
    return __smlad((int16x2_t)a, (int16x2_t)b, sum);
}

/* add + round(a * b / 2^32), ties toward +inf. ACLE has no name for SMMLAR. */
static inline int32_t mct_high_multiply(int32_t a, int32_t b, int32_t add)
{
    int32_t high;
    __asm("smmlar %0, %1, %2, %3" : "=r"(high) : "r"(a), "r"(b), "r"(add));
    return high;
}

/* 2 * x, saturated. */
static inline int32_t mct_doubled(int32_t x)
{
    return __qadd(x, x);
}

/* The two words at *from, which moves behind them. The compiler loads one at a time. */
static inline mct_two_words mct_load_two(const uint32_t **from)
{
    mct_two_words two;
    __asm("ldrd %0, %1, [%2], #8"
          : "=r"(two.first), "=r"(two.second), "+r"(*from)
          : "m"(*(const mct_two_words *)(const void *)*from));
    return two;
}

/* Writes two words. The compiler writes one at a time. */
static inline void mct_store_two(uint32_t *to, uint32_t first, uint32_t second)
{
    mct_two_words *two = (mct_two_words *)(void *)to;
    __asm("strd %1, %2, %0" : "=Uv"(*two) : "r"(first), "r"(second));
}

/* 1 in each byte that is at least that of `least` and at most that of `most`. */
static inline uint32_t mct_within4(uint32_t four, uint32_t least, uint32_t most)
{
    uint32_t bytes;
    __asm("ssub8 %0, %1, %2\n\tsel %0, %4, %5\n\tssub8 %1, %3, %1\n\tsel %0, %0, %5"
          : "=&r"(bytes), "+&r"(four)
          : "r"(least), "r"(most), "r"(0x01010101u), "r"(0u));
    return bytes;
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

static inline uint32_t mct_low_halves(uint32_t first, uint32_t second)
{
    return (first & 0xffffu) | second << 16;
}

static inline uint32_t mct_high_halves(uint32_t first, uint32_t second)
{
    return first >> 16 | (second & 0xffff0000u);
}

static inline uint32_t mct_doubled_pair(uint32_t a)
{
    return mct_pair(2 * (int16_t)a, 2 * (int16_t)(a >> 16));
}

static inline int32_t mct_multiply_pairs(uint32_t a, uint32_t b, int32_t sum)
{
    return mct_multiply_high(a, b, mct_multiply_low(a, b, sum));
}

static inline int32_t mct_high_multiply(int32_t a, int32_t b, int32_t add)
{
    int64_t product = (int64_t)a * b + (INT64_C(1) << 31);
    return (int32_t)(product >> 32) + add;
}

static inline int32_t mct_doubled(int32_t x)
{
    return mct_clamp(x, INT32_MIN / 2, INT32_MAX / 2) * 2 + (x > INT32_MAX / 2);
}

static inline mct_two_words mct_load_two(const uint32_t **from)
{
    mct_two_words two = {(*from)[0], (*from)[1]};
    *from += 2;
    return two;
}

static inline void mct_store_two(uint32_t *to, uint32_t first, uint32_t second)
{
    to[0] = first;
    to[1] = second;
}

static inline uint32_t mct_within4(uint32_t four, uint32_t least, uint32_t most)
{
    uint32_t bytes = 0;
    for (uint32_t k = 0; k < 4; k++) {
        int32_t x = mct_byte(four, k);
        bytes |= (uint32_t)(x >= mct_byte(least, k) && x <= mct_byte(most, k)) << 8 * k;
    }
    return bytes;
}

#endif

/* How the sums of one channel become outputs. Twin of trainer/ops/dsp.py. Where `right` is 0 the
 * fast way is not exact, and `rounding` is TFLite's shift. */
typedef struct {
    int32_t multiplier;
    int32_t rounding; /* half of the last place, and the output's offset in front of it */
    int32_t right;
} mct_requant;

/* The table of a layer: how many of its channels have no fast way, a record for each channel, and
 * those channels. It is printed as an array of int32_t. */
static inline const mct_requant *mct_requants(const int32_t *table)
{
    return (const mct_requant *)(const void *)(table + 1);
}

static inline const int32_t *mct_slow_channels(const int32_t *table, int32_t channels)
{
    return table + 1 + (int32_t)(sizeof(mct_requant) / sizeof *table) * channels;
}

/* *from, which moves behind it. */
static MCT_INLINED mct_requant mct_next_requant(const mct_requant **from)
{
#ifdef __ARM_FEATURE_DSP
    /* The compiler loads one word at a time. */
    register int32_t multiplier __asm("r0");
    register int32_t rounding __asm("r1");
    register int32_t right __asm("r2");
    __asm("ldmia %3!, {%0, %1, %2}"
          : "=r"(multiplier), "=r"(rounding), "=r"(right), "+r"(*from)
          : "m"(**from));
    const mct_requant next = {multiplier, rounding, right};
    return next;
#else
    return *(*from)++;
#endif
}

/* mct_requantize of half the sum and the output's offset, saturated to an int8, where `right` is
 * not 0. Ties of the shift go away from zero: where the sum is negative, half of the last place is
 * one less. */
static MCT_INLINED int32_t mct_requantize_doubled(int32_t doubled, mct_requant q)
{
    int32_t rounding = q.rounding + (doubled >> 31);
    return mct_saturated8(mct_high_multiply(doubled, q.multiplier, rounding) >> q.right);
}

/* The same of the sum: where the doubled one saturates, so does the output. */
static MCT_INLINED int32_t mct_requantize_fast(int32_t sum, mct_requant q)
{
    return mct_requantize_doubled(mct_doubled(sum), q);
}

/* The same for every channel. */
static inline int32_t mct_requantize_any(int32_t sum, mct_requant q, int32_t offset)
{
    if (__builtin_expect(q.right != 0, 1)) {
        return mct_requantize_fast(sum, q);
    }
    int32_t scaled = mct_requantize(sum, q.multiplier, q.rounding);
    return mct_saturated8(mct_wrapping_add(scaled, offset));
}

/* Clamps outputs to the limits of a layer whose activation does not end where an int8 does. */
static inline void mct_clamp_outputs(int8_t *out, int32_t size, int32_t min, int32_t max)
{
    for (int32_t k = 0; (min > INT8_MIN || max < INT8_MAX) && k < size; k++) {
        out[k] = (int8_t)mct_clamp(out[k], min, max);
    }
}

#ifdef __cplusplus
}
#endif

#endif
