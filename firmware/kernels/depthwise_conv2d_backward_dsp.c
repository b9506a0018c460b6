/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/depthwise_conv2d_backward_dsp.h"

#include <stdbool.h>
#include <string.h>

#include "kernels/depthwise_errors.h"
#include "kernels/error.h"
#include "mct/dsp.h"
#include "mct/model.h"

/* Errors that are put together: their sums lie on the stack. */
enum { RUN = 64 };

/* Products of as many errors and weights surely have a sum of 23 bits. */
enum { safe_taps_s16 = 32, safe_taps_s8 = 512 };

/* The errors of four channels, as the products with their weights take them. */
typedef struct {
    uint32_t first, second;
} four_errors;

static MCT_INLINED four_errors four_at_s16(const int16_t *from)
{
    four_errors pairs; /* of channels 0 and 1, of 2 and 3 */
    memcpy(&pairs.first, from, sizeof pairs.first);
    memcpy(&pairs.second, from + 2, sizeof pairs.second);
    return pairs;
}

static MCT_INLINED four_errors four_at_s8(const int8_t *from)
{
    const uint32_t four = mct_load4(from);
    const four_errors pairs = {mct_even(four), mct_odd(four)};
    return pairs;
}

/* Adds the products of four errors and four weights to sums. */
static MCT_INLINED void add_products_s16(four_errors errors, uint32_t w, int32_t *sums)
{
    const uint32_t even = mct_even(w);
    const uint32_t odd = mct_odd(w);
    sums[0] += (int16_t)errors.first * (int16_t)even;
    sums[1] += (int16_t)(errors.first >> 16) * (int16_t)odd;
    sums[2] += (int16_t)errors.second * (int16_t)(even >> 16);
    sums[3] += (int16_t)(errors.second >> 16) * (int16_t)(odd >> 16);
}

static MCT_INLINED void add_products_s8(four_errors errors, uint32_t w, int32_t *sums)
{
    const uint32_t even = mct_even(w);
    const uint32_t odd = mct_odd(w);
    sums[0] = mct_multiply_low(errors.first, even, sums[0]);
    sums[1] = mct_multiply_low(errors.second, odd, sums[1]);
    sums[2] = mct_multiply_high(errors.first, even, sums[2]);
    sums[3] = mct_multiply_high(errors.second, odd, sums[3]);
}

/* near(sum * scale, shift). The shift of a channel is 7 or more; but 0 for one without errors,
 * whose scale is 0. */
static MCT_INLINED int32_t scaled(int32_t sum, int32_t scale, int32_t shift)
{
    return ((sum * scale >> ((shift - 1) & 31)) + 1) >> 1;
}

/* Puts a raw error, which is below 2^24: half of the last place joins it within 32 bits. */
static MCT_INLINED int16_t put_s16(mct_error_writer_s16 *writer, int32_t raw)
{
    const int32_t half = (int32_t)((1u << writer->shift) >> 1);
    return mct_error_put_rounded_s16(writer, raw, (raw + half) >> writer->shift);
}

static MCT_INLINED int8_t put_s8(mct_error_writer_s8 *writer, int32_t raw)
{
    return mct_error_put_s8(writer, raw);
}

#define MCT_TEMPLATE "kernels/depthwise_conv2d_backward_dsp.c"
#include "kernels/each_error.h"

#else

/* An output's errors and the weights that a position has in its window, from channel 0 of both. */
typedef struct {
    const MCT_ERROR *errors;
    const int8_t *w;
} MCT_NAME(tap);

typedef struct {
    int32_t count;
    MCT_NAME(tap) at[MCT_DEPTHWISE_TAPS];
} MCT_NAME(taps);

/* Those of a position. dout and w begin with the same channel. */
static MCT_NOINLINE void MCT_NAME(list_taps)(const mct_depthwise_conv2d_grad_input_params *p,
                                             int32_t position, const MCT_ERROR *dout,
                                             int32_t dout_step, const int8_t *w,
                                             MCT_NAME(taps) * taps)
{
    const mct_depthwise_readers readers = mct_readers_at(p, position / p->in_w, position % p->in_w);
    MCT_NAME(tap) *next = taps->at;
    int32_t at = readers.output * dout_step;
    int32_t tap = readers.tap * p->out_ch;
    for (int32_t row = readers.rows; row > 0; row--) {
        for (int32_t column = readers.columns; column > 0; column--, next++) {
            next->errors = dout + at;
            next->w = w + tap;
            at -= dout_step;
            tap += readers.tap_step * p->out_ch;
        }
        at += readers.output_row * dout_step;
        tap += readers.tap_row * p->out_ch;
    }
    taps->count = readers.rows * readers.columns;
}

static MCT_INLINED void MCT_NAME(add_tap)(const MCT_NAME(tap) * tap, int32_t c, int32_t *sums)
{
    MCT_NAME(add_products)(MCT_NAME(four_at)(tap->errors + c), mct_load4(tap->w + c), sums);
}

/* sums = those of channels c..c+count-1, of 23 bits; any where the mask is 0. `at` is the first in
 * the whole dx. */
static MCT_NOINLINE void MCT_NAME(sum_run)(const MCT_NAME(taps) * taps, int32_t c, int32_t count,
                                           const uint8_t *mask, int32_t at, int32_t *sums)
{
    const MCT_NAME(tap) *const last = taps->at + (taps->count & ~1);
    for (; count >= MCT_ERRORS; count -= MCT_ERRORS, c += MCT_ERRORS, at += MCT_ERRORS) {
        if (mct_open_bits(mask, at) != 0u) {
            int32_t four[MCT_ERRORS] = {0};
            const MCT_NAME(tap) *tap = taps->at;
            for (; tap != last; tap += 2) {
                MCT_NAME(add_tap)(tap, c, four);
                MCT_NAME(add_tap)(tap + 1, c, four);
            }
            if ((taps->count & 1) != 0) {
                MCT_NAME(add_tap)(tap, c, four);
            }
            for (int32_t k = 0; taps->count > MCT_NAME(safe_taps) && k < MCT_ERRORS; k++) {
                four[k] = mct_sat23(four[k]);
            }
            memcpy(sums, four, sizeof four);
        }
        sums += MCT_ERRORS;
    }
    for (; count > 0; count--, c++) {
        int32_t sum = 0;
        for (int32_t k = 0; k < taps->count; k++) {
            sum += taps->at[k].errors[c] * taps->at[k].w[c];
        }
        *sums++ = mct_sat23(sum);
    }
}

/* Sums, what they are scaled by, and the errors that they become. */
typedef struct {
    const int32_t *sums;
    const uint8_t *scale, *shift;
    MCT_ERROR *dx;
} MCT_NAME(run);

/* Puts sum k if it is open. */
static MCT_INLINED void MCT_NAME(put_one)(MCT_NAME(mct_error_writer) * writer,
                                          const MCT_NAME(run) * run, int32_t k, bool is_open)
{
    if (is_open) {
        run->dx[k] = MCT_NAME(put)(writer, scaled(run->sums[k], run->scale[k], run->shift[k]));
    } else {
        run->dx[k] = 0;
        MCT_NAME(mct_error_skip)(writer, 1);
    }
}

/* Puts `count` sums, the first of which is element `at` of dx; those that the mask closes as 0. */
static MCT_NOINLINE void MCT_NAME(put_run)(MCT_NAME(mct_error_writer) * writer, MCT_NAME(run) run,
                                           int32_t count, const uint8_t *mask, int32_t at)
{
    MCT_NAME(mct_error_writer) own = *writer; /* in registers: what is stored could be any of it */
    for (; count >= MCT_ERRORS; count -= MCT_ERRORS, at += MCT_ERRORS) {
        const uint32_t bits = mct_open_bits(mask, at);
        MCT_NAME(put_one)(&own, &run, 0, (bits & 1u) != 0u);
        MCT_NAME(put_one)(&own, &run, 1, (bits & 2u) != 0u);
        MCT_NAME(put_one)(&own, &run, 2, (bits & 4u) != 0u);
        MCT_NAME(put_one)(&own, &run, 3, (bits & 8u) != 0u);
        run.sums += MCT_ERRORS;
        run.scale += MCT_ERRORS;
        run.shift += MCT_ERRORS;
        run.dx += MCT_ERRORS;
    }
    for (int32_t k = 0; k < count; k++) {
        MCT_NAME(put_one)(&own, &run, k, mct_is_open(mask, at + k));
    }
    *writer = own;
}

void MCT_NAME(mct_depthwise_conv2d_backward_dsp_grad_input_part)(
    const mct_depthwise_conv2d_grad_input_params *p, mct_channels part, const MCT_ERROR *dout,
    int32_t dout_step, const int8_t *w, const int8_t *w_l, const uint16_t *channel,
    const uint8_t *scale, const uint8_t *scale_shift, const uint8_t *mask,
    MCT_NAME(mct_error_writer) * state, MCT_ERROR *dx, int32_t dx_step)
{
    (void)w_l;
    (void)channel;
    const int32_t own = part.last - part.first;
    const int32_t others = p->in_ch - own;
    MCT_NAME(mct_error_writer) writer = *state;
    MCT_NAME(taps) taps;
    int32_t at = part.first; /* in the whole dx */
    for (int32_t position = 0; position < p->in_h * p->in_w; position++, dx += dx_step) {
        MCT_NAME(list_taps)(p, position, dout, dout_step, w + part.first, &taps);
        for (int32_t c = 0; c < own; c += RUN) {
            const int32_t count = own - c < RUN ? own - c : RUN;
            int32_t sums[RUN];
            MCT_NAME(sum_run)(&taps, c, count, mask, at, sums);
            const int32_t first = part.first + c;
            const MCT_NAME(run) run = {sums, scale + first, scale_shift + first, dx + c};
            MCT_NAME(put_run)(&writer, run, count, mask, at);
            at += count;
        }
        at += others;
        MCT_NAME(mct_error_skip)(&writer, others);
    }
    MCT_NAME(mct_error_skip)(&writer, part.last - at); /* to where the next group begins */
    *state = writer;
}

void MCT_NAME(mct_depthwise_conv2d_backward_dsp_grad_input)(
    const mct_depthwise_conv2d_grad_input_params *p, const MCT_ERROR *dout, const int16_t *dout_e,
    const int8_t *w, const int8_t *w_l, const uint16_t *channel, const uint8_t *scale,
    const uint8_t *scale_shift, const uint8_t *mask, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    MCT_NAME(mct_depthwise_conv2d_backward_dsp_grad_input_part)(
        p, mct_all_channels(p->in_ch), dout, p->out_ch, w, w_l, channel, scale, scale_shift, mask,
        &writer, dx, p->in_ch);
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
