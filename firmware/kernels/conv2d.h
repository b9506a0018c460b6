/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D convolution, its input gradient, its update in place. Twin of trainer/ops/conv2d.py.
 *
 * out[y][x][o] = requantize(b[o] + sum (x[y s + ky - pad][x s + kx - pad][i] + x_offset)
 *                                       * w[o][ky][kx][i]) + out_offset, clamped
 * dx[y][x][i]  = REQ(sum near(dout[oy][ox][o] * fold[o], 8) * w[o][ky][kx][i])
 * raw[y][x][i] = the sum of dx alone, over some of the outputs' channels at a time
 * dw[o][ky][kx][i] = sum (x + x_offset) * dout[oy][ox][o], applied at once (kernels/sgd.h)
 *
 * A layer learned in part adds the learned channels: x_l (gathered), w_l; else NULL and 0.
 * b may be NULL. */
#ifndef MCT_KERNELS_CONV2D_H
#define MCT_KERNELS_CONV2D_H

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
} mct_conv2d_params;

/* One output row from kernel_h input rows; a row of padding is NULL. */
void mct_conv2d_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                       const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                       const int32_t *multiplier, const int8_t *shift, int8_t *out_row);

void mct_conv2d_s8(const mct_conv2d_params *p, const int8_t *x, const int8_t *w, const int32_t *b,
                   const int8_t *x_l, const int8_t *w_l, const int32_t *multiplier,
                   const int8_t *shift, int8_t *out);

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t learned_ch;
    int32_t scale_exponent;
} mct_conv2d_grad_input_params;

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t band_rows, x_offset, node;
} mct_conv2d_update_params;

#define MCT_TEMPLATE "kernels/conv2d.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR && !defined MCT_STEP

/* The input channels of `part` alone; scratch: a sum for each, and learned_ch. */
void MCT_NAME(mct_conv2d_grad_input_part)(const mct_conv2d_grad_input_params *p, mct_channels part,
                                          const MCT_ERROR *dout, const int8_t *w, const int8_t *w_l,
                                          const uint16_t *channel, const uint16_t *fold,
                                          const uint8_t *mask, MCT_NAME(mct_error_writer) * state,
                                          int32_t *scratch, MCT_ERROR *dx, int32_t dx_step);

/* scratch: in_ch + learned_ch sums. */
void MCT_NAME(mct_conv2d_grad_input)(const mct_conv2d_grad_input_params *p, const MCT_ERROR *dout,
                                     const int16_t *dout_e, const int8_t *w, const int8_t *w_l,
                                     const uint16_t *channel, const uint16_t *fold,
                                     const uint8_t *mask, MCT_HISTORY, int32_t *scratch,
                                     MCT_ERROR *dx, int16_t *dx_e);

/* raw += the sums over the output channels of `part`; scratch: learned_ch sums, or NULL. */
void MCT_NAME(mct_conv2d_grad_sums_part)(const mct_conv2d_grad_input_params *p, mct_channels part,
                                         const MCT_ERROR *dout, int32_t dout_step, const int8_t *w,
                                         const int8_t *w_l, const uint16_t *channel,
                                         const uint16_t *fold, int32_t *scratch, int32_t *raw);

void MCT_NAME(mct_conv2d_grad_sums)(const mct_conv2d_grad_input_params *p, const MCT_ERROR *dout,
                                    const int8_t *w, const int8_t *w_l, const uint16_t *channel,
                                    const uint16_t *fold, int32_t *scratch, int32_t *raw);

#include "kernels/each_update.h"

#elif defined MCT_STEP

/* The weights of the output channels of `part` alone; scratch: in_ch sums. */
void MCT_UPDATE(mct_conv2d_part)(const mct_conv2d_update_params *p, mct_channels part, MCT_LEARNED,
                                 const int8_t *x, const MCT_ERROR *dout, int32_t dout_step,
                                 const int16_t *dout_e, const uint32_t *sgd, const uint8_t *rate,
                                 const int16_t *rate_shift, int32_t *scratch);

/* scratch: in_ch sums. */
void MCT_UPDATE(mct_conv2d)(const mct_conv2d_update_params *p, MCT_LEARNED, const int8_t *x,
                            const MCT_ERROR *dout, const int16_t *dout_e, const uint32_t *sgd,
                            const uint8_t *rate, const int16_t *rate_shift, int32_t *scratch);

#endif
