/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gather_channels.h"

void mct_gather_channels_s8(const mct_gather_channels_params *p, const int8_t *x,
                            const uint16_t *channel, int8_t *out)
{
    for (int32_t position = 0; position < p->positions; position++, x += p->in_ch) {
        for (int32_t l = 0; l < p->learned_ch; l++) {
            *out++ = x[channel[l]];
        }
    }
}
