/* SPDX-License-Identifier: Apache-2.0 */
/* Maximum over windows and its gradients. Twin of trainer/ops/max_pool2d.py.
 *
 * out = max(x over the window), clamped
 * pass_error (disjoint windows): dx = dout of the window at its first maximum in row-major order,
 *                                else 0, dx_e = dout_e, masked
 * grad: dx = REQ(sum of dout over the windows whose first maximum it is, dout_e) */
#ifndef MCT_KERNELS_MAX_POOL2D_H
#define MCT_KERNELS_MAX_POOL2D_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t act_min, act_max;
} mct_max_pool2d_params;

/* One output row from kernel_h input rows; a row of padding is NULL. */
void mct_max_pool2d_s8_row(const mct_max_pool2d_params *p, const int8_t *const rows[],
                           int8_t *out_row);

void mct_max_pool2d_s8(const mct_max_pool2d_params *p, const int8_t *x, int8_t *out);

/* The same of windows that may have more rows than MCT_MAX_KERNEL_H: no row is pointed to. */
void mct_max_pool2d_s8_tall(const mct_max_pool2d_params *p, const int8_t *x, int8_t *out);

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
} mct_max_pool2d_grad_params;

#define MCT_TEMPLATE "kernels/max_pool2d.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_max_pool2d_pass_error)(const mct_max_pool2d_grad_params *p, const MCT_ERROR *dout,
                                         const int16_t *dout_e, const int8_t *x,
                                         const uint8_t *mask, MCT_ERROR *dx, int16_t *dx_e);

void MCT_NAME(mct_max_pool2d_grad)(const mct_max_pool2d_grad_params *p, const MCT_ERROR *dout,
                                   const int16_t *dout_e, const int8_t *x, const uint8_t *mask,
                                   MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
