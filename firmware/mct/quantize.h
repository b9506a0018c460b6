/* SPDX-License-Identifier: Apache-2.0 */
/* From the counts of a sensor or an ADC to the int8 that a model takes, without floating point at
 * run time:
 *
 *     static const mct_quantizer axis =
 *         MCT_QUANTIZER(9.81 / 16384, NAME_INPUT_SCALE, NAME_INPUT_ZERO_POINT);
 *     sample[n] = mct_quantize(axis, counts);
 *
 * Here a count is 1/16384 of 9.81 m/s2, and the model was trained in m/s2. Is a count 0 not the
 * value 0, subtract its offset from the counts first. Twin of quantize_counts in
 * tests/firmware/test_quantize.py. */
#ifndef MCT_QUANTIZE_H
#define MCT_QUANTIZE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One count is multiplier * 2^-24 quanta of the input. */
typedef struct {
    int32_t multiplier, zero_point;
} mct_quantizer;

/* An initialiser: `unit` is the real value of one count, above 0 and less than 127 * `scale`, in
 * the units that the model was trained with. The compiler computes it. */
#define MCT_QUANTIZER(unit, scale, zero_point)                                                     \
    {(int32_t)((double)(unit) / (double)(scale) * 16777216.0 + 0.5), (zero_point)}

/* Returns the int8 that `counts` stand for: near(counts * multiplier / 2^24) + zero_point, ties
 * upward, saturated. The multiplier is rounded, which moves a value by at most |counts| * 2^-25
 * quanta: 0.002 for 16 bits. */
static inline int8_t mct_quantize(mct_quantizer q, int32_t counts)
{
    int64_t quanta = ((int64_t)counts * q.multiplier + 0x800000) >> 24; /* arithmetic */
    quanta += q.zero_point;
    return (int8_t)(quanta < INT8_MIN ? INT8_MIN : quanta > INT8_MAX ? INT8_MAX : quanta);
}

#ifdef __cplusplus
}
#endif

#endif
