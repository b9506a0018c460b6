/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/first_greatest.h"

void mct_first_greatest_s8(const mct_first_greatest_params *p, const int8_t *logits,
                           const uint32_t *classes, uint32_t *predicted)
{
    int8_t pair[2];
    const int8_t *row = mct_candidates(p->classes, p->zero_point, logits, pair);
    const int32_t count = mct_candidate_count(p->classes, classes);
    predicted[0] = (uint32_t)mct_index_of_first_greatest(row, count);
}
