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
 *   MCT_LEARNED_AT(at) arguments for them, from element `at` on, behind input channel 0
 *   MCT_LEARNED_BEHIND(at, k)  the same, behind input channel k
 *   MCT_STEP(at, u)    takes the step u in element `at` (kernels/sgd.h)
 *   MCT_HAS_FRACTION   defined if these are weights with a fraction
 *   MCT_HAS_SHIFTS     1 if the steps behind input channels are scaled (name_shifted_update and so
 *                      on): their exponents follow what changes; else 0
 *   MCT_RATE_BEHIND(rate, k)  the rate behind input channel k */

/* The name of the format behind a name that is itself made by a macro. */
#define MCT_NAMED(name) MCT_NAME(name)

#define MCT_HAS_SHIFTS 0
#define MCT_RATE_BEHIND(rate, k) (rate)
#define MCT_SHIFTED(name, way) name##way
#define MCT_SHIFTS
#define MCT_SHIFTS_ARG
#define MCT_SHIFTS_BEHIND(k)
#include "kernels/each_way.h"
#undef MCT_HAS_SHIFTS
#undef MCT_RATE_BEHIND
#undef MCT_SHIFTED
#undef MCT_SHIFTS
#undef MCT_SHIFTS_ARG
#undef MCT_SHIFTS_BEHIND

#define MCT_HAS_SHIFTS 1
#define MCT_RATE_BEHIND(rate, k) mct_shifted_rate(rate, input_shift[k])
#define MCT_SHIFTED(name, way) name##_shifted##way
#define MCT_SHIFTS , const int8_t *input_shift
#define MCT_SHIFTS_ARG , input_shift
#define MCT_SHIFTS_BEHIND(k) , &input_shift[k]
#include "kernels/each_way.h"
#undef MCT_HAS_SHIFTS
#undef MCT_RATE_BEHIND
#undef MCT_SHIFTED
#undef MCT_SHIFTS
#undef MCT_SHIFTS_ARG
#undef MCT_SHIFTS_BEHIND

#undef MCT_NAMED
