/* SPDX-License-Identifier: Apache-2.0 */
/* Plain SGD on integers (SPEC 1.5). Twin of trainer/ops/sgd.py.
 *
 * weight: M = clamp(256 w + frac - u), u = SR(g A, q + L - 8 - e - t, r),  w = (M + 128) >> 8
 *         without a fraction: M = w
 * bias:   b = clamp(b - SR(g A', q' + L - 8 - e - t, r))
 * where the gradient is g 2^t, t = 0, or 8 beyond 23 bits
 * accumulation over N samples: the sum U takes the steps, as a bias does; each N-th sample the
 *         weight or bias takes -U as its step, and U = 0
 */
#ifndef MCT_KERNELS_SGD_H
#define MCT_KERNELS_SGD_H

#include "kernels/channels.h"
#include "mct/fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A layer's gradient of a weight: a part of each of its updates, not called once per weight. */
#define MCT_INTO_UPDATES static inline __attribute__((always_inline))

/* The state tensor: rate = multiplier * 2^-shift; multiplier 0 stands for no update. */
typedef struct {
    uint32_t seed, step, multiplier;
    int32_t shift;
} mct_sgd;

/* Macros where an int may be too small: an enumerator is one. */
enum { MCT_WEIGHT_MAX = 127 * 256 };
#define MCT_STEP_MAX (INT32_C(1) << 16)
#define MCT_BIAS_MAX (INT32_C(1) << 30)

/* The rate of one channel in one call: gradient * multiplier * 2^-shift. */
typedef struct {
    int32_t multiplier, shift;
} mct_rate;

static inline mct_rate mct_channel_rate(const mct_sgd *sgd, uint8_t rate, int16_t rate_shift,
                                        const int16_t *dout_e)
{
    mct_rate scaled = {(int32_t)((rate * sgd->multiplier + 128u) >> 8),
                       rate_shift + sgd->shift - 8 - dout_e[0]};
    return scaled;
}

static inline int32_t mct_scaled_step(mct_rate rate, int32_t gradient, uint32_t r)
{
    const int32_t excess = mct_excess23(gradient);
    return mct_stochastic_round(mct_near(gradient, excess) * rate.multiplier, rate.shift - excess,
                                r);
}

/* The rate behind an input channel whose steps are 2^input_shift times as large (SPEC 1.5). */
static inline mct_rate mct_shifted_rate(mct_rate rate, int8_t input_shift)
{
    mct_rate shifted = {rate.multiplier, rate.shift - input_shift};
    return shifted;
}

/* u of one weight; the caller leaves out dw = 0 and dead channels. */
int32_t mct_weight_step(mct_rate rate, int32_t dw, uint32_t r);

#ifdef MCT_MULTIPLIES_BYTES
/* A weight with a fraction, which are the two bytes of M; |u| <= 2^30. Few steps go beyond them. */
static inline void mct_step_weight(int8_t *w, int8_t *frac, int32_t u)
{
    const __int24 before = (__int24)((int16_t)*w * 256) + *frac;
    int16_t m;
    if ((int16_t)u == u) {
        const __int24 moved = before - (int16_t)u;
        m = (int16_t)(moved > MCT_WEIGHT_MAX    ? MCT_WEIGHT_MAX
                      : moved < -MCT_WEIGHT_MAX ? -MCT_WEIGHT_MAX
                                                : moved);
    } else {
        m = (int16_t)mct_clamp(before - u, -MCT_WEIGHT_MAX, MCT_WEIGHT_MAX);
    }
    *w = (int8_t)((m + 128) >> 8); /* -127..127 */
    *frac = (int8_t)m;             /* the rest is what the low byte holds */
}
#else
/* A weight with a fraction; |u| <= 2^30. */
static inline void mct_step_weight(int8_t *w, int8_t *frac, int32_t u)
{
    int32_t m = (int32_t)*w * 256 + *frac - u;
    if (__builtin_expect((uint32_t)m + MCT_WEIGHT_MAX > 2u * MCT_WEIGHT_MAX, 0)) {
        m = m < 0 ? -MCT_WEIGHT_MAX : MCT_WEIGHT_MAX;
    }
#ifndef MCT_HAS_VECTORS
    __asm__("" : "+r"(m)); /* or the compiler extends both bytes before it stores them */
#endif
    *w = (int8_t)((m + 128) >> 8); /* -127..127 */
    *frac = (int8_t)m;             /* the rest is what the low byte holds */
}
#endif

/* A weight without a fraction; |u| <= 2^30. */
static inline void mct_step_whole(int8_t *w, int32_t u)
{
    *w = (int8_t)mct_clamp(*w - u, -127, 127);
}

/* A bias, or a sum of steps; |u| <= 2^30. */
static inline void mct_step_wide(int32_t *b, int32_t u)
{
    /* In 64 bits: the host may have written a bias beyond MCT_BIAS_MAX. */
    int64_t moved = (int64_t)*b - u;
    moved = moved > MCT_BIAS_MAX ? (int64_t)MCT_BIAS_MAX : moved;
    *b = (int32_t)(moved < -MCT_BIAS_MAX ? -MCT_BIAS_MAX : moved);
}

typedef struct {
    int32_t positions, channels, node;
} mct_bias_update_params;

typedef struct {
    int32_t size, samples;
} mct_apply_sum_params;

/* Every `samples` steps the sums change what they were for, and begin anew. */
void mct_apply_sum_s8_8(const mct_apply_sum_params *p, int8_t *w, int8_t *frac, int32_t *sum,
                        const uint32_t *sgd);

void mct_apply_sum_s8(const mct_apply_sum_params *p, int8_t *w, int32_t *sum, const uint32_t *sgd);

void mct_apply_sum_s32(const mct_apply_sum_params *p, int32_t *b, int32_t *sum,
                       const uint32_t *sgd);

void mct_count_step(uint32_t *sgd);

static inline mct_sgd mct_sgd_load(const uint32_t *sgd)
{
    /* The host may have written any bytes: keep to what a learning rate can be. */
    mct_sgd loaded = {sgd[0], sgd[1], sgd[2] & 0xffu, (int32_t)(sgd[3] & 0xffu)};
    return loaded;
}

#define MCT_TEMPLATE "kernels/sgd.h"
#include "kernels/each_update.h"

#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_STEP

/* Weights of one channel take their steps, the first with the dither r. The gradient of weight k is
 * dw[k] + offset, where their sum does not overflow. */
void MCT_WAY(mct_steps)(MCT_LEARNED, const int32_t *dw, int32_t offset, int32_t size, mct_rate rate,
                        uint32_t r);

/* The same where the gradient of weight k is the one product (x[k] + x_offset) * error. */
void MCT_WAY(mct_product_steps)(MCT_LEARNED, const int8_t *x, int32_t x_offset, int32_t error,
                                int32_t size, mct_rate rate, uint32_t r);

#elif defined MCT_ERROR

void MCT_NAME(mct_bias_update)(const mct_bias_update_params *p, int32_t *b, const MCT_ERROR *dout,
                               const int16_t *dout_e, const uint32_t *sgd, const uint8_t *rate,
                               const int16_t *rate_shift);

void MCT_NAME(mct_bias_update_part)(const mct_bias_update_params *p, mct_channels part, int32_t *b,
                                    const MCT_ERROR *dout, int32_t dout_step, const int16_t *dout_e,
                                    const uint32_t *sgd, const uint8_t *rate,
                                    const int16_t *rate_shift);

#endif
