/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/conv2d_backward_dsp.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/error.h"
#include "kernels/sgd.h"
#include "kernels/vectors_dsp.h"
#include "kernels/window.h"
#include "mct/model.h"

/* The sums of two filters' errors. */
typedef struct {
    int32_t a, b;
} error_sums;

/* Rows first..last-1. */
typedef struct {
    int32_t first, last;
} output_rows;

/* The layer, its positions as one row where outputs are made of the input at the same position and
 * all are in one band: then rows begin and end once. */
static mct_conv2d_update_params in_one_row(const mct_conv2d_update_params *p)
{
    mct_conv2d_update_params flat = *p;
    const bool is_pointwise = p->kernel_h * p->kernel_w == 1 && p->stride_h * p->stride_w == 1;
    if (is_pointwise && p->out_h == p->in_h && p->out_w == p->in_w && p->band_rows >= p->out_h) {
        flat.in_w = flat.out_w = p->in_h * p->in_w;
        flat.in_h = flat.out_h = flat.band_rows = 1;
    }
    return flat;
}

#define MCT_TEMPLATE "kernels/conv2d_backward_dsp.c"
#include "kernels/each_error.h"

#elif !defined MCT_STEP

/* What the raw errors of input positions are summed over: outputs of a group's channels. */
typedef struct {
    const mct_conv2d_grad_input_params *p;
    const MCT_ERROR *dout;
    int32_t dout_step;
    mct_channels outputs, inputs, learned;
    const int8_t *w, *w_l;
    const uint16_t *fold;
} MCT_NAME(error_part);

/* sums += what filters give to the inputs of two positions; sums_l to the learned ones. */
static MCT_NOINLINE void MCT_NAME(add_filters)(const MCT_NAME(error_part) * part, vectors *filters,
                                               sum_pair sums, sum_pair sums_l)
{
    const int32_t learned = part->learned.last - part->learned.first;
    add_vectors(filters, part->inputs.last - part->inputs.first, sums);
    if (learned != 0) {
        for (int32_t k = 0; k < filters->count; k++) {
            filters->from[k] =
                part->w_l + filters->at[k] * part->p->learned_ch + part->learned.first;
        }
        add_vectors(filters, learned, sums_l);
    }
    filters->count = 0;
}

/* The errors of the outputs that tap ky, kx of the kernel feeds from an input position, or NULL. */
static inline const MCT_ERROR *MCT_NAME(errors_at)(const MCT_NAME(error_part) * part, int32_t y,
                                                   int32_t x, int32_t ky, int32_t kx)
{
    const mct_conv2d_grad_input_params *p = part->p;
    const int32_t out_y = mct_window_reader(y, p->pad_top, ky, p->stride_h, p->out_h);
    const int32_t out_x = mct_window_reader(x, p->pad_left, kx, p->stride_w, p->out_w);
    if (out_y < 0 || out_x < 0) {
        return NULL;
    }
    return part->dout + (out_y * p->out_w + out_x) * part->dout_step;
}

/* What filters of the outputs give to two positions through one tap, by the errors at a and b, of
 * which one may be NULL. */
static MCT_NOINLINE void MCT_NAME(append_filters)(const MCT_NAME(error_part) * part,
                                                  vectors *filters, int32_t tap, const MCT_ERROR *a,
                                                  const MCT_ERROR *b, sum_pair sums,
                                                  sum_pair sums_l)
{
    const mct_conv2d_grad_input_params *p = part->p;
    const int32_t taps = p->kernel_h * p->kernel_w;
    const int32_t keep_a = a != NULL ? -1 : 0;
    const int32_t keep_b = b != NULL ? -1 : 0;
    const uint16_t *fold = part->fold + part->outputs.first;
    int32_t at = part->outputs.first * taps + tap;
    int32_t count = filters->count;
    a = a != NULL ? a : b;
    b = b != NULL ? b : a;
    for (int32_t o = part->outputs.last - part->outputs.first; o > 0; o--, at += taps) {
        const int32_t error_a = *a++ & keep_a;
        const int32_t error_b = *b++ & keep_b;
        const int32_t scale = *fold++;
        if ((error_a | error_b) != 0) {
            filters->from[count] = part->w + at * p->in_ch + part->inputs.first;
            filters->factors[count] =
                mct_pair(mct_near(error_a * scale, 8), mct_near(error_b * scale, 8));
            filters->at[count] = at;
            if (++count == VECTORS) {
                filters->count = count;
                MCT_NAME(add_filters)(part, filters, sums, sums_l);
                count = 0;
            }
        }
    }
    filters->count = count;
}

/* sums += the raw errors of `position` and of the next one, or of only one of them; sums_l of the
 * learned channels. */
MCT_INTO_PARTS void MCT_NAME(gather_errors)(const MCT_NAME(error_part) * part, int32_t position,
                                            bool has_a, bool has_b, sum_pair sums, sum_pair sums_l)
{
    const mct_conv2d_grad_input_params *p = part->p;
    const int32_t taps = p->kernel_h * p->kernel_w;
    const int32_t y = position / p->in_w;
    const int32_t x = position % p->in_w;
    const bool is_last = x + 1 == p->in_w; /* of its row: the next one is in another */
    vectors filters;
    filters.count = 0;
    for (int32_t tap = 0; tap < taps; tap++) {
        const int32_t ky = tap / p->kernel_w;
        const int32_t kx = tap % p->kernel_w;
        const MCT_ERROR *a = has_a ? MCT_NAME(errors_at)(part, y, x, ky, kx) : NULL;
        const MCT_ERROR *b = NULL;
        if (has_b) {
            b = MCT_NAME(errors_at)(part, y + is_last, is_last ? 0 : x + 1, ky, kx);
        }
        if (a == NULL && b == NULL) {
            continue;
        }
        MCT_NAME(append_filters)(part, &filters, tap, a, b, sums, sums_l);
    }
    if (filters.count != 0) {
        MCT_NAME(add_filters)(part, &filters, sums, sums_l);
    }
}

void MCT_NAME(mct_conv2d_backward_dsp_grad_input_part)(
    const mct_conv2d_grad_input_params *p, mct_channels part, const MCT_ERROR *dout,
    const int8_t *w, const int8_t *w_l, const uint16_t *channel, const uint16_t *fold,
    const uint8_t *mask, MCT_NAME(mct_error_writer) * state, int32_t *scratch, MCT_ERROR *dx,
    int32_t dx_step)
{
    const mct_channels learned = mct_channels_within(channel, p->learned_ch, part);
    const MCT_NAME(error_part)
        all = {p, dout, p->out_ch, mct_all_channels(p->out_ch), part, learned, w, w_l, fold};
    const int32_t channels = part.last - part.first;
    const sum_pair sums = {scratch, scratch + channels};
    const sum_pair sums_l = {sums.b + channels, sums.b + channels + p->learned_ch};
    MCT_NAME(mct_error_writer) writer = *state;
    int32_t at = part.first; /* in the whole dx */
    for (int32_t position = 0; position < p->in_h * p->in_w; position += 2) {
        const int32_t positions = position + 1 == p->in_h * p->in_w ? 1 : 2;
        memset(scratch, 0, (size_t)(2 * (channels + p->learned_ch)) * sizeof *scratch);
        MCT_NAME(gather_errors)(&all, position, true, positions == 2, sums, sums_l);
        for (int32_t l = learned.first; l < learned.last; l++) {
            sums.a[channel[l] - part.first] += sums_l.a[l - learned.first];
            sums.b[channel[l] - part.first] += sums_l.b[l - learned.first];
        }
        for (int32_t k = 0; k < positions; k++, at += p->in_ch, dx += dx_step) {
            MCT_NAME(mct_error_put_all)(&writer, k == 0 ? sums.a : sums.b, channels, mask, at, dx);
            MCT_NAME(mct_error_skip)(&writer, p->in_ch - channels);
        }
    }
    MCT_NAME(mct_error_skip)(&writer, part.last - at); /* to where the next group begins */
    *state = writer;
}

void MCT_NAME(mct_conv2d_backward_dsp_grad_input)(const mct_conv2d_grad_input_params *p,
                                                  const MCT_ERROR *dout, const int16_t *dout_e,
                                                  const int8_t *w, const int8_t *w_l,
                                                  const uint16_t *channel, const uint16_t *fold,
                                                  const uint8_t *mask, MCT_HISTORY,
                                                  int32_t *scratch, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    MCT_NAME(mct_conv2d_backward_dsp_grad_input_part)(p, mct_all_channels(p->in_ch), dout, w, w_l,
                                                      channel, fold, mask, &writer, scratch, dx,
                                                      p->in_ch);
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

void MCT_NAME(mct_conv2d_backward_dsp_grad_sums_part)(const mct_conv2d_grad_input_params *p,
                                                      mct_channels part, const MCT_ERROR *dout,
                                                      int32_t dout_step, const int8_t *w,
                                                      const int8_t *w_l, const uint16_t *channel,
                                                      const uint16_t *fold, int32_t *scratch,
                                                      int32_t *raw)
{
    const MCT_NAME(error_part)
        of = {p, dout, dout_step, part, mct_all_channels(p->in_ch), mct_all_channels(p->learned_ch),
              w, w_l,  fold};
    const sum_pair sums_l = {scratch, scratch != NULL ? scratch + p->learned_ch : NULL};
    const int32_t last = p->in_h * p->in_w - 2; /* where the last two positions begin */
    for (int32_t position = 0; position <= last + 1; position += 2) {
        const bool is_odd = position > last; /* the last one alone: as the second of the last two */
        const int32_t first = is_odd ? last : position;
        const sum_pair sums = {raw + first * p->in_ch, raw + (first + 1) * p->in_ch};
        for (int32_t l = 0; l < 2 * p->learned_ch; l++) {
            scratch[l] = 0;
        }
        MCT_NAME(gather_errors)(&of, first, !is_odd, true, sums, sums_l);
        for (int32_t l = 0; l < p->learned_ch; l++) {
            sums.a[channel[l]] += sums_l.a[l];
            sums.b[channel[l]] += sums_l.b[l];
        }
    }
}

void MCT_NAME(mct_conv2d_backward_dsp_grad_sums)(const mct_conv2d_grad_input_params *p,
                                                 const MCT_ERROR *dout, const int8_t *w,
                                                 const int8_t *w_l, const uint16_t *channel,
                                                 const uint16_t *fold, int32_t *scratch,
                                                 int32_t *raw)
{
    memset(raw, 0, (size_t)(p->in_h * p->in_w * p->in_ch) * sizeof *raw);
    MCT_NAME(mct_conv2d_backward_dsp_grad_sums_part)(
        p, mct_all_channels(p->out_ch), dout, p->out_ch, w, w_l, channel, fold, scratch, raw);
}

/* The errors of filter a, and those of b, `second` behind them; keep_b is 0 where there is none. */
typedef struct {
    const MCT_ERROR *dout;
    int32_t dout_step, second, keep_b;
} MCT_NAME(filter_errors);

/* sums = the gradients of two filters' weights at tap ky, kx over output rows first..last-1, but
 * for x_offset times the errors that are returned. */
static MCT_NOINLINE error_sums MCT_NAME(weight_gradients)(const mct_conv2d_update_params *p,
                                                          const int8_t *x,
                                                          MCT_NAME(filter_errors) of, int32_t ky,
                                                          int32_t kx, output_rows rows,
                                                          sum_pair sums)
{
    error_sums errors = {0, 0};
    vectors inputs;
    int32_t count = 0;
    memset(sums.a, 0, 2 * (size_t)p->in_ch * sizeof *sums.a); /* those of b lie behind */
    for (int32_t out_y = rows.first; out_y < rows.last; out_y++) {
        const int32_t y = out_y * p->stride_h - p->pad_top + ky;
        const MCT_ERROR *dout = of.dout + out_y * p->out_w * of.dout_step;
        const int32_t step = p->stride_w * p->in_ch;
        int32_t column = kx - p->pad_left;
        int32_t left = p->out_w; /* outputs that are still to come */
        if (y < 0 || y >= p->in_h) {
            continue;
        }
        for (; column < 0 && left > 0; left--, column += p->stride_w) {
            dout += of.dout_step;
        }
        int32_t at = (y * p->in_w + column) * p->in_ch;
        const int32_t end = (y + 1) * p->in_w * p->in_ch;
        for (; left > 0 && at < end; left--, at += step, dout += of.dout_step) {
            const int32_t a = dout[0];
            const int32_t b = dout[of.second] & of.keep_b;
            if ((a | b) != 0) {
                errors.a += a;
                errors.b += b;
                inputs.from[count] = x + at;
                inputs.factors[count] = mct_pair(a, b);
                if (++count == VECTORS) {
                    inputs.count = count;
                    add_vectors(&inputs, p->in_ch, sums);
                    count = 0;
                }
            }
        }
    }
    if (count != 0) {
        inputs.count = count;
        add_vectors(&inputs, p->in_ch, sums);
    }
    return errors;
}

#include "kernels/each_update.h"

#else

void MCT_UPDATE(mct_conv2d_backward_dsp_part)(const mct_conv2d_update_params *layer,
                                              mct_channels part, MCT_LEARNED, const int8_t *x,
                                              const MCT_ERROR *dout, int32_t dout_step,
                                              const int16_t *dout_e, const uint32_t *sgd,
                                              const uint8_t *rate, const int16_t *rate_shift,
                                              int32_t *scratch)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    const mct_conv2d_update_params flat = in_one_row(layer);
    const mct_conv2d_update_params *p = &flat;
    const uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    const int32_t filter = p->kernel_h * p->kernel_w * p->in_ch;
    const sum_pair sums = {scratch, scratch + p->in_ch};
    uint32_t band = 0; /* elements of the bands before: they are counted on (SPEC 1.4) */
    for (int32_t row = 0; row < p->out_h; row += p->band_rows) {
        output_rows rows = {row, row + p->band_rows < p->out_h ? row + p->band_rows : p->out_h};
        for (int32_t o = part.first; o < part.last; o += 2) {
            const bool has_b = o + 1 < part.last && rate[o + 1] != 0u;
            if (rate[o] == 0u && !has_b) {
                continue;
            }
            const MCT_NAME(filter_errors)
                of = {dout + o - part.first, dout_step, has_b, has_b ? -1 : 0};
            mct_rate rate_a = mct_channel_rate(&state, rate[o], rate_shift[o], dout_e);
            mct_rate rate_b = rate_a;
            if (has_b) {
                rate_b = mct_channel_rate(&state, rate[o + 1], rate_shift[o + 1], dout_e);
            }
            for (int32_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++) {
                error_sums errors = MCT_NAME(weight_gradients)(p, x, of, tap / p->kernel_w,
                                                               tap % p->kernel_w, rows, sums);
                int32_t at = o * filter + tap * p->in_ch;
                uint32_t r = mct_dither(seed, band + (uint32_t)at);
                if (rate[o] != 0u) {
                    MCT_WAY(mct_steps)(MCT_LEARNED_AT(at), sums.a, p->x_offset * errors.a, p->in_ch,
                                       rate_a, r);
                }
                if (has_b) {
                    at += filter;
                    r = mct_dither(r, (uint32_t)filter);
                    MCT_WAY(mct_steps)(MCT_LEARNED_AT(at), sums.b, p->x_offset * errors.b, p->in_ch,
                                       rate_b, r);
                }
            }
        }
        band += (uint32_t)(p->out_ch * filter);
    }
}

void MCT_UPDATE(mct_conv2d_backward_dsp)(const mct_conv2d_update_params *p, MCT_LEARNED,
                                         const int8_t *x, const MCT_ERROR *dout,
                                         const int16_t *dout_e, const uint32_t *sgd,
                                         const uint8_t *rate, const int16_t *rate_shift,
                                         int32_t *scratch)
{
    MCT_UPDATE(mct_conv2d_backward_dsp_part)(p, mct_all_channels(p->out_ch), MCT_LEARNED_ARGS, x,
                                             dout, p->out_ch, dout_e, sgd, rate, rate_shift,
                                             scratch);
}

#endif
