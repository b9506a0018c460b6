/* SPDX-License-Identifier: Apache-2.0 */
/* Long short-term memory over a sequence. Twin of trainer/ops/lstm.py.
 *
 * of each of `steps` inputs:
 *   gate = sat16(sat16(requantize(b + sum (x - x_zero_point) w)) +
 *                sat16(requantize(sum (h - h_zero_point) r)))
 *   c = sat16(sat16(requantize(sigmoid(forget) c)) + sat16(requantize(sigmoid(input) tanh(cell))))
 *   h = clamp(requantize(tanh(c) sigmoid(output)) + h_zero_point), which is the output too
 *
 * w, r and b are those of the gates input, forget, cell, output; gates has for each of them
 * multiplier and shift of the inputs' sum and of the recurrent one. Both sums wrap modulo 2^32. */
#ifndef MCT_KERNELS_LSTM_H
#define MCT_KERNELS_LSTM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t steps, inputs, cells;
    int32_t x_zero_point, h_zero_point;
    int32_t kept_multiplier, kept_shift;
    int32_t added_multiplier, added_shift;
    int32_t hidden_multiplier, hidden_shift;
    int32_t tanh_multiplier, tanh_shift;
    int32_t clip; /* greatest magnitude of a cell */
} mct_lstm_params;

/* h and c are the state before the first input, h_out and c_out that behind the last; they may be
 * the same arrays. */
void mct_lstm_s8(const mct_lstm_params *p, const int8_t *x, const int8_t *const w[],
                 const int8_t *const r[], const int32_t *const b[], const int32_t *gates,
                 const uint16_t *sigmoid, const int8_t *h, const int16_t *c, int8_t *out,
                 int8_t *h_out, int16_t *c_out);

#ifdef __cplusplus
}
#endif

#endif
