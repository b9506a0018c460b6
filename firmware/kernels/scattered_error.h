/* SPDX-License-Identifier: Apache-2.0 */
/* The error of what takes a part of a tensor. Twin of trainer/ops/scattered_error.py.
 *
 * dx[offset + sum_k i_k stride_k] = dout[i0][i1][i2][i3] where mask (kernels/clamp_mask.h) is 1,
 * else 0; dx is 0 elsewhere
 * dx_e = dout_e
 *
 * sum_parts, of a tensor with many parts: dx = REQ(sum of near(dout_r << 8, min(31, emax - e_r))
 * where the parts lie, emax - 8), masked; where: sizes, strides and offset of each part; sums: one
 * for each element */
#ifndef MCT_KERNELS_SCATTERED_ERROR_H
#define MCT_KERNELS_SCATTERED_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size_0, size_1, size_2, size_3;
    int32_t stride_0, stride_1, stride_2, stride_3;
    int32_t offset, size;
} mct_scattered_error_params;

typedef struct {
    int32_t size, readers;
} mct_sum_parts_params;

#define MCT_TEMPLATE "kernels/scattered_error.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_scattered_error)(const mct_scattered_error_params *p, const MCT_ERROR *dout,
                                   const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                                   int16_t *dx_e);

void MCT_NAME(mct_sum_parts)(const mct_sum_parts_params *p, const MCT_ERROR *const dout[],
                             const int16_t *const dout_e[], const int32_t *where,
                             const uint8_t *mask, MCT_HISTORY, int32_t *sums, MCT_ERROR *dx,
                             int16_t *dx_e);

#endif
