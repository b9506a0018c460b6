/* SPDX-License-Identifier: Apache-2.0 */
/* The errors of kernels/depthwise_conv2d.h for cores with DSP instructions (mct/dsp.h): the same
 * bits, for a multiplier of 1, frozen weights and at most MCT_DEPTHWISE_TAPS taps.
 * Twin of trainer/ops/depthwise_conv2d_backward_dsp.py.
 *
 * The taps that hold a position are listed once for all its channels. Then four channels are summed
 * over the list, each product an instruction, unless the mask closes all four; scaled and put are
 * only those that it leaves open. Errors are written in the portable kernel's order. */
#ifndef MCT_KERNELS_DEPTHWISE_CONV2D_BACKWARD_DSP_H
#define MCT_KERNELS_DEPTHWISE_CONV2D_BACKWARD_DSP_H

#include "kernels/depthwise_conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_DEPTHWISE_TAPS = 49 };

#define MCT_TEMPLATE "kernels/depthwise_conv2d_backward_dsp.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

/* w_l and channel are NULL. */
void MCT_NAME(mct_depthwise_conv2d_backward_dsp_grad_input_part)(
    const mct_depthwise_conv2d_grad_input_params *p, mct_channels part, const MCT_ERROR *dout,
    int32_t dout_step, const int8_t *w, const int8_t *w_l, const uint16_t *channel,
    const uint8_t *scale, const uint8_t *scale_shift, const uint8_t *mask,
    MCT_NAME(mct_error_writer) * state, MCT_ERROR *dx, int32_t dx_step);

void MCT_NAME(mct_depthwise_conv2d_backward_dsp_grad_input)(
    const mct_depthwise_conv2d_grad_input_params *p, const MCT_ERROR *dout, const int16_t *dout_e,
    const int8_t *w, const int8_t *w_l, const uint16_t *channel, const uint8_t *scale,
    const uint8_t *scale_shift, const uint8_t *mask, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
