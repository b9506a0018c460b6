/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/conv2d.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/error.h"
#include "kernels/products.h"
#include "kernels/sgd.h"
#include "kernels/terms.h"
#include "kernels/weighted.h"
#include "kernels/window.h"
#include "mct/model.h"

#ifdef MCT_HAS_VECTORS
#include "kernels/conv2d_backward_vectors.h"
#include "kernels/conv2d_vectors.h"
#else

/* A window of at most so many values is copied to where it is one run, for so many filters: that
 * costs less than several short runs cost each. An AVR has no flash for it. */
#ifdef __AVR__
enum { MCT_COPIED = 1, MCT_COPIED_FOR = 32767 };
#else
enum { MCT_COPIED = 40, MCT_COPIED_FOR = 16 };
#endif

/* The part of a window that lies inside the input, and a filter's weights for it: runs of values.
 */
typedef struct {
    const int8_t *const *rows;
    int32_t runs;     /* rows, or 0 if no column is inside */
    int32_t at, size; /* of a run in its row */
    int32_t x_offset;
    const int8_t *w;
    int32_t w_row, filter; /* weights from row to row, from filter to filter */
    const int8_t *copied_row;
    int8_t copied[MCT_COPIED];
} window;

/* Makes a window one run, whose values are -x_offset where it leaves the input. Its rows begin
 * `begin` values left of what lies inside. */
static MCT_NOINLINE void copy_window(window *to, int32_t begin)
{
    const int32_t at = to->at - begin;
    int8_t *run = to->copied;
    for (int32_t row = 0; row < to->runs; row++, run += to->w_row) {
        const int8_t *x = to->rows[row];
        const int32_t last = x != NULL ? begin + to->size : begin;
        if (last - begin < to->w_row) {
            memset(run, (int)-to->x_offset, (size_t)to->w_row);
        }
        for (int32_t k = begin; k < last; k++) {
            run[k] = x[at + k];
        }
    }
    to->copied_row = to->copied;
    to->rows = &to->copied_row;
    to->runs = 1;
    to->at = 0;
    to->size = to->filter;
    to->w -= begin;
}

static void set_window(window *to, const mct_conv2d_params *p, const int8_t *const rows[],
                       const int8_t *w, int32_t in_ch, int32_t x_in)
{
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    to->rows = rows;
    to->runs = columns.last > columns.first ? p->kernel_h : 0;
    to->at = (x_in + columns.first) * in_ch;
    to->size = (columns.last - columns.first) * in_ch;
    to->x_offset = p->x_offset;
    to->w = w + columns.first * in_ch;
    to->w_row = p->kernel_w * in_ch;
    to->filter = p->kernel_h * to->w_row;
    if (to->filter <= MCT_COPIED && to->runs > 1 && p->out_ch >= MCT_COPIED_FOR) {
        copy_window(to, columns.first * in_ch);
    }
}

/* sums[f] of the window and MCT_FILTERS filters from the filter `first` on, added to what is there
 * or set. A function of its own, so that its loop has all registers. No sum overflows:
 * |x + x_offset| <= 255, and at most 2^31 / (255 * 128) products (the importer checks). */
static MCT_NOINLINE void sum_filters(const window *from, int32_t first, bool adds, int32_t *sums)
{
    mct_sums s = {0, 0, 0, 0};
    if (adds) {
        mct_sums before = {sums[0], sums[1], sums[2], sums[3]};
        s = before;
    }
    const int8_t *w = from->w + first * from->filter;
    const int8_t *const *rows = from->rows;
    for (int32_t runs = from->runs; runs > 0; runs--, w += from->w_row) {
        const int8_t *x = *rows++;
        if (x != NULL) {
            s = mct_add_products(x + from->at, from->x_offset, w, from->filter, from->size, s);
        }
    }
    sums[0] = s.sum0;
    sums[1] = s.sum1;
    sums[2] = s.sum2;
    sums[3] = s.sum3;
}

/* The same, set, of a window in one row, which pays most for what the other does by row: on cores
 * that have few registers for that (Armv6-M) or narrow ones (AVR). */
#if defined MCT_HAS_HIGH_REGISTERS || defined __AVR__
enum { MCT_ROW_APART = 1 };
#else
enum { MCT_ROW_APART = 0 };
#endif
static MCT_NOINLINE void sum_filters_in_row(const window *from, int32_t first, int32_t *sums)
{
    const mct_sums none = {0, 0, 0, 0};
    const int32_t filter = from->filter;
    const mct_sums s = mct_add_products(from->rows[0] + from->at, from->x_offset,
                                        from->w + first * filter, filter, from->size, none);
    sums[0] = s.sum0;
    sums[1] = s.sum1;
    sums[2] = s.sum2;
    sums[3] = s.sum3;
}

/* Of one filter that is left over. */
static MCT_NOINLINE int32_t filter_sum(const window *from, int32_t filter)
{
    const int8_t *w = from->w + filter * from->filter;
    int32_t sum = 0;
    for (int32_t run = 0; run < from->runs; run++, w += from->w_row) {
        const int8_t *x = from->rows[run];
        if (x != NULL) {
            sum += mct_sum_of_products(x + from->at, from->x_offset, w, from->size);
        }
    }
    return sum;
}

void mct_conv2d_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                       const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                       const int32_t *multiplier, const int8_t *shift, int8_t *out_row)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    const bool in_part = p->learned_ch != 0;
    for (int32_t x = 0; x < p->out_w; x++) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        window at;
        set_window(&at, p, rows, w, p->in_ch, x_in);
        for (int32_t o = 0; o < p->out_ch; o += MCT_BATCH) {
            const int32_t filters = p->out_ch - o < MCT_BATCH ? p->out_ch - o : MCT_BATCH;
            int32_t sums[MCT_BATCH];
            for (int32_t parts = 0; parts <= in_part; parts++) {
                if (parts != 0) { /* one window at a time: stack is scarcer than time there */
                    set_window(&at, p, rows_l, w_l, p->learned_ch, x_in);
                }
                int32_t f = 0;
                for (; f <= filters - MCT_FILTERS; f += MCT_FILTERS) {
                    if (MCT_ROW_APART && at.runs == 1 && parts == 0 && at.rows[0] != NULL) {
                        sum_filters_in_row(&at, o + f, sums + f);
                    } else {
                        sum_filters(&at, o + f, parts != 0, sums + f);
                    }
                }
                for (; f < filters; f++) {
                    sums[f] = filter_sum(&at, o + f) + (parts != 0 ? sums[f] : 0);
                }
            }
            if (in_part) {
                set_window(&at, p, rows, w, p->in_ch, x_in);
            }
            mct_put_outputs(&outputs, o, filters, sums, out_row + o);
        }
        out_row += p->out_ch;
    }
}

#endif

void mct_conv2d_s8(const mct_conv2d_params *p, const int8_t *x, const int8_t *w, const int32_t *b,
                   const int8_t *x_l, const int8_t *w_l, const int32_t *multiplier,
                   const int8_t *shift, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const int8_t *rows_l[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++) {
        int32_t top = y * p->stride_h - p->pad_top;
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, top, p->kernel_h, rows);
        mct_window_rows(x_l, p->in_w * p->learned_ch, p->in_h, top, p->kernel_h, rows_l);
        mct_conv2d_s8_row(p, rows, w, b, rows_l, w_l, multiplier, shift,
                          out + y * p->out_w * p->out_ch);
    }
}

#define MCT_TEMPLATE "kernels/conv2d.c"
#include "kernels/each_error.h"

#elif !defined MCT_STEP

#ifdef MCT_HAS_VECTORS
#include "kernels/conv2d_backward_vectors.h"
#endif

/* What the raw errors of one input position are summed over: outputs of a group's channels. */
typedef struct {
    const MCT_ERROR *dout;
    int32_t dout_step;
    mct_channels outputs, inputs, learned;
} MCT_NAME(error_part);

/* sums += what filters give to the inputs of a position; sums_l to the learned ones. None are left.
 */
static MCT_NOINLINE void MCT_NAME(add_filters)(const mct_conv2d_grad_input_params *p,
                                               const MCT_NAME(error_part) * part,
                                               mct_terms *filters, const int8_t *w,
                                               const int8_t *w_l, int32_t *sums, int32_t *sums_l)
{
    const mct_channels inputs = part->inputs;
    const mct_channels learned = part->learned;
    if (filters->count != 0) {
        mct_add_terms(filters, w + inputs.first, p->in_ch, inputs.last - inputs.first, sums);
        if (learned.last != learned.first) {
            mct_add_terms(filters, w_l + learned.first, p->learned_ch, learned.last - learned.first,
                          sums_l);
        }
        filters->count = 0;
    }
}

/* sums += the raw error of one input position; sums_l of the learned channels. */
MCT_INTO_PARTS void MCT_NAME(gather_errors)(const mct_conv2d_grad_input_params *p,
                                            const MCT_NAME(error_part) * part, const int8_t *w,
                                            const int8_t *w_l, const uint16_t *fold, int32_t y,
                                            int32_t x, int32_t *sums, int32_t *sums_l)
{
    const int32_t taps = p->kernel_h * p->kernel_w;
    const mct_channels outputs = part->outputs;
    mct_terms filters = {0};
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        int32_t out_y = mct_window_reader(y, p->pad_top, ky, p->stride_h, p->out_h);
        for (int32_t kx = 0; out_y >= 0 && kx < p->kernel_w; kx++) {
            int32_t out_x = mct_window_reader(x, p->pad_left, kx, p->stride_w, p->out_w);
            if (out_x < 0) {
                continue;
            }
            const MCT_ERROR *dout = part->dout + (out_y * p->out_w + out_x) * part->dout_step;
            int32_t at = outputs.first * taps + ky * p->kernel_w + kx;
            for (int32_t o = outputs.first; o < outputs.last; o++, at += taps) {
                int32_t factor = mct_near((int32_t)*dout++ * fold[o], 8);
                if (factor != 0 && mct_append_term(&filters, at, factor)) {
                    MCT_NAME(add_filters)(p, part, &filters, w, w_l, sums, sums_l);
                }
            }
        }
    }
    MCT_NAME(add_filters)(p, part, &filters, w, w_l, sums, sums_l);
}

void MCT_NAME(mct_conv2d_grad_input_part)(const mct_conv2d_grad_input_params *p, mct_channels part,
                                          const MCT_ERROR *dout, const int8_t *w, const int8_t *w_l,
                                          const uint16_t *channel, const uint16_t *fold,
                                          const uint8_t *mask, MCT_NAME(mct_error_writer) * state,
                                          int32_t *scratch, MCT_ERROR *dx, int32_t dx_step)
{
#ifdef MCT_HAS_VECTORS
    if (MCT_NAME(can_gather)(p, part)) {
        MCT_NAME(gather_with_vectors)(p, part, dout, w, fold, mask, state, dx, dx_step);
        return;
    }
#endif
    const mct_channels learned = mct_channels_within(channel, p->learned_ch, part);
    const MCT_NAME(error_part) all = {dout, p->out_ch, mct_all_channels(p->out_ch), part, learned};
    const int32_t channels = part.last - part.first;
    const int32_t others = p->in_ch - channels;
    MCT_NAME(mct_error_writer) writer = *state;
    int32_t at = part.first; /* in the whole dx */
    for (int32_t y = 0; y < p->in_h; y++) {
        for (int32_t column = 0; column < p->in_w; column++) {
            int32_t *sums_l = scratch + channels;
            memset(scratch, 0, (size_t)(channels + p->learned_ch) * sizeof *scratch);
            MCT_NAME(gather_errors)(p, &all, w, w_l, fold, y, column, scratch, sums_l);
            for (int32_t l = learned.first; l < learned.last; l++) {
                scratch[channel[l] - part.first] += sums_l[l - learned.first];
            }
            MCT_NAME(mct_error_put_all)(&writer, scratch, channels, mask, at, dx);
            at += p->in_ch;
            dx += dx_step;
            MCT_NAME(mct_error_skip)(&writer, others);
        }
    }
    MCT_NAME(mct_error_skip)(&writer, part.last - at); /* to where the next group begins */
    *state = writer;
}

void MCT_NAME(mct_conv2d_grad_input)(const mct_conv2d_grad_input_params *p, const MCT_ERROR *dout,
                                     const int16_t *dout_e, const int8_t *w, const int8_t *w_l,
                                     const uint16_t *channel, const uint16_t *fold,
                                     const uint8_t *mask, MCT_HISTORY, int32_t *scratch,
                                     MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    MCT_NAME(mct_conv2d_grad_input_part)(p, mct_all_channels(p->in_ch), dout, w, w_l, channel, fold,
                                         mask, &writer, scratch, dx, p->in_ch);
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

void MCT_NAME(mct_conv2d_grad_sums_part)(const mct_conv2d_grad_input_params *p, mct_channels part,
                                         const MCT_ERROR *dout, int32_t dout_step, const int8_t *w,
                                         const int8_t *w_l, const uint16_t *channel,
                                         const uint16_t *fold, int32_t *scratch, int32_t *raw)
{
    const MCT_NAME(error_part)
        of = {dout, dout_step, part, mct_all_channels(p->in_ch), mct_all_channels(p->learned_ch)};
    for (int32_t y = 0; y < p->in_h; y++) {
        for (int32_t column = 0; column < p->in_w; column++, raw += p->in_ch) {
            for (int32_t l = 0; l < p->learned_ch; l++) {
                scratch[l] = 0;
            }
            MCT_NAME(gather_errors)(p, &of, w, w_l, fold, y, column, raw, scratch);
            for (int32_t l = 0; l < p->learned_ch; l++) {
                raw[channel[l]] += scratch[l];
            }
        }
    }
}

void MCT_NAME(mct_conv2d_grad_sums)(const mct_conv2d_grad_input_params *p, const MCT_ERROR *dout,
                                    const int8_t *w, const int8_t *w_l, const uint16_t *channel,
                                    const uint16_t *fold, int32_t *scratch, int32_t *raw)
{
    memset(raw, 0, (size_t)(p->in_h * p->in_w * p->in_ch) * sizeof *raw);
    MCT_NAME(mct_conv2d_grad_sums_part)(p, mct_all_channels(p->out_ch), dout, p->out_ch, w, w_l,
                                        channel, fold, scratch, raw);
}

/* sums[i] = the gradient of w[o][ky][kx][i] over output rows first..last-1, but for what is
 * returned: x_offset times the errors. dout of o alone. */
static int32_t MCT_NAME(weight_gradient)(const mct_conv2d_update_params *p, const int8_t *x,
                                         const MCT_ERROR *dout, int32_t dout_step, int32_t ky,
                                         int32_t kx, int32_t first, int32_t last, int32_t *sums)
{
    mct_terms inputs = {0};
    int32_t errors = 0;
    memset(sums, 0, (size_t)p->in_ch * sizeof *sums);
    dout += first * p->out_w * dout_step;
    for (int32_t out_y = first; out_y < last; out_y++) {
        int32_t y = out_y * p->stride_h - p->pad_top + ky;
        int32_t column = kx - p->pad_left;
        for (int32_t out_x = 0; out_x < p->out_w; out_x++, column += p->stride_w) {
            int32_t error = *dout;
            dout += dout_step;
            if (error == 0 || y < 0 || y >= p->in_h || column < 0 || column >= p->in_w) {
                continue;
            }
            errors += error;
            if (mct_append_term(&inputs, y * p->in_w + column, error)) {
                mct_add_terms(&inputs, x, p->in_ch, p->in_ch, sums);
                inputs.count = 0;
            }
        }
    }
    if (inputs.count != 0) {
        mct_add_terms(&inputs, x, p->in_ch, p->in_ch, sums);
    }
    return p->x_offset * errors;
}

#include "kernels/each_update.h"

#else

#ifdef MCT_HAS_VECTORS
#include "kernels/conv2d_backward_vectors.h"
#endif

void MCT_UPDATE(mct_conv2d_part)(const mct_conv2d_update_params *p, mct_channels part, MCT_LEARNED,
                                 const int8_t *x, const MCT_ERROR *dout, int32_t dout_step,
                                 const int16_t *dout_e, const uint32_t *sgd, const uint8_t *rate,
                                 const int16_t *rate_shift, int32_t *scratch)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    const uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    const int32_t filter = p->kernel_h * p->kernel_w * p->in_ch;
    const bool is_product = filter == p->in_ch && p->out_h * p->out_w == 1 && p->pad_top == 0;
    uint32_t band = 0; /* elements of the bands before: they are counted on (SPEC 1.4) */
    for (int32_t row = 0; row < p->out_h; row += p->band_rows) {
        int32_t last = row + p->band_rows < p->out_h ? row + p->band_rows : p->out_h;
#ifdef MCT_HAS_VECTORS
        if (!is_product && rows_at_a_time(p) > 0) {
            MCT_UPDATE(step_with_vectors)(p, part, MCT_LEARNED_ARGS, x, dout, dout_step, dout_e,
                                          &state, rate, rate_shift, row, last,
                                          mct_dither(seed, band));
            band += (uint32_t)(p->out_ch * filter);
            continue;
        }
#endif
        for (int32_t o = part.first; o < part.last; o++) {
            if (rate[o] == 0u) {
                continue;
            }
            const mct_rate channel_rate = mct_channel_rate(&state, rate[o], rate_shift[o], dout_e);
            const MCT_ERROR *dout_o = dout + o - part.first;
            int32_t at = o * filter;
            uint32_t r = mct_dither(seed, band + (uint32_t)at);
            if (is_product) {
                MCT_WAY(mct_product_steps)(MCT_LEARNED_AT(at), x, p->x_offset, dout_o[0], filter,
                                           channel_rate, r);
                continue;
            }
            for (int32_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++, at += p->in_ch) {
                int32_t offset =
                    MCT_NAME(weight_gradient)(p, x, dout_o, dout_step, tap / p->kernel_w,
                                              tap % p->kernel_w, row, last, scratch);
                MCT_WAY(mct_steps)(MCT_LEARNED_AT(at), scratch, offset, p->in_ch, channel_rate, r);
                r = mct_dither(r, (uint32_t)p->in_ch);
            }
        }
        band += (uint32_t)(p->out_ch * filter);
    }
}

void MCT_UPDATE(mct_conv2d)(const mct_conv2d_update_params *p, MCT_LEARNED, const int8_t *x,
                            const MCT_ERROR *dout, const int16_t *dout_e, const uint32_t *sgd,
                            const uint8_t *rate, const int16_t *rate_shift, int32_t *scratch)
{
    MCT_UPDATE(mct_conv2d_part)(p, mct_all_channels(p->out_ch), MCT_LEARNED_ARGS, x, dout,
                                p->out_ch, dout_e, sgd, rate, rate_shift, scratch);
}

#endif
