/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/mean_squared_error.h"

#include "kernels/error.h"

#define MCT_TEMPLATE "kernels/mean_squared_error.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_mean_squared_error_s8)(const mct_mean_squared_error_params *p, const int8_t *y,
                                         const int8_t *target, MCT_ERROR *dy, int16_t *dy_e,
                                         uint32_t *record)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < p->size; i++) {
        int32_t difference = y[i] - target[i];
        sum += (uint32_t)(difference * difference);
        dy[i] = (MCT_ERROR)mct_near(difference * p->rate, 16 - MCT_BITS);
    }
    dy_e[0] = (int16_t)p->exponent;
    record[0] = sum;
    record[1] = 0;
}

#endif
