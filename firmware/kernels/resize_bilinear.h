/* SPDX-License-Identifier: Apache-2.0 */
/* Another height and width, blended. Twin of trainer/ops/resize_bilinear.py.
 *
 * row[out_h] and column[out_w] say where each output lies in the input, in steps of 2^-10.
 * out = (sum of the four positions around it, each by how near it is) / 2^20, rounded to nearest,
 * ties away from zero; the sum is at most 2^27
 * grad: raw = sum_y near(sum_x dout wx, shift) wy, dx = REQ(raw, dout_e - 20 + shift), masked */
#ifndef MCT_KERNELS_RESIZE_BILINEAR_H
#define MCT_KERNELS_RESIZE_BILINEAR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w, shift;
} mct_resize_bilinear_params;

void mct_resize_bilinear_s8(const mct_resize_bilinear_params *p, const int8_t *x,
                            const int32_t *row, const int32_t *column, int8_t *out);

#define MCT_TEMPLATE "kernels/resize_bilinear.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_resize_bilinear_grad)(const mct_resize_bilinear_params *p, const MCT_ERROR *dout,
                                        const int16_t *dout_e, const uint8_t *mask,
                                        const int32_t *row, const int32_t *column, MCT_HISTORY,
                                        MCT_ERROR *dx, int16_t *dx_e);

#endif
