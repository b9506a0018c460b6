/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/softmax.h"

#include "kernels/error.h"

enum { DIFF_INTEGER_BITS = 5, SUM_INTEGER_BITS = 12, OUT_BITS = 8 };
#define QUARTER (INT32_C(1) << (31 - DIFF_INTEGER_BITS - 2))

/* exp(x) as Q0.31 of x in [-1/4, 0) as Q0.31, from its Taylor series about -1/8. */
static int32_t exp_last_quarter(int32_t x)
{
    int32_t at = x + (INT32_C(1) << 28);
    int32_t at2 = mct_doubling_high_mul(at, at);
    int32_t at3 = mct_doubling_high_mul(at2, at);
    int32_t at4 = mct_doubling_high_mul(at2, at2);
    int32_t third = mct_doubling_high_mul(mct_rounding_shift_right(at4, 2) + at3, 715827883);
    int32_t series = at + mct_rounding_shift_right(third + at2, 1);
    return 1895147668 + mct_doubling_high_mul(series, 1895147668);
}

/* exp(x) as Q0.31 of x <= 0 as Q5.26. */
static int32_t exp_on_negative_values(int32_t x)
{
    /* exp(-2^k) as Q0.31 for k = -2..4 */
    static const int32_t barrel[] = {1672461947, 1302514674, 790015084, 290630308,
                                     39332535,   720401,     242};
    if (x == 0) {
        return INT32_MAX;
    }
    int32_t in_quarter = (int32_t)((uint32_t)x & (uint32_t)(QUARTER - 1)) - QUARTER;
    int32_t rest = in_quarter - x;
    int32_t result = exp_last_quarter(mct_saturating_left_shift(in_quarter, DIFF_INTEGER_BITS));
    for (int32_t k = 0; k < 7; k++) {
        if (((uint32_t)rest & ((uint32_t)QUARTER << k)) != 0u) {
            result = mct_doubling_high_mul(result, barrel[k]);
        }
    }
    return result;
}

/* Mantissa Q0.31 of 1 / total, total as Q12.19 with `headroom` leading zeros. */
static int32_t inverse(int32_t total, int32_t headroom)
{
    int64_t shifted = (int64_t)((uint32_t)total << headroom) - (INT64_C(1) << 31);
    int32_t half_denominator = (int32_t)((shifted + INT32_MAX + 1) >> 1);
    int32_t x = 1515870810 + mct_doubling_high_mul(half_denominator, -1010580540);
    for (int32_t round = 0; round < 3; round++) {
        int32_t error = (INT32_C(1) << 29) - mct_doubling_high_mul(half_denominator, x);
        x += mct_saturating_left_shift(mct_doubling_high_mul(x, error), 2);
    }
    return mct_saturating_left_shift(x, 1);
}

static int32_t exponential(const mct_softmax_params *p, int32_t difference)
{
    int32_t scaled = mct_doubling_high_mul(difference * (INT32_C(1) << p->shift), p->multiplier);
    return exp_on_negative_values(scaled);
}

static void softmax_row(const mct_softmax_params *p, const int8_t *x, int8_t *out)
{
    int32_t top = x[0];
    for (int32_t i = 1; i < p->channels; i++) {
        top = x[i] > top ? x[i] : top;
    }
    int32_t total = 0;
    for (int32_t i = 0; i < p->channels; i++) {
        if (x[i] - top >= p->least_difference) {
            total += mct_rounding_shift_right(exponential(p, x[i] - top), SUM_INTEGER_BITS);
        }
    }
    int32_t headroom = 32 - mct_bit_length((uint32_t)total);
    int32_t reciprocal = inverse(total, headroom);
    /* Beyond 31, for a flat row of 512 or more, every share rounds to 0. */
    int32_t to_output = SUM_INTEGER_BITS - headroom + 31 - OUT_BITS;
    for (int32_t i = 0; i < p->channels; i++) {
        int32_t value = INT8_MIN;
        if (x[i] - top >= p->least_difference && to_output <= 31) {
            int32_t share = mct_doubling_high_mul(reciprocal, exponential(p, x[i] - top));
            value += mct_rounding_shift_right(share, to_output);
        }
        out[i] = (int8_t)mct_saturated8(value);
    }
}

void mct_softmax_s8(const mct_softmax_params *p, const int8_t *x, int8_t *out)
{
    for (int32_t row = 0; row < p->rows; row++) {
        softmax_row(p, x + row * p->channels, out + row * p->channels);
    }
}

#define MCT_TEMPLATE "kernels/softmax.c"
#include "kernels/each_error.h"

#else

void MCT_NAME(mct_softmax_grad)(const mct_softmax_grad_params *p, const MCT_ERROR *dout,
                                const int16_t *dout_e, const int8_t *y, const uint8_t *mask,
                                MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->exponent_step);
    int32_t at = 0; /* in dx */
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < p->channels; i++) {
            sum += (int32_t)(y[at + i] - INT8_MIN) * dout[at + i];
        }
        for (int32_t i = 0; i < p->channels; i++, at++) {
            int32_t raw = 0;
            if (mct_is_open(mask, at)) {
                int32_t across = mct_sat23(dout[at] * (INT32_C(1) << OUT_BITS) - sum);
                raw = (y[at] - INT8_MIN) * mct_near(across * p->fold, 8);
            }
            dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
