/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D convolution whose taps or inputs lie apart, over groups of channels, its input gradient, its
 * update in place. Twin of trainer/ops/spaced_conv2d.py.
 *
 * out[y][x][o] = requantize(b[o] + sum (x[tap][i] + x_offset) * w[o][ky][kx][i]) + out_offset,
 *                clamped, over the channels i of o's group and the taps that read an input
 *                (kernels/spacing.h)
 * dx[y][x][i]  = REQ(sum near(dout[oy][ox][o] * fold[o], 8) * w[o][ky][kx][i])
 * dw[o][ky][kx][i] = sum (x + x_offset) * dout[oy][ox][o], applied at once (kernels/sgd.h)
 *
 * A layer of one group that is learned in part adds the learned channels: x_l (gathered), w_l; else
 * NULL and 0. b may be NULL. There are at most MCT_MAX_TAPS taps. */
#ifndef MCT_KERNELS_SPACED_CONV2D_H
#define MCT_KERNELS_SPACED_CONV2D_H

#include <stdint.h>

#include "kernels/channels.h"
#include "kernels/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t dilation_h, dilation_w, spread_h, spread_w, groups;
    int32_t learned_ch;
    int32_t x_offset, out_offset, act_min, act_max;
} mct_spaced_conv2d_params;

/* One output row from the rows of the input from its first tap to its last; a row of padding is
 * NULL. For dilation_h > 0 and spread_h 1. */
void mct_spaced_conv2d_s8_row(const mct_spaced_conv2d_params *p, const int8_t *const rows[],
                              const int8_t *w, const int32_t *b, const int8_t *const rows_l[],
                              const int8_t *w_l, const int32_t *multiplier, const int8_t *shift,
                              int8_t *out_row);

void mct_spaced_conv2d_s8(const mct_spaced_conv2d_params *p, const int8_t *x, const int8_t *w,
                          const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                          const int32_t *multiplier, const int8_t *shift, int8_t *out);

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t dilation_h, dilation_w, spread_h, spread_w, groups;
    int32_t learned_ch;
    int32_t scale_exponent;
} mct_spaced_conv2d_grad_input_params;

typedef struct {
    int32_t in_h, in_w, in_ch, out_h, out_w, out_ch;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t dilation_h, dilation_w, spread_h, spread_w, groups;
    int32_t band_rows, x_offset, node;
} mct_spaced_conv2d_update_params;

#define MCT_TEMPLATE "kernels/spaced_conv2d.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR && !defined MCT_STEP

/* scratch: in_ch + learned_ch sums. */
void MCT_NAME(mct_spaced_conv2d_grad_input)(const mct_spaced_conv2d_grad_input_params *p,
                                            const MCT_ERROR *dout, const int16_t *dout_e,
                                            const int8_t *w, const int8_t *w_l,
                                            const uint16_t *channel, const uint16_t *fold,
                                            const uint8_t *mask, MCT_HISTORY, int32_t *scratch,
                                            MCT_ERROR *dx, int16_t *dx_e);

#include "kernels/each_update.h"

#elif defined MCT_STEP

/* scratch: a sum for each input channel of a group. */
void MCT_UPDATE(mct_spaced_conv2d)(const mct_spaced_conv2d_update_params *p, MCT_LEARNED,
                                   const int8_t *x, const MCT_ERROR *dout, const int16_t *dout_e,
                                   const uint32_t *sgd, const uint8_t *rate,
                                   const int16_t *rate_shift, int32_t *scratch);

#endif
