/* SPDX-License-Identifier: Apache-2.0 */
/* From the sums of a layer with weights to its outputs. Twin of trainer/ops/weighted.py. */
#ifndef MCT_KERNELS_WEIGHTED_H
#define MCT_KERNELS_WEIGHTED_H

#include <stdint.h>

#include "mct/fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sums whose outputs are made at a time. */
#ifdef MCT_HAS_VECTORS
enum { MCT_BATCH = 64 };
#else
enum { MCT_BATCH = 8 };
#endif

/* The tables of a layer, one entry for each output channel, and what is the same for all; b may be
 * NULL. */
typedef struct {
    const int32_t *b;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t out_offset, act_min, act_max;
} mct_outputs;

/* out[k] = requantize(sums[k] + b[first + k]) + out_offset, clamped; k < count <=
 * MCT_BATCH */
void mct_put_outputs(const mct_outputs *to, int32_t first, int32_t count, const int32_t *sums,
                     int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
