/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D convolution of frozen weights within -8..7, two in a byte, with sixteen products in an
 * instruction. Twin of trainer/ops/conv2d_nibbles_mve.py, and equal to mct_conv2d_mve_s8 and
 * mct_conv2d_mve_s8_row (kernels/conv2d_mve.h) in every bit.
 *
 * Each filter begins with a byte, and lies as mct/nibbles_mve.h says: in blocks of 32 weights, of
 * which the first 16 are low nibbles, and the rest in order. Scratch is that of the others; b may
 * be NULL. */
#ifndef MCT_KERNELS_CONV2D_NIBBLES_MVE_H
#define MCT_KERNELS_CONV2D_NIBBLES_MVE_H

#include "kernels/conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_conv2d_nibbles_mve_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                   const uint8_t *w, const int32_t *b, const int32_t *multiplier,
                                   const int8_t *shift, int32_t *scratch, int8_t *out_row);

void mct_conv2d_nibbles_mve_s8(const mct_conv2d_params *p, const int8_t *x, const uint8_t *w,
                               const int32_t *b, const int32_t *multiplier, const int8_t *shift,
                               int32_t *scratch, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
