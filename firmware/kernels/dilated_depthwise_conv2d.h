/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution whose taps lie apart (kernels/spacing.h), its input gradient, its update.
 * Twin of trainer/ops/dilated_depthwise_conv2d.py.
 *
 * The formulas are those of kernels/depthwise_conv2d.h. There are at most MCT_MAX_TAPS taps. */
#ifndef MCT_KERNELS_DILATED_DEPTHWISE_CONV2D_H
#define MCT_KERNELS_DILATED_DEPTHWISE_CONV2D_H

#include <stdint.h>

#include "kernels/channels.h"
#include "kernels/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t dilation_h, dilation_w;
    int32_t learned_ch;
    int32_t x_offset, out_offset, act_min, act_max;
} mct_dilated_depthwise_conv2d_params;

/* One output row from the rows of the input from its first tap to its last; a row of padding is
 * NULL. */
void mct_dilated_depthwise_conv2d_s8_row(const mct_dilated_depthwise_conv2d_params *p,
                                         const int8_t *const rows[], const int8_t *w,
                                         const int32_t *b, const int8_t *const rows_l[],
                                         const int8_t *w_l, const uint16_t *channel,
                                         const int32_t *multiplier, const int8_t *shift,
                                         int8_t *out_row);

void mct_dilated_depthwise_conv2d_s8(const mct_dilated_depthwise_conv2d_params *p, const int8_t *x,
                                     const int8_t *w, const int32_t *b, const int8_t *x_l,
                                     const int8_t *w_l, const uint16_t *channel,
                                     const int32_t *multiplier, const int8_t *shift, int8_t *out);

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t dilation_h, dilation_w;
    int32_t learned_ch;
    int32_t scale_exponent;
} mct_dilated_depthwise_conv2d_grad_input_params;

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t dilation_h, dilation_w;
    int32_t band_rows, x_offset, node, dout_ch;
} mct_dilated_depthwise_conv2d_update_params;

#define MCT_TEMPLATE "kernels/dilated_depthwise_conv2d.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR && !defined MCT_STEP

void MCT_NAME(mct_dilated_depthwise_conv2d_grad_input)(
    const mct_dilated_depthwise_conv2d_grad_input_params *p, const MCT_ERROR *dout,
    const int16_t *dout_e, const int8_t *w, const int8_t *w_l, const uint16_t *channel,
    const uint8_t *scale, const uint8_t *scale_shift, const uint8_t *mask, MCT_HISTORY,
    MCT_ERROR *dx, int16_t *dx_e);

#include "kernels/each_update.h"

#elif defined MCT_STEP

/* column[o] is the channel of dout that output o of w has; o itself if column is NULL. */
void MCT_UPDATE(mct_dilated_depthwise_conv2d)(const mct_dilated_depthwise_conv2d_update_params *p,
                                              MCT_LEARNED, const int8_t *x, const MCT_ERROR *dout,
                                              const int16_t *dout_e, const uint32_t *sgd,
                                              const uint16_t *column, const uint8_t *rate,
                                              const int16_t *rate_shift);

#endif
