/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/concatenation.h"

#include <string.h>

void mct_concatenation_s8(const mct_concatenation_params *p, const int8_t *const x[],
                          const int32_t *part, int8_t *out)
{
    for (int32_t o = 0; o < p->outer; o++) {
        for (int32_t k = 0; k < p->inputs; k++) {
            memcpy(out, x[k] + o * part[k], (size_t)part[k]);
            out += part[k];
        }
    }
}
