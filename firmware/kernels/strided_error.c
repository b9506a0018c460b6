/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/strided_error.h"

#include "kernels/clamp_mask.h"

#define MCT_TEMPLATE "kernels/strided_error.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_strided_error)(const mct_strided_error_params *p, const MCT_ERROR *dout,
                                 const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                                 int16_t *dx_e)
{
    int32_t at = 0; /* in dx */
    for (int32_t i = 0; i < p->size_0; i++) {
        for (int32_t j = 0; j < p->size_1; j++) {
            for (int32_t k = 0; k < p->size_2; k++) {
                const MCT_ERROR *from =
                    dout + p->offset + i * p->stride_0 + j * p->stride_1 + k * p->stride_2;
                for (int32_t l = 0; l < p->size_3; l++, at++) {
                    dx[at] = mct_is_open(mask, at) ? from[l * p->stride_3] : (MCT_ERROR)0;
                }
            }
        }
    }
    dx_e[0] = (int16_t)(dout_e[0] - p->exponent_step);
}

#endif
