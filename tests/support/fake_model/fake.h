/* SPDX-License-Identifier: Apache-2.0 */
/* A hand-written stand-in for a generated model: the same API, a toy instead of a network. */
#ifndef FAKE_H
#define FAKE_H

#include "mct/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1: the next sample and target come during a step. */
#ifndef FAKE_AHEAD
#define FAKE_AHEAD 0
#endif

enum {
    FAKE_INPUT_BYTES = 300,
    FAKE_TARGET_BYTES = 200,
    FAKE_CLASSES = 3,
    FAKE_CALLS = 5,
    FAKE_FORWARD_CALLS = 3,
    FAKE_LATENT_BYTES = 300,
    FAKE_PREFIX_CALLS = 1,
    FAKE_LATENT_SLOTS = 2
};

extern const uint8_t fake_numerics_hash[8];
extern const mct_region fake_regions[MCT_REGION_COUNT];

void fake_reset(uint32_t seed);
int8_t *fake_input(void);
mct_status fake_push(uint32_t offset, const int8_t *bytes, uint32_t nbytes);
int8_t *fake_target(void);
mct_status fake_set_classes(uint32_t classes);
mct_status fake_begin(uint32_t label);
bool fake_run(uint32_t max_calls);
mct_status fake_step(uint32_t label);
mct_status fake_infer(void);
int8_t *fake_latent(void);
mct_status fake_prefix(void);
mct_status fake_begin_from_latent(uint32_t label);
mct_status fake_step_from_latent(uint32_t label);
mct_status fake_infer_from_latent(void);
mct_status fake_keep_latent(uint32_t slot, uint32_t label);
mct_status fake_recall_latent(uint32_t slot, uint32_t *label);
bool fake_busy(void);
uint32_t fake_next_call(void);
uint32_t fake_predicted(void);
mct_loss fake_loss(void);
void fake_set_learning_rate(uint8_t multiplier, uint8_t shift);
uint32_t fake_steps(void);
uint32_t fake_digest(void);

#ifdef __cplusplus
}
#endif

#endif
