/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/pixelwise_cross_entropy.h"

#include "kernels/error.h"
#include "kernels/softmax_gradient.h"

/* log2(sum / 2^15) in 2^-16, by straight lines between 33 values; 2^15 <= sum < 2^23. */
static uint32_t log2_of(uint32_t sum, const uint16_t *log2)
{
    const int32_t whole = mct_bit_length(sum) - 16;
    const uint32_t part = (sum << (16 - whole)) & UINT32_C(0x7fffffff);
    const uint16_t *step = log2 + (part >> 26);
    const uint32_t rest = part >> 10 & UINT32_C(0xffff);
    return ((uint32_t)whole << 16) + step[0] +
           ((((uint32_t)step[1] - step[0]) * rest + (UINT32_C(1) << 15)) >> 16);
}

#define MCT_TEMPLATE "kernels/pixelwise_cross_entropy.c"
#include "kernels/each_error.h"

#else

/* The errors of the logits of one position behind the class 0 of a lone one; the sum of its
 * exponentials. */
static inline uint32_t MCT_NAME(errors_at)(const mct_pixelwise_cross_entropy_params *p,
                                           const int8_t *row, int32_t count, uint32_t label,
                                           int32_t rate, const uint16_t *exponential,
                                           MCT_ERROR *dlogits)
{
    const int32_t top = row[mct_index_of_first_greatest(row, count)];
    uint32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += exponential[top - row[i]];
    }
    for (int32_t i = count - p->classes; i < count; i++) {
        int32_t gradient =
            mct_softmax_gradient(exponential[top - row[i]], sum, (uint32_t)i == label);
        *dlogits++ = (MCT_ERROR)mct_clamp(mct_near(gradient * rate, 23 - MCT_BITS),
                                          -((1 << MCT_BITS) - 1), (1 << MCT_BITS) - 1);
    }
    return sum;
}

void MCT_NAME(mct_pixelwise_cross_entropy_s8)(const mct_pixelwise_cross_entropy_params *p,
                                              const int8_t *logits, const uint8_t *labels,
                                              const uint16_t *exponential, const uint8_t *rate,
                                              const uint16_t *log2, MCT_ERROR *dlogits,
                                              int16_t *dlogits_e, uint32_t *record)
{
    const int32_t count = mct_candidate_count(p->classes, 0);
    uint64_t logs = 0;
    uint32_t distances = 0;
    for (int32_t k = 0; k < p->positions; k++) {
        const uint32_t label = labels[k];
        if (label == MCT_IGNORED_LABEL) {
            for (int32_t i = 0; i < p->classes; i++) {
                dlogits[i] = 0;
            }
        } else {
            int8_t pair[2];
            const int8_t *row = mct_candidates(p->classes, p->zero_point, logits, pair);
            const int32_t top = row[mct_index_of_first_greatest(row, count)];
            const uint32_t sum =
                MCT_NAME(errors_at)(p, row, count, label, rate[label], exponential, dlogits);
            logs += (uint64_t)rate[label] * log2_of(sum, log2);
            distances += (uint32_t)(rate[label] * (top - row[label]));
        }
        logits += p->classes;
        dlogits += p->classes;
    }
    dlogits_e[0] = (int16_t)p->exponent;
    record[0] = (uint32_t)(logs >> p->log_shift);
    record[1] = distances;
}

#endif
