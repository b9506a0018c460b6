/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/weighted.h"

#include <stddef.h>

#include "mct/avx2.h"
#include "mct/fixedpoint.h"
#include "mct/model.h"

#ifdef MCT_HAS_HIGH_REGISTERS
/* Minus the number of outputs that are left, at the first whose channel shifts to the left; others
 * are mct_requantize(sums[k] + b[k]) + out_offset, saturated to an int8. `left` is counted from as
 * that number, and the places of bytes are where they end. Here, since the compiler would call a
 * function for each output, and move what does not change between registers that most instructions
 * do not know. */
static inline int32_t put_saturated(int32_t left, const int32_t *sums, const int32_t *b,
                                    const int32_t *multiplier, const int8_t *shift_end,
                                    int8_t *out_end, int32_t out_offset)
{
    int32_t sum, low, factor, factor_low, t;
    __asm volatile(".syntax unified\n"
                   "1:\n\t"
                   "ldmia %[sums]!, {%[sum]}\n\t"
                   "ldmia %[b]!, {%[t]}\n\t"
                   "ldmia %[multiplier]!, {%[factor]}\n\t"
                   "adds %[sum], %[t]\n\t"
                   "sxth %[low], %[sum]\n\t" /* mct_rounded_product_32 */
                   "asrs %[sum], #15\n\t"
                   "adds %[sum], #1\n\t"
                   "asrs %[sum], #1\n\t"
                   "sxth %[factor_low], %[factor]\n\t"
                   "subs %[factor], %[factor_low]\n\t" /* may be 2^31 */
                   "lsrs %[factor], #16\n\t"
                   "mov %[t], %[sum]\n\t"
                   "muls %[t], %[factor_low]\n\t"
                   "muls %[factor_low], %[low]\n\t"
                   "asrs %[factor_low], #16\n\t"
                   "adds %[t], %[factor_low]\n\t"
                   "muls %[low], %[factor]\n\t"
                   "adds %[t], %[low]\n\t"
                   "asrs %[t], #14\n\t"
                   "adds %[t], #1\n\t"
                   "asrs %[t], #1\n\t"
                   "muls %[sum], %[factor]\n\t"
                   "lsls %[sum], #1\n\t"
                   "adds %[sum], %[t]\n\t"
                   "mov %[low], %[left]\n\t"
                   "mov %[t], %[shift]\n\t"
                   "ldrsb %[t], [%[t], %[low]]\n\t"
                   "mvns %[t], %[t]\n\t" /* to the right, less one */
                   "bmi 4f\n\t"
                   "asrs %[factor], %[sum], #31\n\t" /* mct_round_again */
                   "adds %[sum], %[factor]\n\t"
                   "asrs %[sum], %[t]\n\t"
                   "adds %[sum], #1\n\t"
                   "asrs %[sum], #1\n\t"
                   "add %[sum], %[out_offset]\n\t"
                   "sxtb %[t], %[sum]\n\t"
                   "cmp %[t], %[sum]\n\t"
                   "bne 3f\n"
                   "2:\n\t"
                   "mov %[t], %[out]\n\t"
                   "strb %[sum], [%[t], %[low]]\n\t"
                   "adds %[low], #1\n\t"
                   "mov %[left], %[low]\n\t"
                   "bne 1b\n\t"
                   "b 4f\n"
                   "3:\n\t" /* INT8_MIN or INT8_MAX */
                   "asrs %[sum], #31\n\t"
                   "movs %[t], #127\n\t"
                   "eors %[sum], %[t]\n\t"
                   "b 2b\n"
                   "4:"
                   : [left] "+h"(left), [sums] "+l"(sums), [b] "+l"(b),
                     [multiplier] "+l"(multiplier), [sum] "=&l"(sum), [low] "=&l"(low),
                     [factor] "=&l"(factor), [factor_low] "=&l"(factor_low), [t] "=&l"(t)
                   : [shift] "h"(shift_end), [out] "h"(out_end), [out_offset] "h"(out_offset)
                   : "cc", "memory");
    return left;
}

#endif

/* Of any channels, saturated. */
static inline void put_any(const mct_outputs *to, int32_t first, int32_t count, const int32_t *sums,
                           int8_t *out)
{
    static const int32_t none[MCT_BATCH] = {
        0}; /* so that the loop has no case of a layer without b */
    const int32_t *b = to->b != NULL ? to->b + first : none;
    const int32_t *multiplier = to->multiplier + first;
    const int8_t *shift = to->shift + first + count;
    const int32_t out_offset = to->out_offset;
#ifdef __AVX2__
    for (; count >= 8; count -= 8, sums += 8, b += 8, multiplier += 8, out += 8) {
        const __m256i sum = _mm256_add_epi32(mct_load_s32(sums), mct_load_s32(b));
        const __m256i value =
            mct_requantize_eight(sum, mct_load_s32(multiplier), mct_load_s8(shift - count));
        mct_put_eight(value, out_offset, INT8_MIN, INT8_MAX, out);
    }
#endif
    out += count;
    /* Up to zero, so that one register counts and is the place of what is a byte wide. */
    for (int32_t k = -count; k != 0; k++) {
        int32_t sum = mct_wrapping_add(*sums++, *b++);
        int32_t value = mct_requantize(sum, *multiplier++, shift[k]);
        out[k] = (int8_t)mct_saturated8(mct_wrapping_add(value, out_offset));
    }
}

void mct_put_outputs(const mct_outputs *to, int32_t first, int32_t count, const int32_t *sums,
                     int8_t *out)
{
#ifdef MCT_HAS_HIGH_REGISTERS
    int32_t left = -count;
    if (to->b != NULL) {
        left = put_saturated(left, sums, to->b + first, to->multiplier + first,
                             to->shift + first + count, out + count, to->out_offset);
    }
    if (__builtin_expect(left != 0, 0)) {
        put_any(to, first + count + left, -left, sums + count + left, out + count + left);
    }
#else
    put_any(to, first, count, sums, out);
#endif
    /* Few layers clamp within an int8, whose limits an instruction of many cores knows. */
    if (to->act_min > INT8_MIN || to->act_max < INT8_MAX) {
        for (int32_t k = 0; k < count; k++) {
            out[k] = (int8_t)mct_clamp(out[k], to->act_min, to->act_max);
        }
    }
}
