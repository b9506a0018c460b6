/* SPDX-License-Identifier: Apache-2.0 */
/* Where the taps of a window lie that are apart from one another. Twin of trainer/ops/spacing.py.
 *
 * Along an axis, tap k of output o reads the input i with
 *
 *     i * spread == o * stride - pad + k * dilation, if there is one. */
#ifndef MCT_KERNELS_SPACING_H
#define MCT_KERNELS_SPACING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_MAX_TAPS = 64 };

/* Which of `places` that lie `apart` is `at` from the first; negative if none is. */
static inline int32_t mct_place(int32_t at, int32_t apart, int32_t places)
{
    if (apart != 1) { /* a division is long where the processor has none */
        at = at % apart == 0 ? at / apart : -1;
    }
    return at < places ? at : -1;
}

#ifdef __cplusplus
}
#endif

#endif
