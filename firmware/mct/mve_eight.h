/* SPDX-License-Identifier: Apache-2.0 */
/* Eight channels beside one another as vectors (mct/mve.h): their values in 16 bits, their sums in
 * 32, those of even and of odd channels apart, as the products come. */
#ifndef MCT_MVE_EIGHT_H
#define MCT_MVE_EIGHT_H

#include "mct/mve.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the sums of a layer's channels become outputs. */
typedef struct {
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t offset, min, max;
} mct_output_scales;

#ifdef __ARM_FEATURE_MVE

typedef int16x8_t mct_eight;

typedef struct {
    int32x4_t even, odd;
} mct_eight_sums;

/* Eight bytes plus an offset; |offset| <= 255. */
static MCT_INLINED mct_eight mct_load_eight(const int8_t *from, int32_t offset)
{
    return vaddq_n_s16(vldrbq_s16(from), (int16_t)offset);
}

static MCT_INLINED mct_eight mct_load_eight_weights(const int8_t *from)
{
    return vldrbq_s16(from);
}

static MCT_INLINED mct_eight_sums mct_eight_zeros(void)
{
    mct_eight_sums zeros = {vdupq_n_s32(0), vdupq_n_s32(0)};
    return zeros;
}

static MCT_INLINED mct_eight_sums mct_load_eight_sums(const int32_t *from)
{
    int32x4x2_t both = vld2q_s32(from);
    mct_eight_sums sums = {both.val[0], both.val[1]};
    return sums;
}

static MCT_INLINED mct_eight_sums mct_add_products(mct_eight_sums sums, mct_eight x, mct_eight w)
{
    sums.even = vaddq_s32(sums.even, vmullbq_int_s16(x, w));
    sums.odd = vaddq_s32(sums.odd, vmulltq_int_s16(x, w));
    return sums;
}

/* mct_add_products of `taps` taps, `step` bytes from one to the next, in sixteen channels. The
 * compiler would keep one of the sums in memory. */
static MCT_INLINED void mct_add_taps(const int8_t *x, const int8_t *w, int32_t step, int32_t taps,
                                     int32_t x_offset, mct_eight_sums *first,
                                     mct_eight_sums *second)
{
    mct_eight x_at, w_at;
    int32x4_t product;
    __asm volatile("wls lr, %[taps], 2f\n"
                   "1: vldrb.s16 %q[x_at], [%[x]]\n"
                   "vldrb.s16 %q[w_at], [%[w]]\n"
                   "vadd.i16 %q[x_at], %q[x_at], %[x_offset]\n"
                   "vmullb.s16 %q[product], %q[x_at], %q[w_at]\n"
                   "vmullt.s16 %q[x_at], %q[x_at], %q[w_at]\n"
                   "vadd.i32 %q[even0], %q[even0], %q[product]\n"
                   "vadd.i32 %q[odd0], %q[odd0], %q[x_at]\n"
                   "vldrb.s16 %q[x_at], [%[x], #8]\n"
                   "vldrb.s16 %q[w_at], [%[w], #8]\n"
                   "vadd.i16 %q[x_at], %q[x_at], %[x_offset]\n"
                   "vmullb.s16 %q[product], %q[x_at], %q[w_at]\n"
                   "vmullt.s16 %q[x_at], %q[x_at], %q[w_at]\n"
                   "vadd.i32 %q[even1], %q[even1], %q[product]\n"
                   "vadd.i32 %q[odd1], %q[odd1], %q[x_at]\n"
                   "add %[x], %[x], %[step]\n"
                   "add %[w], %[w], %[step]\n"
                   "le lr, 1b\n"
                   "2:"
                   : [x] "+l"(x), [w] "+l"(w), [even0] "+w"(first->even), [odd0] "+w"(first->odd),
                     [even1] "+w"(second->even), [odd1] "+w"(second->odd), [x_at] "=&w"(x_at),
                     [w_at] "=&w"(w_at), [product] "=&w"(product)
                   : [taps] "r"(taps), [step] "r"(step), [x_offset] "r"(x_offset)
                   : "lr", "memory");
}

/* Requantises the sums of channels c to c + 7. */
static MCT_INLINED void mct_put_eight(mct_eight_sums sums, const mct_output_scales *by, int32_t c,
                                      int8_t *out)
{
    int32x4x2_t multiplier = vld2q_s32(by->multiplier + c);
    int16x8_t shift = vldrbq_s16(by->shift + c);
    int32x4_t even = mct_requantize_four(sums.even, multiplier.val[0], vmovlbq_s16(shift));
    int32x4_t odd = mct_requantize_four(sums.odd, multiplier.val[1], vmovltq_s16(shift));
    even = vaddq_n_s32(even, by->offset);
    int16x8_t all = vqmovnbq_s32(vreinterpretq_s16_s32(even), even);
    all = vqmovntq_s32(all, vaddq_n_s32(odd, by->offset));
    all = vmaxq_s16(all, vdupq_n_s16((int16_t)by->min));
    all = vminq_s16(all, vdupq_n_s16((int16_t)by->max));
    vstrbq_s16(out, all);
}

#else

typedef struct {
    int32_t lane[8];
} mct_eight;

typedef mct_eight mct_eight_sums;

static inline mct_eight mct_load_eight(const int8_t *from, int32_t offset)
{
    mct_eight eight;
    for (int32_t k = 0; k < 8; k++) {
        eight.lane[k] = from[k] + offset;
    }
    return eight;
}

static inline mct_eight mct_load_eight_weights(const int8_t *from)
{
    return mct_load_eight(from, 0);
}

static inline mct_eight_sums mct_eight_zeros(void)
{
    mct_eight_sums zeros = {{0}};
    return zeros;
}

static inline mct_eight_sums mct_load_eight_sums(const int32_t *from)
{
    mct_eight_sums sums;
    for (int32_t k = 0; k < 8; k++) {
        sums.lane[k] = from[k];
    }
    return sums;
}

static inline mct_eight_sums mct_add_products(mct_eight_sums sums, mct_eight x, mct_eight w)
{
    for (int32_t k = 0; k < 8; k++) {
        sums.lane[k] = mct_wrapping_add(sums.lane[k], x.lane[k] * w.lane[k]);
    }
    return sums;
}

static inline void mct_add_taps(const int8_t *x, const int8_t *w, int32_t step, int32_t taps,
                                int32_t x_offset, mct_eight_sums *first, mct_eight_sums *second)
{
    for (int32_t k = 0; k < taps; k++, x += step, w += step) {
        *first = mct_add_products(*first, mct_load_eight(x, x_offset), mct_load_eight_weights(w));
        *second = mct_add_products(*second, mct_load_eight(x + 8, x_offset),
                                   mct_load_eight_weights(w + 8));
    }
}

static inline void mct_put_eight(mct_eight_sums sums, const mct_output_scales *by, int32_t c,
                                 int8_t *out)
{
    for (int32_t k = 0; k < 8; k++) {
        int32_t acc = mct_requantize(sums.lane[k], by->multiplier[c + k], by->shift[c + k]);
        out[k] = (int8_t)mct_clamp(mct_wrapping_add(acc, by->offset), by->min, by->max);
    }
}

#endif

#ifdef __cplusplus
}
#endif

#endif
