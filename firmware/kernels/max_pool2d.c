/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/max_pool2d.h"

#include <stddef.h>
#include <string.h>

#include "kernels/error.h"
#include "kernels/window.h"

void mct_max_pool2d_s8_row(const mct_max_pool2d_params *p, const int8_t *const rows[],
                           int8_t *out_row)
{
    for (int32_t x = 0; x < p->out_w; x++) {
        int32_t x_in = x * p->stride_w - p->pad_left;
        mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
        for (int32_t c = 0; c < p->channels; c++) {
            int32_t greatest = INT8_MIN;
            for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                for (int32_t kx = columns.first; rows[ky] != NULL && kx < columns.last; kx++) {
                    int32_t value = rows[ky][(x_in + kx) * p->channels + c];
                    greatest = value > greatest ? value : greatest;
                }
            }
            *out_row++ = (int8_t)mct_clamp(greatest, p->act_min, p->act_max);
        }
    }
}

void mct_max_pool2d_s8(const mct_max_pool2d_params *p, const int8_t *x, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++) {
        int32_t top = y * p->stride_h - p->pad_top;
        mct_window_rows(x, p->in_w * p->channels, p->in_h, top, p->kernel_h, rows);
        mct_max_pool2d_s8_row(p, rows, out + y * p->out_w * p->channels);
    }
}

void mct_max_pool2d_s8_tall(const mct_max_pool2d_params *p, const int8_t *x, int8_t *out)
{
    const int32_t row_size = p->in_w * p->channels;
    for (int32_t position = 0; position < p->out_h * p->out_w; position++) {
        const int32_t top = position / p->out_w * p->stride_h - p->pad_top;
        const int32_t left = position % p->out_w * p->stride_w - p->pad_left;
        const mct_columns rows = mct_window_columns(top, p->kernel_h, p->in_h);
        const mct_columns columns = mct_window_columns(left, p->kernel_w, p->in_w);
        for (int32_t c = 0; c < p->channels; c++) {
            int32_t greatest = INT8_MIN;
            for (int32_t ky = rows.first; ky < rows.last; ky++) {
                const int8_t *at = x + (top + ky) * row_size + left * p->channels;
                for (int32_t kx = columns.first; kx < columns.last; kx++) {
                    int32_t value = at[kx * p->channels + c];
                    greatest = value > greatest ? value : greatest;
                }
            }
            *out++ = (int8_t)mct_clamp(greatest, p->act_min, p->act_max);
        }
    }
}

/* Index in x of the first maximum of channel c in the window of one output. */
static int32_t first_maximum(const mct_max_pool2d_grad_params *p, const int8_t *x, int32_t out_y,
                             int32_t out_x, int32_t c)
{
    int32_t top = out_y * p->stride_h - p->pad_top;
    int32_t left = out_x * p->stride_w - p->pad_left;
    mct_columns columns = mct_window_columns(left, p->kernel_w, p->in_w);
    int32_t first = -1;
    for (int32_t y = top < 0 ? 0 : top; y < top + p->kernel_h && y < p->in_h; y++) {
        for (int32_t kx = columns.first; kx < columns.last; kx++) {
            int32_t at = (y * p->in_w + left + kx) * p->channels + c;
            first = first < 0 || x[at] > x[first] ? at : first;
        }
    }
    return first;
}

#define MCT_TEMPLATE "kernels/max_pool2d.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_max_pool2d_pass_error)(const mct_max_pool2d_grad_params *p, const MCT_ERROR *dout,
                                         const int16_t *dout_e, const int8_t *x,
                                         const uint8_t *mask, MCT_ERROR *dx, int16_t *dx_e)
{
    memset(dx, 0, (size_t)(p->in_h * p->in_w * p->channels) * sizeof *dx);
    for (int32_t y = 0; y < p->out_h; y++) {
        for (int32_t column = 0; column < p->out_w; column++) {
            for (int32_t c = 0; c < p->channels; c++, dout++) {
                int32_t at = first_maximum(p, x, y, column, c);
                dx[at] = mct_is_open(mask, at) ? *dout : (MCT_ERROR)0;
            }
        }
    }
    dx_e[0] = dout_e[0];
}

/* The raw error of channel c at one input position. */
static int32_t MCT_NAME(error_at)(const mct_max_pool2d_grad_params *p, const MCT_ERROR *dout,
                                  const int8_t *x, int32_t y_in, int32_t x_in, int32_t c)
{
    int32_t at = (y_in * p->in_w + x_in) * p->channels + c;
    mct_readers rows = mct_window_readers(y_in + p->pad_top, p->kernel_h, p->stride_h, p->out_h);
    mct_readers columns =
        mct_window_readers(x_in + p->pad_left, p->kernel_w, p->stride_w, p->out_w);
    int32_t sum = 0;
    for (int32_t out_y = rows.first; out_y < rows.last; out_y++) {
        for (int32_t out_x = columns.first; out_x < columns.last; out_x++) {
            if (first_maximum(p, x, out_y, out_x, c) == at) {
                sum += dout[(out_y * p->out_w + out_x) * p->channels + c];
            }
        }
    }
    return sum;
}

void MCT_NAME(mct_max_pool2d_grad)(const mct_max_pool2d_grad_params *p, const MCT_ERROR *dout,
                                   const int16_t *dout_e, const int8_t *x, const uint8_t *mask,
                                   MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0]);
    for (int32_t position = 0; position < p->in_h * p->in_w; position++) {
        for (int32_t c = 0; c < p->channels; c++) {
            int32_t raw = 0;
            if (mct_is_open(mask, position * p->channels + c)) {
                raw = MCT_NAME(error_at)(p, dout, x, position / p->in_w, position % p->in_w, c);
            }
            *dx++ = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
