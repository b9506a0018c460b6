/* SPDX-License-Identifier: Apache-2.0 */
/* Twin of trainer/record_chain.py: the chain over all that a model has learned from (SPEC 4.2).
 *
 * Each step makes an entry of MCT_RECORD_ENTRY_BYTES, all numbers little-endian:
 *
 *   offset  bytes
 *   0       16     chain value before the step
 *   16      16     hash of the sample, or of the latent, then of a target that is no label
 *   32      4      label; 0 where a step takes none
 *   36      4      number of the step
 *   40      1, 1   learning rate: multiplier, shift
 *   42      2      flags: bit 0 the step began at a latent
 *   44      4      classes in use, if some are spare; else 0
 *
 * The chain value behind the step is the hash of its entry. A hash is the first MCT_CHAIN_BYTES of
 * a SHA-256. */
#ifndef MCT_RECORD_CHAIN_H
#define MCT_RECORD_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "mct/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_CHAIN_BYTES = 16, MCT_RECORD_ENTRY_BYTES = 48 };

enum { MCT_RECORD_AT_LATENT = 1 }; /* of the flags */

/* What an entry says beside the hash of the sample; `sgd` is the state of SGD (SPEC 4). */
typedef struct {
    const uint32_t *sgd;
    uint32_t label;
    uint32_t classes;
    uint16_t flags;
} mct_record_step;

/* Makes `chain` the value of a reset. `goes_on`: what lies there is that of the model file. */
void mct_chain_begin(uint8_t *chain, const uint8_t *numerics_hash, uint32_t seed, bool goes_on);

/* Advances `chain` by a step, and writes its entry. `sample` has been given all of the sample; it
 * is used up. */
void mct_chain_enter(uint8_t *chain, mct_sha256 *sample, const mct_record_step *step,
                     uint8_t *entry);

/* Writes the hash of some bytes. */
void mct_short_hash(const uint8_t *data, uint32_t nbytes, uint8_t *hash);

/* Is called with each entry, when its step begins; the entry is valid during the call. A firmware
 * that keeps a record of its own defines this function: it sends the entry, or appends it to flash
 * (learning/record.h). The one that it replaces does nothing. */
void mct_record_sink(const uint8_t *entry);

#ifdef __cplusplus
}
#endif

#endif
