/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices that are both activations. Twin of trainer/ops/batch_matmul.py; the
 * gradients are those of kernels/mul.h, summed along other axes.
 *
 * out = requantize(sum_k (a[k a_step] + a_offset) (b[k b_step] + b_offset)) + out_offset, clamped
 * axes: kernels/broadcast.h, of the batch, the rows and the columns of out */
#ifndef MCT_KERNELS_BATCH_MATMUL_H
#define MCT_KERNELS_BATCH_MATMUL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t depth, a_step, b_step;
    int32_t a_offset, b_offset, out_offset, multiplier, shift;
    int32_t act_min, act_max;
} mct_batch_matmul_params;

/* No sum passes int32: depth is at most 33025. */
void mct_batch_matmul_s8(const mct_batch_matmul_params *p, const int8_t *a, const int8_t *b,
                         const int32_t *axes, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
