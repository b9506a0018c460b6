/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/sgd.h"

#include <stdbool.h>

/* Whether this step is the last of those that are summed; never at the rate 0. */
static bool is_last(const mct_apply_sum_params *p, const uint32_t *sgd)
{
    const mct_sgd state = mct_sgd_load(sgd);
    return state.multiplier != 0u && (state.step + 1u) % (uint32_t)p->samples == 0u;
}

/* The step that a sum stands for, which begins anew. */
static int32_t take(int32_t *sum)
{
    int32_t u = -mct_clamp(*sum, -MCT_BIAS_MAX, MCT_BIAS_MAX);
    *sum = 0;
    return u;
}

void mct_apply_sum_s8_8(const mct_apply_sum_params *p, int8_t *w, int8_t *frac, int32_t *sum,
                        const uint32_t *sgd)
{
    const int32_t size = is_last(p, sgd) ? p->size : 0;
    for (int32_t k = 0; k < size; k++) {
        if (sum[k] != 0) {
            mct_step_weight(&w[k], &frac[k], take(&sum[k]));
        }
    }
}

void mct_apply_sum_s8(const mct_apply_sum_params *p, int8_t *w, int32_t *sum, const uint32_t *sgd)
{
    const int32_t size = is_last(p, sgd) ? p->size : 0;
    for (int32_t k = 0; k < size; k++) {
        if (sum[k] != 0) {
            mct_step_whole(&w[k], take(&sum[k]));
        }
    }
}

void mct_apply_sum_s32(const mct_apply_sum_params *p, int32_t *b, int32_t *sum, const uint32_t *sgd)
{
    const int32_t size = is_last(p, sgd) ? p->size : 0;
    for (int32_t k = 0; k < size; k++) {
        if (sum[k] != 0) {
            mct_step_wide(&b[k], take(&sum[k]));
        }
    }
}

void mct_count_step(uint32_t *sgd)
{
    sgd[1]++;
}

#define MCT_TEMPLATE "kernels/sgd.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_bias_update_part)(const mct_bias_update_params *p, mct_channels part, int32_t *b,
                                    const MCT_ERROR *dout, int32_t dout_step, const int16_t *dout_e,
                                    const uint32_t *sgd, const uint8_t *rate,
                                    const int16_t *rate_shift)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    for (int32_t c = part.first; c < part.last; c++) {
        int32_t db = 0;
        for (int32_t position = 0; position < p->positions; position++) {
            db += dout[position * dout_step + c - part.first];
        }
        if (db == 0 || rate[c] == 0u) {
            continue;
        }
        mct_rate channel_rate = mct_channel_rate(&state, rate[c], rate_shift[c], dout_e);
        int32_t u = mct_scaled_step(channel_rate, db, mct_dither(seed, (uint32_t)c));
        mct_step_wide(&b[c], mct_clamp(u, -(MCT_BIAS_MAX - 1), MCT_BIAS_MAX - 1));
    }
}

void MCT_NAME(mct_bias_update)(const mct_bias_update_params *p, int32_t *b, const MCT_ERROR *dout,
                               const int16_t *dout_e, const uint32_t *sgd, const uint8_t *rate,
                               const int16_t *rate_shift)
{
    MCT_NAME(mct_bias_update_part)(p, mct_all_channels(p->channels), b, dout, p->channels, dout_e,
                                   sgd, rate, rate_shift);
}

#endif
