/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/fixedpoint.h"

#ifdef MCT_MULTIPLIES_BYTES

int32_t mct_shift_right(int32_t x, int32_t count)
{
    uint8_t left = (uint8_t)count;
    for (; left >= 8u; left = (uint8_t)(left - 8u)) {
        x >>= 8;
    }
    for (; left != 0u; left--) {
        x >>= 1;
    }
    return x;
}

uint32_t mct_shift_right_unsigned(uint32_t x, int32_t count)
{
    uint8_t left = (uint8_t)count;
    for (; left >= 8u; left = (uint8_t)(left - 8u)) {
        x >>= 8;
    }
    for (; left != 0u; left--) {
        x >>= 1;
    }
    return x;
}

#endif

#ifdef MCT_MULTIPLIES_INTO_32_BITS

/* Once for all kernels: it is long. */
int32_t mct_requantize(int32_t acc, int32_t multiplier, int32_t shift)
{
    return mct_requantize_32(acc, multiplier, shift);
}

#endif
