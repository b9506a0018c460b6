/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, its input gradient, its update. Twin of trainer/ops/depthwise_conv2d.py.
 *
 * With the multiplier M = out_ch / in_ch and o = i M + m:
 * out[y][x][o] = requantize(b[o] + sum (x[..][i] + x_offset) * w[ky][kx][o]) + out_offset, clamped
 * dx[y][x][i]  = REQ(sum_m near(sat23(sum dout[..][o] w[ky][kx][o]) * scale[o], scale_shift[o]))
 * dw[ky][kx][o] = sum (x + x_offset) * dout[..][o], applied at once (kernels/sgd.h)
 *
 * A layer learned in part adds the learned channels: x_l (gathered), w_l, channel; else NULL
 * and 0. b may be NULL. */
#ifndef MCT_KERNELS_DEPTHWISE_CONV2D_H
#define MCT_KERNELS_DEPTHWISE_CONV2D_H

#include <stdint.h>

#include "kernels/channels.h"
#include "kernels/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t learned_ch;
    int32_t x_offset, out_offset, act_min, act_max;
} mct_depthwise_conv2d_params;

/* One output row from kernel_h input rows; a row of padding is NULL. */
void mct_depthwise_conv2d_s8_row(const mct_depthwise_conv2d_params *p, const int8_t *const rows[],
                                 const int8_t *w, const int32_t *b, const int8_t *const rows_l[],
                                 const int8_t *w_l, const uint16_t *channel,
                                 const int32_t *multiplier, const int8_t *shift, int8_t *out_row);

void mct_depthwise_conv2d_s8(const mct_depthwise_conv2d_params *p, const int8_t *x, const int8_t *w,
                             const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                             const uint16_t *channel, const int32_t *multiplier,
                             const int8_t *shift, int8_t *out);

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t learned_ch;
    int32_t scale_exponent;
} mct_depthwise_conv2d_grad_input_params;

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t band_rows, x_offset, node, dout_ch;
} mct_depthwise_conv2d_update_params;

#define MCT_TEMPLATE "kernels/depthwise_conv2d.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR && !defined MCT_STEP

/* The input channels of `part` alone, from dout of those that they are multiplied into. */
void MCT_NAME(mct_depthwise_conv2d_grad_input_part)(
    const mct_depthwise_conv2d_grad_input_params *p, mct_channels part, const MCT_ERROR *dout,
    int32_t dout_step, const int8_t *w, const int8_t *w_l, const uint16_t *channel,
    const uint8_t *scale, const uint8_t *scale_shift, const uint8_t *mask,
    MCT_NAME(mct_error_writer) * state, MCT_ERROR *dx, int32_t dx_step);

void MCT_NAME(mct_depthwise_conv2d_grad_input)(const mct_depthwise_conv2d_grad_input_params *p,
                                               const MCT_ERROR *dout, const int16_t *dout_e,
                                               const int8_t *w, const int8_t *w_l,
                                               const uint16_t *channel, const uint8_t *scale,
                                               const uint8_t *scale_shift, const uint8_t *mask,
                                               MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#include "kernels/each_update.h"

#elif defined MCT_STEP

/* The weights of the channels of `part` of dout alone. */
void MCT_UPDATE(mct_depthwise_conv2d_part)(const mct_depthwise_conv2d_update_params *p,
                                           mct_channels part, MCT_LEARNED, const int8_t *x,
                                           const MCT_ERROR *dout, int32_t dout_step,
                                           const int16_t *dout_e, const uint32_t *sgd,
                                           const uint16_t *column, const uint8_t *rate,
                                           const int16_t *rate_shift);

/* column[o] is the channel of dout that output o of w has; o itself if column is NULL. */
void MCT_UPDATE(mct_depthwise_conv2d)(const mct_depthwise_conv2d_update_params *p, MCT_LEARNED,
                                      const int8_t *x, const MCT_ERROR *dout, const int16_t *dout_e,
                                      const uint32_t *sgd, const uint16_t *column,
                                      const uint8_t *rate, const int16_t *rate_shift);

#endif
