/* SPDX-License-Identifier: Apache-2.0 */
/* What the losses of a softmax share (SPEC 1.2). */
#ifndef MCT_KERNELS_SOFTMAX_GRADIENT_H
#define MCT_KERNELS_SOFTMAX_GRADIENT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* p - 2^15 of the label, p = t / sum. As t <= 2^15 and S >= 2^15, quotient and numerator fit
 * 32 bits. */
static inline int32_t mct_softmax_gradient(uint32_t t, uint32_t sum, bool is_label)
{
    int32_t gradient = (int32_t)(((t << 15) + sum / 2u) / sum);
    gradient -= is_label ? INT32_C(1) << 15 : 0;
    return gradient;
}

#ifdef __cplusplus
}
#endif

#endif
