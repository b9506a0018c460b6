/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/svdf.h"

#include <stddef.h>
#include <string.h>

#include "mct/fixedpoint.h"

/* What a filter makes of the input, within the state's limits; its zero point comes behind. */
static int32_t newest(const mct_svdf_params *p, const int8_t *x, const int8_t *feature, int32_t lo,
                      int32_t hi)
{
    int32_t acc = 0;
    for (int32_t k = 0; k < p->inputs; k++) {
        acc += (x[k] - p->x_zero_point) * feature[k];
    }
    acc = mct_requantize(acc, p->feature_multiplier, p->feature_shift);
    return mct_clamp(acc, lo, hi) + p->state_zero_point;
}

static int8_t output(const mct_svdf_params *p, int32_t acc)
{
    acc = mct_requantize(acc, p->time_multiplier, p->time_shift);
    return (int8_t)mct_clamp(mct_wrapping_add(acc, p->out_zero_point), INT8_MIN, INT8_MAX);
}

/* A product of 16 and 17 bits fits 32. */
static int32_t sum_over_time_s8(const mct_svdf_params *p, const int8_t *times, const int8_t *state)
{
    uint32_t sum = 0;
    for (int32_t t = 0; t < p->memory; t++) {
        sum += (uint32_t)((state[t] - p->state_zero_point) * times[t]);
    }
    return (int32_t)sum;
}

static int32_t sum_over_time_s16(const mct_svdf_params *p, const int16_t *times,
                                 const int16_t *state)
{
    uint32_t sum = 0;
    for (int32_t t = 0; t < p->memory; t++) {
        sum += (uint32_t)((state[t] - p->state_zero_point) * times[t]);
    }
    return (int32_t)sum;
}

void mct_svdf_s8(const mct_svdf_params *p, const int8_t *x, const int8_t *features,
                 const int8_t *times, const int32_t *bias, const int8_t *state, int8_t *out,
                 int8_t *next_state)
{
    int32_t last = p->memory - 1;
    for (int32_t u = 0; u < p->units; u++) {
        int32_t acc = bias != NULL ? bias[u] : 0;
        for (int32_t k = 0; k < p->rank; k++) {
            memmove(next_state, state + 1, (size_t)last * sizeof *state);
            next_state[last] = (int8_t)newest(p, x, features, INT8_MIN, INT8_MAX);
            acc = mct_wrapping_add(acc, sum_over_time_s8(p, times, next_state));
            features += p->inputs;
            times += p->memory;
            state += p->memory;
            next_state += p->memory;
        }
        out[u] = output(p, acc);
    }
}

void mct_svdf_s16(const mct_svdf_params *p, const int8_t *x, const int8_t *features,
                  const int16_t *times, const int32_t *bias, const int16_t *state, int8_t *out,
                  int16_t *next_state)
{
    int32_t last = p->memory - 1;
    for (int32_t u = 0; u < p->units; u++) {
        int32_t acc = bias != NULL ? bias[u] : 0;
        for (int32_t k = 0; k < p->rank; k++) {
            memmove(next_state, state + 1, (size_t)last * sizeof *state);
            next_state[last] = (int16_t)newest(p, x, features, INT16_MIN, INT16_MAX);
            acc = mct_wrapping_add(acc, sum_over_time_s16(p, times, next_state));
            features += p->inputs;
            times += p->memory;
            state += p->memory;
            next_state += p->memory;
        }
        out[u] = output(p, acc);
    }
}
