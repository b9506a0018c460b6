/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/dilated_depthwise_conv2d.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/depthwise_conv2d.h"
#include "kernels/error.h"
#include "kernels/sgd.h"
#include "kernels/spacing.h"

/* Where the taps of one output lie: in x, or in the rows of a window in it, which are dilation_h
 * apart; NULL where there is none. */
static void point(const mct_dilated_depthwise_conv2d_params *p, const int8_t *x,
                  const int8_t *const rows[], int32_t channels, int32_t out_y, int32_t out_x,
                  const int8_t *taps[])
{
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int8_t *row;
        if (rows != NULL) {
            row = rows[ky * p->dilation_h];
        } else {
            const int32_t y = out_y * p->stride_h - p->pad_top + ky * p->dilation_h;
            row = y < 0 || y >= p->in_h ? NULL : x + y * p->in_w * channels;
        }
        for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t column = out_x * p->stride_w - p->pad_left + kx * p->dilation_w;
            const bool is_inside = row != NULL && column >= 0 && column < p->in_w;
            *taps++ = is_inside ? row + column * channels : NULL;
        }
    }
}

/* The output row out_y, as a window in one column for each output, whose rows are the taps. */
static void row_from(const mct_dilated_depthwise_conv2d_params *p, const int8_t *x,
                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                     const int8_t *x_l, const int8_t *const rows_l[], const int8_t *w_l,
                     const uint16_t *channel, const int32_t *multiplier, const int8_t *shift,
                     int32_t out_y, int8_t *out)
{
    const mct_depthwise_conv2d_params one = {
        .in_h = 1,
        .in_w = 1,
        .in_ch = p->in_ch,
        .out_h = 1,
        .out_w = 1,
        .out_ch = p->out_ch,
        .kernel_h = p->kernel_h * p->kernel_w,
        .kernel_w = 1,
        .stride_h = 1,
        .stride_w = 1,
        .pad_top = 0,
        .pad_left = 0,
        .learned_ch = p->learned_ch,
        .x_offset = p->x_offset,
        .out_offset = p->out_offset,
        .act_min = p->act_min,
        .act_max = p->act_max,
    };
    const int8_t *taps[MCT_MAX_TAPS];
    const int8_t *taps_l[MCT_MAX_TAPS];
    for (int32_t out_x = 0; out_x < p->out_w; out_x++, out += p->out_ch) {
        point(p, x, rows, p->in_ch, out_y, out_x, taps);
        if (p->learned_ch != 0) {
            point(p, x_l, rows_l, p->learned_ch, out_y, out_x, taps_l);
        }
        mct_depthwise_conv2d_s8_row(&one, taps, w, b, taps_l, w_l, channel, multiplier, shift, out);
    }
}

void mct_dilated_depthwise_conv2d_s8_row(const mct_dilated_depthwise_conv2d_params *p,
                                         const int8_t *const rows[], const int8_t *w,
                                         const int32_t *b, const int8_t *const rows_l[],
                                         const int8_t *w_l, const uint16_t *channel,
                                         const int32_t *multiplier, const int8_t *shift,
                                         int8_t *out_row)
{
    row_from(p, NULL, rows, w, b, NULL, rows_l, w_l, channel, multiplier, shift, 0, out_row);
}

void mct_dilated_depthwise_conv2d_s8(const mct_dilated_depthwise_conv2d_params *p, const int8_t *x,
                                     const int8_t *w, const int32_t *b, const int8_t *x_l,
                                     const int8_t *w_l, const uint16_t *channel,
                                     const int32_t *multiplier, const int8_t *shift, int8_t *out)
{
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        row_from(p, x, NULL, w, b, x_l, NULL, w_l, channel, multiplier, shift, y, out);
    }
}

/* The taps that hold one input position, and which outputs' windows they belong to. */
typedef struct {
    int32_t count;
    int32_t output[MCT_MAX_TAPS];
    uint8_t tap[MCT_MAX_TAPS];
} readers;

static void find_readers(const mct_dilated_depthwise_conv2d_grad_input_params *p, int32_t y,
                         int32_t x, readers *found)
{
    found->count = 0;
    for (int32_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++) {
        const int32_t at_y = y + p->pad_top - tap / p->kernel_w * p->dilation_h;
        const int32_t at_x = x + p->pad_left - tap % p->kernel_w * p->dilation_w;
        const int32_t out_y = mct_place(at_y, p->stride_h, p->out_h);
        const int32_t out_x = mct_place(at_x, p->stride_w, p->out_w);
        if (out_y >= 0 && out_x >= 0) {
            found->output[found->count] = out_y * p->out_w + out_x;
            found->tap[found->count++] = (uint8_t)tap;
        }
    }
}

#define MCT_TEMPLATE "kernels/dilated_depthwise_conv2d.c"
#include "kernels/each_error.h"

#elif !defined MCT_STEP

/* What one channel's raw error is made of: errors and weights of its first output, and how far
 * those of two outputs or taps lie apart; the tables of its first output. */
typedef struct {
    const MCT_ERROR *dout;
    const int8_t *w;
    int32_t dout_step, w_step, per_input;
    const uint8_t *scale, *scale_shift;
} MCT_NAME(error_sources);

/* The sum over a channel's outputs, each of them over the readers. */
static int32_t MCT_NAME(raw_error)(const MCT_NAME(error_sources) * from, const readers *read)
{
    int32_t raw = 0;
    for (int32_t m = 0; m < from->per_input; m++) {
        int32_t sum = 0;
        for (int32_t k = 0; k < read->count; k++) {
            sum += (int32_t)from->dout[read->output[k] * from->dout_step + m] *
                   from->w[read->tap[k] * from->w_step + m];
        }
        raw += mct_near(mct_sat23(sum) * from->scale[m], from->scale_shift[m]);
    }
    return raw;
}

void MCT_NAME(mct_dilated_depthwise_conv2d_grad_input)(
    const mct_dilated_depthwise_conv2d_grad_input_params *p, const MCT_ERROR *dout,
    const int16_t *dout_e, const int8_t *w, const int8_t *w_l, const uint16_t *channel,
    const uint8_t *scale, const uint8_t *scale_shift, const uint8_t *mask, MCT_HISTORY,
    MCT_ERROR *dx, int16_t *dx_e)
{
    const int32_t per_input = p->out_ch / p->in_ch;
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    for (int32_t position = 0; position < p->in_h * p->in_w; position++) {
        readers read;
        find_readers(p, position / p->in_w, position % p->in_w, &read);
        int32_t l = 0; /* channels before this one that learn */
        for (int32_t i = 0; i < p->in_ch; i++) {
            const bool learns = l < p->learned_ch && channel[l] == i;
            const int32_t o = i * per_input;
            const MCT_NAME(error_sources) from = {
                .dout = dout + o,
                .w = learns ? w_l + l * per_input : w + o,
                .dout_step = p->out_ch,
                .w_step = learns ? p->learned_ch * per_input : p->out_ch,
                .per_input = per_input,
                .scale = scale + o,
                .scale_shift = scale_shift + o,
            };
            const int32_t at = position * p->in_ch + i;
            const int32_t raw = mct_is_open(mask, at) ? MCT_NAME(raw_error)(&from, &read) : 0;
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
            l += learns;
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

/* The gradient of w[tap][o] over output rows first..last-1; dout begins with o's channel. */
static int32_t MCT_NAME(weight_gradient)(const mct_dilated_depthwise_conv2d_update_params *p,
                                         const int8_t *x, const MCT_ERROR *dout, int32_t tap,
                                         int32_t o, int32_t first, int32_t last)
{
    const int32_t down = tap / p->kernel_w * p->dilation_h - p->pad_top;
    const int32_t right = tap % p->kernel_w * p->dilation_w - p->pad_left;
    const int32_t i = o / (p->out_ch / p->in_ch);
    int32_t sum = 0;
    for (int32_t out_y = first; out_y < last; out_y++) {
        const int32_t y = out_y * p->stride_h + down;
        for (int32_t out_x = 0; y >= 0 && y < p->in_h && out_x < p->out_w; out_x++) {
            const int32_t column = out_x * p->stride_w + right;
            if (column >= 0 && column < p->in_w) {
                sum += (x[(y * p->in_w + column) * p->in_ch + i] + p->x_offset) *
                       dout[(out_y * p->out_w + out_x) * p->dout_ch];
            }
        }
    }
    return sum;
}

#include "kernels/each_update.h"

#else

void MCT_UPDATE(mct_dilated_depthwise_conv2d)(const mct_dilated_depthwise_conv2d_update_params *p,
                                              MCT_LEARNED, const int8_t *x, const MCT_ERROR *dout,
                                              const int16_t *dout_e, const uint32_t *sgd,
                                              const uint16_t *column, const uint8_t *rate,
                                              const int16_t *rate_shift)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    const uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    const int32_t size = p->kernel_h * p->kernel_w * p->out_ch;
    uint32_t band = 0; /* elements of the bands before: they are counted on (SPEC 1.4) */
    for (int32_t row = 0; row < p->out_h; row += p->band_rows) {
        int32_t last = row + p->band_rows < p->out_h ? row + p->band_rows : p->out_h;
        for (int32_t at = 0; at < size; at++) {
            const int32_t o = at % p->out_ch;
            if (rate[o] == 0u) {
                continue;
            }
            const MCT_ERROR *dout_o = dout + (column != NULL ? column[o] : o);
            int32_t dw = MCT_NAME(weight_gradient)(p, x, dout_o, at / p->out_ch, o, row, last);
            if (dw != 0) {
                MCT_STEP(at, mct_weight_step(
                                 MCT_RATE_BEHIND(
                                     mct_channel_rate(&state, rate[o], rate_shift[o], dout_e), o),
                                 dw, mct_dither(seed, band + (uint32_t)at)));
            }
        }
        band += (uint32_t)size;
    }
}

#endif
