/* SPDX-License-Identifier: Apache-2.0 */
/* The part of kernels/each_update.h that is the same with input shifts and without them: weights
 * with a fraction, without one, and sums. */
#define MCT_UPDATE(name) MCT_NAMED(MCT_WAY(name))
#define MCT_LEARNED_AT(at) MCT_LEARNED_BEHIND(at, 0)

#define MCT_WAY(name) MCT_SHIFTED(name, _update)
#define MCT_LEARNED int8_t *w, int8_t *frac MCT_SHIFTS
#define MCT_LEARNED_ARGS w, frac MCT_SHIFTS_ARG
#define MCT_LEARNED_BEHIND(at, k) &w[at], &frac[at] MCT_SHIFTS_BEHIND(k)
#define MCT_STEP(at, u) mct_step_weight(&w[at], &frac[at], u)
#define MCT_HAS_FRACTION
#include MCT_TEMPLATE
#undef MCT_HAS_FRACTION
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_BEHIND
#undef MCT_STEP

#define MCT_WAY(name) MCT_SHIFTED(name, _update_whole)
#define MCT_LEARNED int8_t *w MCT_SHIFTS
#define MCT_LEARNED_ARGS w MCT_SHIFTS_ARG
#define MCT_LEARNED_BEHIND(at, k) &w[at] MCT_SHIFTS_BEHIND(k)
#define MCT_STEP(at, u) mct_step_whole(&w[at], u)
#include MCT_TEMPLATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_BEHIND
#undef MCT_STEP

#define MCT_WAY(name) MCT_SHIFTED(name, _accumulate)
#define MCT_LEARNED int32_t *sum MCT_SHIFTS
#define MCT_LEARNED_ARGS sum MCT_SHIFTS_ARG
#define MCT_LEARNED_BEHIND(at, k) &sum[at] MCT_SHIFTS_BEHIND(k)
#define MCT_STEP(at, u) mct_step_wide(&sum[at], mct_clamp(u, -MCT_STEP_MAX, MCT_STEP_MAX))
#include MCT_TEMPLATE
#undef MCT_WAY
#undef MCT_LEARNED
#undef MCT_LEARNED_ARGS
#undef MCT_LEARNED_BEHIND
#undef MCT_STEP

#undef MCT_UPDATE
#undef MCT_LEARNED_AT
