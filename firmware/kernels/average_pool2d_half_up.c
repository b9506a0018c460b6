/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/average_pool2d_half_up.h"

#include "kernels/window.h"

/* The sum over the positions of a window, each counted from -128, so that it is not negative. */
static int32_t sum_from_least(const int8_t *x, int32_t step, int32_t positions)
{
    int32_t sum = 0;
    for (; positions > 0; positions--, x += step) {
        sum += x[0] + 128;
    }
    return sum;
}

void mct_average_pool2d_half_up_s8(const mct_average_pool2d_params *p, const int8_t *x, int8_t *out)
{
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
                const int32_t at = ((top + ky) * p->in_w + left + columns.first) * p->channels + c;
                sum += sum_from_least(x + at, p->channels, width);
            }
            const int32_t average = (sum + count / 2) / count - 128;
            *out++ = (int8_t)mct_clamp(average, p->act_min, p->act_max);
        }
    }
}
