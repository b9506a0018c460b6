/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax cross-entropy (SPEC 1.2). Twin of trainer/ops/softmax_cross_entropy.py.
 *
 * t = exponential[max(logits) - logits], S = sum t, p = (2^15 t + S / 2) / S
 * dlogits = clamp(near(p - 2^15 [i == label], 15 - bits)), dlogits_e = -bits
 * record = {S, max(logits) - logits[label]}
 * Only the first classes[0] logits take part, if classes is given; a lone logit is class 1
 * against a class 0 whose logit is zero_point.
 *
 * The masked one sets the bit of the label in seen (bit i % 32 of word i / 32), and only classes
 * whose bit is set take part. */
#ifndef MCT_KERNELS_SOFTMAX_CROSS_ENTROPY_H
#define MCT_KERNELS_SOFTMAX_CROSS_ENTROPY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t classes, zero_point;
} mct_softmax_cross_entropy_params;

#define MCT_TEMPLATE "kernels/softmax_cross_entropy.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_softmax_cross_entropy_s8)(const mct_softmax_cross_entropy_params *p,
                                            const int8_t *logits, const uint32_t *label,
                                            const uint32_t *classes, const uint16_t *exponential,
                                            MCT_ERROR *dlogits, int16_t *dlogits_e,
                                            uint32_t *record);

void MCT_NAME(mct_masked_softmax_cross_entropy_s8)(const mct_softmax_cross_entropy_params *p,
                                                   const int8_t *logits, const uint32_t *label,
                                                   const uint32_t *classes,
                                                   const uint16_t *exponential, MCT_ERROR *dlogits,
                                                   int16_t *dlogits_e, uint32_t *record,
                                                   uint32_t *seen);

#endif
