/* SPDX-License-Identifier: Apache-2.0 */
/* Values from elsewhere, by even strides. Twin of trainer/ops/strided_copy.py.
 *
 * out[i0][i1][i2][i3] = x[offset + sum_k i_k stride_k] */
#ifndef MCT_KERNELS_STRIDED_COPY_H
#define MCT_KERNELS_STRIDED_COPY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size_0, size_1, size_2, size_3;
    int32_t stride_0, stride_1, stride_2, stride_3;
    int32_t offset;
} mct_strided_copy_params;

void mct_strided_copy_s8(const mct_strided_copy_params *p, const int8_t *x, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
