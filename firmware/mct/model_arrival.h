/* SPDX-License-Identifier: Apache-2.0 */
/* The part of mct/model_body.h, which includes it, that takes in what a step needs: sample, target
 * and latent come in parts. */

/* How many bytes have come of what the next step needs: each is whole, or is not there yet. What
 * waits outside the arena may be handed over in an interrupt. */
#ifdef MCT_API_AHEAD_BYTES
static _Alignas(4) int8_t MCT_API(ahead)[MCT_API_AHEAD_BYTES]; /* sample, target */
typedef volatile uint32_t MCT_API(count);
#else
typedef uint32_t MCT_API(count);
#endif
static MCT_API(count) MCT_API(came); /* of the sample */
#ifdef MCT_API_TARGET
static MCT_API(count) MCT_API(target_came);
#endif
#ifdef MCT_API_LATENT
static uint32_t MCT_API(latent_came);
#endif

/* A count that an interrupt may change, if the next sample is received ahead. */
static inline uint32_t MCT_API(counted)(const MCT_API(count) * came)
{
    uint32_t bytes = 0u;
    MCT_AT_ONCE
    {
        bytes = *came;
    }
    return bytes;
}

static inline void MCT_API(begin_anew)(MCT_API(count) * came)
{
    MCT_AT_ONCE
    {
        *came = 0u;
    }
}

/* Says how much there is of the latent in the arena. */
static inline void MCT_API(set_latent)(uint32_t nbytes)
{
#ifdef MCT_API_LATENT
    MCT_API(latent_came) = nbytes;
#else
    (void)nbytes;
#endif
}

/* Forgets a sample whose place in the arena something else takes. */
static inline void MCT_API(drop_sample)(void)
{
#ifndef MCT_API_AHEAD_BYTES
    MCT_API(came) = 0u;
#endif
}

#include "mct/model_chain.h"

void MCT_API(reset)(uint32_t seed)
{
    MCT_API(initialise)();
    MCT_API(begin_chain)(seed);
    MCT_API_SGD[0] = seed;
    MCT_API(busy_now) = false;
    MCT_API(came) = 0u;
    MCT_API(set_latent)(0u);
#ifdef MCT_API_TARGET
    MCT_API(target_came) = 0u;
#endif
#ifdef MCT_API_BEGIN
    MCT_API_BEGIN();
#endif
}

void MCT_API(set_learning_rate)(uint8_t multiplier, uint8_t shift)
{
    MCT_API_SGD[2] = multiplier;
    MCT_API_SGD[3] = shift;
}

/* Whether bytes are the next ones of something of `limit_bytes`, of which `*came` are there. Those
 * from the beginning are always: they begin it anew. */
static inline bool MCT_API(comes_next)(MCT_API(count) * came, uint32_t offset, uint32_t nbytes,
                                       uint32_t limit_bytes)
{
    if (offset == 0u) {
        *came = 0u;
    }
    return offset == *came && nbytes <= limit_bytes - offset;
}

#if !defined MCT_API_ARRIVE || defined MCT_API_TARGET || defined MCT_API_LATENT
/* Appends the next bytes of what lies at `place`; those that are there already stay. */
static MCT_NOINLINE mct_status MCT_API(append)(int8_t *place, MCT_API(count) * came,
                                               uint32_t offset, const int8_t *bytes,
                                               uint32_t nbytes, uint32_t limit_bytes)
{
    if (!MCT_API(comes_next)(came, offset, nbytes, limit_bytes)) {
        return MCT_ERR_RANGE;
    }
    if (bytes != place + offset) {
        memcpy(place + offset, bytes, (size_t)nbytes);
    }
    *came = offset + nbytes;
    return MCT_OK;
}
#endif

#ifdef MCT_API_ARRIVE

int8_t *MCT_API(input)(void)
{
    return NULL;
}

mct_status MCT_API(push)(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
    if (!MCT_API(comes_next)(&MCT_API(came), offset, nbytes, MCT_API_CONST(INPUT_BYTES))) {
        return MCT_ERR_RANGE;
    }
    if (offset == 0u) {
        memset(MCT_API(done), 0, sizeof MCT_API(done));
#ifdef MCT_API_CHAIN
        mct_sha256_init(&MCT_API(arriving_hash));
#endif
        MCT_API(set_latent)(0u);
    }
#ifdef MCT_API_CHAIN
    mct_sha256_update(&MCT_API(arriving_hash), bytes, nbytes);
#endif
    while (nbytes > 0u) {
        uint32_t column = MCT_API(came) % MCT_API_ROW_BYTES;
        uint32_t part = MCT_API_ROW_BYTES - column < nbytes ? MCT_API_ROW_BYTES - column : nbytes;
        uint32_t row = MCT_API(came) / MCT_API_ROW_BYTES % MCT_API_ROWS_KEPT;
        memcpy(MCT_API_INPUT + row * MCT_API_ROW_BYTES + column, bytes, (size_t)part);
        bytes += part;
        nbytes -= part;
        MCT_API(came) += part;
        if (column + part == MCT_API_ROW_BYTES) {
            MCT_API_ARRIVE((int32_t)(MCT_API(came) / MCT_API_ROW_BYTES));
        }
    }
    return MCT_OK;
}

#else

int8_t *MCT_API(input)(void)
{
#ifdef MCT_API_AHEAD_BYTES
    return MCT_API(ahead);
#else
    return MCT_API_INPUT;
#endif
}

mct_status MCT_API(push)(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{
#ifndef MCT_API_AHEAD_BYTES
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
#endif
    mct_status status = MCT_API(append)(MCT_API(input)(), &MCT_API(came), offset, bytes, nbytes,
                                        MCT_API_CONST(INPUT_BYTES));
#ifndef MCT_API_AHEAD_BYTES
    if (status == MCT_OK) {
        MCT_API(set_latent)(0u);
    }
#endif
    return status;
}

#endif

/* Whether something can begin: MCT_ERR_BUSY if a step is under way, MCT_ERR_SAMPLE if what it
 * takes, `is_at_latent` the latent or else the sample, is not whole. */
static MCT_NOINLINE mct_status MCT_API(ready)(bool is_at_latent)
{
    uint32_t lacks_bytes = MCT_API_CONST(INPUT_BYTES) - MCT_API(counted)(&MCT_API(came));
#ifdef MCT_API_LATENT
    if (is_at_latent) {
        lacks_bytes = MCT_API_CONST(LATENT_BYTES) - MCT_API(latent_came);
    }
#else
    (void)is_at_latent;
#endif
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
    return lacks_bytes != 0u ? MCT_ERR_SAMPLE : MCT_OK;
}

/* What waits becomes the sample of the step or inference that begins. */
static inline void MCT_API(take_sample)(void)
{
#ifdef MCT_API_AHEAD_BYTES
    memcpy(MCT_API_INPUT, MCT_API(ahead), MCT_API_CONST(INPUT_BYTES));
    MCT_API(begin_anew)(&MCT_API(came));
#endif
}

/* What lies in the arena serves once. */
static inline void MCT_API(use_up)(void)
{
    MCT_API(drop_sample)();
    MCT_API(set_latent)(0u);
}

int8_t *MCT_API(target)(void)
{
#if !defined MCT_API_TARGET
    return NULL;
#elif defined MCT_API_AHEAD_BYTES
    return MCT_API(ahead) + MCT_API_CONST(INPUT_BYTES);
#else
    return (int8_t *)MCT_API_TARGET;
#endif
}

mct_status MCT_API(push_target)(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{
#ifdef MCT_API_TARGET
#ifndef MCT_API_AHEAD_BYTES
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
#endif
    return MCT_API(append)(MCT_API(target)(), &MCT_API(target_came), offset, bytes, nbytes,
                           MCT_API_CONST(TARGET_BYTES));
#else
    (void)offset;
    (void)bytes;
    (void)nbytes;
    return MCT_ERR_RANGE;
#endif
}

/* Whether what has come of a target is one that a step may have: of a label map, labels of classes
 * and of positions that take no part. */
static inline bool MCT_API(target_is_valid)(void)
{
#ifdef MCT_API_LABEL_MAP
    const uint8_t *labels = (const uint8_t *)MCT_API(target)();
    for (uint32_t k = 0; k < MCT_API_CONST(TARGET_BYTES); k++) {
        if (labels[k] >= MCT_API_CONST(CLASSES) && labels[k] != MCT_IGNORED_LABEL) {
            return false;
        }
    }
#endif
    return true;
}

/* The target becomes the step's. */
static inline mct_status MCT_API(take_target)(void)
{
#ifdef MCT_API_TARGET
    if (MCT_API(counted)(&MCT_API(target_came)) != MCT_API_CONST(TARGET_BYTES)) {
        return MCT_ERR_SAMPLE;
    }
    if (!MCT_API(target_is_valid)()) {
        return MCT_ERR_LABEL;
    }
#ifdef MCT_API_AHEAD_BYTES
    memcpy(MCT_API_TARGET, MCT_API(target)(), MCT_API_CONST(TARGET_BYTES));
#endif
    MCT_API(begin_anew)(&MCT_API(target_came));
#endif
    return MCT_OK;
}
