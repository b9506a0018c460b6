/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D convolution of frozen weights within -8..7, two in a byte.
 * Twin of trainer/ops/conv2d_nibbles.py, and equal to mct_conv2d_s8 and mct_conv2d_s8_row
 * (kernels/conv2d.h) in every bit.
 *
 * Byte k of pair f of w has weight k of filter 2 f, and 8, in its low nibble, that of filter 2 f +
 * 1 in the other: so a window that leaves the input begins with a byte wherever it begins. b may be
 * NULL. */
#ifndef MCT_KERNELS_CONV2D_NIBBLES_H
#define MCT_KERNELS_CONV2D_NIBBLES_H

#include "kernels/conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_conv2d_nibbles_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                               const uint8_t *w, const int32_t *b, const int32_t *multiplier,
                               const int8_t *shift, int8_t *out_row);

void mct_conv2d_nibbles_s8(const mct_conv2d_params *p, const int8_t *x, const uint8_t *w,
                           const int32_t *b, const int32_t *multiplier, const int8_t *shift,
                           int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
