/* SPDX-License-Identifier: Apache-2.0 */
/* What the state of a model satisfies whenever training left it (SPEC 4). A generated
 * NAME_state_is_valid asks these of its tensors. Twin of trainer/ops/state_check.py. */
#ifndef MCT_KERNELS_STATE_CHECK_H
#define MCT_KERNELS_STATE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The greatest distance from 0 of a history's exponent, unless it is the first, -32768. */
enum { MCT_HISTORY_MAX = 1 << 14 };

/* |256 w + fraction| <= 127 * 256, or w = -128 as the model file had it, with the fraction 0. */
bool mct_fractions_are_valid(const int8_t *w, const int8_t *fraction, uint32_t size);

/* -limit <= value <= limit: biases, and sums of steps. */
bool mct_are_within(const int32_t *values, uint32_t size, int32_t limit);

/* {h, n} of an error (SPEC 1.3). */
bool mct_history_is_valid(const int16_t *history);

/* low <= count <= high: classes in use. */
bool mct_count_is_valid(const uint32_t *count, uint32_t low, uint32_t high);

/* Seed and step number are any; the learning rate is one that NAME_set_learning_rate takes. */
bool mct_sgd_is_valid(const uint32_t *sgd);

#ifdef __cplusplus
}
#endif

#endif
