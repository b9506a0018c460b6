/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/outputs.h"

#include <stddef.h>

#include "mct/fixedpoint.h"

void mct_put_outputs(const mct_outputs *to, int32_t first, int32_t count, const int32_t *sums,
                     int8_t *out)
{
    const int32_t *b = to->b != NULL ? to->b + first : NULL;
    const int32_t *multiplier = to->multiplier + first;
    const int8_t *shift = to->shift + first;
    const int32_t out_offset = to->out_offset;
    const int32_t act_min = to->act_min;
    const int32_t act_max = to->act_max;
    for (int32_t k = 0; k < count; k++) {
        int32_t sum = mct_wrapping_add(sums[k], b != NULL ? b[k] : 0);
        int32_t value = mct_requantize(sum, multiplier[k], shift[k]);
        out[k] = (int8_t)mct_clamp(mct_wrapping_add(value, out_offset), act_min, act_max);
    }
}
