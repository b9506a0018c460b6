/* SPDX-License-Identifier: Apache-2.0 */
/* The part of mct/model_body.h, which includes it, that begins at the latent and keeps latents. */

int8_t *MCT_API(latent)(void)
{
#ifdef MCT_API_LATENT
    return MCT_API_LATENT;
#else
    return NULL;
#endif
}

mct_status MCT_API(push_latent)(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{
#ifdef MCT_API_LATENT
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
    mct_status status = MCT_API(append)(MCT_API_LATENT, &MCT_API(latent_came), offset, bytes,
                                        nbytes, MCT_API_CONST(LATENT_BYTES));
    if (status == MCT_OK) {
        MCT_API(drop_sample)();
    }
    return status;
#else
    (void)offset;
    (void)bytes;
    (void)nbytes;
    return MCT_ERR_RANGE;
#endif
}

mct_status MCT_API(prefix)(void)
{
    if (MCT_API_CONST(LATENT_BYTES) == 0) {
        return MCT_ERR_RANGE;
    }
    mct_status status = MCT_API(ready)(false);
    if (status == MCT_OK) {
        MCT_API(take_sample)();
        MCT_API(between_steps)(MCT_API_CONST(FIRST_CALL), MCT_API_CONST(PREFIX_CALLS));
        MCT_API(set_latent)(MCT_API_CONST(LATENT_BYTES));
    }
    return status;
}

mct_status MCT_API(begin_from_latent)(uint32_t label)
{
    if (MCT_API_CONST(LATENT_BYTES) == 0) {
        return MCT_ERR_RANGE;
    }
    mct_status status = MCT_API(ready)(true);
    if (status == MCT_OK) {
        status = MCT_API(begin_at)(MCT_API_CONST(PREFIX_CALLS), label);
    }
    if (status == MCT_OK) {
        MCT_API(enter)(true);
    }
    return status;
}

mct_status MCT_API(step_from_latent)(uint32_t label)
{
    mct_status status = MCT_API(begin_from_latent)(label);
    if (status == MCT_OK) {
        (void)MCT_API(run)(MCT_API_CONST(CALLS));
    }
    return status;
}

mct_status MCT_API(infer_from_latent)(void)
{
    if (MCT_API_CONST(LATENT_BYTES) == 0) {
        return MCT_ERR_RANGE;
    }
    mct_status status = MCT_API(ready)(true);
    if (status == MCT_OK) {
        MCT_API(between_steps)(MCT_API_CONST(PREFIX_CALLS), MCT_API_CONST(FORWARD_CALLS));
    }
    return status;
}

#if MCT_API_LATENT_SLOTS > 0

static int8_t MCT_API(slots)[MCT_API_LATENT_SLOTS][MCT_API_CONST(LATENT_BYTES)];
static uint16_t MCT_API(slots_label)[MCT_API_LATENT_SLOTS]; /* 1 more than it; 0 if empty */

/* By pointers: what is returned would be a constant of the model's, of which the plan counts each.
 */
void MCT_API(slot_regions)(mct_region *labels, mct_region *latents)
{
    labels->data = (uint8_t *)MCT_API(slots_label);
    labels->nbytes = sizeof MCT_API(slots_label);
    latents->data = (uint8_t *)MCT_API(slots);
    latents->nbytes = sizeof MCT_API(slots);
}

mct_status MCT_API(keep_latent)(uint32_t slot, uint32_t label)
{
    mct_status status = MCT_API(ready)(true);
    if (status == MCT_ERR_BUSY) {
        return status;
    }
    if (slot >= MCT_API_LATENT_SLOTS) {
        return MCT_ERR_RANGE;
    }
#ifdef MCT_API_LABEL
    if (label >= MCT_API_IN_USE) {
        return MCT_ERR_LABEL;
    }
#else
    if (label != 0u) {
        return MCT_ERR_LABEL;
    }
#endif
    if (status == MCT_OK) {
        memcpy(MCT_API(slots)[slot], MCT_API_LATENT, MCT_API_CONST(LATENT_BYTES));
        MCT_API(slots_label)[slot] = (uint16_t)(label + 1u);
    }
    return status;
}

#else

void MCT_API(slot_regions)(mct_region *labels, mct_region *latents)
{
    labels->data = NULL;
    labels->nbytes = 0;
    latents->data = NULL;
    latents->nbytes = 0;
}

mct_status MCT_API(keep_latent)(uint32_t slot, uint32_t label)
{
    (void)slot;
    (void)label;
    return MCT_ERR_RANGE;
}

#endif

static mct_status MCT_API(recall_from_flash)(uint32_t index, uint32_t *label)
{
#if MCT_API_FLASH_LATENTS > 0
    if (index >= MCT_API_FLASH_LATENTS) {
        return MCT_ERR_RANGE;
    }
    MCT_API(drop_sample)();
#ifdef __AVR__
    uint16_t found;
    MCT_COPY_FROM_FLASH(MCT_API_LATENT, MCT_API(flash_latents), index * MCT_API_CONST(LATENT_BYTES),
                        MCT_API_CONST(LATENT_BYTES));
    MCT_COPY_FROM_FLASH(&found, MCT_API(flash_labels), index * sizeof found, sizeof found);
    *label = found;
#else
    /* Volatile, or the compiler makes instructions of a sole slot, and the plan's bytes differ. */
    const int8_t (*volatile latents)[MCT_API_CONST(LATENT_BYTES)] = MCT_API(flash_latents);
    const uint16_t *volatile labels = MCT_API(flash_labels);
    memcpy(MCT_API_LATENT, latents[index], MCT_API_CONST(LATENT_BYTES));
    *label = labels[index];
#endif
    MCT_API(set_latent)(MCT_API_CONST(LATENT_BYTES));
    return MCT_OK;
#else
    (void)index;
    (void)label;
    return MCT_ERR_RANGE;
#endif
}

/* The slots in RAM come first, those in flash behind them. */
mct_status MCT_API(recall_latent)(uint32_t slot, uint32_t *label)
{
    if (MCT_API_LATENT_SLOTS + MCT_API_FLASH_LATENTS > 0 && MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
#if MCT_API_LATENT_SLOTS > 0
    if (slot >= MCT_API_LATENT_SLOTS) {
        return MCT_API(recall_from_flash)(slot - MCT_API_LATENT_SLOTS, label);
    }
    if (MCT_API(slots_label)[slot] == 0u) {
        return MCT_ERR_RANGE;
    }
    MCT_API(drop_sample)();
    memcpy(MCT_API_LATENT, MCT_API(slots)[slot], MCT_API_CONST(LATENT_BYTES));
    MCT_API(set_latent)(MCT_API_CONST(LATENT_BYTES));
    *label = MCT_API(slots_label)[slot] - 1u;
    return MCT_OK;
#else
    return MCT_API(recall_from_flash)(slot, label);
#endif
}

#include "mct/model_enrol.h"
