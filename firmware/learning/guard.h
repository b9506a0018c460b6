/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the best training state on a device that trains without a host. Twin of
 * host/training/guard.py.
 *
 *     static uint8_t best[NAME_STATE_BYTES];
 *     static mct_guard guard;
 *     mct_guard_init(&guard, NAME_regions[MCT_REGION_STATE], best, 5);
 *     (validate) mct_guard_report(&guard, correct, total);
 *     (train an epoch, validate, report) until MCT_GUARD_STOP or there is no more time
 *     mct_guard_restore(&guard);
 *
 * Validate with samples that are not trained on, the same ones each time. All of it between steps,
 * never while a sliced step is under way: the state is copied whole, its step number too. Firmware
 * that does not call it does not link it. */
#ifndef MCT_GUARD_H
#define MCT_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mct/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    MCT_GUARD_IMPROVED = 0, /* the state now is the best, and was copied */
    MCT_GUARD_GO_ON = 1,    /* it is not; train on */
    MCT_GUARD_STOP = 2      /* it is not, for as many reports in a row as patience allows */
} mct_guard_verdict;

typedef struct {
    mct_region state;
    uint8_t *best; /* a copy of the state */
    uint32_t patience;
    /* From here on: what MCT_GUARD_STORED keeps. */
    uint32_t stale; /* reports in a row that were not better */
    uint32_t correct;
    uint32_t total;
    uint32_t loss;
    bool has_best;
} mct_guard;

/* The parts of a store (MCT_STORE_ALSO of learning/model_store.h) that are what a guard knows: its
 * figures and the best state, without the pointers. Call mct_guard_init before a load. */
#define MCT_GUARD_STORED(guard)                                                                    \
    {(uint8_t *)&(guard).stale, sizeof(mct_guard) - offsetof(mct_guard, stale)},                   \
    {                                                                                              \
        (guard).best, (guard).state.nbytes                                                         \
    }

/* `best` holds state.nbytes. A patience of 0 never stops. */
void mct_guard_init(mct_guard *guard, mct_region state, uint8_t *best, uint32_t patience);

/* Judges the state as it is now by the validation samples; the first report is the state before
 * training. Better is more right than the best by more than chance, which is two standard
 * deviations of a binomial: 2 sqrt(correct (total - correct) / total), floored. */
mct_guard_verdict mct_guard_report(mct_guard *guard, uint32_t correct, uint32_t total);

/* The same with a loss, in any unit: as many right, or a few more, and a lower loss is better too.
 * Give it in all reports or in none. */
mct_guard_verdict mct_guard_report_loss(mct_guard *guard, uint32_t correct, uint32_t total,
                                        uint32_t loss);

/* Writes the best state back. Does nothing before the first report. */
void mct_guard_restore(const mct_guard *guard);

#ifdef __cplusplus
}
#endif

#endif
