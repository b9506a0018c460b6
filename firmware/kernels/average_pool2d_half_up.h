/* SPDX-License-Identifier: Apache-2.0 */
/* Average over windows, with halves rounded up. Twin of trainer/ops/average_pool2d_half_up.py.
 *
 * out = floor((sum(x over the window) + floor(count / 2)) / count), clamped */
#ifndef MCT_KERNELS_AVERAGE_POOL2D_HALF_UP_H
#define MCT_KERNELS_AVERAGE_POOL2D_HALF_UP_H

#include <stdint.h>

#include "kernels/average_pool2d.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_average_pool2d_half_up_s8(const mct_average_pool2d_params *p, const int8_t *x,
                                   int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
