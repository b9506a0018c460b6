/* SPDX-License-Identifier: Apache-2.0 */
/* Filters over features and time, with a state of the last `memory` sums.
 * Twin of trainer/ops/svdf.py.
 *
 * the state of each filter f moves by one, and gains
 *   clamp(requantize(sum_i (x[i] - x_zero_point) features[f][i])) + state_zero_point,
 *   which wraps in the state's type
 * out[u] = clamp(requantize(bias[u] + sum_{f of u} sum_t (state[f][t] - state_zero_point)
 *                times[f][t]) + out_zero_point)
 *
 * The sum over the features fits 32 bits (MAX_FAN_IN), that over time wraps modulo 2^32. */
#ifndef MCT_KERNELS_SVDF_H
#define MCT_KERNELS_SVDF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t inputs, units, rank, memory;
    int32_t x_zero_point, state_zero_point, out_zero_point;
    int32_t feature_multiplier, feature_shift, time_multiplier, time_shift;
} mct_svdf_params;

/* State and time filters of 8 or 16 bits. `bias` may be NULL, next_state may be state. */
void mct_svdf_s8(const mct_svdf_params *p, const int8_t *x, const int8_t *features,
                 const int8_t *times, const int32_t *bias, const int8_t *state, int8_t *out,
                 int8_t *next_state);

void mct_svdf_s16(const mct_svdf_params *p, const int8_t *x, const int8_t *features,
                  const int16_t *times, const int32_t *bias, const int16_t *state, int8_t *out,
                  int16_t *next_state);

#ifdef __cplusplus
}
#endif

#endif
