/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/softmax_cross_entropy.h"

#include <stdbool.h>

#include "kernels/error.h"
#include "kernels/first_greatest.h"
#include "kernels/softmax_gradient.h"

static inline bool is_seen(const uint32_t *seen, int32_t i)
{
    return (seen[i / 32] >> (i % 32) & 1u) != 0u;
}

#define MCT_TEMPLATE "kernels/softmax_cross_entropy.c"
#include "kernels/each_error.h"

#else

static inline MCT_ERROR MCT_NAME(rounded)(int32_t gradient)
{
    return (MCT_ERROR)mct_clamp(mct_near(gradient, 15 - MCT_BITS), -((1 << MCT_BITS) - 1),
                                (1 << MCT_BITS) - 1);
}

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
        uint32_t t = exponential[top - row[i]];
        *dlogits++ = MCT_NAME(rounded)(mct_softmax_gradient(t, sum, (uint32_t)i == label[0]));
    }
    for (int32_t i = count; i < p->classes; i++) {
        *dlogits++ = 0;
    }
    dlogits_e[0] = -MCT_BITS;
    record[0] = sum;
    record[1] = (uint32_t)(top - row[label[0]]);
}

void MCT_NAME(mct_masked_softmax_cross_entropy_s8)(const mct_softmax_cross_entropy_params *p,
                                                   const int8_t *logits, const uint32_t *label,
                                                   const uint32_t *classes,
                                                   const uint16_t *exponential, MCT_ERROR *dlogits,
                                                   int16_t *dlogits_e, uint32_t *record,
                                                   uint32_t *seen)
{
    int8_t pair[2];
    const int8_t *row = mct_candidates(p->classes, p->zero_point, logits, pair);
    const int32_t count = mct_candidate_count(p->classes, classes);
    int32_t top = row[label[0]];
    seen[label[0] / 32u] |= UINT32_C(1) << label[0] % 32u;
    for (int32_t i = 0; i < count; i++) {
        top = is_seen(seen, i) && row[i] > top ? row[i] : top;
    }
    uint32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += is_seen(seen, i) ? exponential[top - row[i]] : 0u;
    }
    for (int32_t i = row == pair ? 1 : 0; i < count; i++) {
        uint32_t t = is_seen(seen, i) ? exponential[top - row[i]] : 0u;
        *dlogits++ = MCT_NAME(rounded)(mct_softmax_gradient(t, sum, (uint32_t)i == label[0]));
    }
    for (int32_t i = count; i < p->classes; i++) {
        *dlogits++ = 0;
    }
    dlogits_e[0] = -MCT_BITS;
    record[0] = sum;
    record[1] = (uint32_t)(top - row[label[0]]);
}

#endif
