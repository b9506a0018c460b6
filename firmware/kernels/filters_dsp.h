/* SPDX-License-Identifier: Apache-2.0 */
/* Filters meet windows: the inner part of convolutions with two products in an instruction.
 * Twin of trainer/ops/filters_dsp.py.
 *
 * Windows are centred int16 in scratch memory. Four values are a turn, which is two words for each
 * position: values 0 and 2, then 1 and 3. Two filters at a time meet the windows of one position,
 * or of two whose turns alternate. */
#ifndef MCT_KERNELS_FILTERS_DSP_H
#define MCT_KERNELS_FILTERS_DSP_H

#include <stdint.h>

#include "mct/dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_TURN = 4, MCT_TURN_WORDS = 2 };

/* Filters of `size` weights, of which the last turn has the last four, and behind them those of
 * size_l weights of the channels that learn; b may be NULL. Packed filters lie in pairs: a turn of
 * one as two words of int16, then that of the other; an even number of turns. Outputs of the second
 * position lie `filters` behind those of the first. */
typedef struct {
    const int8_t *w, *w_l;
    const uint32_t *packed;
    const int32_t *b;
    const int32_t *requant; /* the layer's table (mct/dsp.h) */
    int32_t filters, size, size_l, offset;
} mct_filters;

static inline int32_t mct_packed_turns(int32_t size)
{
    return (size + 2 * MCT_TURN - 1) / (2 * MCT_TURN) * 2;
}

void mct_meet_one(const mct_filters *of, const uint32_t *windows, int8_t *out);
void mct_meet_two(const mct_filters *of, const uint32_t *windows, int8_t *out);
void mct_meet_one_packed(const mct_filters *of, const uint32_t *windows, int8_t *out);
void mct_meet_two_packed(const mct_filters *of, const uint32_t *windows, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
