/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/add_table.h"

#include "mct/fixedpoint.h"

void mct_add_table_s8(const mct_add_table_params *p, const int8_t *a, const int8_t *b,
                      const int32_t *a_terms, const int32_t *b_terms, void *scratch, int8_t *out)
{
    int32_t *terms = scratch;
    for (int32_t k = 0; k < p->size; k++) {
        terms[k] = b_terms[(uint8_t)b[k]];
    }
    for (int32_t k = p->size - 1; k >= 0; k--) {
        int32_t sum = a_terms[(uint8_t)a[k]] + terms[k];
        sum = mct_requantize(sum, p->out_multiplier, p->out_shift);
        sum = mct_wrapping_add(sum, p->out_offset);
        out[k] = (int8_t)mct_clamp(sum, p->act_min, p->act_max);
    }
}
