/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution of frozen weights within -8..7, two in a byte, four channels at a time.
 * Twin of trainer/ops/depthwise_conv2d_nibbles_dsp.py, and equal to mct_depthwise_conv2d_dsp_s8 and
 * its row (kernels/depthwise_conv2d_dsp.h) in every bit.
 *
 * Weights lie as in the model file, the first of two in the low nibble. They are unpacked into
 * scratch memory first, which each row of outputs reads several times: a byte for each, to a whole
 * number of words, and behind them the scratch memory of the others. b may be NULL. */
#ifndef MCT_KERNELS_DEPTHWISE_CONV2D_NIBBLES_DSP_H
#define MCT_KERNELS_DEPTHWISE_CONV2D_NIBBLES_DSP_H

#include "kernels/depthwise_conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_depthwise_conv2d_nibbles_dsp_s8_row(const mct_depthwise_conv2d_params *p,
                                             const int8_t *const rows[], const uint8_t *w,
                                             const int32_t *b, const int32_t *requant,
                                             uint32_t *scratch, int8_t *out_row);

void mct_depthwise_conv2d_nibbles_dsp_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                         const uint8_t *w, const int32_t *b, const int32_t *requant,
                                         uint32_t *scratch, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
