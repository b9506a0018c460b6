/* SPDX-License-Identifier: Apache-2.0 */
/* The class that a model predicts. Twin of trainer/ops/first_greatest.py.
 *
 * predicted = index of the first greatest of the logits, of the first classes[0] if given;
 * one logit alone: logit > zero_point */
#ifndef MCT_KERNELS_FIRST_GREATEST_H
#define MCT_KERNELS_FIRST_GREATEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t classes, zero_point;
} mct_first_greatest_params;

/* The logits that compete: a lone one stands against the constant zero in pair[]. */
static inline const int8_t *mct_candidates(int32_t count, int32_t zero_point, const int8_t *logits,
                                           int8_t pair[2])
{
    if (count > 1) {
        return logits;
    }
    pair[0] = (int8_t)zero_point;
    pair[1] = logits[0];
    return pair;
}

/* How many compete; classes may be NULL. */
static inline int32_t mct_candidate_count(int32_t count, const uint32_t *classes)
{
    return count == 1 ? 2 : classes != 0 ? (int32_t)classes[0] : count;
}

static inline int32_t mct_index_of_first_greatest(const int8_t *logits, int32_t count)
{
    int32_t greatest = 0;
    for (int32_t i = 1; i < count; i++) {
        greatest = logits[i] > logits[greatest] ? i : greatest;
    }
    return greatest;
}

/* By how much the greatest is above the next one, of two or more; 0 if it occurs twice. */
static inline int32_t mct_margin_of_greatest(const int8_t *logits, int32_t count)
{
    int32_t greatest = mct_index_of_first_greatest(logits, count);
    int32_t next = INT8_MIN;
    for (int32_t i = 0; i < count; i++) {
        next = i != greatest && logits[i] > next ? logits[i] : next;
    }
    return logits[greatest] - next;
}

void mct_first_greatest_s8(const mct_first_greatest_params *p, const int8_t *logits,
                           const uint32_t *classes, uint32_t *predicted);

#ifdef __cplusplus
}
#endif

#endif
