/* SPDX-License-Identifier: Apache-2.0 */
/* Where a forward value is inside its limits, a bit for each element (SPEC 1.3).
 * Twin of trainer/ops/clamp_mask.py.
 *
 * bit k % 8 of mask[k / 8] = x_min < x[k] < x_max, 0 behind the last element */
#ifndef MCT_KERNELS_CLAMP_MASK_H
#define MCT_KERNELS_CLAMP_MASK_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size, x_min, x_max;
} mct_clamp_mask_params;

/* A part of a tensor that begins at a multiple of 8 elements has a mask of its own. */
void mct_clamp_mask_s8(const mct_clamp_mask_params *p, const int8_t *x, uint8_t *mask);

/* Whether element k is inside its limits. */
static inline bool mct_is_open(const uint8_t *mask, int32_t k)
{
    uint32_t at = (uint32_t)k;
    return (((uint32_t)mask[at / 8u] >> (at % 8u)) & 1u) != 0u;
}

#ifdef __cplusplus
}
#endif

#endif
