/* SPDX-License-Identifier: Apache-2.0 */
/* Bit-exact integer arithmetic (SPEC section 1). Twin of trainer/fixedpoint.py.
 * Right shifts of negative numbers are arithmetic, as every supported compiler has them. */
#ifndef MCT_FIXEDPOINT_H
#define MCT_FIXEDPOINT_H

#include <stdint.h>

#ifdef __ARM_FEATURE_SAT
#include <arm_acle.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Processors without the high word of a product. */
#if defined __ARM_ARCH_6M__ || defined __ARM_ARCH_8M_BASE__ || defined __AVR__
#define MCT_MULTIPLIES_INTO_32_BITS
#endif

/* Processors of 8 bits, whose products are of two bytes. */
#ifdef __AVR__
#define MCT_MULTIPLIES_BYTES
#endif

/* Processors of which most instructions know the low eight of their registers only, where the
 * compiler gives all: it does not without optimisation, or if that is for size. A build whose flags
 * keep registers for something else, such as frame pointers, defines MCT_LOOPS_IN_C. */
#if (defined __ARM_ARCH_6M__ || defined __ARM_ARCH_8M_BASE__) && defined __OPTIMIZE__ &&           \
    !defined __OPTIMIZE_SIZE__ && !defined MCT_LOOPS_IN_C
#define MCT_HAS_HIGH_REGISTERS
#endif

/* Processors whose compiler makes vectors of loops. */
#if (defined __AVX2__ || defined __aarch64__) && !defined MCT_HAS_VECTORS
#define MCT_HAS_VECTORS
#endif

/* Processors with all registers in all instructions; of those with vectors the compiler keeps one
 * for the counts of loops. */
#if defined __thumb2__ && defined __OPTIMIZE__ && !defined __ARM_FEATURE_MVE &&                    \
    !defined MCT_LOOPS_IN_C
#define MCT_THUMB2
#endif

/* RISC-V of 32 bits with multiplication, and with all of its registers. */
#if defined __riscv_mul && __riscv_xlen == 32 && !defined __riscv_32e && !defined MCT_LOOPS_IN_C
#define MCT_RV32M
#endif

#define MCT_SAT23 ((INT32_C(1) << 23) - 1)

static inline int32_t mct_clamp(int32_t x, int32_t lo, int32_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* x, saturated to an int8. */
static inline int32_t mct_saturated8(int32_t x)
{
#ifdef __ARM_FEATURE_SAT
    return __ssat(x, 8);
#else
    return mct_clamp(x, INT8_MIN, INT8_MAX);
#endif
}

/* a + b modulo 2^32: the accumulators of dead channels wrap, as in tflite-micro, and so does
 * the addition of the zero point after they were requantised. */
static inline int32_t mct_wrapping_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* x >> count and, of unsigned ones, x << count; count in 0..31. Processors that shift by one bit
 * go the greater part of the way by bytes. */
#ifdef MCT_MULTIPLIES_BYTES
int32_t mct_shift_right(int32_t x, int32_t count);
uint32_t mct_shift_right_unsigned(uint32_t x, int32_t count);

/* a * b modulo 2^32 of |a| <= 255: four products of bytes, where the compiler calls its library. */
static inline int32_t mct_times_nine_bits(int16_t a, int32_t b)
{
    uint32_t product;
#ifdef __AVR__
    __asm__("mul %[a], %A[b]\n\t"
            "movw %A[p], r0\n\t"
            "mul %[a], %C[b]\n\t"
            "movw %C[p], r0\n\t"
            "mul %[a], %B[b]\n\t"
            "add %B[p], r0\n\t"
            "adc %C[p], r1\n\t"
            "brcc .+2\n\t"
            "inc %D[p]\n\t"
            "mul %[a], %D[b]\n\t"
            "add %D[p], r0\n\t"
            "clr r1"
            : [p] "=&r"(product)
            : [a] "r"((uint8_t)a), [b] "r"(b)
            : "r0");
#else
    product = (uint32_t)(uint8_t)a * (uint32_t)b;
#endif
    return (int32_t)(a < 0 ? product - ((uint32_t)b << 8) : product);
}
#else
static inline int32_t mct_shift_right(int32_t x, int32_t count)
{
    return x >> count;
}

static inline uint32_t mct_shift_right_unsigned(uint32_t x, int32_t count)
{
    return x >> count;
}
#endif

/* round(a * b / 2^31), ties toward +inf, saturated (ARM VQRDMULH). */
static inline int32_t mct_doubling_high_mul(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    return (int32_t)(((int64_t)a * b + (INT32_C(1) << 30)) >> 31);
}

/* round(x / 2^exponent), ties away from zero; exponent in 0..31. */
static inline int32_t mct_rounding_shift_right(int32_t x, int32_t exponent)
{
    int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1u);
    int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> exponent) + ((x & mask) > threshold);
}

/* mct_doubling_high_mul(a, b) of b >= 0. Twice the product has what is wanted in its upper word,
 * but for one bit. */
static inline int32_t mct_rounded_product(int32_t a, int32_t b)
{
    int64_t twice = 2 * (int64_t)a * b;
    return (int32_t)(twice >> 32) + (int32_t)((uint32_t)twice >> 31);
}

/* The same by products that fit 32 bits, of the halves of both numbers: the low ones signed, so
 * that the sum of the products in the middle fits too. Each half is at most 2^15 in magnitude. */
#ifdef MCT_MULTIPLIES_BYTES
/* Shifts of half a word move bytes; what they leave out are single bits. */
static inline int32_t mct_rounded_half(int32_t x)
{
    return (x >> 16) + ((int16_t)x < 0);
}

static inline int32_t mct_rounded_product_32(int32_t a, int32_t b)
{
    const int16_t a_low = (int16_t)a;
    const int16_t b_low = (int16_t)b;
    const int32_t a_high = mct_rounded_half(a);
    const int32_t b_high = mct_rounded_half(b);
    int32_t middle = a_high * b_low + b_high * a_low + (((int32_t)a_low * b_low) >> 16);
    uint32_t high = 2u * (uint32_t)a_high * (uint32_t)b_high;
    /* round(middle / 2^15) */
    const uint16_t rest = (uint16_t)middle;
    uint32_t upper = (uint32_t)(middle >> 16) * 2u;
    upper += (rest & 0x8000u) != 0u ? 1u : 0u;
    upper += (rest & 0x4000u) != 0u ? 1u : 0u;
    return (int32_t)(high + upper);
}
#else
static inline int32_t mct_rounded_product_32(int32_t a, int32_t b)
{
    int32_t a_low = (int16_t)a;
    int32_t b_low = (int16_t)b;
    int32_t a_high = ((a >> 15) + 1) >> 1;
    int32_t b_high = ((b >> 15) + 1) >> 1;
    int32_t middle = a_high * b_low + a_low * b_high + ((a_low * b_low) >> 16);
    uint32_t high = 2u * (uint32_t)a_high * (uint32_t)b_high;
    return (int32_t)(high + (uint32_t)(((middle >> 14) + 1) >> 1));
}
#endif

/* Of a rounded product: round(x / 2^right), ties away from zero; right in 1..31. The last bit is
 * rounded apart, so that no addition overflows. */
static inline int32_t mct_round_again(int32_t x, int32_t right)
{
    return (mct_shift_right(x + (x >> 31), right - 1) + 1) >> 1;
}

/* mct_requantize without a product of 64 bits. */
static inline int32_t mct_requantize_32(int32_t acc, int32_t multiplier, int32_t shift)
{
    if (shift >= 0) {
        return mct_rounded_product_32((int32_t)((uint32_t)acc << shift), multiplier);
    }
    return mct_round_again(mct_rounded_product_32(acc, multiplier), -shift);
}

/* acc * multiplier * 2^(shift - 31) with TFLite's two roundings; shift in -31..31, > 0 is left, and
 * multiplier >= 0. The left shift is done unsigned: shifting a negative int32_t is undefined. */
#ifdef MCT_MULTIPLIES_INTO_32_BITS
int32_t mct_requantize(int32_t acc, int32_t multiplier, int32_t shift);
#elif defined MCT_HAS_VECTORS
/* Without a branch, which would keep the compiler from making vectors. */
static inline int32_t mct_requantize(int32_t acc, int32_t multiplier, int32_t shift)
{
    int32_t left = shift > 0 ? shift : 0;
    int32_t right = shift > 0 ? 0 : -shift;
    int32_t scaled = (int32_t)((uint32_t)acc << left);
    return mct_rounding_shift_right(mct_rounded_product(scaled, multiplier), right);
}
#else
static inline int32_t mct_requantize(int32_t acc, int32_t multiplier, int32_t shift)
{
    if (__builtin_expect(shift >= 0, 0)) {
        return mct_rounded_product((int32_t)((uint32_t)acc << shift), multiplier);
    }
    return mct_round_again(mct_rounded_product(acc, multiplier), -shift);
}
#endif

/* round(x / 2^shift), ties toward +inf; shift in 0..31. */
static inline int32_t mct_near(int32_t x, int32_t shift)
{
#ifdef MCT_MULTIPLIES_BYTES
    if (shift == 8) { /* most often */
        return (x >> 8) + ((x >> 7) & 1);
    }
#endif
    return shift == 0 ? x : mct_shift_right(x, shift) + (mct_shift_right(x, shift - 1) & 1);
}

static inline int32_t mct_sat23(int32_t x)
{
    return mct_clamp(x, -MCT_SAT23, MCT_SAT23);
}

/* The bits that x loses so that a product with 8 bits fits 32 (mct_near rounds them): 0 or 8. */
static inline int32_t mct_excess23(int32_t x)
{
    return x > MCT_SAT23 || x < -MCT_SAT23 ? 8 : 0;
}

/* Bits of x; 0 for 0. */
static inline int32_t mct_bit_length(uint32_t x)
{
    int32_t bits = 0;
    while (x != 0u) {
        x >>= 1;
        bits++;
    }
    return bits;
}

static inline uint32_t mct_abs(int32_t x)
{
    return x < 0 ? 0u - (uint32_t)x : (uint32_t)x;
}

/* Finaliser of MurmurHash3 (Appleby). */
static inline uint32_t mct_mix32(uint32_t x)
{
    x = (x ^ (x >> 16)) * UINT32_C(0x85EBCA6B);
    x = (x ^ (x >> 13)) * UINT32_C(0xC2B2AE35);
    return x ^ (x >> 16);
}

/* The dither seed of one tensor at one step; node is its stable identity. */
static inline uint32_t mct_seed_op(uint32_t seed, uint32_t step, uint32_t node)
{
    return mct_mix32(seed ^ (step * UINT32_C(0x85EBCA6B)) ^ (node * UINT32_C(0xC2B2AE35)));
}

/* r_j of element j. */
static inline uint32_t mct_dither(uint32_t seed, uint32_t index)
{
    return seed + index * UINT32_C(0x9E3779B9);
}

/* SR for a shift in 1..31: no overflow for any v. */
static inline int32_t mct_dithered_shift(int32_t v, int32_t shift, uint32_t r)
{
    uint32_t rest = (uint32_t)v & ((UINT32_C(1) << shift) - 1u);
    const uint32_t sum = rest + mct_shift_right_unsigned(r, 32 - shift);
    return mct_shift_right(v, shift) + (int32_t)mct_shift_right_unsigned(sum, shift);
}

/* v * 2^-shift for shift <= 0, saturated to int32_t. */
static inline int32_t mct_saturating_left_shift(int32_t v, int32_t left)
{
    if (v == 0) {
        return 0;
    }
    if (left > 31) {
        return v < 0 ? INT32_MIN : INT32_MAX;
    }
    if (v > (INT32_MAX >> left)) {
        return INT32_MAX;
    }
    if (v < (INT32_MIN >> left)) {
        return INT32_MIN;
    }
    return (int32_t)((uint32_t)v << left);
}

/* SR(v, shift, r): v / 2^shift, rounded without bias by the dither r (Gupta et al. 2015). */
static inline int32_t mct_stochastic_round(int32_t v, int32_t shift, uint32_t r)
{
    if (shift <= 0) {
        return mct_saturating_left_shift(v, -shift);
    }
    if (shift <= 31) {
        return mct_dithered_shift(v, shift, r);
    }
    if (shift <= 62) {
        return mct_dithered_shift(mct_dithered_shift(v, 31, r), shift - 31, mct_mix32(r));
    }
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
