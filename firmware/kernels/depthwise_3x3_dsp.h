/* SPDX-License-Identifier: Apache-2.0 */
/* The part of kernels/depthwise_conv2d_dsp.c for 3x3 windows, and what it shares with the rest. */
#ifndef MCT_KERNELS_DEPTHWISE_3X3_DSP_H
#define MCT_KERNELS_DEPTHWISE_3X3_DSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/depthwise_conv2d.h"
#include "mct/dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_DEPTHWISE_CHANNELS = 4 }; /* summed side by side */

/* Words for a column of two rows, each of a channel's values in both; and of the odd row, each of
 * two channels' values. */
enum { MCT_PAIR_WORDS = MCT_DEPTHWISE_CHANNELS, MCT_ODD_WORDS = MCT_DEPTHWISE_CHANNELS / 2 };

typedef struct {
    int32_t sum0, sum1, sum2, sum3;
} mct_depthwise_sums;

/* Some output positions of a row. */
typedef struct {
    int32_t first, last;
} mct_positions;

/* A layer, and those of the rows of a window that lie in its input: pairs, and perhaps an odd one.
 * Scratch has the weights of four channels, then the pairs of the columns of some positions. */
typedef struct {
    const mct_depthwise_conv2d_params *p;
    const int8_t *const *rows;
    int32_t pairs, odd;
    mct_positions inside; /* whose windows lie in the input with all columns */
    const int8_t *w, *w_l;
    const uint16_t *channel;
    const int32_t *b;
    const mct_requant *requants;
    bool is_3x3;
    uint32_t *scratch;
    uint32_t *values;
} mct_depthwise_layer;

static MCT_INLINED mct_depthwise_sums mct_depthwise_biases(const mct_depthwise_layer *of, int32_t c)
{
    mct_depthwise_sums s = {0, 0, 0, 0};
    if (of->b != NULL) {
        s = (mct_depthwise_sums){of->b[c], of->b[c + 1], of->b[c + 2], of->b[c + 3]};
    }
    return s;
}

/* The outputs of channels that have fast ways. */
static MCT_INLINED void mct_depthwise_put_fast(mct_depthwise_sums s, const mct_requant *q,
                                               int8_t *out)
{
    out[0] = (int8_t)mct_requantize_fast(s.sum0, mct_next_requant(&q));
    out[1] = (int8_t)mct_requantize_fast(s.sum1, mct_next_requant(&q));
    out[2] = (int8_t)mct_requantize_fast(s.sum2, mct_next_requant(&q));
    out[3] = (int8_t)mct_requantize_fast(s.sum3, mct_next_requant(&q));
}

/* Whether windows are 3x3, and reach at most a column beyond the input. */
bool mct_depthwise_is_3x3(const mct_depthwise_conv2d_params *p);

/* The outputs of four channels that have fast ways at some positions, of windows with two rows or
 * three in the input. scratch: 120 bytes. */
void mct_depthwise_3x3_dsp(const mct_depthwise_layer *of, int32_t c, mct_positions at, int8_t *out,
                           int32_t out_step);

#ifdef __cplusplus
}
#endif

#endif
