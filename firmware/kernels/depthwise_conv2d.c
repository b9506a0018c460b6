/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/depthwise_conv2d.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/depthwise_errors.h"
#include "kernels/error.h"
#include "kernels/sgd.h"
#include "kernels/weighted.h"
#include "kernels/window.h"
#include "mct/model.h"

/* Channels summed side by side. */
#ifdef MCT_HAS_VECTORS
enum { CHANNELS = MCT_BATCH };
#else
enum { CHANNELS = 4 };
#endif

/* The part of a window that lies inside the input, and the weights for it: rows of taps. */
typedef struct {
    const int8_t *const *rows;
    int32_t runs;     /* rows, or 0 if no column is inside */
    int32_t at, taps; /* of the first in its row, and how many */
    int32_t x_step;   /* from tap to tap: channels of a position */
    int32_t x_offset;
    const int8_t *w;
    int32_t w_step, w_row; /* weights from tap to tap, from row to row */
} window;

/* sums[k] of CHANNELS channels from c on, each of which makes one. */
#ifdef MCT_HAS_VECTORS

static void sum_channels(const window *from, int32_t c, int32_t *sums)
{
    const int32_t step = from->x_step;
    int32_t own[CHANNELS] = {0};
    for (int32_t run = 0; run < from->runs; run++) {
        const int8_t *x = from->rows[run];
        const int8_t *w = from->w + run * from->w_row + c;
        for (int32_t tap = 0; x != NULL && tap < from->taps; tap++, w += step) {
            const int8_t *at = x + (from->at + tap * step + c);
            for (int32_t k = 0; k < CHANNELS; k++) {
                own[k] += (at[k] + from->x_offset) * w[k];
            }
        }
    }
    memcpy(sums, own, sizeof own);
}

#else

#ifdef MCT_HAS_HIGH_REGISTERS
/* Places of values and weights move together, and a load takes an index from a register: so one
 * register counts for both. Sums and offset stay where only an addition reaches them. */
#define MCT_CHANNEL(sum)                                                                           \
    "ldrsb %[centred], [%[x], %[k]]\n\t"                                                           \
    "ldrsb %[term], [%[w], %[k]]\n\t"                                                              \
    "add %[centred], %[x_offset]\n\t"                                                              \
    "muls %[term], %[centred]\n\t"                                                                 \
    "add %[" sum "], %[term]\n\t"
/* clang-format off */
#define MCT_TAPS(taps)                                                                             \
    do {                                                                                           \
        const int32_t end = (taps) * step;                                                         \
        int32_t k = 0;                                                                             \
        int32_t centred;                                                                           \
        int32_t term;                                                                              \
        __asm(".syntax unified\n"                                                                  \
              "1:\n\t"                                                                             \
              MCT_CHANNEL("sum0")                                                                  \
              "adds %[k], #1\n\t"                                                                  \
              MCT_CHANNEL("sum1")                                                                  \
              "adds %[k], #1\n\t"                                                                  \
              MCT_CHANNEL("sum2")                                                                  \
              "adds %[k], #1\n\t"                                                                  \
              MCT_CHANNEL("sum3")                                                                  \
              "adds %[k], %[rest]\n\t"                                                             \
              "cmp %[k], %[end]\n\t"                                                               \
              "blt 1b"                                                                             \
              : [sum0] "+h"(sum0), [sum1] "+h"(sum1), [sum2] "+h"(sum2), [sum3] "+h"(sum3),        \
                [k] "+l"(k), [centred] "=&l"(centred), [term] "=&l"(term)                          \
              : [x] "l"(x), [w] "l"(w), [x_offset] "h"(x_offset), [rest] "l"(step - 3),            \
                [end] "l"(end)                                                                     \
              : "cc", "memory");                                                                   \
    } while (0)
/* clang-format on */
#elif defined MCT_THUMB2
/* The compiler would load ahead, which takes the registers of what each row needs. */
#define MCT_CHANNEL(sum, at)                                                                       \
    "ldrsb %[centred], [%[x], #" at "]\n\t"                                                        \
    "ldrsb %[term], [%[w], #" at "]\n\t"                                                           \
    "add %[centred], %[x_offset]\n\t"                                                              \
    "mla %[" sum "], %[centred], %[term], %[" sum "]\n\t"
#define MCT_TAPS(taps_)                                                                            \
    do {                                                                                           \
        int32_t taps = (taps_);                                                                    \
        int32_t centred;                                                                           \
        int32_t term;                                                                              \
        __asm("1:\n\t" MCT_CHANNEL("sum0", "0") MCT_CHANNEL("sum1", "1") MCT_CHANNEL("sum2", "2")  \
                  MCT_CHANNEL("sum3", "3") "subs %[taps], #1\n\t"                                  \
                                           "add %[x], %[step]\n\t"                                 \
                                           "add %[w], %[step]\n\t"                                 \
                                           "bne 1b"                                                \
              : [sum0] "+r"(sum0), [sum1] "+r"(sum1), [sum2] "+r"(sum2), [sum3] "+r"(sum3),        \
                [x] "+r"(x), [w] "+r"(w), [taps] "+r"(taps), [centred] "=&r"(centred),             \
                [term] "=&r"(term)                                                                 \
              : [x_offset] "r"(x_offset), [step] "r"(step)                                         \
              : "cc", "memory");                                                                   \
    } while (0)
#else
#define MCT_TAPS(taps_)                                                                            \
    for (int32_t taps = (taps_); taps > 0; taps--, x += step, w += step) {                         \
        sum0 += (x[0] + x_offset) * w[0];                                                          \
        sum1 += (x[1] + x_offset) * w[1];                                                          \
        sum2 += (x[2] + x_offset) * w[2];                                                          \
        sum3 += (x[3] + x_offset) * w[3];                                                          \
    }
#endif

static MCT_NOINLINE void sum_channels(const window *from, int32_t c, int32_t *sums)
{
    const int32_t x_offset = from->x_offset;
    const int32_t step = from->x_step;
    const int8_t *const *row = from->rows;
    const int8_t *const *const end = row + (from->taps > 0 ? from->runs : 0);
    const int8_t *w_row = from->w + c;
    const int32_t at = from->at + c;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (; row != end; w_row += from->w_row) {
        const int8_t *x = *row++;
        if (x != NULL) {
            const int8_t *w = w_row;
            x += at;
            MCT_TAPS(from->taps);
        }
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

#endif

/* The sum of weight channel c, which reads channel k of x. */
static MCT_NOINLINE int32_t channel_sum(const window *from, int32_t k, int32_t c)
{
    const int8_t *w_row = from->w + c;
    int32_t sum = 0;
    for (int32_t run = 0; run < from->runs; run++, w_row += from->w_row) {
        const int8_t *x = from->rows[run];
        if (x == NULL) {
            continue;
        }
        x += from->at + k;
        const int8_t *w = w_row;
        for (int32_t taps = from->taps; taps > 0; taps--, x += from->x_step, w += from->w_step) {
            sum += (*x + from->x_offset) * *w;
        }
    }
    return sum;
}

/* The outputs of weight channels first..last-1. Channel k of rows and w is input channel[k] of the
 * layer; k itself if channel is NULL. */
static void channels_row(const mct_depthwise_conv2d_params *p, const int8_t *const rows[],
                         const int8_t *w, int32_t in_ch, const uint16_t *channel,
                         const mct_outputs *outputs, int8_t *out_row)
{
    const int32_t per_input = p->out_ch / p->in_ch;
    const int32_t w_ch = in_ch * per_input;
    for (int32_t x = 0; x < p->out_w; x++, out_row += p->out_ch) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
        const window at = {
            .rows = rows,
            .runs = p->kernel_h,
            .at = (x_in + columns.first) * in_ch,
            .taps = columns.last - columns.first,
            .x_step = in_ch,
            .x_offset = p->x_offset,
            .w = w + columns.first * w_ch,
            .w_step = w_ch,
            .w_row = p->kernel_w * w_ch,
        };
        int32_t sums[MCT_BATCH];
        int32_t batch = 0;
        for (int32_t c = 0; c < w_ch; c += batch) {
            batch = 0;
            if (channel == NULL && per_input == 1) {
                while (batch < MCT_BATCH && c + batch + CHANNELS <= w_ch) {
                    sum_channels(&at, c + batch, sums + batch);
                    batch += CHANNELS;
                }
            }
            int32_t o = c;
            if (batch == 0) {
                int32_t k = c / per_input;
                o = channel != NULL ? channel[k] * per_input + c % per_input : c;
                sums[0] = channel_sum(&at, k, c);
                batch = 1;
            }
            mct_put_outputs(outputs, o, batch, sums, out_row + o);
        }
    }
}

void mct_depthwise_conv2d_s8_row(const mct_depthwise_conv2d_params *p, const int8_t *const rows[],
                                 const int8_t *w, const int32_t *b, const int8_t *const rows_l[],
                                 const int8_t *w_l, const uint16_t *channel,
                                 const int32_t *multiplier, const int8_t *shift, int8_t *out_row)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    channels_row(p, rows, w, p->in_ch, NULL, &outputs, out_row);
    if (p->learned_ch != 0) {
        channels_row(p, rows_l, w_l, p->learned_ch, channel, &outputs, out_row);
    }
}

void mct_depthwise_conv2d_s8(const mct_depthwise_conv2d_params *p, const int8_t *x, const int8_t *w,
                             const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                             const uint16_t *channel, const int32_t *multiplier,
                             const int8_t *shift, int8_t *out)
{
    const mct_outputs outputs = {b, multiplier, shift, p->out_offset, p->act_min, p->act_max};
    const int8_t *rows[MCT_MAX_KERNEL_H]; /* of x, then of x_l */
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        int32_t top = y * p->stride_h - p->pad_top;
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, top, p->kernel_h, rows);
        channels_row(p, rows, w, p->in_ch, NULL, &outputs, out);
        if (p->learned_ch != 0) { /* over what the frozen weights, zero there, gave */
            mct_window_rows(x_l, p->in_w * p->learned_ch, p->in_h, top, p->kernel_h, rows);
            channels_row(p, rows, w_l, p->learned_ch, channel, &outputs, out);
        }
    }
}

/* Errors that are put together. */
enum { RUN = 16 };

#define MCT_TEMPLATE "kernels/depthwise_conv2d.c"
#include "kernels/each_error.h"

#elif !defined MCT_STEP

/* What raw errors are made of; dout begins with that of output channel `first`. */
typedef struct {
    const MCT_ERROR *dout;
    int32_t dout_step, per_input, first;
    const int8_t *w, *w_l;
    const uint16_t *channel;
    const uint8_t *scale, *scale_shift;
} MCT_NAME(error_sources);

/* sums[k] = the sum over the readers of errors and weights of channel k. Those of channel 0 begin
 * at dout and w, those of two taps lie w_step apart. */
static MCT_NOINLINE void MCT_NAME(sum_channels)(const mct_depthwise_readers *readers,
                                                const MCT_ERROR *dout, int32_t dout_step,
                                                const int8_t *w, int32_t w_step, int32_t *sums)
{
    int32_t at = readers->output * dout_step;
    int32_t tap = readers->tap * w_step;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (int32_t row = readers->rows; row > 0; row--) {
        for (int32_t column = readers->columns; column > 0; column--) {
            const MCT_ERROR *errors = dout + at;
            const int8_t *weights = w + tap;
            sum0 += (int32_t)errors[0] * weights[0];
            sum1 += (int32_t)errors[1] * weights[1];
            sum2 += (int32_t)errors[2] * weights[2];
            sum3 += (int32_t)errors[3] * weights[3];
            at -= dout_step;
            tap += readers->tap_step * w_step;
        }
        at += readers->output_row * dout_step;
        tap += readers->tap_row * w_step;
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

/* The raw error of channel i at a position: the sum over its outputs, each of them over the
 * readers. The weights of its first output begin at w, those of two taps lie w_step apart. */
static MCT_NOINLINE int32_t MCT_NAME(raw_error)(const MCT_NAME(error_sources) * from,
                                                const mct_depthwise_readers *readers,
                                                const int8_t *w, int32_t w_step, int32_t i)
{
    const int32_t dout_step = from->dout_step;
    const int32_t tap_step = readers->tap_step * w_step;
    const int32_t tap_row = readers->tap_row * w_step;
    int32_t raw = 0;
    w += readers->tap * w_step;
    for (int32_t m = 0, o = i * from->per_input; m < from->per_input; m++, o++) {
        const MCT_ERROR *dout = from->dout;
        int32_t at = readers->output * dout_step + o - from->first;
        int32_t tap = m;
        int32_t sum = 0;
        for (int32_t row = readers->rows; row > 0; row--) {
            for (int32_t column = readers->columns; column > 0; column--) {
                sum += (int32_t)dout[at] * w[tap];
                at -= dout_step;
                tap += tap_step;
            }
            at += readers->output_row * dout_step;
            tap += tap_row;
        }
        raw += mct_near(mct_sat23(sum) * from->scale[o], from->scale_shift[o]);
    }
    return raw;
}

/* raw = the raw errors of input channels i..i+count-1 at a position; any where the mask is 0. `at`
 * is the first in the whole dx. `learned` are those that learn, from i on. */
static MCT_NOINLINE void MCT_NAME(raw_errors)(const mct_depthwise_conv2d_grad_input_params *p,
                                              const MCT_NAME(error_sources) * from,
                                              const mct_depthwise_readers *readers, int32_t i,
                                              int32_t count, mct_channels learned,
                                              const uint8_t *mask, int32_t at, int32_t *raw)
{
    int32_t k = 0;
    while (k < count) {
        const bool learns = learned.first < learned.last && from->channel[learned.first] == i + k;
        int32_t frozen = count - k; /* channels up to the next one that learns */
        if (learned.first < learned.last && from->channel[learned.first] - i < count) {
            frozen = from->channel[learned.first] - i - k;
        }
        if (from->per_input == 1 && frozen >= MCT_ERRORS) {
            if (mct_open_bits(mask, at + k) != 0u) {
                MCT_NAME(sum_channels)(readers, from->dout + i + k - from->first, from->dout_step,
                                       from->w + i + k, p->out_ch, raw + k);
                for (int32_t c = k; c < k + MCT_ERRORS; c++) {
                    raw[c] =
                        mct_near(mct_sat23(raw[c]) * from->scale[i + c], from->scale_shift[i + c]);
                }
            }
            k += MCT_ERRORS;
            continue;
        }
        if (mct_is_open(mask, at + k)) {
            const int8_t *w = learns ? from->w_l + learned.first * from->per_input
                                     : from->w + (i + k) * from->per_input;
            const int32_t w_step = learns ? p->learned_ch * from->per_input : p->out_ch;
            raw[k] = MCT_NAME(raw_error)(from, readers, w, w_step, i + k);
        }
        learned.first += learns;
        k++;
    }
}

void MCT_NAME(mct_depthwise_conv2d_grad_input_part)(
    const mct_depthwise_conv2d_grad_input_params *p, mct_channels part, const MCT_ERROR *dout,
    int32_t dout_step, const int8_t *w, const int8_t *w_l, const uint16_t *channel,
    const uint8_t *scale, const uint8_t *scale_shift, const uint8_t *mask,
    MCT_NAME(mct_error_writer) * state, MCT_ERROR *dx, int32_t dx_step)
{
    const int32_t per_input = p->out_ch / p->in_ch;
    const int32_t others = p->in_ch - (part.last - part.first);
    const MCT_NAME(error_sources) from = {
        dout, dout_step, per_input, part.first * per_input, w, w_l, channel, scale, scale_shift};
    MCT_NAME(mct_error_writer) writer = *state;
    int32_t at = part.first; /* in the whole dx */
    for (int32_t position = 0; position < p->in_h * p->in_w; position++, dx += dx_step) {
        const mct_depthwise_readers readers =
            mct_readers_at(p, position / p->in_w, position % p->in_w);
        for (int32_t i = part.first; i < part.last; i += RUN) {
            const mct_channels run = {i, part.last - i < RUN ? part.last : i + RUN};
            const mct_channels learned = mct_channels_within(channel, p->learned_ch, run);
            int32_t raw[RUN];
            MCT_NAME(raw_errors)(p, &from, &readers, i, run.last - i, learned, mask, at, raw);
            MCT_NAME(mct_error_put_all)(&writer, raw, run.last - i, mask, at, dx + i - part.first);
            at += run.last - i;
        }
        at += others;
        MCT_NAME(mct_error_skip)(&writer, others);
    }
    MCT_NAME(mct_error_skip)(&writer, part.last - at); /* to where the next group begins */
    *state = writer;
}

void MCT_NAME(mct_depthwise_conv2d_grad_input)(const mct_depthwise_conv2d_grad_input_params *p,
                                               const MCT_ERROR *dout, const int16_t *dout_e,
                                               const int8_t *w, const int8_t *w_l,
                                               const uint16_t *channel, const uint8_t *scale,
                                               const uint8_t *scale_shift, const uint8_t *mask,
                                               MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    MCT_NAME(mct_depthwise_conv2d_grad_input_part)(p, mct_all_channels(p->in_ch), dout, p->out_ch,
                                                   w, w_l, channel, scale, scale_shift, mask,
                                                   &writer, dx, p->in_ch);
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

/* The gradient of w[ky][kx][o] over output rows first..last-1; dout of o's channel alone. */
MCT_INTO_UPDATES int32_t MCT_NAME(weight_gradient)(const mct_depthwise_conv2d_update_params *p,
                                                   const int8_t *x, const MCT_ERROR *dout,
                                                   int32_t dout_step, int32_t tap, int32_t o,
                                                   int32_t first, int32_t last)
{
    const int32_t i = o / (p->out_ch / p->in_ch);
    int32_t sum = 0;
    for (int32_t out_y = first; out_y < last; out_y++) {
        int32_t y = out_y * p->stride_h - p->pad_top + tap / p->kernel_w;
        for (int32_t out_x = 0; y >= 0 && y < p->in_h && out_x < p->out_w; out_x++) {
            int32_t column = out_x * p->stride_w - p->pad_left + tap % p->kernel_w;
            if (column >= 0 && column < p->in_w) {
                sum += (x[(y * p->in_w + column) * p->in_ch + i] + p->x_offset) *
                       dout[(out_y * p->out_w + out_x) * dout_step];
            }
        }
    }
    return sum;
}

#include "kernels/each_update.h"

#else

void MCT_UPDATE(mct_depthwise_conv2d_part)(const mct_depthwise_conv2d_update_params *p,
                                           mct_channels part, MCT_LEARNED, const int8_t *x,
                                           const MCT_ERROR *dout, int32_t dout_step,
                                           const int16_t *dout_e, const uint32_t *sgd,
                                           const uint16_t *column, const uint8_t *rate,
                                           const int16_t *rate_shift)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    const uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    const int32_t taps = p->kernel_h * p->kernel_w;
    const mct_channels own = column != NULL ? mct_channels_within(column, p->out_ch, part) : part;
    uint32_t band = 0; /* elements of the bands before: they are counted on (SPEC 1.4) */
    for (int32_t row = 0; row < p->out_h; row += p->band_rows) {
        int32_t last = row + p->band_rows < p->out_h ? row + p->band_rows : p->out_h;
        for (int32_t tap = 0; tap < taps; tap++) {
            for (int32_t o = own.first; o < own.last; o++) {
                if (rate[o] == 0u) {
                    continue;
                }
                int32_t at = tap * p->out_ch + o;
                int32_t dout_o = column != NULL ? column[o] : o;
                int32_t dw = MCT_NAME(weight_gradient)(p, x, dout + dout_o - part.first, dout_step,
                                                       tap, o, row, last);
                if (dw != 0) {
                    MCT_STEP(at,
                             mct_weight_step(
                                 MCT_RATE_BEHIND(
                                     mct_channel_rate(&state, rate[o], rate_shift[o], dout_e), o),
                                 dw, mct_dither(seed, band + (uint32_t)at)));
                }
            }
        }
        band += (uint32_t)(taps * p->out_ch);
    }
}

void MCT_UPDATE(mct_depthwise_conv2d)(const mct_depthwise_conv2d_update_params *p, MCT_LEARNED,
                                      const int8_t *x, const MCT_ERROR *dout, const int16_t *dout_e,
                                      const uint32_t *sgd, const uint16_t *column,
                                      const uint8_t *rate, const int16_t *rate_shift)
{
    MCT_UPDATE(mct_depthwise_conv2d_part)(p, mct_all_channels(p->dout_ch), MCT_LEARNED_ARGS, x,
                                          dout, p->dout_ch, dout_e, sgd, column, rate, rate_shift);
}

#endif
