/* SPDX-License-Identifier: Apache-2.0 */
/* Positions in any order, some several times or never. Twin of trainer/ops/gather.py.
 *
 * index[gathered] are the positions of x that the outputs are; reader[gathered] the outputs in the
 * order of their positions, those of position k from first[k] on, up to first[k + 1].
 * out[o][j][i] = x[o][index[j]][i]
 * pass_error (none is taken twice): dx = dout of the output that is it, else 0, dx_e = dout_e
 * grad: dx = REQ(sum of dout over the outputs that are it, dout_e); both masked */
#ifndef MCT_KERNELS_GATHER_H
#define MCT_KERNELS_GATHER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t outer, positions, inner, gathered;
} mct_gather_params;

void mct_gather_s8(const mct_gather_params *p, const int8_t *x, const uint16_t *index, int8_t *out);

#define MCT_TEMPLATE "kernels/gather.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_gather_pass_error)(const mct_gather_params *p, const MCT_ERROR *dout,
                                     const int16_t *dout_e, const uint8_t *mask,
                                     const uint16_t *first, const uint16_t *reader, MCT_ERROR *dx,
                                     int16_t *dx_e);

void MCT_NAME(mct_gather_grad)(const mct_gather_params *p, const MCT_ERROR *dout,
                               const int16_t *dout_e, const uint8_t *mask, const uint16_t *first,
                               const uint16_t *reader, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
