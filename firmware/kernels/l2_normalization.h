/* SPDX-License-Identifier: Apache-2.0 */
/* Rows divided by their length, scale 1/128, zero point 0, and the gradient.
 * Twin of trainer/ops/l2_normalization.py.
 *
 * out = clamp(requantize(x + x_offset, 2^7 / |x + x_offset|)), the length by Newton-Raphson
 * grad: S = sum dout y of a row, d = 2^7 dout - near(y S, 7),
 *       dx = REQ(requantize(near(d fold, 8) 2^7, 1 / |x + x_offset|), dout_e + exponent_step) */
#ifndef MCT_KERNELS_L2_NORMALIZATION_H
#define MCT_KERNELS_L2_NORMALIZATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t rows, length, x_offset;
} mct_l2_normalization_params;

/* No sum of squares passes int32: length is at most 33025. */
void mct_l2_normalization_s8(const mct_l2_normalization_params *p, const int8_t *x, int8_t *out);

/* length is at most 8196, for E8 132104. */
typedef struct {
    int32_t rows, length, x_offset, fold, exponent_step;
} mct_l2_normalization_grad_params;

#define MCT_TEMPLATE "kernels/l2_normalization.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_l2_normalization_grad)(const mct_l2_normalization_grad_params *p,
                                         const MCT_ERROR *dout, const int16_t *dout_e,
                                         const int8_t *x, const int8_t *y, const uint8_t *mask,
                                         MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
