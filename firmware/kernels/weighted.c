/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/weighted.h"

#include <stddef.h>

#include "mct/avx2.h"
#include "mct/fixedpoint.h"

void mct_put_outputs(const mct_outputs *to, int32_t first, int32_t count, const int32_t *sums,
                     int8_t *out)
{
    static const int32_t none[MCT_BATCH] = {
        0}; /* so that the loop has no case of a layer without b */
    const int32_t *b = to->b != NULL ? to->b + first : none;
    const int32_t *multiplier = to->multiplier + first;
    const int8_t *shift = to->shift + first + count;
    const int32_t out_offset = to->out_offset;
    const int32_t act_min = to->act_min;
    const int32_t act_max = to->act_max;
#ifdef __AVX2__
    for (; count >= 8; count -= 8, sums += 8, b += 8, multiplier += 8, out += 8) {
        const __m256i sum = _mm256_add_epi32(mct_load_s32(sums), mct_load_s32(b));
        const __m256i value =
            mct_requantize_eight(sum, mct_load_s32(multiplier), mct_load_s8(shift - count));
        mct_put_eight(value, out_offset, act_min, act_max, out);
    }
#endif
    out += count;
    /* Up to zero, so that one register counts and is the place of what is a byte wide. */
    for (int32_t k = -count; k != 0; k++) {
        int32_t sum = mct_wrapping_add(*sums++, *b++);
        int32_t value = mct_requantize(sum, *multiplier++, shift[k]);
        out[k] = (int8_t)mct_clamp(mct_wrapping_add(value, out_offset), act_min, act_max);
    }
}
