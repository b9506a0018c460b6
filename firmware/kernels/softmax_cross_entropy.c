/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/softmax_cross_entropy.h"

#include "kernels/error.h"
#include "mct/model.h"

void mct_softmax_cross_entropy_s8(const mct_softmax_cross_entropy_params *p, const int8_t *logits,
                                  const uint32_t *label, const uint16_t *exponential,
                                  int16_t *dlogits, int16_t *dlogits_e, uint32_t *loss)
{
    const uint32_t predicted = mct_first_greatest(logits, p->classes);
    const int32_t top = logits[predicted];
    uint32_t sum = 0;
    for (int32_t i = 0; i < p->classes; i++) {
        sum += exponential[top - logits[i]];
    }
    for (int32_t i = 0; i < p->classes; i++) {
        /* t <= 2^15 and S >= 2^15: the quotient and the numerator fit 32 bits. */
        uint32_t t = exponential[top - logits[i]];
        int32_t gradient = (int32_t)(((t << 15) + sum / 2u) / sum);
        gradient -= (uint32_t)i == label[0] ? INT32_C(1) << 15 : 0;
        dlogits[i] = (int16_t)mct_clamp(mct_near(gradient, 4), -MCT_ERROR_MAX, MCT_ERROR_MAX);
    }
    dlogits_e[0] = -11;
    loss[0] = sum;
    loss[1] = (uint32_t)(top - logits[label[0]]);
    loss[2] = predicted;
}
