/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, four channels at a time. Twin of trainer/ops/depthwise_conv2d_dsp.py, and
 * equal to mct_depthwise_conv2d_s8 and its row (kernels/depthwise_conv2d.h) in every bit, for a
 * multiplier of 1 and four channels or more.
 *
 * The weights of four channels are widened to int16 in scratch memory, two rows beside one another,
 * once for a row of outputs; then the row's windows meet them. So weights may be learned: of a
 * layer learned in part, w_l stands in place of the frozen weights, which are zeros there. */
#ifndef MCT_KERNELS_DEPTHWISE_CONV2D_DSP_H
#define MCT_KERNELS_DEPTHWISE_CONV2D_DSP_H

#include "kernels/depthwise_conv2d.h"
#include "mct/dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* scratch: 8 bytes for each tap, 16 for each pair of a window's rows in its columns or, if it has
 * more than 3 rows, in those of 8 positions, and 32 if the channels are no multiple of four.
 * out_row lies in none of the rows. */
void mct_depthwise_conv2d_dsp_s8_row(const mct_depthwise_conv2d_params *p,
                                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                                     const int8_t *w_l, const uint16_t *channel,
                                     const int32_t *requant, uint32_t *scratch, int8_t *out_row);

void mct_depthwise_conv2d_dsp_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                 const int8_t *w, const int32_t *b, const int8_t *w_l,
                                 const uint16_t *channel, const int32_t *requant, uint32_t *scratch,
                                 int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
