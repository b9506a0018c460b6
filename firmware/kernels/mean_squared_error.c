/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/mean_squared_error.h"

#include "mct/fixedpoint.h"

void mct_mean_squared_error_s8(const mct_mean_squared_error_params *p, const int8_t *y,
                               const int8_t *target, int16_t *dy, int16_t *dy_e, uint32_t *record)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < p->size; i++) {
        int32_t difference = y[i] - target[i];
        sum += (uint32_t)(difference * difference);
        dy[i] = (int16_t)mct_near(difference * p->rate, 5);
    }
    dy_e[0] = (int16_t)p->exponent;
    record[0] = sum;
    record[1] = 0;
}
