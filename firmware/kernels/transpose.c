/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/transpose.h"

void mct_transpose_s8(const mct_transpose_params *p, const int8_t *x, int8_t *out)
{
    for (int32_t i = 0; i < p->size_0; i++) {
        for (int32_t j = 0; j < p->size_1; j++) {
            for (int32_t k = 0; k < p->size_2; k++) {
                const int8_t *from = x + i * p->stride_0 + j * p->stride_1 + k * p->stride_2;
                for (int32_t l = 0; l < p->size_3; l++) {
                    *out++ = from[l * p->stride_3];
                }
            }
        }
    }
}
