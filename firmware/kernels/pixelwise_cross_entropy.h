/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax cross-entropy at each position (SPEC 1.2).
 * Twin of trainer/ops/pixelwise_cross_entropy.py.
 *
 * At each position, of its row of logits, as kernels/softmax_cross_entropy.h has them:
 *     t = exponential[max(row) - row], S = sum t, p = (2^15 t + S / 2) / S, a = rate[label]
 *     dlogits = clamp(near((p - 2^15 [i == label]) a, 23 - bits)), dlogits_e = exponent
 * record = {sum a log2(S / 2^15) >> log_shift, sum a (max(row) - row[label])}, log2 in 2^-16
 *
 * A position with the label 255 has no error, and is left out of the sums. A lone logit is class 1
 * against a class 0 whose logit is zero_point. |gradient| <= 2^15 and rate <= 255, so that their
 * product fits 24 bits; of at most 2^16 positions the second sum fits 32, the first one 43. */
#ifndef MCT_KERNELS_PIXELWISE_CROSS_ENTROPY_H
#define MCT_KERNELS_PIXELWISE_CROSS_ENTROPY_H

#include <stdint.h>

#include "kernels/first_greatest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The label of a position that takes no part. */
#define MCT_IGNORED_LABEL 255u

typedef struct {
    int32_t positions, classes, zero_point, exponent, log_shift;
} mct_pixelwise_cross_entropy_params;

#define MCT_TEMPLATE "kernels/pixelwise_cross_entropy.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_pixelwise_cross_entropy_s8)(const mct_pixelwise_cross_entropy_params *p,
                                              const int8_t *logits, const uint8_t *labels,
                                              const uint16_t *exponential, const uint8_t *rate,
                                              const uint16_t *log2, MCT_ERROR *dlogits,
                                              int16_t *dlogits_e, uint32_t *record);

#endif
