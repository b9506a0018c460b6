/* SPDX-License-Identifier: Apache-2.0 */
#include "learning/guard.h"

#include <string.h>

void mct_guard_init(mct_guard *guard, mct_region state, uint8_t *best, uint32_t patience)
{
    *guard = (mct_guard){.state = state, .best = best, .patience = patience};
}

/* The greatest c with c * c * total <= 4 * correct * (total - correct): no division, no root. All
 * products are below 2^64, as c is at most the root of total. */
static uint32_t chance(uint32_t correct, uint32_t total)
{
    if (total == 0 || correct >= total) {
        return 0;
    }
    uint64_t limit = 4u * ((uint64_t)correct * (total - correct));
    uint32_t found = 0;
    while ((uint64_t)(found + 1) * (found + 1) * total <= limit) {
        found++;
    }
    return found;
}

static bool is_better(const mct_guard *guard, uint32_t correct, uint32_t loss)
{
    if (correct < guard->correct) {
        return false;
    }
    if (correct - guard->correct > chance(guard->correct, guard->total)) {
        return true;
    }
    return loss < guard->loss;
}

mct_guard_verdict mct_guard_report_loss(mct_guard *guard, uint32_t correct, uint32_t total,
                                        uint32_t loss)
{
    if (!guard->has_best || is_better(guard, correct, loss)) {
        memcpy(guard->best, guard->state.data, (size_t)guard->state.nbytes);
        guard->has_best = true;
        guard->correct = correct;
        guard->total = total;
        guard->loss = loss;
        guard->stale = 0;
        return MCT_GUARD_IMPROVED;
    }
    guard->stale++;
    bool is_over = guard->patience != 0 && guard->stale >= guard->patience;
    return is_over ? MCT_GUARD_STOP : MCT_GUARD_GO_ON;
}

mct_guard_verdict mct_guard_report(mct_guard *guard, uint32_t correct, uint32_t total)
{
    return mct_guard_report_loss(guard, correct, total, 0);
}

void mct_guard_restore(const mct_guard *guard)
{
    if (guard->has_best) {
        memcpy(guard->state.data, guard->best, (size_t)guard->state.nbytes);
    }
}
