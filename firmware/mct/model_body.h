/* SPDX-License-Identifier: Apache-2.0 */
/* The definitions of what mct/model_api.h declares: the part of a generated model that is the same
 * for all of them. NAME.c includes this file at its end, when it has defined
 *
 *   NAME_state         the region of the state
 *   NAME_initialise    sets it to its initial value
 *   NAME_calls         runs calls first..end-1 and returns end
 *   NAME_done          with MCT_API_ARRIVE: rows of each of the region's stages
 *   NAME_flash_latents, NAME_flash_labels   with MCT_API_FLASH_LATENTS
 *
 * and these macros:
 *
 *   MCT_API(symbol)        NAME_symbol
 *   MCT_API_CONST(symbol)  the constant of that name in NAME.h
 *   MCT_API_INPUT          the tensors: the sample,
 *   MCT_API_LOGITS         the outputs,
 *   MCT_API_RECORD         what the loss is made of,
 *   MCT_API_SGD            seed, step number and learning rate
 *   MCT_API_LATENT_SLOTS   latents that RAM can keep, 0 without
 *   MCT_API_FLASH_LATENTS  latents in flash, 0 without
 *
 * and, of a model that has it:
 *
 *   MCT_API_LABEL          the target, if it is a label
 *   MCT_API_TARGET         the target, if it is written before a step
 *   MCT_API_LABEL_MAP      if that is a label for each position
 *   MCT_API_PREDICTED      the predicted class
 *   MCT_API_ACTIVE         the number of classes in use, if there are spare ones
 *   MCT_API_SEEN           a bit of each class that steps have had a sample of
 *   MCT_API_LATENT         the latent
 *   MCT_API_CHAIN          the chain value, with
 *   MCT_API_CHAIN_GOES_ON  whether its initial value is that of a model file, and
 *   MCT_API_ENTRIES        the entries that RAM keeps, 0 without
 *   MCT_API_AHEAD_BYTES    bytes of the next sample and target, if they are received ahead
 *   MCT_API_ARRIVE         the region that runs as the rows of a sample come, with
 *   MCT_API_ROW_BYTES      the bytes of a row, and
 *   MCT_API_ROWS_KEPT      how many of them the input keeps, row y at y modulo it
 *   MCT_API_BEGIN          sets the initial state of a sequence,
 *   MCT_API_NEXT           runs the part with state for one input of it, the first call, of
 *   MCT_API_NEXT_BYTES     bytes
 *   MCT_API_ENROL_...      what mct/model_enrol.h lists, if its head can be enrolled
 *
 * All of the macros end with this file: another model may follow in the same translation unit. */

static uint32_t MCT_API(next); /* the call that run continues with */
static bool MCT_API(busy_now); /* a step is under way */

#include "mct/model_arrival.h"

#ifdef MCT_API_ACTIVE
#define MCT_API_IN_USE MCT_API_ACTIVE[0]
#else
#define MCT_API_IN_USE MCT_API_CONST(CLASSES)
#endif

uint32_t MCT_API(classes)(void)
{
    return MCT_API_IN_USE;
}

mct_status MCT_API(set_classes)(uint32_t classes)
{
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
#ifdef MCT_API_ACTIVE
    if (classes < 2u || classes > MCT_API_CONST(CLASSES)) {
        return MCT_ERR_RANGE;
    }
    MCT_API_ACTIVE[0] = classes;
    return MCT_OK;
#else
    return classes == MCT_API_CONST(CLASSES) ? MCT_OK : MCT_ERR_RANGE;
#endif
}

mct_status MCT_API(clear_seen_classes)(void)
{
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
#ifdef MCT_API_SEEN
    memset(MCT_API_SEEN, 0, (MCT_API_CONST(CLASSES) + 31u) / 32u * 4u);
#endif
    return MCT_OK;
}

static mct_status MCT_API(begin_at)(uint32_t call, uint32_t label)
{
#ifdef MCT_API_LABEL
    if (label >= MCT_API_IN_USE) {
        return MCT_ERR_LABEL;
    }
    MCT_API_LABEL[0] = label;
#else
    (void)label;
    mct_status status = MCT_API(take_target)();
    if (status != MCT_OK) {
        return status;
    }
#endif
    MCT_API(use_up)();
    MCT_API(next) = call;
    MCT_API(busy_now) = true;
    return MCT_OK;
}

/* A refused label or target leaves a sample that waits. */
mct_status MCT_API(begin)(uint32_t label)
{
    mct_status status = MCT_API(ready)(false);
    if (status == MCT_OK) {
        status = MCT_API(begin_at)(MCT_API_CONST(FIRST_CALL), label);
    }
    if (status == MCT_OK) {
        MCT_API(take_sample)();
        MCT_API(enter)(false);
    }
    return status;
}

bool MCT_API(run)(uint32_t max_calls)
{
    if (MCT_API(busy_now) && max_calls > 0u) {
        uint32_t left = MCT_API_CONST(CALLS) - MCT_API(next);
        uint32_t count = max_calls < left ? max_calls : left;
        MCT_API(next) = MCT_API(calls)(MCT_API(next), MCT_API(next) + count);
        MCT_API(busy_now) = MCT_API(next) < MCT_API_CONST(CALLS);
    }
    return !MCT_API(busy_now);
}

mct_status MCT_API(step)(uint32_t label)
{
    mct_status status = MCT_API(begin)(label);
    if (status == MCT_OK) {
        (void)MCT_API(run)(MCT_API_CONST(CALLS));
    }
    return status;
}

bool MCT_API(busy)(void)
{
    return MCT_API(busy_now);
}

uint32_t MCT_API(next_call)(void)
{
    return MCT_API(busy_now) ? MCT_API(next) : 0u;
}

/* Of a model whose first call has run when the sample has come, there may be nothing to run. */
static void MCT_API(between_steps)(uint32_t first, uint32_t end)
{
    MCT_API(use_up)();
    if (MCT_API_CONST(FIRST_CALL) == 0 || first < end) {
        (void)MCT_API(calls)(first, end);
    }
}

mct_status MCT_API(infer)(void)
{
    mct_status status = MCT_API(ready)(false);
    if (status == MCT_OK) {
        MCT_API(take_sample)();
        MCT_API(between_steps)(MCT_API_CONST(FIRST_CALL), MCT_API_CONST(FORWARD_CALLS));
    }
    return status;
}

mct_status MCT_API(begin_sequence)(void)
{
#ifdef MCT_API_BEGIN
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
    MCT_API_BEGIN();
    return MCT_OK;
#else
    return MCT_ERR_RANGE;
#endif
}

mct_status MCT_API(infer_next)(void)
{
#ifdef MCT_API_NEXT
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
    if (MCT_API(counted)(&MCT_API(came)) != MCT_API_NEXT_BYTES) {
        return MCT_ERR_SAMPLE;
    }
    MCT_API(take_sample)();
    MCT_API(use_up)();
    MCT_API_NEXT(MCT_API_INPUT);
    if (MCT_API_CONST(FORWARD_CALLS) > 1) {
        (void)MCT_API(calls)(1u, MCT_API_CONST(FORWARD_CALLS));
    }
    return MCT_OK;
#else
    return MCT_ERR_RANGE;
#endif
}

const int8_t *MCT_API(logits)(void)
{
    return MCT_API_LOGITS;
}

uint32_t MCT_API(predicted)(void)
{
#ifdef MCT_API_PREDICTED
    return MCT_API_PREDICTED[0];
#else
    return 0;
#endif
}

uint32_t MCT_API(predicted_at)(uint32_t position)
{
#ifdef MCT_API_LABEL_MAP
    const int32_t outputs = MCT_API_CONST(OUTPUT_BYTES) / MCT_API_CONST(TARGET_BYTES);
    if (position >= MCT_API_CONST(TARGET_BYTES)) {
        return 0;
    }
    int8_t pair[2];
    const int8_t *row = mct_candidates(outputs, MCT_API_CONST(OUTPUT_ZERO_POINT),
                                       MCT_API_LOGITS + position * (uint32_t)outputs, pair);
    return (uint32_t)mct_index_of_first_greatest(row, mct_candidate_count(outputs, NULL));
#else
    (void)position;
    return MCT_API(predicted)();
#endif
}

uint32_t MCT_API(margin)(void)
{
#ifdef MCT_API_PREDICTED
#ifdef MCT_API_ACTIVE
    const uint32_t *in_use = MCT_API_ACTIVE;
#else
    const uint32_t *in_use = NULL;
#endif
    const int32_t outputs = MCT_API_CONST(OUTPUT_BYTES), zero = MCT_API_CONST(OUTPUT_ZERO_POINT);
    int8_t pair[2];
    const int8_t *row = mct_candidates(outputs, zero, MCT_API_LOGITS, pair);
    return (uint32_t)mct_margin_of_greatest(row, mct_candidate_count(outputs, in_use));
#else
    return 0;
#endif
}

mct_loss MCT_API(loss)(void)
{
    return (mct_loss){MCT_API_RECORD[0], MCT_API_RECORD[1]};
}

uint32_t MCT_API(steps)(void)
{
    return MCT_API_SGD[1];
}

#include "mct/model_latents.h"

#undef MCT_API
#undef MCT_API_CONST
#undef MCT_API_INPUT
#undef MCT_API_LOGITS
#undef MCT_API_RECORD
#undef MCT_API_SGD
#undef MCT_API_LATENT_SLOTS
#undef MCT_API_FLASH_LATENTS
#undef MCT_API_LABEL
#undef MCT_API_TARGET
#undef MCT_API_LABEL_MAP
#undef MCT_API_PREDICTED
#undef MCT_API_ACTIVE
#undef MCT_API_SEEN
#undef MCT_API_LATENT
#undef MCT_API_CHAIN
#undef MCT_API_CHAIN_GOES_ON
#undef MCT_API_ENTRIES
#undef MCT_API_AHEAD_BYTES
#undef MCT_API_BEGIN
#undef MCT_API_NEXT
#undef MCT_API_NEXT_BYTES
#undef MCT_API_ARRIVE
#undef MCT_API_ROW_BYTES
#undef MCT_API_ROWS_KEPT
#undef MCT_API_IN_USE
