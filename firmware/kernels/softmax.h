/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax over rows, scale 1/256, zero point -128. Twin of trainer/ops/softmax.py.
 *
 * out[i] = exp(s (x[i] - max x)) / sum exp, in the fixed point of gemmlowp */
#ifndef MCT_KERNELS_SOFTMAX_H
#define MCT_KERNELS_SOFTMAX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t rows, channels, multiplier, shift, least_difference;
} mct_softmax_params;

void mct_softmax_s8(const mct_softmax_params *p, const int8_t *x, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
