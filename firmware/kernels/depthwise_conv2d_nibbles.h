/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution of frozen weights within -8..7, two in a byte.
 * Twin of trainer/ops/depthwise_conv2d_nibbles.py, and equal to mct_depthwise_conv2d_s8 and
 * mct_depthwise_conv2d_s8_row (kernels/depthwise_conv2d.h) in every bit.
 *
 * Byte c of a tap of w has the weight of output channel 2 c in its low nibble, of 2 c + 1 in the
 * other. b may be NULL. */
#ifndef MCT_KERNELS_DEPTHWISE_CONV2D_NIBBLES_H
#define MCT_KERNELS_DEPTHWISE_CONV2D_NIBBLES_H

#include "kernels/depthwise_conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_depthwise_conv2d_nibbles_s8_row(const mct_depthwise_conv2d_params *p,
                                         const int8_t *const rows[], const uint8_t *w,
                                         const int32_t *b, const int32_t *multiplier,
                                         const int8_t *shift, int8_t *out_row);

void mct_depthwise_conv2d_nibbles_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                     const uint8_t *w, const int32_t *b, const int32_t *multiplier,
                                     const int8_t *shift, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
