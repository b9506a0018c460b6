/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles the file MCT_TEMPLATE once for each way in which weights change (SPEC 1.5), within the
 * part for a format of errors (kernels/each_error.h) where there is one. That part's part under
 * #ifdef MCT_STEP knows
 *
 *   MCT_UPDATE(name)   name_update (weights with a fraction), name_update_whole (without one) or
 *                      name_accumulate (sums, while the weights wait), and the format behind it
 *   MCT_WAY(name)      the same without the format
 *   MCT_LEARNED        parameters of what changes
 *   MCT_LEARNED_ARGS   their names
 *   MCT_LEARNED_AT(at) arguments for them, from element `at` on
 *   MCT_STEP(at, u)    takes the step u in element `at` (kernels/sgd.h)
 *   MCT_HAS_SHIFTS     1 if the steps behind input channels are scaled (name_shifted_update and so
 *                      on): their exponents follow what changes; else 0
 *   MCT_RATE_BEHIND(rate, k)  the rate behind input channel k */
#define MCT_HAS_SHIFTS 0
#define MCT_RATE_BEHIND(rate, k) (rate)

#define MCT_UPDATE(name) MCT_NAME(name##_update)
#define MCT_WAY(name) name##_update
#define MCT_LEARNED int8_t *w, int8_t *frac
#define MCT_LEARNED_ARGS w, frac
#define MCT_LEARNED_AT(at) &w[at], &frac[at]
#define MCT_STEP(at, u) mct_step_weight(&w[at], &frac[at], u)
#include MCT_TEMPLATE
#undef MCT_UPDATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_AT
#undef MCT_STEP

#define MCT_UPDATE(name) MCT_NAME(name##_update_whole)
#define MCT_WAY(name) name##_update_whole
#define MCT_LEARNED int8_t *w
#define MCT_LEARNED_ARGS w
#define MCT_LEARNED_AT(at) &w[at]
#define MCT_STEP(at, u) mct_step_whole(&w[at], u)
#include MCT_TEMPLATE
#undef MCT_UPDATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_AT
#undef MCT_STEP

#define MCT_UPDATE(name) MCT_NAME(name##_accumulate)
#define MCT_WAY(name) name##_accumulate
#define MCT_LEARNED int32_t *sum
#define MCT_LEARNED_ARGS sum
#define MCT_LEARNED_AT(at) &sum[at]
#define MCT_STEP(at, u) mct_step_wide(&sum[at], mct_clamp(u, -MCT_STEP_MAX, MCT_STEP_MAX))
#include MCT_TEMPLATE
#undef MCT_UPDATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_AT
#undef MCT_STEP

#undef MCT_HAS_SHIFTS
#undef MCT_RATE_BEHIND

#define MCT_HAS_SHIFTS 1
#define MCT_RATE_BEHIND(rate, k) mct_shifted_rate(rate, input_shift[k])

#define MCT_UPDATE(name) MCT_NAME(name##_shifted_update)
#define MCT_WAY(name) name##_shifted_update
#define MCT_LEARNED int8_t *w, int8_t *frac, const int8_t *input_shift
#define MCT_LEARNED_ARGS w, frac, input_shift
#define MCT_LEARNED_AT(at) &w[at], &frac[at], input_shift
#define MCT_STEP(at, u) mct_step_weight(&w[at], &frac[at], u)
#include MCT_TEMPLATE
#undef MCT_UPDATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_AT
#undef MCT_STEP

#define MCT_UPDATE(name) MCT_NAME(name##_shifted_update_whole)
#define MCT_WAY(name) name##_shifted_update_whole
#define MCT_LEARNED int8_t *w, const int8_t *input_shift
#define MCT_LEARNED_ARGS w, input_shift
#define MCT_LEARNED_AT(at) &w[at], input_shift
#define MCT_STEP(at, u) mct_step_whole(&w[at], u)
#include MCT_TEMPLATE
#undef MCT_UPDATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_AT
#undef MCT_STEP

#define MCT_UPDATE(name) MCT_NAME(name##_shifted_accumulate)
#define MCT_WAY(name) name##_shifted_accumulate
#define MCT_LEARNED int32_t *sum, const int8_t *input_shift
#define MCT_LEARNED_ARGS sum, input_shift
#define MCT_LEARNED_AT(at) &sum[at], input_shift
#define MCT_STEP(at, u) mct_step_wide(&sum[at], mct_clamp(u, -MCT_STEP_MAX, MCT_STEP_MAX))
#include MCT_TEMPLATE
#undef MCT_UPDATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_AT
#undef MCT_STEP

#undef MCT_HAS_SHIFTS
#undef MCT_RATE_BEHIND
