/* SPDX-License-Identifier: Apache-2.0 */
/* The axes in another order. Twin of trainer/ops/transpose.py.
 *
 * out[i0][i1][i2][i3] = x[sum_k i_k stride_k] */
#ifndef MCT_KERNELS_TRANSPOSE_H
#define MCT_KERNELS_TRANSPOSE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size_0, size_1, size_2, size_3;
    int32_t stride_0, stride_1, stride_2, stride_3;
} mct_transpose_params;

void mct_transpose_s8(const mct_transpose_params *p, const int8_t *x, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
