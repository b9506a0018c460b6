/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/scattered_error.h"

#include <string.h>

#include "kernels/clamp_mask.h"
#include "kernels/error.h"

#define MCT_TEMPLATE "kernels/scattered_error.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_scattered_error)(const mct_scattered_error_params *p, const MCT_ERROR *dout,
                                   const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                                   int16_t *dx_e)
{
    memset(dx, 0, (size_t)p->size * sizeof(MCT_ERROR));
    for (int32_t i = 0; i < p->size_0; i++) {
        for (int32_t j = 0; j < p->size_1; j++) {
            for (int32_t k = 0; k < p->size_2; k++) {
                int32_t at = p->offset + i * p->stride_0 + j * p->stride_1 + k * p->stride_2;
                for (int32_t l = 0; l < p->size_3; l++, at += p->stride_3, dout++) {
                    if (mct_is_open(mask, at)) {
                        dx[at] = *dout;
                    }
                }
            }
        }
    }
    dx_e[0] = dout_e[0];
}

static void MCT_NAME(add_part)(const MCT_ERROR *dout, int32_t shift, const int32_t *where,
                               int32_t *sums)
{
    const int32_t *size = where, *stride = where + 4;
    for (int32_t i = 0; i < size[0]; i++) {
        for (int32_t j = 0; j < size[1]; j++) {
            for (int32_t k = 0; k < size[2]; k++) {
                int32_t at = where[8] + i * stride[0] + j * stride[1] + k * stride[2];
                for (int32_t l = 0; l < size[3]; l++, at += stride[3]) {
                    sums[at] += mct_near(*dout++ * INT32_C(256), shift);
                }
            }
        }
    }
}

void MCT_NAME(mct_sum_parts)(const mct_sum_parts_params *p, const MCT_ERROR *const dout[],
                             const int16_t *const dout_e[], const int32_t *where,
                             const uint8_t *mask, MCT_HISTORY, int32_t *sums, MCT_ERROR *dx,
                             int16_t *dx_e)
{
    int32_t greatest_e = dout_e[0][0];
    for (int32_t reader = 1; reader < p->readers; reader++) {
        greatest_e = dout_e[reader][0] > greatest_e ? dout_e[reader][0] : greatest_e;
    }
    memset(sums, 0, (size_t)p->size * sizeof(int32_t));
    for (int32_t reader = 0; reader < p->readers; reader++, where += 9) {
        int32_t shift = mct_clamp(greatest_e - dout_e[reader][0], 0, 31);
        MCT_NAME(add_part)(dout[reader], shift, where, sums);
    }
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(greatest_e - 8);
    for (int32_t at = 0; at < p->size; at++) {
        dx[at] = MCT_NAME(mct_error_put)(&writer, mct_is_open(mask, at) ? sums[at] : 0);
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
