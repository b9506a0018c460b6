/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/lookup.h"

#include "kernels/error.h"

void mct_lookup_s8(const mct_lookup_params *p, const int8_t *x, const int8_t *table, int8_t *out)
{
    for (int32_t k = 0; k < p->size; k++) {
        out[k] = table[x[k] + 128];
    }
}

#define MCT_TEMPLATE "kernels/lookup.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_lookup_grad)(const mct_lookup_grad_params *p, const MCT_ERROR *dout,
                               const int16_t *dout_e, const int8_t *x, const uint8_t *mask,
                               const int16_t *slope, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->exponent_step);
    for (int32_t k = 0; k < p->size; k++) {
        int32_t raw = mct_is_open(mask, k) ? (int32_t)dout[k] * slope[x[k] + 128] : 0;
        dx[k] = MCT_NAME(mct_error_put)(&writer, raw);
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
