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
    FAKE_OUTPUT_BYTES = 4 * FAKE_CLASSES,
    FAKE_FIRST_CALL = 0,
    FAKE_CALLS = 5,
    FAKE_FORWARD_CALLS = 3,
    FAKE_LATENT_BYTES = 300,
    FAKE_PREFIX_CALLS = 1,
    FAKE_LATENT_SLOTS = 2
};

extern const uint8_t fake_numerics_hash[8];
extern const mct_region fake_regions[MCT_REGION_COUNT];

#ifdef __cplusplus
}
#endif

#define MCT_API(symbol) fake_##symbol
#include "mct/model_api.h"

#endif
