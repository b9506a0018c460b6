/* SPDX-License-Identifier: Apache-2.0 */
/* Average over windows and its gradients. Twin of trainer/ops/average_pool2d.py.
 *
 * out = sum(x over the window) / count, rounded half away from zero, clamped
 * pass_error (disjoint windows of 2^k): dx = dout of the window, dx_e = dout_e - k, masked
 * grad:       dx = REQ(sum over windows of dout * round(2^15 / count), dout_e - 15) */
#ifndef MCT_KERNELS_AVERAGE_POOL2D_H
#define MCT_KERNELS_AVERAGE_POOL2D_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t act_min, act_max;
} mct_average_pool2d_params;

/* One output row from kernel_h input rows; a row of padding is NULL. */
void mct_average_pool2d_s8_row(const mct_average_pool2d_params *p, const int8_t *const rows[],
                               int8_t *out_row);

void mct_average_pool2d_s8(const mct_average_pool2d_params *p, const int8_t *x, int8_t *out);

/* The same of windows that may have more rows than MCT_MAX_KERNEL_H: no row is pointed to. */
void mct_average_pool2d_s8_tall(const mct_average_pool2d_params *p, const int8_t *x, int8_t *out);

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t exponent_step;
} mct_average_pool2d_pass_error_params;

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
} mct_average_pool2d_grad_params;

#define MCT_TEMPLATE "kernels/average_pool2d.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_average_pool2d_pass_error)(const mct_average_pool2d_pass_error_params *p,
                                             const MCT_ERROR *dout, const int16_t *dout_e,
                                             const uint8_t *mask, MCT_ERROR *dx, int16_t *dx_e);

void MCT_NAME(mct_average_pool2d_grad)(const mct_average_pool2d_grad_params *p,
                                       const MCT_ERROR *dout, const int16_t *dout_e,
                                       const uint8_t *mask, MCT_HISTORY, MCT_ERROR *dx,
                                       int16_t *dx_e);

#endif
