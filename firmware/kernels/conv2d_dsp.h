/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D convolution with two products in an instruction. Twin of trainer/ops/conv2d_dsp.py, and
 * equal to mct_conv2d_s8 and mct_conv2d_s8_row (kernels/conv2d.h) in every bit.
 *
 * The windows of two positions are centred and widened to int16 in scratch memory, once for all
 * filters; then two filters at a time meet them. Weights that learn are widened as they are read;
 * frozen ones may be packed, in twice their bytes: for two filters at a time and each four of their
 * weights, values 0 and 2 of one filter, then 1 and 3, then the same of the other; an even number
 * of fours, of which the last are the last four weights, or zeros behind them. */
#ifndef MCT_KERNELS_CONV2D_DSP_H
#define MCT_KERNELS_CONV2D_DSP_H

#include "kernels/conv2d.h"
#include "mct/dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* scratch: 16 bytes for each four weights of a filter, and the bytes of the largest window. */
void mct_conv2d_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                           const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                           const int32_t *requant, uint32_t *scratch, int8_t *out_row);

void mct_conv2d_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const int8_t *w,
                       const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                       const int32_t *requant, uint32_t *scratch, int8_t *out);

/* The same of packed weights w, which do not learn; biases may, or be NULL. scratch: 16 bytes for
 * each of an even number of fours, and the bytes of a window. */
void mct_conv2d_packed_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                  const uint32_t *w, const int32_t *b, const int32_t *requant,
                                  uint32_t *scratch, int8_t *out_row);

void mct_conv2d_packed_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const uint32_t *w,
                              const int32_t *b, const int32_t *requant, uint32_t *scratch,
                              int8_t *out);

/* The same of weights within -8..7 that are nibbles, a word for each of the fours of two filters
 * (kernels/filters_nibbles_dsp.h), in half their bytes. */
void mct_conv2d_nibbles_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                   const uint32_t *w, const int32_t *b, const int32_t *requant,
                                   uint32_t *scratch, int8_t *out_row);

void mct_conv2d_nibbles_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const uint32_t *w,
                               const int32_t *b, const int32_t *requant, uint32_t *scratch,
                               int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
