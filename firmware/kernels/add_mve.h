/* SPDX-License-Identifier: Apache-2.0 */
/* out = a + b of one size, four elements at a time. Twin of trainer/ops/add_mve.py, and equal to
 * mct_add_s8 (kernels/add.h) in every bit, where no shift is to the left. */
#ifndef MCT_KERNELS_ADD_MVE_H
#define MCT_KERNELS_ADD_MVE_H

#include "kernels/add.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_add_mve_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
