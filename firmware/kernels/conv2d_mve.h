/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D convolution with sixteen products in an instruction. Twin of trainer/ops/conv2d_mve.py, and
 * equal to mct_conv2d_s8 and mct_conv2d_s8_row (kernels/conv2d.h) in every bit, where no shift is
 * to the left.
 *
 * Inputs meet the weights as they are; x_offset times the sum of a filter's weights is added once,
 * with its bias. Two windows are copied for all filters, two of which meet them at a time. */
#ifndef MCT_KERNELS_CONV2D_MVE_H
#define MCT_KERNELS_CONV2D_MVE_H

#include "kernels/conv2d.h"
#include "mct/mve.h"

#ifdef __cplusplus
extern "C" {
#endif

/* scratch: out_ch words, and the bytes of two windows; of a row of one output a window alone, and
 * nothing at all if its kernel is 1x1. */
void mct_conv2d_mve_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                           const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                           const int32_t *multiplier, const int8_t *shift, int32_t *scratch,
                           int8_t *out_row);

void mct_conv2d_mve_s8(const mct_conv2d_params *p, const int8_t *x, const int8_t *w,
                       const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                       const int32_t *multiplier, const int8_t *shift, int32_t *scratch,
                       int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
