/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/softmax_cross_entropy.h"

#include "kernels/error.h"
#include "kernels/first_greatest.h"

#define MCT_TEMPLATE "kernels/softmax_cross_entropy.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_softmax_cross_entropy_s8)(const mct_softmax_cross_entropy_params *p,
                                            const int8_t *logits, const uint32_t *label,
                                            const uint32_t *classes, const uint16_t *exponential,
                                            MCT_ERROR *dlogits, int16_t *dlogits_e,
                                            uint32_t *record)
{
    int8_t pair[2];
    const int8_t *row = mct_candidates(p->classes, p->zero_point, logits, pair);
    const int32_t count = mct_candidate_count(p->classes, classes);
    const int32_t skipped = row == pair ? 1 : 0; /* class 0 of a lone logit has no error */
    const int32_t top = row[mct_index_of_first_greatest(row, count)];
    uint32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += exponential[top - row[i]];
    }
    for (int32_t i = skipped; i < count; i++) {
        /* t <= 2^15 and S >= 2^15: the quotient and the numerator fit 32 bits. */
        uint32_t t = exponential[top - row[i]];
        int32_t gradient = (int32_t)(((t << 15) + sum / 2u) / sum);
        gradient -= (uint32_t)i == label[0] ? INT32_C(1) << 15 : 0;
        *dlogits++ = (MCT_ERROR)mct_clamp(mct_near(gradient, 15 - MCT_BITS), -((1 << MCT_BITS) - 1),
                                          (1 << MCT_BITS) - 1);
    }
    for (int32_t i = count; i < p->classes; i++) {
        *dlogits++ = 0;
    }
    dlogits_e[0] = -MCT_BITS;
    record[0] = sum;
    record[1] = (uint32_t)(top - row[label[0]]);
}

#endif
