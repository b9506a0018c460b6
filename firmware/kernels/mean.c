/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/mean.h"

#include "kernels/error.h"

void mct_mean_s8(const mct_mean_params *p, const int8_t *x, int8_t *out)
{
    for (int32_t o = 0; o < p->outer; o++, x += p->count * p->inner) {
        for (int32_t i = 0; i < p->inner; i++) {
            int32_t sum = p->sum_offset;
            for (int32_t k = 0; k < p->count; k++) {
                sum += x[k * p->inner + i];
            }
            int32_t value = mct_requantize(sum, p->multiplier, p->shift);
            *out++ = (int8_t)mct_saturated8(mct_wrapping_add(value, p->out_offset));
        }
    }
}

#define MCT_TEMPLATE "kernels/mean.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_mean_grad)(const mct_mean_grad_params *p, const MCT_ERROR *dout,
                             const int16_t *dout_e, const uint8_t *mask, MCT_HISTORY, MCT_ERROR *dx,
                             int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] - 15);
    int32_t at = 0; /* in dx */
    for (int32_t o = 0; o < p->outer; o++, dout += p->inner) {
        for (int32_t k = 0; k < p->count; k++) {
            for (int32_t i = 0; i < p->inner; i++, at++) {
                int32_t raw = mct_is_open(mask, at) ? dout[i] * p->share : 0;
                dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
            }
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
