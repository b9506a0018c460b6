/* SPDX-License-Identifier: Apache-2.0 */
/* Part of kernels/conv2d.c: its errors and gradients on processors with vectors and a large stack.
 * What a sum reads is copied there first, so that it lies in runs without edges. Layers learned in
 * part, of few channels, or too large for the copies are left to the loops of kernels/conv2d.c. */
#ifndef MCT_ERROR

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/pairs_vectors.h"

enum {
    FOLDED = 24576,    /* errors of some rows, folded, and of a position that has none */
    CHANNELS = 1024,   /* whose raw errors are kept until their positions are complete */
    MASKED = 4096,     /* bytes of a row of the mask */
    PADDED = 49152,    /* values of some input rows, with their padding */
    POSITIONS = 4096,  /* outputs whose errors meet them */
    SLICE = 64 * LANES /* weights of a row of a filter whose gradients are summed at a time */
};

/* A count that is even. */
static inline int32_t even(int32_t count)
{
    return count + (count & 1);
}

/* Input rows that the outputs of `rows` rows read, and values of each, with the padding. */
static inline int32_t padded_rows(const mct_conv2d_update_params *p, int32_t rows)
{
    return (rows - 1) * p->stride_h + p->kernel_h;
}

static inline int32_t padded_row(const mct_conv2d_update_params *p)
{
    return ((p->out_w - 1) * p->stride_w + p->kernel_w) * p->in_ch;
}

/* The input of the outputs in rows first..first+rows-1, the zero point in the padding. */
static void copy_padded(const mct_conv2d_update_params *p, const int8_t *x, int32_t first,
                        int32_t rows, int8_t *to)
{
    const int32_t size = padded_row(p);
    const int32_t in_row = p->in_w * p->in_ch;
    const int32_t left = p->pad_left * p->in_ch;
    const int32_t inside = in_row < size - left ? in_row : size - left;
    const int32_t top = first * p->stride_h - p->pad_top;
    const int32_t end = top + padded_rows(p, rows);
    for (int32_t y = top; y < end; y++, to += size) {
        memset(to, -p->x_offset, (size_t)size);
        if (y >= 0 && y < p->in_h) {
            memcpy(to + left, x + y * in_row, (size_t)inside);
        }
    }
}

/* Output rows whose errors and inputs can be copied at a time. */
static int32_t rows_at_a_time(const mct_conv2d_update_params *p)
{
    const int32_t fit = (PADDED - LANES) / padded_row(p);
    const int32_t of_inputs = fit < p->kernel_h ? 0 : (fit - p->kernel_h) / p->stride_h + 1;
    const int32_t of_errors = POSITIONS / even(p->out_w);
    return of_inputs < of_errors ? of_inputs : of_errors;
}

/* The errors of some rows of outputs, folded, and of a position that has none. */
typedef struct {
    const int16_t *errors, *none;
    mct_readers rows;
    int32_t step; /* from position to position */
} folded_rows;

/* sums[f] = raw errors of LANES channels of the SIDE positions from column x on, a stride apart, so
 * that the same taps hold them. w is that of the first channel, in the first tap of all. */
static void gather_vectors(const mct_conv2d_grad_input_params *p, const folded_rows *from,
                           const int8_t *w, int32_t y, int32_t x, int32_t *sums, int32_t sums_step)
{
    vectors filters = {w, p->kernel_h * p->kernel_w * p->in_ch, p->out_ch};
    for (int32_t f = 0; f < SIDE; f++) {
        memset(sums + f * sums_step, 0, LANES * sizeof *sums);
    }
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t out_y = mct_window_reader(y, p->pad_top, ky, p->stride_h, p->out_h);
        if (out_y < 0) {
            continue;
        }
        const int16_t *const row =
            from->errors + (out_y - from->rows.first) * p->out_w * from->step;
        for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t padded = x + p->pad_left - kx;
            if (padded % p->stride_w != 0) {
                continue;
            }
            const int16_t *factors[SIDE];
            for (int32_t f = 0; f < SIDE; f++) {
                const int32_t out_x = padded / p->stride_w + f;
                const bool is_inside = out_x >= 0 && out_x < p->out_w;
                factors[f] = is_inside ? row + out_x * from->step : from->none;
            }
            filters.first = w + (ky * p->kernel_w + kx) * p->in_ch;
            add_vectors(filters, factors, sums, sums_step);
        }
    }
}

/* The errors of some filters at some rows of outputs, each row with a 0 behind an odd count. */
typedef struct {
    int16_t errors[SIDE][POSITIONS];
    int32_t sums[SIDE];
} filter_errors;

/* What a gradient is made of; it is copied once where all rows of a band fit. */
typedef struct {
    int8_t x[PADDED];
    filter_errors of;
} copied_rows;

/* sums[f] += the gradients of `size` weights that lie together, from `first` of filter row ky on.
 */
static void add_gradients(const mct_conv2d_update_params *p, const copied_rows *from, int32_t rows,
                          int32_t ky, int32_t first, int32_t size, int32_t (*sums)[SLICE])
{
    const int32_t x_row = padded_row(p);
    vectors positions = {NULL, p->stride_w * p->in_ch, p->out_w};
    for (int32_t at = 0; at < size; at += LANES) {
        for (int32_t row = 0; row < rows; row++) {
            const int16_t *factors[SIDE];
            for (int32_t f = 0; f < SIDE; f++) {
                factors[f] = from->of.errors[f] + row * even(p->out_w);
            }
            positions.first = from->x + (row * p->stride_h + ky) * x_row + first + at;
            add_vectors(positions, factors, sums[0] + at, SLICE);
        }
    }
}

#elif !defined MCT_STEP

/* The errors of a row of outputs, near(dout * fold, 8). */
static void MCT_NAME(fold_row)(const mct_conv2d_grad_input_params *p, const MCT_ERROR *dout,
                               const uint16_t *fold, int32_t step, int16_t *to)
{
    for (int32_t x = 0; x < p->out_w; x++, to += step) {
        to[step - 1] = 0;
        for (int32_t o = 0; o < p->out_ch; o++) {
            to[o] = (int16_t)mct_near(*dout++ * fold[o], 8);
        }
    }
}

/* Whether the errors of the channels of `part` can be computed by vectors. */
static inline bool MCT_NAME(can_gather)(const mct_conv2d_grad_input_params *p, mct_channels part)
{
    const int32_t step = even(p->out_ch);
    return p->learned_ch == 0 && part.last - part.first >= LANES &&
           part.last - part.first <= CHANNELS && p->in_w * p->in_ch <= 8 * MASKED &&
           step <= FOLDED / 2 && p->kernel_h * p->out_w <= FOLDED / step - 1;
}

/* mct_conv2d_grad_input_part. A row of the mask, and the rows of dout that it meets, are copied
 * before what comes of them is written: dx may begin little below them. */
static void MCT_NAME(gather_with_vectors)(const mct_conv2d_grad_input_params *p, mct_channels part,
                                          const MCT_ERROR *dout, const int8_t *w,
                                          const uint16_t *fold, const uint8_t *mask,
                                          MCT_NAME(mct_error_writer) * state, MCT_ERROR *dx,
                                          int32_t dx_step)
{
    int16_t folded[FOLDED];
    uint8_t masked[MASKED + 1]; /* a row may begin within a byte */
    int32_t sums[SIDE * CHANNELS];
    const int32_t step = even(p->out_ch);
    const int32_t row = p->out_w * step;
    const int32_t in_row = p->in_w * p->in_ch;
    const int32_t channels = part.last - part.first;
    folded_rows kept = {folded, folded + FOLDED - step, {0, 0}, step};
    memset(folded + FOLDED - step, 0, (size_t)step * sizeof *folded);
    for (int32_t y = 0; y < p->in_h; y++) {
        const mct_readers readers =
            mct_window_readers(y + p->pad_top, p->kernel_h, p->stride_h, p->out_h);
        if (readers.last > kept.rows.last) {
            const int32_t end = readers.first + (FOLDED - step) / row;
            kept.rows.first = readers.first;
            kept.rows.last = end < p->out_h ? end : p->out_h;
            for (int32_t out_y = readers.first; out_y < kept.rows.last; out_y++) {
                MCT_NAME(fold_row)(p, dout + out_y * p->out_w * p->out_ch, fold, step,
                                   folded + (out_y - readers.first) * row);
            }
        }
        const int32_t first_byte = y * in_row / 8;
        memcpy(masked, mask + first_byte, (size_t)(((y + 1) * in_row + 7) / 8 - first_byte));
        for (int32_t begin = 0; begin < p->stride_w; begin++) {
            for (int32_t x = begin; x < p->in_w; x += SIDE * p->stride_w) {
                for (int32_t lane = 0; lane < channels; lane += LANES) {
                    /* The last lanes are summed twice where they are no multiple. */
                    const int32_t c = lane < channels - LANES ? lane : channels - LANES;
                    gather_vectors(p, &kept, w + part.first + c, y, x, sums + c, channels);
                }
                int32_t runs = SIDE; /* of errors that lie together */
                int32_t size = channels;
                if (p->stride_w == 1 && channels == p->in_ch && dx_step == channels) {
                    runs = 1;
                    size *= p->in_w - x < SIDE ? p->in_w - x : SIDE;
                }
                for (int32_t f = 0; f < runs && x + f * p->stride_w < p->in_w; f++) {
                    const int32_t position = y * p->in_w + x + f * p->stride_w;
                    const int32_t at = position * p->in_ch + part.first;
                    MCT_NAME(mct_error_writer) writer = *state;
                    MCT_NAME(mct_error_skip)(&writer, at - part.first);
                    MCT_NAME(mct_error_put_all)(&writer, sums + f * channels, size, masked,
                                                at - 8 * first_byte, dx + position * dx_step);
                    state->magnitudes = writer.magnitudes;
                }
            }
        }
    }
    MCT_NAME(mct_error_skip)(state, p->in_h * in_row);
}

/* The errors of up to SIDE filters, of which `filters` are left, at some rows of outputs. */
static void MCT_NAME(copy_errors)(const mct_conv2d_update_params *p, const MCT_ERROR *dout,
                                  int32_t dout_step, int32_t filters, int32_t rows,
                                  filter_errors *to)
{
    const int32_t step = even(p->out_w);
    for (int32_t f = 0; f < SIDE; f++) {
        int16_t *errors = to->errors[f];
        if (f >= filters) {
            memset(errors, 0, (size_t)(rows * step) * sizeof *errors);
            continue;
        }
        const MCT_ERROR *of_f = dout + f;
        int32_t sum = 0;
        for (int32_t row = 0; row < rows; row++, errors += step) {
            errors[step - 1] = 0;
            for (int32_t x = 0; x < p->out_w; x++, of_f += dout_step) {
                errors[x] = *of_f;
                sum += *of_f;
            }
        }
        to->sums[f] += sum;
    }
}

#else

/* Weights that lie together, `size` from w_at on, take their steps: the first is in_row weights
 * into a row of its filter, where input channels follow each other for each tap. */
static inline void MCT_UPDATE(steps_in_row)(const mct_conv2d_update_params *p, MCT_LEARNED,
                                            int32_t w_at, int32_t in_row, int32_t size,
                                            const int32_t *sums, int32_t offset, mct_rate rate,
                                            uint32_t r)
{
    for (int32_t k = 0; k < size;) {
        const int32_t channel = MCT_HAS_SHIFTS ? (in_row + k) % p->in_ch : 0;
        const int32_t left = size - k;
        const int32_t run = MCT_HAS_SHIFTS && p->in_ch - channel < left ? p->in_ch - channel : left;
        MCT_WAY(mct_steps)(MCT_LEARNED_BEHIND(w_at + k, channel), sums + k, offset, run, rate,
                           mct_dither(r, (uint32_t)(w_at + k)));
        k += run;
    }
}

/* mct_conv2d_part of one band, rows first..last-1 of outputs; r is the dither of weight 0. */
static void MCT_UPDATE(step_with_vectors)(const mct_conv2d_update_params *p, mct_channels part,
                                          MCT_LEARNED, const int8_t *x, const MCT_ERROR *dout,
                                          int32_t dout_step, const int16_t *dout_e,
                                          const mct_sgd *sgd, const uint8_t *rate,
                                          const int16_t *rate_shift, int32_t first, int32_t last,
                                          uint32_t r)
{
    copied_rows from;
    int32_t sums[SIDE][SLICE];
    const int32_t w_row = p->kernel_w * p->in_ch;
    const int32_t fit = rows_at_a_time(p);
    const bool is_kept = last - first <= fit;
    for (int32_t o = part.first; o < part.last; o += SIDE) {
        const int32_t filters = part.last - o < SIDE ? part.last - o : SIDE;
        for (int32_t at = 0; at < p->kernel_h * w_row;) {
            const int32_t in_row = at % w_row;
            const int32_t size = w_row - in_row < SLICE ? w_row - in_row : SLICE;
            memset(sums, 0, sizeof sums);
            if (!is_kept || at == 0) {
                memset(from.of.sums, 0, sizeof from.of.sums);
            }
            for (int32_t y = first; y < last; y += fit) {
                const int32_t rows = last - y < fit ? last - y : fit;
                if (!is_kept || (at == 0 && o == part.first)) {
                    copy_padded(p, x, y, rows, from.x);
                }
                if (!is_kept || at == 0) {
                    MCT_NAME(copy_errors)(p, dout + y * p->out_w * dout_step + o - part.first,
                                          dout_step, filters, rows, &from.of);
                }
                add_gradients(p, &from, rows, at / w_row, in_row, size, sums);
            }
            for (int32_t f = 0; f < filters; f++) {
                if (rate[o + f] != 0u) {
                    const int32_t w_at = (o + f) * p->kernel_h * w_row + at;
                    MCT_UPDATE(steps_in_row)(
                        p, MCT_LEARNED_ARGS, w_at, in_row, size, sums[f],
                        p->x_offset * from.of.sums[f],
                        mct_channel_rate(sgd, rate[o + f], rate_shift[o + f], dout_e), r);
                }
            }
            at += size;
        }
    }
}

#endif
