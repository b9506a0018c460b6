/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/lookup.h"

#include "kernels/error.h"

void mct_lookup_s8(const mct_lookup_params *p, const int8_t *x, const int8_t *table, int8_t *out)
{
    for (int32_t k = 0; k < p->size; k++) {
        out[k] = table[x[k] + 128];
    }
}

void mct_lookup_grad_s16(const mct_lookup_grad_params *p, const int16_t *dout,
                         const int16_t *dout_e, const int8_t *x, const int16_t *slope,
                         int16_t *history, int16_t *dx, int16_t *dx_e)
{
    mct_error_writer writer = mct_error_begin(dout_e[0] + p->exponent_step, history);
    for (int32_t k = 0; k < p->size; k++) {
        int32_t raw = x[k] > p->x_min && x[k] < p->x_max ? dout[k] * slope[x[k] + 128] : 0;
        dx[k] = mct_error_put(&writer, raw);
    }
    mct_error_end(&writer, history, dx_e);
}
