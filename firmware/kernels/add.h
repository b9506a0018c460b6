/* SPDX-License-Identifier: Apache-2.0 */
/* out = a + b, elementwise. Twin of trainer/ops/add.py.
 *
 * out[k] = requantize(requantize((a[k] + a_offset) << 20) + requantize((b[k] + b_offset) << 20))
 *          + out_offset, clamped */
#ifndef MCT_KERNELS_ADD_H
#define MCT_KERNELS_ADD_H

#include <stdint.h>

typedef struct {
    int32_t size;
    int32_t a_offset, a_multiplier, a_shift;
    int32_t b_offset, b_multiplier, b_shift;
    int32_t out_offset, out_multiplier, out_shift;
    int32_t act_min, act_max;
} mct_add_params;

void mct_add_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, int8_t *out);

#endif
