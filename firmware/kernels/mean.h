/* SPDX-License-Identifier: Apache-2.0 */
/* Mean over neighbouring axes and its gradient. Twin of trainer/ops/mean.py.
 *
 * x is [outer][count][inner], out is [outer][inner]:
 * out = requantize(sum over count of x + sum_offset) + out_offset, clamped
 * dx  = REQ(dout * share, dout_e - 15), share = round(2^15 / count) */
#ifndef MCT_KERNELS_MEAN_H
#define MCT_KERNELS_MEAN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t outer, count, inner;
    int32_t sum_offset, out_offset, multiplier, shift;
} mct_mean_params;

/* No sum passes int32: count is at most (2^31 - 1) / 255. */
void mct_mean_s8(const mct_mean_params *p, const int8_t *x, int8_t *out);

typedef struct {
    int32_t outer, count, inner, share;
} mct_mean_grad_params;

#define MCT_TEMPLATE "kernels/mean.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_mean_grad)(const mct_mean_grad_params *p, const MCT_ERROR *dout,
                             const int16_t *dout_e, const uint8_t *mask, MCT_HISTORY, MCT_ERROR *dx,
                             int16_t *dx_e);

#endif
