/* SPDX-License-Identifier: Apache-2.0 */
/* out[position][l] = x[position][channel[l]]. Twin of trainer/ops/gather_channels.py. */
#ifndef MCT_KERNELS_GATHER_CHANNELS_H
#define MCT_KERNELS_GATHER_CHANNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t positions, in_ch, learned_ch;
} mct_gather_channels_params;

void mct_gather_channels_s8(const mct_gather_channels_params *p, const int8_t *x,
                            const uint16_t *channel, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
