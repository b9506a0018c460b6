/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/state_check.h"

#include "kernels/error.h"
#include "kernels/sgd.h"

bool mct_fractions_are_valid(const int8_t *w, const int8_t *fraction, uint32_t size)
{
    for (uint32_t k = 0; k < size; k++) {
        int32_t m = (int32_t)w[k] * 256 + fraction[k];
        if ((m < -MCT_WEIGHT_MAX || m > MCT_WEIGHT_MAX) && m != INT16_MIN) {
            return false;
        }
    }
    return true;
}

bool mct_are_within(const int32_t *values, uint32_t size, int32_t limit)
{
    for (uint32_t k = 0; k < size; k++) {
        if (values[k] < -limit || values[k] > limit) {
            return false;
        }
    }
    return true;
}

bool mct_history_is_valid(const int16_t *history)
{
    int32_t h = history[0];
    int32_t n = history[1];
    if (h == INT16_MIN) {
        return n == 0;
    }
    return h >= -MCT_HISTORY_MAX && h <= MCT_HISTORY_MAX && n >= 0 && n < MCT_ERROR_DECAY;
}

bool mct_count_is_valid(const uint32_t *count, uint32_t low, uint32_t high)
{
    return count[0] >= low && count[0] <= high;
}

bool mct_sgd_is_valid(const uint32_t *sgd)
{
    return (sgd[2] == 0u || (sgd[2] >= 128u && sgd[2] <= 255u)) && sgd[3] <= 255u;
}
