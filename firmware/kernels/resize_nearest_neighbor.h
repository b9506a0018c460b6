/* SPDX-License-Identifier: Apache-2.0 */
/* Another height and width. Twin of trainer/ops/resize_nearest_neighbor.py.
 *
 * row[out_h] and column[out_w] are the input's positions that each output reads, ascending.
 * out[y][x] = x[row[y]][column[x]]
 * pass_error (none is read twice): dx = dout of the output that reads it, else 0, dx_e = dout_e
 * grad: dx = REQ(sum of dout over the outputs that read it, dout_e); both masked */
#ifndef MCT_KERNELS_RESIZE_NEAREST_NEIGHBOR_H
#define MCT_KERNELS_RESIZE_NEAREST_NEIGHBOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
} mct_resize_nearest_neighbor_params;

void mct_resize_nearest_neighbor_s8(const mct_resize_nearest_neighbor_params *p, const int8_t *x,
                                    const uint16_t *row, const uint16_t *column, int8_t *out);

#define MCT_TEMPLATE "kernels/resize_nearest_neighbor.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_resize_nearest_neighbor_pass_error)(const mct_resize_nearest_neighbor_params *p,
                                                      const MCT_ERROR *dout, const int16_t *dout_e,
                                                      const uint8_t *mask, const uint16_t *row,
                                                      const uint16_t *column, MCT_ERROR *dx,
                                                      int16_t *dx_e);

void MCT_NAME(mct_resize_nearest_neighbor_grad)(const mct_resize_nearest_neighbor_params *p,
                                                const MCT_ERROR *dout, const int16_t *dout_e,
                                                const uint8_t *mask, const uint16_t *row,
                                                const uint16_t *column, MCT_HISTORY, MCT_ERROR *dx,
                                                int16_t *dx_e);

#endif
