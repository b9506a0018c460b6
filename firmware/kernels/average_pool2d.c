/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/average_pool2d.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/error.h"
#include "kernels/window.h"

static int32_t divide_rounded(int32_t sum, int32_t count)
{
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

void mct_average_pool2d_s8_row(const mct_average_pool2d_params *p, const int8_t *const rows[],
                               int8_t *out_row)
{
    for (int32_t x = 0; x < p->out_w; x++) {
        int32_t x_in = x * p->stride_w - p->pad_left;
        mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
        for (int32_t c = 0; c < p->channels; c++) {
            int32_t sum = 0;
            int32_t count = 0;
            for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                for (int32_t kx = columns.first; rows[ky] != NULL && kx < columns.last; kx++) {
                    sum += rows[ky][(x_in + kx) * p->channels + c];
                    count++;
                }
            }
            *out_row++ = (int8_t)mct_clamp(divide_rounded(sum, count), p->act_min, p->act_max);
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
    int32_t at = 0; /* in dx */
    for (int32_t y = 0; y < p->in_h; y++) {
        int32_t out_y = y / p->stride_h;
        for (int32_t column = 0; column < p->in_w; column++) {
            int32_t out_x = column / p->stride_w;
            bool inside = out_y < p->out_h && y % p->stride_h < p->kernel_h && out_x < p->out_w &&
                          column % p->stride_w < p->kernel_w;
            for (int32_t c = 0; c < p->channels; c++, at++) {
                bool open = inside && mct_is_open(mask, at);
                dx[at] = open ? dout[(out_y * p->out_w + out_x) * p->channels + c] : (MCT_ERROR)0;
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
            int32_t share = (2 * (1 << 15) + count) / (2 * count);
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
