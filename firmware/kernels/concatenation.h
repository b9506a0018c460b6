/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors one after another along an axis. Twin of trainer/ops/concatenation.py.
 *
 * out[o] = x[0][o], x[1][o], ..; x[k][o] is a row of part[k] elements */
#ifndef MCT_KERNELS_CONCATENATION_H
#define MCT_KERNELS_CONCATENATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t outer, inputs;
} mct_concatenation_params;

void mct_concatenation_s8(const mct_concatenation_params *p, const int8_t *const x[],
                          const int32_t *part, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
