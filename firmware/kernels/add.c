/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/add.h"

#include "mct/fixedpoint.h"

void mct_add_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, int8_t *out)
{
    const int32_t one = INT32_C(1) << 20; /* |a + offset| <= 255: the product fits 28 bits */
    for (int32_t k = 0; k < p->size; k++) {
        int32_t sum = mct_requantize((a[k] + p->a_offset) * one, p->a_multiplier, p->a_shift) +
                      mct_requantize((b[k] + p->b_offset) * one, p->b_multiplier, p->b_shift);
        sum = mct_requantize(sum, p->out_multiplier, p->out_shift);
        sum = mct_wrapping_add(sum, p->out_offset);
        out[k] = (int8_t)mct_clamp(sum, p->act_min, p->act_max);
    }
}
