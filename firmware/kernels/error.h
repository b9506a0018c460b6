/* SPDX-License-Identifier: Apache-2.0 */
/* Error tensors: 12-bit integers with one exponent (SPEC 1.3). Twin of trainer/ops/error.py.
 *
 * mask_error:  dx = x_min < x < x_max ? dout : 0,  dx_e = dout_e
 * sum_errors:  REQ(sum_k near(dout_k << 8, max(dout_e) - dout_e_k), max(dout_e) - 8)
 */
#ifndef MCT_KERNELS_ERROR_H
#define MCT_KERNELS_ERROR_H

#include "mct/fixedpoint.h"

enum { MCT_ERROR_BITS = 11, MCT_ERROR_MAX = (1 << MCT_ERROR_BITS) - 1, MCT_ERROR_DECAY = 16 };

/* REQ over one tensor: begin, put each raw value, end. history is {h, n}. */
typedef struct {
    int32_t e_raw;
    int32_t shift;
    uint32_t greatest;
} mct_error_writer;

static inline mct_error_writer mct_error_begin(int32_t e_raw, const int16_t *history)
{
    mct_error_writer writer = {e_raw, mct_clamp((int32_t)history[0] - e_raw, 0, 31), 0u};
    return writer;
}

static inline int16_t mct_error_put(mct_error_writer *writer, int32_t raw)
{
    uint32_t magnitude = mct_abs(raw);
    if (magnitude > writer->greatest) {
        writer->greatest = magnitude;
    }
    return (int16_t)mct_clamp(mct_near(raw, writer->shift), -MCT_ERROR_MAX, MCT_ERROR_MAX);
}

void mct_error_end(const mct_error_writer *writer, int16_t *history, int16_t *dx_e);

typedef struct {
    int32_t size, x_min, x_max;
} mct_mask_error_params;

void mct_mask_error_s16(const mct_mask_error_params *p, const int16_t *dout, const int16_t *dout_e,
                        const int8_t *x, int16_t *dx, int16_t *dx_e);

typedef struct {
    int32_t size, x_min, x_max, readers;
} mct_sum_errors_params;

void mct_sum_errors_s16(const mct_sum_errors_params *p, const int16_t *const dout[],
                        const int16_t *const dout_e[], const int8_t *x, int16_t *history,
                        int16_t *dx, int16_t *dx_e);

#endif
