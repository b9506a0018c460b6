/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_dsp.h"

#include <stddef.h>

#include "kernels/window.h"
#include "mct/dsp.h"

enum { CHANNELS = 4 }; /* summed side by side */

typedef struct {
    int32_t sum0, sum1, sum2, sum3;
} sums_4;

static inline int8_t output_of(const mct_depthwise_conv2d_params *p, int32_t sum, const int32_t *b,
                               const mct_requant *q, int32_t c)
{
    int32_t acc = mct_wrapping_add(sum, b != NULL ? b[c] : 0);
    return (int8_t)mct_requantize_any(acc, q[c], p->out_offset);
}

/* sums += a row of taps, each `step` behind the one before, in four channels. */
static inline sums_4 add_row(sums_4 s, const int8_t *x, const int8_t *w, int32_t step, int32_t taps,
                             uint32_t offsets)
{
    for (; taps > 0; taps--, x += step, w += step) {
        uint32_t four = mct_load4(x);
        uint32_t weights = mct_load4(w);
        uint32_t even = mct_add_even(offsets, four);
        uint32_t odd = mct_add_odd(offsets, four);
        uint32_t w_even = mct_even(weights);
        uint32_t w_odd = mct_odd(weights);
        s.sum0 = mct_multiply_low(even, w_even, s.sum0);
        s.sum1 = mct_multiply_low(odd, w_odd, s.sum1);
        s.sum2 = mct_multiply_high(even, w_even, s.sum2);
        s.sum3 = mct_multiply_high(odd, w_odd, s.sum3);
    }
    return s;
}

void mct_depthwise_conv2d_dsp_s8_row(const mct_depthwise_conv2d_params *p,
                                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                                     const int32_t *requant, int8_t *out_row)
{
    const int32_t step = p->in_ch;
    const mct_requant *q = mct_requants(requant);
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    for (int32_t x = 0; x < p->out_w; x++, out_row += step) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
        const int32_t taps = columns.last - columns.first;
        const int32_t first = (x_in + columns.first) * step;
        const int8_t *filter = w + columns.first * step;
        int32_t c = 0;
        for (; c <= step - CHANNELS; c += CHANNELS) {
            sums_4 s = {0, 0, 0, 0};
            for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                if (rows[ky] != NULL) {
                    s = add_row(s, rows[ky] + first + c, filter + ky * p->kernel_w * step + c, step,
                                taps, offsets);
                }
            }
            out_row[c] = output_of(p, s.sum0, b, q, c);
            out_row[c + 1] = output_of(p, s.sum1, b, q, c + 1);
            out_row[c + 2] = output_of(p, s.sum2, b, q, c + 2);
            out_row[c + 3] = output_of(p, s.sum3, b, q, c + 3);
        }
        for (; c < step; c++) {
            int32_t sum = 0;
            for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                const int8_t *at = filter + ky * p->kernel_w * step + c;
                for (int32_t k = 0; rows[ky] != NULL && k < taps; k++) {
                    sum += (rows[ky][first + c + k * step] + p->x_offset) * at[k * step];
                }
            }
            out_row[c] = output_of(p, sum, b, q, c);
        }
        mct_clamp_outputs(out_row, step, p->act_min, p->act_max);
    }
}

void mct_depthwise_conv2d_dsp_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                 const int8_t *w, const int32_t *b, const int32_t *requant,
                                 int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        mct_depthwise_conv2d_dsp_s8_row(p, rows, w, b, requant, out);
    }
}
