/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 16 bytes, as Armv8.1-M has them (MVE; DDI 0553), and its loops whose last turn takes
 * what is left. With MCT_INSTRUCTIONS_IN_C the same in C, for tests to look at with sanitizers. */
#ifndef MCT_MVE_H
#define MCT_MVE_H

#include <stdint.h>

#include "mct/dsp.h"
#include "mct/fixedpoint.h"

#ifdef __ARM_FEATURE_MVE
#include <arm_mve.h>
#elif !defined MCT_INSTRUCTIONS_IN_C
#error "mct/mve.h: the compiler's core has no vectors (MVE); set one that has, as -mcpu=cortex-m55"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Of two windows and two filters: sum_pf of window p and filter f. They may begin at a bias, and
 * wrap. */
typedef struct {
    int32_t sum00, sum01, sum10, sum11;
} mct_dots;

/* Of one window and two filters, and of the filters alone. */
typedef struct {
    int32_t sum0, sum1, weights0, weights1;
} mct_centred_dots;

#ifdef __ARM_FEATURE_MVE

typedef int32x4_t mct_four;

static MCT_INLINED mct_four mct_four_of_one(int32_t value)
{
    return vdupq_n_s32(value);
}

/* The compiler would go through memory. */
static MCT_INLINED mct_four mct_four_of(int32_t a, int32_t b, int32_t c, int32_t d)
{
    mct_four four;
    __asm("vmov %e0, %1, %2\n\tvmov %f0, %3, %4" : "=&w"(four) : "r"(a), "r"(b), "r"(c), "r"(d));
    return four;
}

static MCT_INLINED mct_four mct_load_four(const int32_t *from)
{
    return vldrwq_s32(from);
}

static MCT_INLINED mct_four mct_load_four_s8(const int8_t *from)
{
    return vldrbq_s32(from);
}

static MCT_INLINED void mct_store_four_s8(int8_t *to, mct_four four)
{
    vstrbq_s32(to, four);
}

static MCT_INLINED mct_four mct_add_four(mct_four a, mct_four b)
{
    return vaddq_s32(a, b);
}

/* sum + a * scalar */
static MCT_INLINED mct_four mct_add_scaled_four(mct_four sum, mct_four a, int32_t scalar)
{
    return vmlaq_n_s32(sum, a, scalar);
}

/* mct_requantize for shifts of 0 or to the right. VRSHL rounds ties upward: a negative value that
 * is shifted is less by one before, so that they go away from zero. */
static MCT_INLINED mct_four mct_requantize_four(mct_four acc, mct_four multiplier, mct_four shift)
{
    mct_four scaled = vqrdmulhq_s32(acc, multiplier);
    mct_four one_less = vshrq_n_s32(vandq_s32(scaled, shift), 31);
    return vrshlq_s32(vqaddq_s32(scaled, one_less), shift);
}

/* The same for one scale of all. */
static MCT_INLINED mct_four mct_requantize_four_by(mct_four acc, int32_t multiplier, mct_four shift)
{
    mct_four scaled = vqrdmulhq_n_s32(acc, multiplier);
    mct_four one_less = vshrq_n_s32(vandq_s32(scaled, shift), 31);
    return vrshlq_s32(vqaddq_s32(scaled, one_less), shift);
}

static MCT_INLINED mct_four mct_move_four(mct_four four, int32_t offset)
{
    return vaddq_n_s32(four, offset);
}

#define mct_shift_four_left(four, bits) vshlq_n_s32(four, bits) /* bits is a constant */

static MCT_INLINED mct_four mct_clamp_four(mct_four four, int32_t offset, mct_four lo, mct_four hi)
{
    return vminq_s32(vmaxq_s32(vaddq_n_s32(four, offset), lo), hi);
}

static MCT_INLINED void mct_copy(int8_t *to, const int8_t *from, int32_t size)
{
    __asm volatile("wlstp.8 lr, %[size], 2f\n"
                   "1: vldrb.8 q0, [%[from]], #16\n"
                   "vstrb.8 q0, [%[to]], #16\n"
                   "letp lr, 1b\n"
                   "2:"
                   : [to] "+r"(to), [from] "+r"(from)
                   : [size] "r"(size)
                   : "lr", "q0", "memory");
}

static MCT_INLINED void mct_fill(int8_t *to, int32_t value, int32_t size)
{
    __asm volatile("vdup.8 q0, %[value]\n"
                   "wlstp.8 lr, %[size], 2f\n"
                   "1: vstrb.8 q0, [%[to]], #16\n"
                   "letp lr, 1b\n"
                   "2:"
                   : [to] "+r"(to)
                   : [value] "r"(value), [size] "r"(size)
                   : "lr", "q0", "memory");
}

static MCT_INLINED int32_t mct_sum(const int8_t *w, int32_t size)
{
    int32_t sum = 0;
    __asm volatile("wlstp.8 lr, %[size], 2f\n"
                   "1: vldrb.8 q0, [%[w]], #16\n"
                   "vaddva.s8 %[sum], q0\n"
                   "letp lr, 1b\n"
                   "2:"
                   : [w] "+r"(w), [sum] "+Te"(sum)
                   : [size] "r"(size)
                   : "lr", "q0", "memory");
    return sum;
}

static MCT_INLINED void mct_add_dots(const int8_t *x0, const int8_t *x1, const int8_t *w0,
                                     const int8_t *w1, int32_t size, mct_dots *s)
{
    __asm volatile(
        "wlstp.8 lr, %[size], 2f\n"
        "1: vldrb.8 q0, [%[x0]], #16\n"
        "vldrb.8 q1, [%[w0]], #16\n"
        "vmladava.s8 %[sum00], q0, q1\n"
        "vldrb.8 q2, [%[x1]], #16\n"
        "vmladava.s8 %[sum10], q2, q1\n"
        "vldrb.8 q1, [%[w1]], #16\n"
        "vmladava.s8 %[sum01], q0, q1\n"
        "vmladava.s8 %[sum11], q2, q1\n"
        "letp lr, 1b\n"
        "2:"
        : [x0] "+r"(x0), [x1] "+r"(x1), [w0] "+r"(w0), [w1] "+r"(w1), [sum00] "+Te"(s->sum00),
          [sum01] "+Te"(s->sum01), [sum10] "+Te"(s->sum10), [sum11] "+Te"(s->sum11)
        : [size] "r"(size)
        : "lr", "q0", "q1", "q2", "memory");
}

static MCT_INLINED void mct_add_centred_dots(const int8_t *x, const int8_t *w0, const int8_t *w1,
                                             int32_t size, mct_centred_dots *s)
{
    __asm volatile(
        "wlstp.8 lr, %[size], 2f\n"
        "1: vldrb.8 q0, [%[x]], #16\n"
        "vldrb.8 q1, [%[w0]], #16\n"
        "vmladava.s8 %[sum0], q0, q1\n"
        "vaddva.s8 %[weights0], q1\n"
        "vldrb.8 q1, [%[w1]], #16\n"
        "vmladava.s8 %[sum1], q0, q1\n"
        "vaddva.s8 %[weights1], q1\n"
        "letp lr, 1b\n"
        "2:"
        : [x] "+r"(x), [w0] "+r"(w0), [w1] "+r"(w1), [sum0] "+Te"(s->sum0), [sum1] "+Te"(s->sum1),
          [weights0] "+Te"(s->weights0), [weights1] "+Te"(s->weights1)
        : [size] "r"(size)
        : "lr", "q0", "q1", "memory");
}

#else

typedef struct {
    int32_t lane[4];
} mct_four;

static inline mct_four mct_four_of(int32_t a, int32_t b, int32_t c, int32_t d)
{
    mct_four four = {{a, b, c, d}};
    return four;
}

static inline mct_four mct_four_of_one(int32_t value)
{
    return mct_four_of(value, value, value, value);
}

static inline mct_four mct_load_four(const int32_t *from)
{
    return mct_four_of(from[0], from[1], from[2], from[3]);
}

static inline mct_four mct_load_four_s8(const int8_t *from)
{
    return mct_four_of(from[0], from[1], from[2], from[3]);
}

static inline void mct_store_four_s8(int8_t *to, mct_four four)
{
    for (int32_t k = 0; k < 4; k++) {
        to[k] = (int8_t)four.lane[k];
    }
}

static inline mct_four mct_add_four(mct_four a, mct_four b)
{
    for (int32_t k = 0; k < 4; k++) {
        a.lane[k] = mct_wrapping_add(a.lane[k], b.lane[k]);
    }
    return a;
}

static inline mct_four mct_add_scaled_four(mct_four sum, mct_four a, int32_t scalar)
{
    for (int32_t k = 0; k < 4; k++) {
        sum.lane[k] = mct_wrapping_add(sum.lane[k], a.lane[k] * scalar);
    }
    return sum;
}

static inline mct_four mct_requantize_four(mct_four acc, mct_four multiplier, mct_four shift)
{
    for (int32_t k = 0; k < 4; k++) {
        acc.lane[k] = mct_requantize(acc.lane[k], multiplier.lane[k], shift.lane[k]);
    }
    return acc;
}

static inline mct_four mct_requantize_four_by(mct_four acc, int32_t multiplier, mct_four shift)
{
    return mct_requantize_four(acc, mct_four_of_one(multiplier), shift);
}

static inline mct_four mct_move_four(mct_four four, int32_t offset)
{
    return mct_add_four(four, mct_four_of_one(offset));
}

static inline mct_four mct_shift_four_left(mct_four four, int32_t bits)
{
    for (int32_t k = 0; k < 4; k++) {
        four.lane[k] = (int32_t)((uint32_t)four.lane[k] << bits);
    }
    return four;
}

static inline mct_four mct_clamp_four(mct_four four, int32_t offset, mct_four lo, mct_four hi)
{
    for (int32_t k = 0; k < 4; k++) {
        int32_t moved = mct_wrapping_add(four.lane[k], offset);
        four.lane[k] = mct_clamp(moved, lo.lane[k], hi.lane[k]);
    }
    return four;
}

static inline void mct_copy(int8_t *to, const int8_t *from, int32_t size)
{
    for (int32_t k = 0; k < size; k++) {
        to[k] = from[k];
    }
}

static inline void mct_fill(int8_t *to, int32_t value, int32_t size)
{
    for (int32_t k = 0; k < size; k++) {
        to[k] = (int8_t)value;
    }
}

static inline int32_t mct_sum(const int8_t *w, int32_t size)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < size; k++) {
        sum += w[k];
    }
    return sum;
}

static inline void mct_add_dots(const int8_t *x0, const int8_t *x1, const int8_t *w0,
                                const int8_t *w1, int32_t size, mct_dots *s)
{
    for (int32_t k = 0; k < size; k++) {
        s->sum00 = mct_wrapping_add(s->sum00, x0[k] * w0[k]);
        s->sum01 = mct_wrapping_add(s->sum01, x0[k] * w1[k]);
        s->sum10 = mct_wrapping_add(s->sum10, x1[k] * w0[k]);
        s->sum11 = mct_wrapping_add(s->sum11, x1[k] * w1[k]);
    }
}

static inline void mct_add_centred_dots(const int8_t *x, const int8_t *w0, const int8_t *w1,
                                        int32_t size, mct_centred_dots *s)
{
    for (int32_t k = 0; k < size; k++) {
        s->sum0 += x[k] * w0[k];
        s->sum1 += x[k] * w1[k];
        s->weights0 += w0[k];
        s->weights1 += w1[k];
    }
}

#endif

#ifdef __cplusplus
}
#endif

#endif
