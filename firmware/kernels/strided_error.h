/* SPDX-License-Identifier: Apache-2.0 */
/* The error of what only moves values about. Twin of trainer/ops/strided_error.py.
 *
 * dx[i0][i1][i2][i3] = dout[offset + sum_k i_k stride_k] where mask (kernels/clamp_mask.h) is 1,
 * else 0
 * dx_e = dout_e - exponent_step */
#ifndef MCT_KERNELS_STRIDED_ERROR_H
#define MCT_KERNELS_STRIDED_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size_0, size_1, size_2, size_3;
    int32_t stride_0, stride_1, stride_2, stride_3;
    int32_t offset, exponent_step;
} mct_strided_error_params;

#define MCT_TEMPLATE "kernels/strided_error.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_strided_error)(const mct_strided_error_params *p, const MCT_ERROR *dout,
                                 const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                                 int16_t *dx_e);

#endif
