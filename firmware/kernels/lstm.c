/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/lstm.h"

#include <string.h>

#include "kernels/sigmoid16.h"

enum { INPUT_GATE, FORGET_GATE, CELL_GATE, OUTPUT_GATE, NUMBERS = 4 };

static int16_t saturated(int32_t x)
{
    return (int16_t)mct_clamp(x, INT16_MIN, INT16_MAX);
}

static int16_t scaled(int32_t acc, const int32_t *factor)
{
    return saturated(mct_requantize(acc, factor[0], factor[1]));
}

/* sum (x - zero_point) w fits 32 bits: up to MAX_FAN_IN products of 8 and 9 bits. */
static int32_t sum_of_products(const int8_t *x, const int8_t *w, int32_t count, int32_t zero_point)
{
    int32_t acc = 0;
    for (int32_t k = 0; k < count; k++) {
        acc += (x[k] - zero_point) * w[k];
    }
    return acc;
}

void mct_lstm_s8(const mct_lstm_params *p, const int8_t *x, const int8_t *const w[],
                 const int8_t *const r[], const int32_t *const b[], const int32_t *gates,
                 const uint16_t *sigmoid, const int8_t *h, const int16_t *c, int8_t *out,
                 int8_t *h_out, int16_t *c_out)
{
    const int32_t kept[] = {p->kept_multiplier, p->kept_shift};
    const int32_t added[] = {p->added_multiplier, p->added_shift};
    if (c_out != c) {
        memcpy(c_out, c, (size_t)p->cells * sizeof *c);
    }
    for (int32_t step = 0; step < p->steps; step++) {
        for (int32_t s = 0; s < p->cells; s++) {
            int16_t gate[4];
            for (int32_t g = 0; g < 4; g++) {
                int32_t fed = sum_of_products(x, w[g] + s * p->inputs, p->inputs, p->x_zero_point);
                int32_t back = sum_of_products(h, r[g] + s * p->cells, p->cells, p->h_zero_point);
                int32_t sum = scaled(mct_wrapping_add(fed, b[g][s]), gates + NUMBERS * g);
                gate[g] = saturated(sum + scaled(back, gates + NUMBERS * g + 2));
            }
            int32_t old = mct_logistic16(sigmoid, gate[FORGET_GATE]) * c_out[s];
            int32_t new = mct_logistic16(sigmoid, gate[INPUT_GATE]) *
                          mct_tanh16(sigmoid, gate[CELL_GATE], 3, 0);
            int32_t cell = saturated(scaled(old, kept) + (int32_t)scaled(new, added));
            c_out[s] = (int16_t)mct_clamp(cell, -p->clip, p->clip);
            int32_t product = mct_tanh16(sigmoid, c_out[s], p->tanh_multiplier, p->tanh_shift) *
                              mct_logistic16(sigmoid, gate[OUTPUT_GATE]);
            int32_t value = mct_requantize(product, p->hidden_multiplier, p->hidden_shift);
            value = mct_wrapping_add(value, p->h_zero_point);
            out[s] = (int8_t)mct_clamp(value, INT8_MIN, INT8_MAX);
        }
        h = out;
        x += p->inputs;
        out += p->cells;
    }
    memcpy(h_out, h, (size_t)p->cells);
}
