/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/sgd.h"

void mct_bias_update_s16_s32(const mct_bias_update_params *p, int32_t *b, const int16_t *dout,
                             const int16_t *dout_e, const uint32_t *sgd, const uint8_t *rate,
                             const int16_t *rate_shift)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    for (int32_t c = 0; c < p->channels; c++) {
        int32_t db = 0;
        for (int32_t position = 0; position < p->positions; position++) {
            db += dout[position * p->channels + c];
        }
        if (db == 0 || rate[c] == 0u) {
            continue;
        }
        mct_rate channel_rate = mct_channel_rate(&state, rate[c], rate_shift[c], dout_e);
        int32_t u = mct_scaled_step(channel_rate, db, mct_dither(seed, (uint32_t)c));
        u = mct_clamp(u, -(MCT_BIAS_MAX - 1), MCT_BIAS_MAX - 1);
        /* In 64 bits: the host may have written a bias beyond MCT_BIAS_MAX. */
        int64_t moved = (int64_t)b[c] - u;
        moved = moved > MCT_BIAS_MAX ? MCT_BIAS_MAX : moved;
        b[c] = (int32_t)(moved < -MCT_BIAS_MAX ? -MCT_BIAS_MAX : moved);
    }
}

void mct_count_step(uint32_t *sgd)
{
    sgd[1]++;
}
