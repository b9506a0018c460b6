/* SPDX-License-Identifier: Apache-2.0 */
/* Error tensors: integers of 12 or 8 bits with one exponent (SPEC 1.3).
 * Twin of trainer/ops/error.py.
 *
 * mask_error:  dx = dout where mask (kernels/clamp_mask.h) is 1, else 0,  dx_e = dout_e
 * negate_error: the same with -dout
 * sum_errors:  REQ(sum_k near(dout_k << 8, max(dout_e) - dout_e_k), max(dout_e) - 8)
 * requantize_error: REQ(raw, dout_e + scale_exponent) where mask is 1
 */
#ifndef MCT_KERNELS_ERROR_H
#define MCT_KERNELS_ERROR_H

#include "kernels/channels.h"
#include "kernels/clamp_mask.h"
#include "mct/fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_E12_BITS = 11, MCT_E8_BITS = 7, MCT_ERROR_DECAY = 16 };

/* REQ over one tensor: begin, put each raw value in row-major order, end. history is {h, n}.
 * Values that are put later, or were before, are skipped: `skip` may be negative. `magnitudes` has
 * the bits of all of them: as many as the greatest one, which is all that `end` asks. */
typedef struct {
    int32_t e_raw;
    int32_t shift;
    uint32_t magnitudes;
} mct_error_writer_s16;

typedef struct {
    int32_t e_raw;
    int32_t shift;
    uint32_t magnitudes;
    uint32_t dither; /* of the element that comes next */
} mct_error_writer_s8;

static inline int32_t mct_error_shift(int32_t e_raw, const int16_t *history)
{
    return mct_clamp((int32_t)history[0] - e_raw, 0, 31);
}

static inline mct_error_writer_s16 mct_error_begin_s16(int32_t e_raw, const int16_t *history)
{
    mct_error_writer_s16 writer = {e_raw, mct_error_shift(e_raw, history), 0u};
    return writer;
}

static inline mct_error_writer_s8 mct_error_begin_s8(int32_t e_raw, const int16_t *history,
                                                     uint32_t seed)
{
    mct_error_writer_s8 writer = {e_raw, mct_error_shift(e_raw, history), 0u, seed};
    return writer;
}

/* E12 rounds to nearest. */
static inline int32_t mct_error_round_s16(mct_error_writer_s16 *writer, int32_t raw)
{
#ifdef MCT_THUMB2
    int32_t
        rounded; /* mct_near: the last bit that goes is the carry, and an addition of 0 has none */
    __asm("adds %0, %1, #0\n\tasrs %0, %2\n\tadc %0, #0"
          : "=&r"(rounded)
          : "r"(raw), "r"(writer->shift)
          : "cc");
    return rounded;
#else
    return mct_near(raw, writer->shift);
#endif
}

/* E8 rounds stochastically. */
static inline int32_t mct_error_round_s8(mct_error_writer_s8 *writer, int32_t raw)
{
    uint32_t r = writer->dither;
    writer->dither = mct_dither(r, 1u);
    return writer->shift == 0 ? raw : mct_dithered_shift(raw, writer->shift, r);
}

static inline void mct_error_skip_s16(mct_error_writer_s16 *writer, int32_t skip)
{
    (void)writer;
    (void)skip;
}

static inline void mct_error_skip_s8(mct_error_writer_s8 *writer, int32_t skip)
{
    writer->dither = mct_dither(writer->dither, (uint32_t)skip);
}

typedef struct {
    int32_t size;
} mct_mask_error_params;

typedef struct {
    int32_t size, readers;
} mct_sum_errors_params;

typedef struct {
    int32_t scale_exponent;
} mct_error_open_params;

typedef struct {
    int32_t size, scale_exponent;
} mct_requantize_error_params;

typedef struct {
    int32_t size;
} mct_clear_sums_params;

void mct_clear_sums(const mct_clear_sums_params *p, int32_t *sums);

#define MCT_TEMPLATE "kernels/error.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

/* Puts a raw value that is rounded already. */
static inline MCT_ERROR MCT_NAME(mct_error_put_rounded)(MCT_NAME(mct_error_writer) * writer,
                                                        int32_t raw, int32_t rounded)
{
    writer->magnitudes |= mct_abs(raw);
    const int32_t most = (1 << MCT_BITS) - 1;
    if (__builtin_expect((uint32_t)rounded + (uint32_t)most > 2u * (uint32_t)most, 0)) {
        rounded = rounded < 0 ? -most : most;
    }
    return (MCT_ERROR)rounded;
}

static inline MCT_ERROR MCT_NAME(mct_error_put)(MCT_NAME(mct_error_writer) * writer, int32_t raw)
{
    return MCT_NAME(mct_error_put_rounded)(writer, raw, MCT_NAME(mct_error_round)(writer, raw));
}

/* Puts `count` raw values, the first of which is element `at` of the tensor; those that the mask
 * closes as 0. dx may begin where raw does. */
void MCT_NAME(mct_error_put_all)(MCT_NAME(mct_error_writer) * writer, const int32_t *raw,
                                 int32_t count, const uint8_t *mask, int32_t at, MCT_ERROR *dx);

/* dx[k] = the error dout[k] where the mask of element at + k is open, else 0; dx may be dout. */
void MCT_NAME(mct_error_pass)(const MCT_ERROR *dout, int32_t count, const uint8_t *mask, int32_t at,
                              MCT_ERROR *dx);

/* Begins REQ of a tensor that is made by groups of channels: its exponent is known before. */
void MCT_NAME(mct_error_open)(const mct_error_open_params *p, const int16_t *dout_e, MCT_HISTORY,
                              MCT_NAME(mct_error_writer) * writer, int16_t *dx_e);

void MCT_NAME(mct_error_end)(const MCT_NAME(mct_error_writer) * writer, int16_t *history,
                             int16_t *dx_e);

void MCT_NAME(mct_mask_error)(const mct_mask_error_params *p, const MCT_ERROR *dout,
                              const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                              int16_t *dx_e);

void MCT_NAME(mct_negate_error)(const mct_mask_error_params *p, const MCT_ERROR *dout,
                                const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                                int16_t *dx_e);

void MCT_NAME(mct_sum_errors)(const mct_sum_errors_params *p, const MCT_ERROR *const dout[],
                              const int16_t *const dout_e[], const uint8_t *mask, MCT_HISTORY,
                              MCT_ERROR *dx, int16_t *dx_e);

/* dx may begin where raw does. */
void MCT_NAME(mct_requantize_error)(const mct_requantize_error_params *p, const int32_t *raw,
                                    const int16_t *dout_e, const uint8_t *mask, MCT_HISTORY,
                                    MCT_ERROR *dx, int16_t *dx_e);

#endif
