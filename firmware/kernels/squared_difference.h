/* SPDX-License-Identifier: Apache-2.0 */
/* out = (a - b)^2, elementwise, and its gradient. Twin of trainer/ops/squared_difference.py.
 *
 * d   = requantize((a + a_offset) << 7) - requantize((b + b_offset) << 7), |d| <= 32640
 * out = requantize(d * d) + out_offset, clamped
 * grad: dx = REQ(sum near(dout * fold, 8) * near(d, shift), dout_e + scale_exponent), d of x and
 *       the other operand, the sum over the positions that x was repeated along: `shift` is such
 *       that it fits 32 bits
 * axes: kernels/broadcast.h */
#ifndef MCT_KERNELS_SQUARED_DIFFERENCE_H
#define MCT_KERNELS_SQUARED_DIFFERENCE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t a_offset, a_multiplier, a_shift;
    int32_t b_offset, b_multiplier, b_shift;
    int32_t out_offset, out_multiplier, out_shift;
} mct_squared_difference_params;

void mct_squared_difference_s8(const mct_squared_difference_params *p, const int8_t *a,
                               const int8_t *b, const int32_t *axes, int8_t *out);

typedef struct {
    int32_t x_offset, x_multiplier, x_shift;
    int32_t other_offset, other_multiplier, other_shift;
    int32_t fold, scale_exponent, shift;
} mct_squared_difference_grad_params;

#define MCT_TEMPLATE "kernels/squared_difference.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_squared_difference_grad)(const mct_squared_difference_grad_params *p,
                                           const MCT_ERROR *dout, const int16_t *dout_e,
                                           const int8_t *x, const int8_t *other,
                                           const uint8_t *mask, const int32_t *axes, MCT_HISTORY,
                                           MCT_ERROR *dx, int16_t *dx_e);

#endif
