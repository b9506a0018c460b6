/* SPDX-License-Identifier: Apache-2.0 */
/* out = a * b, elementwise, and its gradient. Twin of trainer/ops/mul.py.
 *
 * out = requantize((a + a_offset) * (b + b_offset)) + out_offset, clamped
 * grad: dx = REQ(sum near(dout * fold, 8) * (b + b_offset), dout_e + scale_exponent), the sum
 *       over the positions that x was repeated along: at most 4113, for E8 66000
 * axes: kernels/broadcast.h */
#ifndef MCT_KERNELS_MUL_H
#define MCT_KERNELS_MUL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t a_offset, b_offset, out_offset, multiplier, shift;
    int32_t act_min, act_max;
} mct_mul_params;

void mct_mul_s8(const mct_mul_params *p, const int8_t *a, const int8_t *b, const int32_t *axes,
                int8_t *out);

typedef struct {
    int32_t fold, scale_exponent, b_offset;
} mct_mul_grad_params;

#define MCT_TEMPLATE "kernels/mul.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_mul_grad)(const mct_mul_grad_params *p, const MCT_ERROR *dout,
                            const int16_t *dout_e, const int8_t *b, const uint8_t *mask,
                            const int32_t *axes, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
