/* SPDX-License-Identifier: Apache-2.0 */
/* What the mutator knows of the model that it talks to. */
#ifndef FUZZ_FACTS_H
#define FUZZ_FACTS_H

#include <stdint.h>

enum { FUZZ_REGIONS = 4 };

typedef struct {
    uint32_t payload_bytes, input_bytes, target_bytes, latent_bytes, classes, calls, slots;
    uint32_t region_count, region_bytes[FUZZ_REGIONS];
} fuzz_facts;

extern const fuzz_facts fuzz_model;

#endif
