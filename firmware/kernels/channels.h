/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of channels, for kernels that compute a part of an error or of an update at a time.
 * Twin of trainer/planner/channel_region.py.
 *
 * Errors of a group's channels are given by that of the channel `first` at the first position, and
 * by the step to the next position: they lie in a whole tensor, or alone. */
#ifndef MCT_KERNELS_CHANNELS_H
#define MCT_KERNELS_CHANNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What two kernels share: a part of each, so that a model with one of them has no bytes of both. */
#define MCT_INTO_PARTS static inline __attribute__((always_inline))

/* Channels first..last-1. */
typedef struct {
    int32_t first, last;
} mct_channels;

static inline mct_channels mct_all_channels(int32_t count)
{
    mct_channels all = {0, count};
    return all;
}

/* The indices into a table of ascending channels that belong to those of `part`. */
static inline mct_channels mct_channels_within(const uint16_t *channel, int32_t count,
                                               mct_channels part)
{
    mct_channels found = {0, count};
    while (found.first < count && channel[found.first] < part.first) {
        found.first++;
    }
    while (found.last > found.first && channel[found.last - 1] >= part.last) {
        found.last--;
    }
    return found;
}

#ifdef __cplusplus
}
#endif

#endif
