/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of nibbles meet windows. Twin of trainer/ops/filters_nibbles_dsp.py.
 *
 * A turn of two filters is one word of `packed`: from its low end the nibbles of values 0 and 1 of
 * the first filter, then of the second, and those of values 2 and 3 sixteen bits above them. So a
 * mask leaves a pair of weights that lies as the windows' pairs do. A nibble is the weight and 8:
 * what that adds to each sum is 8 times the sum of the window, which is known before any filter
 * meets it. */
#ifndef MCT_KERNELS_FILTERS_NIBBLES_DSP_H
#define MCT_KERNELS_FILTERS_NIBBLES_DSP_H

#include "kernels/filters_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

void mct_meet_one_nibbles(const mct_filters *of, const uint32_t *windows, int8_t *out);
void mct_meet_two_nibbles(const mct_filters *of, const uint32_t *windows, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
