/* SPDX-License-Identifier: Apache-2.0 */
/* The smaller or greater of two values, elementwise, and which of them it is.
 * Twin of trainer/ops/minimum_maximum.py.
 *
 * out = a if (a ^ flip) >= (b ^ flip), else b; flip is 0 for the maximum and -1 for the minimum,
 *       which turns the order of all values
 * chosen: bit k % 8 of mask[k / 8] = 1 if element k of out is a, or with `second` if it is not;
 *         0 behind the last element. Of equal values it is a.
 * axes: kernels/broadcast.h */
#ifndef MCT_KERNELS_MINIMUM_MAXIMUM_H
#define MCT_KERNELS_MINIMUM_MAXIMUM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t flip;
} mct_minimum_maximum_params;

void mct_minimum_maximum_s8(const mct_minimum_maximum_params *p, const int8_t *a, const int8_t *b,
                            const int32_t *axes, int8_t *out);

typedef struct {
    int32_t flip, second;
} mct_chosen_mask_params;

void mct_chosen_mask_s8(const mct_chosen_mask_params *p, const int8_t *a, const int8_t *b,
                        const int32_t *axes, uint8_t *mask);

#ifdef __cplusplus
}
#endif

#endif
