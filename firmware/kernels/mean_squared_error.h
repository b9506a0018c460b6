/* SPDX-License-Identifier: Apache-2.0 */
/* Mean squared error (SPEC 1.2). Twin of trainer/ops/mean_squared_error.py.
 *
 * dy = near((y - target) rate, 16 - bits), dy_e = exponent, record = {sum (y - target)^2, 0}
 * |y - target| <= 255 and rate <= 255, so that |dy| <= 2032, for E8 127; size <= 2^16. */
#ifndef MCT_KERNELS_MEAN_SQUARED_ERROR_H
#define MCT_KERNELS_MEAN_SQUARED_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size, rate, exponent;
} mct_mean_squared_error_params;

#define MCT_TEMPLATE "kernels/mean_squared_error.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_mean_squared_error_s8)(const mct_mean_squared_error_params *p, const int8_t *y,
                                         const int8_t *target, MCT_ERROR *dy, int16_t *dy_e,
                                         uint32_t *record);

#endif
