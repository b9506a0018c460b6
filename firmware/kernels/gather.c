/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/gather.h"

#include <string.h>

#include "kernels/error.h"

void mct_gather_s8(const mct_gather_params *p, const int8_t *x, const uint16_t *index, int8_t *out)
{
    for (int32_t o = 0; o < p->outer; o++, x += p->positions * p->inner) {
        for (int32_t j = 0; j < p->gathered; j++, out += p->inner) {
            memcpy(out, x + index[j] * p->inner, (size_t)p->inner);
        }
    }
}

#define MCT_TEMPLATE "kernels/gather.c"
#include "kernels/each_error.h"

#else

/* The sum over the outputs that are one position; dout is that of element i of all of them. */
static int32_t MCT_NAME(error_at)(const mct_gather_params *p, const MCT_ERROR *dout,
                                  const uint16_t *first, const uint16_t *reader)
{
    int32_t sum = 0;
    for (int32_t r = first[0]; r < first[1]; r++) {
        sum += dout[reader[r] * p->inner];
    }
    return sum;
}

void MCT_NAME(mct_gather_pass_error)(const mct_gather_params *p, const MCT_ERROR *dout,
                                     const int16_t *dout_e, const uint8_t *mask,
                                     const uint16_t *first, const uint16_t *reader, MCT_ERROR *dx,
                                     int16_t *dx_e)
{
    int32_t at = 0; /* in dx */
    for (int32_t o = 0; o < p->outer; o++, dout += p->gathered * p->inner) {
        for (int32_t k = 0; k < p->positions; k++) {
            for (int32_t i = 0; i < p->inner; i++, at++) {
                int32_t raw =
                    mct_is_open(mask, at) ? MCT_NAME(error_at)(p, dout + i, first + k, reader) : 0;
                dx[at] = (MCT_ERROR)raw;
            }
        }
    }
    dx_e[0] = dout_e[0];
}

void MCT_NAME(mct_gather_grad)(const mct_gather_params *p, const MCT_ERROR *dout,
                               const int16_t *dout_e, const uint8_t *mask, const uint16_t *first,
                               const uint16_t *reader, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0]);
    int32_t at = 0; /* in dx */
    for (int32_t o = 0; o < p->outer; o++, dout += p->gathered * p->inner) {
        for (int32_t k = 0; k < p->positions; k++) {
            for (int32_t i = 0; i < p->inner; i++, at++) {
                int32_t raw =
                    mct_is_open(mask, at) ? MCT_NAME(error_at)(p, dout + i, first + k, reader) : 0;
                dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
            }
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
