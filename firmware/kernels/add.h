/* SPDX-License-Identifier: Apache-2.0 */
/* out = a + b or a - b, elementwise, and the gradient of a repeated term.
 * Twin of trainer/ops/add.py, and of trainer/ops/sub.py.
 *
 * out = requantize(requantize((a + a_offset) << 20) + requantize((b + b_offset) << 20))
 *       + out_offset, clamped; of a difference the second term is subtracted
 * grad: dx = REQ(sum of dout over the positions that x was repeated along, dout_e): at most 2^20
 *       of them, for E8 2^24, so that it fits 32 bits
 * axes: kernels/broadcast.h */
#ifndef MCT_KERNELS_ADD_H
#define MCT_KERNELS_ADD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size;
    int32_t a_offset, a_multiplier, a_shift;
    int32_t b_offset, b_multiplier, b_shift;
    int32_t out_offset, out_multiplier, out_shift;
    int32_t act_min, act_max;
} mct_add_params;

/* a and b of one size. */
void mct_add_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, int8_t *out);

/* One of them repeated, element by element: p->size is 1. */
void mct_add_broadcast_s8(const mct_add_params *p, const int8_t *a, const int8_t *b,
                          const int32_t *axes, int8_t *out);

/* out = a - b, whether one of them is repeated or not; p->size is not read. */
void mct_sub_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, const int32_t *axes,
                int8_t *out);

#define MCT_TEMPLATE "kernels/add.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_add_grad)(const MCT_ERROR *dout, const int16_t *dout_e, const uint8_t *mask,
                            const int32_t *axes, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
