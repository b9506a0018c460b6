/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/strided_copy.h"

#include <string.h>

void mct_strided_copy_s8(const mct_strided_copy_params *p, const int8_t *x, int8_t *out)
{
    for (int32_t i = 0; i < p->size_0; i++) {
        for (int32_t j = 0; j < p->size_1; j++) {
            for (int32_t k = 0; k < p->size_2; k++) {
                const int8_t *from =
                    x + p->offset + i * p->stride_0 + j * p->stride_1 + k * p->stride_2;
                if (p->stride_3 == 1) {
                    /* The output may lie over what of the input was read. */
                    memmove(out, from, (size_t)p->size_3);
                    out += p->size_3;
                } else {
                    for (int32_t l = 0; l < p->size_3; l++) {
                        *out++ = from[l * p->stride_3];
                    }
                }
            }
        }
    }
}
