/* SPDX-License-Identifier: Apache-2.0 */
/* Where a forward value is inside its limits, four elements in an instruction.
 * Twin of trainer/ops/clamp_mask_dsp.py, and equal to mct_clamp_mask_s8 in every bit. */
#ifndef MCT_KERNELS_CLAMP_MASK_DSP_H
#define MCT_KERNELS_CLAMP_MASK_DSP_H

#include "kernels/clamp_mask.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x_min is less than 127, x_max more than -128. */
void mct_clamp_mask_dsp_s8(const mct_clamp_mask_params *p, const int8_t *x, uint8_t *mask);

#ifdef __cplusplus
}
#endif

#endif
