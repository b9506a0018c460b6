/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/scattered_error.h"

#include <string.h>

#include "kernels/clamp_mask.h"

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

#endif
