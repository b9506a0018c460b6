/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/fixedpoint.h"

#ifdef MCT_MULTIPLIES_INTO_32_BITS

/* Once for all kernels: it is long. */
int32_t mct_requantize(int32_t acc, int32_t multiplier, int32_t shift)
{
    return mct_requantize_32(acc, multiplier, shift);
}

#endif
