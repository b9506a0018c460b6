/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/add_mve.h"

#include "mct/mve.h"

void mct_add_mve_s8(const mct_add_params *p, const int8_t *a, const int8_t *b, int8_t *out)
{
    const int32_t a_offset = p->a_offset, a_multiplier = p->a_multiplier;
    const int32_t b_offset = p->b_offset, b_multiplier = p->b_multiplier;
    const int32_t out_offset = p->out_offset, out_multiplier = p->out_multiplier;
    const mct_four a_shift = mct_four_of_one(p->a_shift);
    const mct_four b_shift = mct_four_of_one(p->b_shift);
    const mct_four out_shift = mct_four_of_one(p->out_shift);
    const mct_four min = mct_four_of_one(p->act_min), max = mct_four_of_one(p->act_max);
    for (int32_t fours = p->size / 4; fours > 0; fours--, a += 4, b += 4, out += 4) {
        mct_four a_term = mct_shift_four_left(mct_move_four(mct_load_four_s8(a), a_offset), 20);
        mct_four b_term = mct_shift_four_left(mct_move_four(mct_load_four_s8(b), b_offset), 20);
        mct_four sum = mct_add_four(mct_requantize_four_by(a_term, a_multiplier, a_shift),
                                    mct_requantize_four_by(b_term, b_multiplier, b_shift));
        sum = mct_requantize_four_by(sum, out_multiplier, out_shift);
        mct_store_four_s8(out, mct_clamp_four(sum, out_offset, min, max));
    }
    mct_add_params rest = *p;
    rest.size = p->size % 4;
    if (rest.size != 0) {
        mct_add_s8(&rest, a, b, out);
    }
}
