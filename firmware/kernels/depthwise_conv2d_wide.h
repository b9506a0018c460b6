/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution whose weights are the sum of two int8.
 * Twin of trainer/ops/depthwise_conv2d_wide.py.
 *
 * out as kernels/depthwise_conv2d.h has it, with w + rest in place of w; b may be NULL. */
#ifndef MCT_KERNELS_DEPTHWISE_CONV2D_WIDE_H
#define MCT_KERNELS_DEPTHWISE_CONV2D_WIDE_H

#include <stdint.h>

#include "kernels/depthwise_conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_depthwise_conv2d_wide_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                  const int8_t *w, const int8_t *rest, const int32_t *b,
                                  const int32_t *multiplier, const int8_t *shift, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
