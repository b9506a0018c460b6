/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of products of one run of values with four filters: the inner loop of convolutions. */
#ifndef MCT_KERNELS_PRODUCTS_H
#define MCT_KERNELS_PRODUCTS_H

#include <stdint.h>

#include "mct/fixedpoint.h"
#include "mct/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Filters summed at once: each input is read and centred once for all of them. */
enum { MCT_FILTERS = 4 };

typedef struct {
    int32_t sum0, sum1, sum2, sum3;
} mct_sums;

#ifdef MCT_MULTIPLIES_BYTES

/* The processor multiplies bytes, and adds them one at a time: so products of two bytes are summed
 * in 24 bits, MCT_PART at a time, which fit: 128 * 255 * 128 < 2^23. With an offset, x + 128 is the
 * byte that is multiplied, unsigned, and what that leaves out is a sum of weights. */
enum { MCT_PART = 128 };

/* Takes up to MCT_PART from `size`, which is positive. */
static inline uint8_t mct_next_part(int16_t *size)
{
    const uint8_t part = (uint8_t)(*size < MCT_PART ? *size : MCT_PART);
    *size = (int16_t)(*size - part);
    return part;
}

/* The carry of a product of bytes is its sign. */
#define MCT_TURN(product)                                                                          \
    "ld %[a], X+\n\t"                                                                              \
    "ld %[b], Z+\n\t" product "sbc %[sign], %[sign]\n\t"                                           \
    "add %A[sum], r0\n\t"                                                                          \
    "adc %B[sum], r1\n\t"                                                                          \
    "adc %C[sum], %[sign]\n\t"
/* some += the sum over `turns` times as many values as the loop has, of which there is one. */
#define MCT_TURNS(loop, turns)                                                                     \
    __asm volatile("1:\n\t" loop "dec %[left]\n\t"                                                 \
                   "brne 1b\n\t"                                                                   \
                   "clr r1"                                                                        \
                   : [sum] "+r"(some), [x] "+x"(x), [w] "+z"(w), [left] "+r"(turns),               \
                     [a] "=&a"(mct_a), [b] "=&a"(mct_b), [sign] "=&r"(mct_sign)                    \
                   :                                                                               \
                   : "r0", "memory")
#define MCT_SIGNED "muls %[b], %[a]\n\t"
#define MCT_UNSIGNED "subi %[a], 0x80\n\tmulsu %[b], %[a]\n\t"
#define MCT_SUM_PART(product)                                                                      \
    do {                                                                                           \
        uint8_t mct_a, mct_b, mct_sign; /* what a turn computes with */                            \
        uint8_t fours = part / 4u, rest = part % 4u;                                               \
        if (fours != 0u) {                                                                         \
            MCT_TURNS(MCT_TURN(product) MCT_TURN(product) MCT_TURN(product) MCT_TURN(product),     \
                      fours);                                                                      \
        }                                                                                          \
        if (rest != 0u) {                                                                          \
            MCT_TURNS(MCT_TURN(product), rest);                                                    \
        }                                                                                          \
    } while (0)

/* sum x[k] * w[k] */
static MCT_NOINLINE int32_t mct_sum_of_signed(const int8_t *x, const int8_t *w, int16_t size)
{
    int32_t sum = 0;
    while (size > 0) {
        const uint8_t part = mct_next_part(&size);
        __int24 some = 0;
        MCT_SUM_PART(MCT_SIGNED);
        sum += some;
    }
    return sum;
}

/* sum (x[k] + 128) * w[k] */
static MCT_NOINLINE int32_t mct_sum_of_unsigned(const int8_t *x, const int8_t *w, int16_t size)
{
    int32_t sum = 0;
    while (size > 0) {
        const uint8_t part = mct_next_part(&size);
        __int24 some = 0;
        MCT_SUM_PART(MCT_UNSIGNED);
        sum += some;
    }
    return sum;
}

/* sum w[k] */
static MCT_NOINLINE int32_t mct_sum_of_weights(const int8_t *w, int16_t size)
{
    int32_t sum = 0;
    while (size > 0) {
        uint8_t part = mct_next_part(&size);
        int16_t some = 0;
        do {
            some = (int16_t)(some + *w++);
        } while (--part != 0u);
        sum += some;
    }
    return sum;
}

static inline int32_t mct_sum_of_products(const int8_t *x, int32_t x_offset, const int8_t *w,
                                          int32_t size)
{
    const int16_t count = (int16_t)size; /* of bytes in RAM */
    if (x_offset == 0) {
        return mct_sum_of_signed(x, w, count);
    }
    int32_t sum = mct_sum_of_unsigned(x, w, count);
    if (x_offset != 128) {
        sum += (x_offset - 128) * mct_sum_of_weights(w, count);
    }
    return sum;
}

static inline mct_sums mct_add_products(const int8_t *x, int32_t x_offset, const int8_t *w,
                                        int32_t filter, int32_t size, mct_sums s)
{
    s.sum0 += mct_sum_of_products(x, x_offset, w, size);
    s.sum1 += mct_sum_of_products(x, x_offset, w + filter, size);
    s.sum2 += mct_sum_of_products(x, x_offset, w + 2 * filter, size);
    s.sum3 += mct_sum_of_products(x, x_offset, w + 3 * filter, size);
    return s;
}

#else

/* s.sumf += sum (x[k] + x_offset) * w[f * filter + k] over `size` > 0 values. Without an offset, as
 * frozen layers have it (trainer/ops/uncentred.py), a loop spares its addition. */
#ifdef MCT_HAS_HIGH_REGISTERS

/* Most instructions know eight of the sixteen registers, and the compiler moves sums to and fro
 * between these and the others. An addition knows all: sums and offset stay in the others, which
 * leaves room for the addresses. They are those of the ends, so that k is compared with nothing. */
#define MCT_CENTRE "add %[centred], %[x_offset]\n\t"
#define MCT_TURN(centre)                                                                           \
    "ldrsb %[centred], [%[x], %[k]]\n\t" centre "ldrsb %[term], [%[w0], %[k]]\n\t"                 \
    "muls %[term], %[centred]\n\t"                                                                 \
    "add %[sum0], %[term]\n\t"                                                                     \
    "ldrsb %[term], [%[w1], %[k]]\n\t"                                                             \
    "muls %[term], %[centred]\n\t"                                                                 \
    "add %[sum1], %[term]\n\t"                                                                     \
    "ldrsb %[term], [%[w2], %[k]]\n\t"                                                             \
    "muls %[term], %[centred]\n\t"                                                                 \
    "add %[sum2], %[term]\n\t"                                                                     \
    "ldrsb %[term], [%[w3], %[k]]\n\t"                                                             \
    "muls %[term], %[centred]\n\t"                                                                 \
    "add %[sum3], %[term]\n\t"                                                                     \
    "adds %[k], #1\n\t"
/* Turns over `count` values. */
#define MCT_LOOP(turns, count)                                                                     \
    do {                                                                                           \
        int32_t k = -(count);                                                                      \
        int32_t centred;                                                                           \
        int32_t term;                                                                              \
        x += (count);                                                                              \
        w += (count);                                                                              \
        __asm(".syntax unified\n"                                                                  \
              "1:\n\t" turns "bne 1b"                                                              \
              : [sum0] "+h"(s.sum0), [sum1] "+h"(s.sum1), [sum2] "+h"(s.sum2),                     \
                [sum3] "+h"(s.sum3), [k] "+l"(k), [centred] "=&l"(centred), [term] "=&l"(term)     \
              : [x] "l"(x), [w0] "l"(w), [w1] "l"(w + filter), [w2] "l"(w + 2 * filter),           \
                [w3] "l"(w + 3 * filter), [x_offset] "h"(x_offset)                                 \
              : "cc", "memory");                                                                   \
    } while (0)

static inline mct_sums mct_add_products(const int8_t *x, int32_t x_offset, const int8_t *w,
                                        int32_t filter, int32_t size, mct_sums s)
{
    const int32_t turns = size & ~3;
    if (x_offset == 0 && turns != 0) {
        MCT_LOOP(MCT_TURN("") MCT_TURN("") MCT_TURN("") MCT_TURN(""), turns);
        size &= 3;
        if (size == 0) {
            return s;
        }
    }
    MCT_LOOP(MCT_TURN(MCT_CENTRE), size);
    return s;
}

#else

#ifdef MCT_THUMB2
/* The compiler has too few registers for the addresses and counts beside them. */
#define MCT_CENTRE "add %[centred], %[x_offset]\n\t"
#define MCT_TURN(centre)                                                                           \
    "ldrsb %[centred], [%[x]], #1\n\t" centre "ldrsb %[term], [%[w0]], #1\n\t"                     \
    "mla %[sum0], %[centred], %[term], %[sum0]\n\t"                                                \
    "ldrsb %[term], [%[w1]], #1\n\t"                                                               \
    "mla %[sum1], %[centred], %[term], %[sum1]\n\t"                                                \
    "ldrsb %[term], [%[w2]], #1\n\t"                                                               \
    "mla %[sum2], %[centred], %[term], %[sum2]\n\t"                                                \
    "ldrsb %[term], [%[w3]], #1\n\t"                                                               \
    "mla %[sum3], %[centred], %[term], %[sum3]\n\t"
#define MCT_LOOP(centre)                                                                           \
    MCT_TURN(centre)                                                                               \
    MCT_TURN(centre) MCT_TURN(centre) MCT_TURN(centre) "cmp %[x], %[end]\n\t"
#endif

#ifdef MCT_RV32M
/* Loads take no index from a register, so five addresses move: here once for four values, and the
 * compiler, which would load all of these first, has too few registers for that. */
#define MCT_CENTRE "add %[centred], %[centred], %[x_offset]\n\t"
#define MCT_TURN(centre, k)                                                                        \
    "lb %[centred], " k "(%[x])\n\t"                                                               \
    "lb %[term], " k "(%[w0])\n\t" centre "lb %[next], " k "(%[w1])\n\t"                           \
    "mul %[term], %[term], %[centred]\n\t"                                                         \
    "mul %[next], %[next], %[centred]\n\t"                                                         \
    "add %[sum0], %[sum0], %[term]\n\t"                                                            \
    "lb %[term], " k "(%[w2])\n\t"                                                                 \
    "add %[sum1], %[sum1], %[next]\n\t"                                                            \
    "lb %[next], " k "(%[w3])\n\t"                                                                 \
    "mul %[term], %[term], %[centred]\n\t"                                                         \
    "mul %[next], %[next], %[centred]\n\t"                                                         \
    "add %[sum2], %[sum2], %[term]\n\t"                                                            \
    "add %[sum3], %[sum3], %[next]\n\t"
#define MCT_LOOP(centre)                                                                           \
    MCT_TURN(centre, "0")                                                                          \
    MCT_TURN(centre, "1")                                                                          \
    MCT_TURN(centre, "2")                                                                          \
    MCT_TURN(centre, "3")                                                                          \
    "addi %[x], %[x], 4\n\t"                                                                       \
    "addi %[w0], %[w0], 4\n\t"                                                                     \
    "addi %[w1], %[w1], 4\n\t"                                                                     \
    "addi %[w2], %[w2], 4\n\t"                                                                     \
    "addi %[w3], %[w3], 4\n\t"
#endif

static inline mct_sums mct_add_products(const int8_t *x, int32_t x_offset, const int8_t *w,
                                        int32_t filter, int32_t size, mct_sums s)
{
    const int8_t *w1 = w + filter;
    const int8_t *w2 = w1 + filter;
    const int8_t *w3 = w2 + filter;
#ifdef MCT_THUMB2
    const int8_t *end = x + (size & ~3);
    if (x != end) {
        int32_t centred;
        int32_t term;
        __asm("cmp %[x_offset], #0\n\t"
              "bne 2f\n"
              "1:\n\t" MCT_LOOP("") "bne 1b\n\t"
                                    "b 3f\n"
                                    "2:\n\t" MCT_LOOP(MCT_CENTRE) "bne 2b\n"
                                                                  "3:"
              : [sum0] "+r"(s.sum0), [sum1] "+r"(s.sum1), [sum2] "+r"(s.sum2), [sum3] "+r"(s.sum3),
                [x] "+r"(x), [w0] "+r"(w), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3),
                [centred] "=&r"(centred), [term] "=&r"(term)
              : [x_offset] "r"(x_offset), [end] "r"(end)
              : "cc", "memory");
        size &= 3;
    }
#endif
#ifdef MCT_RV32M
    const int8_t *end = x + (size & ~3);
    if (x != end) {
        int32_t centred;
        int32_t term;
        int32_t next;
        __asm("bnez %[x_offset], 2f\n"
              "1:\n\t" MCT_LOOP("") "bne %[x], %[end], 1b\n\t"
                                    "j 3f\n"
                                    "2:\n\t" MCT_LOOP(MCT_CENTRE) "bne %[x], %[end], 2b\n"
                                                                  "3:"
              : [sum0] "+r"(s.sum0), [sum1] "+r"(s.sum1), [sum2] "+r"(s.sum2), [sum3] "+r"(s.sum3),
                [x] "+r"(x), [w0] "+r"(w), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3),
                [centred] "=&r"(centred), [term] "=&r"(term), [next] "=&r"(next)
              : [x_offset] "r"(x_offset), [end] "r"(end)
              : "memory");
        size &= 3;
    }
#endif
    for (int32_t k = 0; k < size; k++) {
        int32_t centred = x[k] + x_offset;
        s.sum0 += centred * w[k];
        s.sum1 += centred * w1[k];
        s.sum2 += centred * w2[k];
        s.sum3 += centred * w3[k];
    }
    return s;
}

#endif

static inline int32_t mct_sum_of_products(const int8_t *x, int32_t x_offset, const int8_t *w,
                                          int32_t size)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < size; k++) {
        sum += (x[k] + x_offset) * w[k];
    }
    return sum;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
