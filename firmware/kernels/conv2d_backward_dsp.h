/* SPDX-License-Identifier: Apache-2.0 */
/* The errors and updates of kernels/conv2d.h for cores with DSP instructions (mct/dsp.h): the same
 * bits. Twin of trainer/ops/conv2d_backward_dsp.py.
 *
 * Both are sums of vectors of int8 times factors: an error is one of filters, a gradient one of
 * input positions. Two sums are made at once, of two positions' errors or of two filters'
 * gradients, since the same vectors belong to both, and two vectors meet in one instruction.
 * A pair of vectors whose factors are all 0 is left out. */
#ifndef MCT_KERNELS_CONV2D_BACKWARD_DSP_H
#define MCT_KERNELS_CONV2D_BACKWARD_DSP_H

#include "kernels/conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MCT_TEMPLATE "kernels/conv2d_backward_dsp.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR && !defined MCT_STEP

/* scratch: two sums for each channel of `part`, and 2 learned_ch. */
void MCT_NAME(mct_conv2d_backward_dsp_grad_input_part)(
    const mct_conv2d_grad_input_params *p, mct_channels part, const MCT_ERROR *dout,
    const int8_t *w, const int8_t *w_l, const uint16_t *channel, const uint16_t *fold,
    const uint8_t *mask, MCT_NAME(mct_error_writer) * state, int32_t *scratch, MCT_ERROR *dx,
    int32_t dx_step);

/* scratch: 2 in_ch + 2 learned_ch sums. */
void MCT_NAME(mct_conv2d_backward_dsp_grad_input)(const mct_conv2d_grad_input_params *p,
                                                  const MCT_ERROR *dout, const int16_t *dout_e,
                                                  const int8_t *w, const int8_t *w_l,
                                                  const uint16_t *channel, const uint16_t *fold,
                                                  const uint8_t *mask, MCT_HISTORY,
                                                  int32_t *scratch, MCT_ERROR *dx, int16_t *dx_e);

/* scratch: 2 learned_ch sums, or NULL. */
void MCT_NAME(mct_conv2d_backward_dsp_grad_sums_part)(const mct_conv2d_grad_input_params *p,
                                                      mct_channels part, const MCT_ERROR *dout,
                                                      int32_t dout_step, const int8_t *w,
                                                      const int8_t *w_l, const uint16_t *channel,
                                                      const uint16_t *fold, int32_t *scratch,
                                                      int32_t *raw);

void MCT_NAME(mct_conv2d_backward_dsp_grad_sums)(const mct_conv2d_grad_input_params *p,
                                                 const MCT_ERROR *dout, const int8_t *w,
                                                 const int8_t *w_l, const uint16_t *channel,
                                                 const uint16_t *fold, int32_t *scratch,
                                                 int32_t *raw);

#include "kernels/each_update.h"

#elif defined MCT_STEP

/* scratch: 2 in_ch sums. */
void MCT_UPDATE(mct_conv2d_backward_dsp_part)(const mct_conv2d_update_params *p, mct_channels part,
                                              MCT_LEARNED, const int8_t *x, const MCT_ERROR *dout,
                                              int32_t dout_step, const int16_t *dout_e,
                                              const uint32_t *sgd, const uint8_t *rate,
                                              const int16_t *rate_shift, int32_t *scratch);

void MCT_UPDATE(mct_conv2d_backward_dsp)(const mct_conv2d_update_params *p, MCT_LEARNED,
                                         const int8_t *x, const MCT_ERROR *dout,
                                         const int16_t *dout_e, const uint32_t *sgd,
                                         const uint8_t *rate, const int16_t *rate_shift,
                                         int32_t *scratch);

#endif
