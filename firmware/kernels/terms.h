/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of vectors, each times a factor: what errors and gradients of convolutions are made of. */
#ifndef MCT_KERNELS_TERMS_H
#define MCT_KERNELS_TERMS_H

#include <stdbool.h>
#include <stdint.h>

#include "mct/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Terms of sums of vectors, factors times vectors of int8: so many at once that a sum is loaded and
 * stored only once for them. Vector k begins at[k] * stride elements from where they lie. */
enum { MCT_TERMS = 4 };

typedef struct {
    int32_t count;
    int32_t at[MCT_TERMS];
    int32_t factor[MCT_TERMS];
} mct_terms;

/* sums[k] += the terms, of which there may be fewer. No overflow: kernels' headers bound the sums
 * of all magnitudes. */
static MCT_NOINLINE void mct_add_terms(const mct_terms *added, const int8_t *from, int32_t stride,
                                       int32_t size, int32_t *sums)
{
    const int32_t count = added->count;
    const int8_t *v0 = from + added->at[0] * stride;
    const int8_t *v1 = count > 1 ? from + added->at[1] * stride : v0;
    const int8_t *v2 = count > 2 ? from + added->at[2] * stride : v0;
    const int8_t *v3 = count > 3 ? from + added->at[3] * stride : v0;
    const int32_t factor0 = added->factor[0];
    const int32_t factor1 = count > 1 ? added->factor[1] : 0;
    const int32_t factor2 = count > 2 ? added->factor[2] : 0;
    const int32_t factor3 = count > 3 ? added->factor[3] : 0;
    for (int32_t k = 0; k < size; k++) {
        sums[k] += factor0 * v0[k] + factor1 * v1[k] + factor2 * v2[k] + factor3 * v3[k];
    }
}

/* One more term; true if no other has room. */
static inline bool mct_append_term(mct_terms *added, int32_t at, int32_t factor)
{
    added->at[added->count] = at;
    added->factor[added->count] = factor;
    return ++added->count == MCT_TERMS;
}

#ifdef __cplusplus
}
#endif

#endif
