/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/spaced_conv2d.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/conv2d.h"
#include "kernels/error.h"
#include "kernels/sgd.h"
#include "kernels/spacing.h"
#include "kernels/terms.h"
#include "mct/model.h"

/* Where an input lies: x, or the rows of a window in it, dilation_h apart. */
typedef struct {
    const int8_t *x;
    const int8_t *const *rows;
    int32_t channels;
} input;

/* Where the taps of one output lie in the input, NULL where there is none. */
static void point(const mct_spaced_conv2d_params *p, const input *from, int32_t out_y,
                  int32_t out_x, const int8_t *taps[])
{
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int8_t *row;
        if (from->rows != NULL) {
            row = from->rows[ky * p->dilation_h];
        } else {
            const int32_t at = out_y * p->stride_h - p->pad_top + ky * p->dilation_h;
            const int32_t y = mct_place(at, p->spread_h, p->in_h);
            row = y < 0 ? NULL : from->x + y * p->in_w * from->channels;
        }
        for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t at = out_x * p->stride_w - p->pad_left + kx * p->dilation_w;
            const int32_t x = mct_place(at, p->spread_w, p->in_w);
            *taps++ = row == NULL || x < 0 ? NULL : row + x * from->channels;
        }
    }
}

/* What is the same for all outputs: a window in one column, whose rows are the taps, of a group. */
static mct_conv2d_params of_group(const mct_spaced_conv2d_params *p)
{
    mct_conv2d_params one = {
        .in_h = 1,
        .in_w = 1,
        .in_ch = p->in_ch / p->groups,
        .out_h = 1,
        .out_w = 1,
        .out_ch = p->out_ch / p->groups,
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
    return one;
}

/* The output row out_y, whose rows of the input are those of x or of `rows`. */
static void row_from(const mct_spaced_conv2d_params *p, const input *all, const input *learned,
                     int32_t out_y, const int8_t *w, const int32_t *b, const int8_t *w_l,
                     const int32_t *multiplier, const int8_t *shift, int8_t *out)
{
    const mct_conv2d_params one = of_group(p);
    const int32_t filter = one.kernel_h * one.in_ch;
    const int8_t *taps[MCT_MAX_TAPS];
    const int8_t *taps_l[MCT_MAX_TAPS];
    for (int32_t x = 0; x < p->out_w; x++) {
        point(p, all, out_y, x, taps);
        if (p->learned_ch != 0) {
            point(p, learned, out_y, x, taps_l);
        }
        for (int32_t o = 0; o < p->out_ch; o += one.out_ch) {
            mct_conv2d_s8_row(&one, taps, w + o * filter, b == NULL ? NULL : b + o, taps_l, w_l,
                              multiplier + o, shift + o, out + o);
            for (int32_t k = 0; k < one.kernel_h; k++) {
                taps[k] = taps[k] == NULL ? NULL : taps[k] + one.in_ch;
            }
        }
        out += p->out_ch;
    }
}

void mct_spaced_conv2d_s8_row(const mct_spaced_conv2d_params *p, const int8_t *const rows[],
                              const int8_t *w, const int32_t *b, const int8_t *const rows_l[],
                              const int8_t *w_l, const int32_t *multiplier, const int8_t *shift,
                              int8_t *out_row)
{
    const input all = {NULL, rows, p->in_ch};
    const input learned = {NULL, rows_l, p->learned_ch};
    row_from(p, &all, &learned, 0, w, b, w_l, multiplier, shift, out_row);
}

void mct_spaced_conv2d_s8(const mct_spaced_conv2d_params *p, const int8_t *x, const int8_t *w,
                          const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                          const int32_t *multiplier, const int8_t *shift, int8_t *out)
{
    const input all = {x, NULL, p->in_ch};
    const input learned = {x_l, NULL, p->learned_ch};
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        row_from(p, &all, &learned, y, w, b, w_l, multiplier, shift, out);
    }
}

#define MCT_TEMPLATE "kernels/spaced_conv2d.c"
#include "kernels/each_error.h"

#elif !defined MCT_STEP

/* Weights of a layer, and where the sums of their input channels are. */
typedef struct {
    const int8_t *w;
    int32_t channels; /* of a filter */
    int32_t *sums;
} MCT_NAME(error_part);

/* The sums += what the filters of a group give; none are left. */
static MCT_NOINLINE void MCT_NAME(add_filters)(const MCT_NAME(error_part) parts[2], int32_t group,
                                               mct_terms *filters)
{
    const int32_t channels = parts[0].channels;
    const int32_t learned = parts[1].channels;
    if (filters->count != 0) {
        mct_add_terms(filters, parts[0].w, channels, channels, parts[0].sums + group * channels);
        if (learned != 0) {
            mct_add_terms(filters, parts[1].w, learned, learned, parts[1].sums);
        }
        filters->count = 0;
    }
}

/* sums += the raw error of one input position, of all channels and of those that learn. */
static void MCT_NAME(gather_errors)(const mct_spaced_conv2d_grad_input_params *p,
                                    const MCT_NAME(error_part) parts[2], const MCT_ERROR *dout,
                                    const uint16_t *fold, int32_t y, int32_t x)
{
    const int32_t taps = p->kernel_h * p->kernel_w;
    const int32_t group_ch = p->out_ch / p->groups;
    mct_terms filters = {0};
    for (int32_t tap = 0; tap < taps; tap++) {
        const int32_t down = tap / p->kernel_w * p->dilation_h - p->pad_top;
        const int32_t right = tap % p->kernel_w * p->dilation_w - p->pad_left;
        const int32_t out_y = mct_place(y * p->spread_h - down, p->stride_h, p->out_h);
        const int32_t out_x = mct_place(x * p->spread_w - right, p->stride_w, p->out_w);
        if (out_y < 0 || out_x < 0) {
            continue;
        }
        const MCT_ERROR *errors = dout + (out_y * p->out_w + out_x) * p->out_ch;
        for (int32_t group = 0; group < p->groups; group++) {
            const int32_t end = (group + 1) * group_ch;
            for (int32_t o = end - group_ch; o < end; o++) {
                const int32_t factor = mct_near((int32_t)*errors++ * fold[o], 8);
                if (factor != 0 && mct_append_term(&filters, o * taps + tap, factor)) {
                    MCT_NAME(add_filters)(parts, group, &filters);
                }
            }
            MCT_NAME(add_filters)(parts, group, &filters);
        }
    }
}

void MCT_NAME(mct_spaced_conv2d_grad_input)(const mct_spaced_conv2d_grad_input_params *p,
                                            const MCT_ERROR *dout, const int16_t *dout_e,
                                            const int8_t *w, const int8_t *w_l,
                                            const uint16_t *channel, const uint16_t *fold,
                                            const uint8_t *mask, MCT_HISTORY, int32_t *scratch,
                                            MCT_ERROR *dx, int16_t *dx_e)
{
    int32_t *sums_l = scratch + p->in_ch;
    const MCT_NAME(error_part)
        parts[2] = {{w, p->in_ch / p->groups, scratch}, {w_l, p->learned_ch, sums_l}};
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    int32_t at = 0; /* in dx */
    for (int32_t y = 0; y < p->in_h; y++) {
        for (int32_t x = 0; x < p->in_w; x++, at += p->in_ch) {
            memset(scratch, 0, (size_t)(p->in_ch + p->learned_ch) * sizeof *scratch);
            MCT_NAME(gather_errors)(p, parts, dout, fold, y, x);
            for (int32_t l = 0; l < p->learned_ch; l++) {
                scratch[channel[l]] += sums_l[l];
            }
            MCT_NAME(mct_error_put_all)(&writer, scratch, p->in_ch, mask, at, dx + at);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

/* sums[i] = the gradient of w[o][tap][i] over output rows first..last-1, but for what is returned:
 * x_offset times the errors. x begins with o's group, dout with o. */
static int32_t MCT_NAME(weight_gradient)(const mct_spaced_conv2d_update_params *p, const int8_t *x,
                                         const MCT_ERROR *dout, int32_t tap, int32_t first,
                                         int32_t last, int32_t *sums)
{
    const int32_t channels = p->in_ch / p->groups;
    const int32_t down = tap / p->kernel_w * p->dilation_h - p->pad_top;
    const int32_t right = tap % p->kernel_w * p->dilation_w - p->pad_left;
    mct_terms inputs = {0};
    int32_t errors = 0;
    memset(sums, 0, (size_t)channels * sizeof *sums);
    for (int32_t out_y = first; out_y < last; out_y++) {
        const int32_t y = mct_place(out_y * p->stride_h + down, p->spread_h, p->in_h);
        for (int32_t out_x = 0; y >= 0 && out_x < p->out_w; out_x++) {
            const int32_t error = dout[(out_y * p->out_w + out_x) * p->out_ch];
            const int32_t column = mct_place(out_x * p->stride_w + right, p->spread_w, p->in_w);
            if (error == 0 || column < 0) {
                continue;
            }
            errors += error;
            if (mct_append_term(&inputs, y * p->in_w + column, error)) {
                mct_add_terms(&inputs, x, p->in_ch, channels, sums);
                inputs.count = 0;
            }
        }
    }
    if (inputs.count != 0) {
        mct_add_terms(&inputs, x, p->in_ch, channels, sums);
    }
    return p->x_offset * errors;
}

#include "kernels/each_update.h"

#else

void MCT_UPDATE(mct_spaced_conv2d)(const mct_spaced_conv2d_update_params *p, MCT_LEARNED,
                                   const int8_t *x, const MCT_ERROR *dout, const int16_t *dout_e,
                                   const uint32_t *sgd, const uint8_t *rate,
                                   const int16_t *rate_shift, int32_t *scratch)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    const uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    const int32_t channels = p->in_ch / p->groups;
    const int32_t group_ch = p->out_ch / p->groups;
    const int32_t taps = p->kernel_h * p->kernel_w;
    const int32_t filter = taps * channels;
    uint32_t band = 0; /* elements of the bands before: they are counted on (SPEC 1.4) */
    for (int32_t row = 0; row < p->out_h; row += p->band_rows) {
        int32_t last = row + p->band_rows < p->out_h ? row + p->band_rows : p->out_h;
        for (int32_t o = 0; o < p->out_ch; o++) {
            if (rate[o] == 0u) {
                continue;
            }
            const mct_rate channel_rate = mct_channel_rate(&state, rate[o], rate_shift[o], dout_e);
            const int8_t *x_group = x + o / group_ch * channels;
            int32_t at = o * filter;
            uint32_t r = mct_dither(seed, band + (uint32_t)at);
            for (int32_t tap = 0; tap < taps; tap++, at += channels) {
                int32_t offset =
                    MCT_NAME(weight_gradient)(p, x_group, dout + o, tap, row, last, scratch);
                MCT_WAY(mct_steps)(MCT_LEARNED_AT(at), scratch, offset, channels, channel_rate, r);
                r = mct_dither(r, (uint32_t)channels);
            }
        }
        band += (uint32_t)(p->out_ch * filter);
    }
}

#endif
