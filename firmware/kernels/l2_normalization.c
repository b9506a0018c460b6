/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/l2_normalization.h"

#include "kernels/error.h"

enum { OUT_BITS = 7, GUARD_BITS = 7 };

/* 1 / length = multiplier * 2^(-31 - right). */
typedef struct {
    int32_t multiplier, right;
} factor;

/* Of the length whose square is `total`, in numbers with 3 bits before the point; 0 is taken as
 * 1. */
static factor inverse_length(int32_t total)
{
    factor found = {INT32_MAX, 0};
    if (total <= 1) {
        return found;
    }
    found.right = 11;
    for (; total >= INT32_C(1) << 29; total /= 4) {
        found.right++;
    }
    for (; total < INT32_C(1) << 27; total *= 4) {
        found.right--;
    }
    const int32_t half = mct_rounding_shift_right(total >> 1, 1);
    int32_t x = INT32_C(1) << 28;
    for (int32_t round = 0; round < 5; round++) {
        int32_t cube = mct_doubling_high_mul(mct_doubling_high_mul(x, x), x);
        cube = mct_saturating_left_shift(cube, 6);
        int32_t step = mct_doubling_high_mul((INT32_C(1) << 28) + (INT32_C(1) << 27), x);
        x = mct_saturating_left_shift(step - mct_doubling_high_mul(half, cube), 3);
    }
    found.multiplier = mct_doubling_high_mul(x, 1518500250); /* sqrt(1/2) */
    for (; found.right < 0; found.right++) {
        found.multiplier *= 2;
    }
    return found;
}

static factor factor_of_row(const int8_t *x, int32_t length, int32_t x_offset)
{
    int32_t total = 0;
    for (int32_t i = 0; i < length; i++) {
        int32_t centred = x[i] + x_offset;
        total += centred * centred;
    }
    return inverse_length(total);
}

void mct_l2_normalization_s8(const mct_l2_normalization_params *p, const int8_t *x, int8_t *out)
{
    for (int32_t row = 0; row < p->rows; row++, x += p->length, out += p->length) {
        const factor scale = factor_of_row(x, p->length, p->x_offset);
        for (int32_t i = 0; i < p->length; i++) {
            int32_t value =
                mct_requantize(x[i] + p->x_offset, scale.multiplier, OUT_BITS - scale.right);
            out[i] = (int8_t)mct_clamp(value, INT8_MIN, INT8_MAX);
        }
    }
}

#define MCT_TEMPLATE "kernels/l2_normalization.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_l2_normalization_grad)(const mct_l2_normalization_grad_params *p,
                                         const MCT_ERROR *dout, const int16_t *dout_e,
                                         const int8_t *x, const int8_t *y, const uint8_t *mask,
                                         MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->exponent_step);
    int32_t at = 0; /* in dx */
    for (int32_t row = 0; row < p->rows; row++) {
        const factor scale = factor_of_row(x + at, p->length, p->x_offset);
        int32_t total = 0;
        for (int32_t i = 0; i < p->length; i++) {
            total += (int32_t)dout[at + i] * y[at + i];
        }
        total = mct_sat23(total);
        for (int32_t i = 0; i < p->length; i++, at++) {
            int32_t raw = 0;
            if (mct_is_open(mask, at)) {
                int32_t across = dout[at] * (INT32_C(1) << OUT_BITS);
                across = mct_sat23(across - mct_near(y[at] * total, OUT_BITS));
                raw = mct_near(across * p->fold, 8) * (INT32_C(1) << GUARD_BITS);
                raw = mct_requantize(raw, scale.multiplier, -scale.right);
            }
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
