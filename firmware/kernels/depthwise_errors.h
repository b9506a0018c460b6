/* SPDX-License-Identifier: Apache-2.0 */
/* Which outputs the errors of a depthwise layer's inputs come from, for its kernels: portable C and
 * with DSP instructions. */
#ifndef MCT_KERNELS_DEPTHWISE_ERRORS_H
#define MCT_KERNELS_DEPTHWISE_ERRORS_H

#include <stdint.h>

#include "kernels/depthwise_conv2d.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Errors of neighbouring channels that are summed at once. */
enum { MCT_ERRORS = 4 };

/* Which of MCT_ERRORS elements are inside their limits, from element `at` on: bit 0 is its own. */
static inline uint32_t mct_open_bits(const uint8_t *mask, int32_t at)
{
    const uint32_t first = (uint32_t)at;
    const uint32_t bits = mask[first / 8u] | (uint32_t)mask[(first + MCT_ERRORS - 1u) / 8u] << 8;
    return bits >> (first % 8u) & ((1u << MCT_ERRORS) - 1u);
}

/* Along one axis: the taps of a kernel that hold an input position, from the first on, `stride`
 * apart; the output whose window the first belongs to, each next one in the output before. */
typedef struct {
    int32_t tap, output, count;
} mct_reader_taps;

static inline mct_reader_taps mct_taps_at(int32_t at, int32_t pad, int32_t kernel, int32_t stride,
                                          int32_t outputs)
{
    const int32_t padded = at + pad;
    int32_t output = stride == 1 ? padded : padded / stride;
    int32_t tap = padded - output * stride;
    if (output >= outputs) { /* windows begin there, but behind the last one */
        tap += (output - outputs + 1) * stride;
        output = outputs - 1;
    }
    int32_t count = 0;
    for (int32_t k = tap; k < kernel && count <= output; k += stride) {
        count++;
    }
    mct_reader_taps found = {tap, output, count};
    return found;
}

/* The readers of one input position, and how to go through them: rows of taps, from the first. */
typedef struct {
    int32_t rows, columns;
    int32_t output, tap;         /* of the first one */
    int32_t output_row, tap_row; /* from the end of a row to the next one */
    int32_t tap_step;            /* within a row; outputs are 1 apart */
} mct_depthwise_readers;

static inline mct_depthwise_readers mct_readers_at(const mct_depthwise_conv2d_grad_input_params *p,
                                                   int32_t y, int32_t x)
{
    const mct_reader_taps down = mct_taps_at(y, p->pad_top, p->kernel_h, p->stride_h, p->out_h);
    const mct_reader_taps right = mct_taps_at(x, p->pad_left, p->kernel_w, p->stride_w, p->out_w);
    mct_depthwise_readers found = {down.count,
                                   right.count,
                                   down.output * p->out_w + right.output,
                                   down.tap * p->kernel_w + right.tap,
                                   right.count - p->out_w,
                                   p->stride_h * p->kernel_w - right.count * p->stride_w,
                                   p->stride_w};
    return found;
}

#ifdef __cplusplus
}
#endif

#endif
