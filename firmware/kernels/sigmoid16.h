/* SPDX-License-Identifier: Apache-2.0 */
/* The logistic function and the hyperbolic tangent of 16 bits. Twin of trainer/ops/sigmoid16.py.
 *
 * table[k] = 2^16 / (1 + exp(-k / 24)), 256 entries, between which they interpolate */
#ifndef MCT_KERNELS_SIGMOID16_H
#define MCT_KERNELS_SIGMOID16_H

#include "mct/fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The table at magnitude * 2^-bits, times 2^bits; `limit` beyond its end. Less than 2^25. */
static inline int32_t mct_sigmoid_at(const uint16_t *table, int32_t magnitude, int32_t bits,
                                     int32_t limit)
{
    int32_t index = mct_shift_right(magnitude, bits);
    if (index >= 255) {
        return limit;
    }
    int32_t part = magnitude & ((INT32_C(1) << bits) - 1);
    int32_t low = table[index], high = table[index + 1];
    return low * (INT32_C(1) << bits) + part * (high - low);
}

/* 2^15 / (1 + exp(-x)) of x as Q3.12. */
static inline int32_t mct_logistic16(const uint16_t *table, int16_t x)
{
    int32_t scaled = INT32_C(3) * x;
    int32_t limit = INT32_C(0x7FFF) << 10;
    int32_t at = mct_sigmoid_at(table, scaled < 0 ? -scaled : scaled, 9, limit);
    return (scaled >= 0 ? at + 512 : (INT32_C(1) << 25) - at + 511) >> 10;
}

/* 2^15 tanh(x), at most 2^15 - 1, of x in steps of the table: x * multiplier * 2^-shift. */
static inline int32_t mct_tanh16(const uint16_t *table, int16_t x, int32_t multiplier,
                                 int32_t shift)
{
    int32_t half = (INT32_C(1) << shift) >> 1;
    int32_t scaled = mct_shift_right(x * multiplier + half, shift);
    int32_t limit = INT32_C(0xFFFF) << 8;
    int32_t at = mct_sigmoid_at(table, scaled < 0 ? -scaled : scaled, 8, limit);
    int32_t middle = INT32_C(1) << 23;
    return (scaled >= 0 ? at - middle + 128 : middle - at + 127) >> 8;
}

#ifdef __cplusplus
}
#endif

#endif
