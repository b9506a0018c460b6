/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax over rows, scale 1/256, zero point -128, and its gradient.
 * Twin of trainer/ops/softmax.py.
 *
 * out[i] = exp(s (x[i] - max x)) / sum exp, in the fixed point of gemmlowp
 * grad: p = y + 128, S = sum p dout of a row,
 *       dx = REQ(p near(sat23(2^8 dout - S) fold, 8), dout_e + exponent_step) */
#ifndef MCT_KERNELS_SOFTMAX_H
#define MCT_KERNELS_SOFTMAX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t rows, channels, multiplier, shift, least_difference;
} mct_softmax_params;

void mct_softmax_s8(const mct_softmax_params *p, const int8_t *x, int8_t *out);

/* channels is at most 4095, so that neither S nor its difference from 2^8 dout passes int32. */
typedef struct {
    int32_t rows, channels, fold, exponent_step;
} mct_softmax_grad_params;

#define MCT_TEMPLATE "kernels/softmax.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_softmax_grad)(const mct_softmax_grad_params *p, const MCT_ERROR *dout,
                                const int16_t *dout_e, const int8_t *y, const uint8_t *mask,
                                MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
