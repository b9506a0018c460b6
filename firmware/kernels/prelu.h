/* SPDX-License-Identifier: Apache-2.0 */
/* A leaky rectifier with a slope of its own for each channel, and its gradient.
 * Twin of trainer/ops/prelu.py.
 *
 * u   = x + x_offset
 * out = requantize(u) if u >= 0, else requantize_below(u * alpha); plus out_offset, clamped
 * grad: dx = REQ(dout * k, dout_e + exponent_step), k = above if u >= 0, else slope; |k| <= 2^14
 * axes: kernels/broadcast.h, of x and of alpha, which is repeated along x; so is slope */
#ifndef MCT_KERNELS_PRELU_H
#define MCT_KERNELS_PRELU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t x_offset, out_offset;
    int32_t multiplier, shift;
    int32_t below_multiplier, below_shift;
} mct_prelu_params;

void mct_prelu_s8(const mct_prelu_params *p, const int8_t *x, const int16_t *alpha,
                  const int32_t *axes, int8_t *out);

typedef struct {
    int32_t x_offset, above, exponent_step;
} mct_prelu_grad_params;

#define MCT_TEMPLATE "kernels/prelu.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_prelu_grad)(const mct_prelu_grad_params *p, const MCT_ERROR *dout,
                              const int16_t *dout_e, const int8_t *x, const uint8_t *mask,
                              const int16_t *slope, const int32_t *axes, MCT_HISTORY, MCT_ERROR *dx,
                              int16_t *dx_e);

#endif
