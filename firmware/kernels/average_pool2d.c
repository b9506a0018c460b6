/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/average_pool2d.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/error.h"
#include "kernels/window.h"

/* Channels summed side by side. */
enum { CHANNELS = 4 };

static int32_t divide_rounded(int32_t sum, int32_t count)
{
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

/* sums of CHANNELS channels from x on: over a row of positions, `step` apart. */
static inline void add_positions(const int8_t *x, int32_t step, int32_t positions, int32_t *sums)
{
    int32_t sum0 = sums[0];
    int32_t sum1 = sums[1];
    int32_t sum2 = sums[2];
    int32_t sum3 = sums[3];
    for (; positions > 0; positions--, x += step) {
        sum0 += x[0];
        sum1 += x[1];
        sum2 += x[2];
        sum3 += x[3];
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

void mct_average_pool2d_s8_row(const mct_average_pool2d_params *p, const int8_t *const rows[],
                               int8_t *out_row)
{
    const int32_t step = p->channels;
    int32_t height = 0;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        height += rows[ky] != NULL;
    }
    for (int32_t x = 0; x < p->out_w; x++, out_row += step) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
        const int32_t width = columns.last - columns.first;
        const int32_t at = (x_in + columns.first) * step;
        int32_t channels;
        for (int32_t c = 0; c < step; c += channels) {
            int32_t sums[CHANNELS] = {0, 0, 0, 0};
            channels = step - c < CHANNELS ? 1 : CHANNELS;
            for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                const int8_t *from = rows[ky] != NULL ? rows[ky] + at + c : NULL;
                if (from != NULL && channels == CHANNELS) {
                    add_positions(from, step, width, sums);
                } else if (from != NULL) {
                    for (int32_t k = 0; k < width; k++) {
                        sums[0] += from[k * step];
                    }
                }
            }
            for (int32_t k = 0; k < channels; k++) {
                int32_t average = divide_rounded(sums[k], height * width);
                out_row[c + k] = (int8_t)mct_clamp(average, p->act_min, p->act_max);
            }
        }
    }
}

void mct_average_pool2d_s8(const mct_average_pool2d_params *p, const int8_t *x, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++) {
        int32_t top = y * p->stride_h - p->pad_top;
        mct_window_rows(x, p->in_w * p->channels, p->in_h, top, p->kernel_h, rows);
        mct_average_pool2d_s8_row(p, rows, out + y * p->out_w * p->channels);
    }
}

void mct_average_pool2d_s8_tall(const mct_average_pool2d_params *p, const int8_t *x, int8_t *out)
{
    const int32_t row_size = p->in_w * p->channels;
    for (int32_t position = 0; position < p->out_h * p->out_w; position++) {
        const int32_t top = position / p->out_w * p->stride_h - p->pad_top;
        const int32_t left = position % p->out_w * p->stride_w - p->pad_left;
        const mct_columns rows = mct_window_columns(top, p->kernel_h, p->in_h);
        const mct_columns columns = mct_window_columns(left, p->kernel_w, p->in_w);
        const int32_t width = columns.last - columns.first;
        const int32_t count = (rows.last - rows.first) * width;
        for (int32_t c = 0; c < p->channels; c++) {
            int32_t sum = 0;
            for (int32_t ky = rows.first; ky < rows.last; ky++) {
                const int8_t *at = x + (top + ky) * row_size + (left + columns.first) * p->channels;
                for (int32_t k = 0; k < width; k++) {
                    sum += at[k * p->channels + c];
                }
            }
            *out++ = (int8_t)mct_clamp(divide_rounded(sum, count), p->act_min, p->act_max);
        }
    }
}

/* Positions of a window along one axis inside the input. */
static int32_t overlap(int32_t start, int32_t kernel, int32_t size)
{
    int32_t end = start + kernel < size ? start + kernel : size;
    return end - (start > 0 ? start : 0);
}

#define MCT_TEMPLATE "kernels/average_pool2d.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_average_pool2d_pass_error)(const mct_average_pool2d_pass_error_params *p,
                                             const MCT_ERROR *dout, const int16_t *dout_e,
                                             const uint8_t *mask, MCT_ERROR *dx, int16_t *dx_e)
{
    const int32_t channels = p->channels;
    int32_t at = 0; /* in the whole dx */
    for (int32_t y = 0; y < p->in_h; y++) {
        const int32_t out_y = y / p->stride_h;
        const bool has_row = out_y < p->out_h && y % p->stride_h < p->kernel_h;
        for (int32_t column = 0; column < p->in_w; column++, at += channels) {
            const int32_t out_x = column / p->stride_w;
            if (has_row && out_x < p->out_w && column % p->stride_w < p->kernel_w) {
                const MCT_ERROR *from = dout + (out_y * p->out_w + out_x) * channels;
                MCT_NAME(mct_error_pass)(from, channels, mask, at, dx + at);
            } else {
                memset(dx + at, 0, (size_t)channels * sizeof *dx);
            }
        }
    }
    dx_e[0] = (int16_t)(dout_e[0] - p->exponent_step);
}

/* The raw error of channel c at one input position. */
static int32_t MCT_NAME(error_at)(const mct_average_pool2d_grad_params *p, const MCT_ERROR *dout,
                                  int32_t y, int32_t x, int32_t c)
{
    mct_readers rows = mct_window_readers(y + p->pad_top, p->kernel_h, p->stride_h, p->out_h);
    mct_readers columns = mct_window_readers(x + p->pad_left, p->kernel_w, p->stride_w, p->out_w);
    int32_t sum = 0;
    for (int32_t out_y = rows.first; out_y < rows.last; out_y++) {
        int32_t height = overlap(out_y * p->stride_h - p->pad_top, p->kernel_h, p->in_h);
        for (int32_t out_x = columns.first; out_x < columns.last; out_x++) {
            int32_t left = out_x * p->stride_w - p->pad_left;
            int32_t count = height * overlap(left, p->kernel_w, p->in_w);
            int32_t share = ((INT32_C(1) << 16) + count) / (2 * count);
            sum += dout[(out_y * p->out_w + out_x) * p->channels + c] * share;
        }
    }
    return sum;
}

void MCT_NAME(mct_average_pool2d_grad)(const mct_average_pool2d_grad_params *p,
                                       const MCT_ERROR *dout, const int16_t *dout_e,
                                       const uint8_t *mask, MCT_HISTORY, MCT_ERROR *dx,
                                       int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] - 15);
    int32_t at = 0; /* in dx */
    for (int32_t position = 0; position < p->in_h * p->in_w; position++) {
        for (int32_t c = 0; c < p->channels; c++, at++) {
            int32_t raw = 0;
            if (mct_is_open(mask, at)) {
                raw = MCT_NAME(error_at)(p, dout, position / p->in_w, position % p->in_w, c);
            }
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
