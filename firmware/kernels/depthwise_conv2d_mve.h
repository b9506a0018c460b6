/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, sixteen channels at a time. Twin of trainer/ops/depthwise_conv2d_mve.py,
 * and equal to mct_depthwise_conv2d_s8 and its row (kernels/depthwise_conv2d.h) in every bit, for a
 * multiplier of 1, layers that learn whole or not at all, and shifts that are none or to the right.
 */
#ifndef MCT_KERNELS_DEPTHWISE_CONV2D_MVE_H
#define MCT_KERNELS_DEPTHWISE_CONV2D_MVE_H

#include "kernels/depthwise_conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_depthwise_conv2d_mve_s8_row(const mct_depthwise_conv2d_params *p,
                                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                                     const int32_t *multiplier, const int8_t *shift,
                                     int8_t *out_row);

void mct_depthwise_conv2d_mve_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                 const int8_t *w, const int32_t *b, const int32_t *multiplier,
                                 const int8_t *shift, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
