/* SPDX-License-Identifier: Apache-2.0 */
/* Three weight rows that move towards the flipped samples of their class: any lost, repeated or
 * changed sample or step shows in the state. */
#include "fake.h"

#include <string.h>

#include "faults.h"
#include "mct/crc32.h"

const uint8_t fake_numerics_hash[8] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7};

static struct {
    int8_t x[FAKE_INPUT_BYTES];
    int8_t target[FAKE_TARGET_BYTES];
    int8_t latent[FAKE_LATENT_BYTES];
    int32_t logits[FAKE_CLASSES];
} fake_arena;

static struct {
    int16_t w[FAKE_CLASSES][FAKE_INPUT_BYTES];
    uint32_t seed;
    uint32_t steps;
    uint8_t multiplier;
    uint8_t shift;
} fake_state;

static struct {
    int8_t latent[FAKE_LATENT_BYTES];
    uint32_t label;
    bool is_full;
} slots[FAKE_LATENT_SLOTS];

static struct {
    int8_t x[FAKE_INPUT_BYTES];
    int8_t target[FAKE_TARGET_BYTES];
} ahead; /* if FAKE_AHEAD */

static uint32_t sample_came, target_came, latent_came;

static uint32_t label_of_step;
static uint32_t next_call;
static bool is_busy;
static uint32_t predicted;
static mct_loss loss;

const mct_region fake_regions[MCT_REGION_COUNT] = {
    [MCT_REGION_ARENA] = {(uint8_t *)&fake_arena, sizeof fake_arena},
    [MCT_REGION_STATE] = {(uint8_t *)&fake_state, sizeof fake_state},
};

void fake_reset(uint32_t seed)
{
    fake_fail_at_start();
    memset(&fake_state, 0, sizeof fake_state);
    memset(&loss, 0, sizeof loss);
    fake_state.seed = seed;
    fake_state.multiplier = 128;
    fake_state.shift = 10;
    is_busy = false;
    next_call = 0;
    sample_came = target_came = latent_came = 0;
}

static bool lacks_sample(void)
{
    return sample_came != FAKE_INPUT_BYTES;
}

static void take_sample(void)
{
    if (FAKE_AHEAD) {
        memcpy(fake_arena.x, ahead.x, sizeof ahead.x);
    }
    sample_came = latent_came = 0;
}

int8_t *fake_input(void)
{
    return fake_arena.x;
}

static mct_status append(int8_t *place, uint32_t *came, uint32_t offset, const int8_t *bytes,
                         uint32_t nbytes, uint32_t limit_bytes)
{
    *came = offset == 0 ? 0 : *came;
    if (offset != *came || nbytes > limit_bytes - offset) {
        return MCT_ERR_RANGE;
    }
    memmove(place + offset, bytes, nbytes);
    *came += nbytes;
    return MCT_OK;
}

mct_status fake_push(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{
    if (is_busy && !FAKE_AHEAD) {
        return MCT_ERR_BUSY;
    }
    return append(FAKE_AHEAD ? ahead.x : fake_arena.x, &sample_came, offset, bytes, nbytes,
                  FAKE_INPUT_BYTES);
}

int8_t *fake_target(void)
{
    return FAKE_AHEAD ? ahead.target : fake_arena.target;
}

mct_status fake_push_target(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{
    if (is_busy && !FAKE_AHEAD) {
        return MCT_ERR_BUSY;
    }
    return append(fake_target(), &target_came, offset, bytes, nbytes, FAKE_TARGET_BYTES);
}

mct_status fake_set_classes(uint32_t classes)
{
    fake_fail_at(classes);
    if (is_busy) {
        return MCT_ERR_BUSY;
    }
    return classes == FAKE_CLASSES ? MCT_OK : MCT_ERR_RANGE;
}

static void flip(void)
{
    for (uint32_t i = 0; i < FAKE_LATENT_BYTES; i++) {
        fake_arena.latent[i] = (int8_t)(fake_arena.x[i] ^ 0x55);
    }
}

static void forward(void)
{
    for (uint32_t o = 0; o < FAKE_CLASSES; o++) {
        int32_t acc = 0;
        for (uint32_t i = 0; i < FAKE_INPUT_BYTES; i++) {
            acc += fake_arena.latent[i] * fake_state.w[o][i];
        }
        fake_arena.logits[o] = acc;
    }
}

static void predict(void)
{
    predicted = 0;
    for (uint32_t o = 1; o < FAKE_CLASSES; o++) {
        if (fake_arena.logits[o] > fake_arena.logits[predicted]) {
            predicted = o;
        }
    }
}

static void compute_loss(void)
{
    loss.distance =
        (uint32_t)fake_arena.logits[predicted] - (uint32_t)fake_arena.logits[label_of_step];
    loss.sum = fake_state.seed ^ fake_state.steps;
}

static void update(void)
{
    int16_t *w = fake_state.w[label_of_step];
    for (uint32_t i = 0; i < FAKE_INPUT_BYTES; i++) {
        int32_t rate = fake_state.multiplier >> (fake_state.shift & 7);
        w[i] =
            (int16_t)((w[i] * 7 + fake_arena.latent[i] * rate + (int32_t)(fake_state.steps & 3)) /
                      8);
    }
    fake_state.steps++;
}

static mct_status begin_at(uint32_t call, uint32_t label)
{
    if (is_busy) {
        return MCT_ERR_BUSY;
    }
    if (label >= FAKE_CLASSES) {
        return MCT_ERR_LABEL;
    }
    if (FAKE_AHEAD) {
        memcpy(fake_arena.target, ahead.target, sizeof ahead.target);
    }
    latent_came = 0;
    label_of_step = label;
    next_call = call;
    is_busy = true;
    return MCT_OK;
}

mct_status fake_begin(uint32_t label)
{
    if (!is_busy && lacks_sample()) {
        return MCT_ERR_SAMPLE;
    }
    mct_status status = begin_at(0, label);
    if (status == MCT_OK) {
        take_sample();
    }
    return status;
}

static bool lacks_latent(void)
{
    return latent_came != FAKE_LATENT_BYTES;
}

mct_status fake_begin_from_latent(uint32_t label)
{
    if (!is_busy && lacks_latent()) {
        return MCT_ERR_SAMPLE;
    }
    return begin_at(FAKE_PREFIX_CALLS, label);
}

bool fake_run(uint32_t max_calls)
{
    for (uint32_t n = 0; is_busy && n < max_calls; n++) {
        switch (next_call++) {
        case 0:
            flip();
            break;
        case 1:
            forward();
            break;
        case 2:
            predict();
            break;
        case 3:
            compute_loss();
            break;
        default:
            update();
            is_busy = false;
            next_call = 0;
        }
    }
    return !is_busy;
}

static mct_status whole(mct_status begun)
{
    if (begun == MCT_OK) {
        (void)fake_run(FAKE_CALLS);
    }
    return begun;
}

mct_status fake_step(uint32_t label)
{
    return whole(fake_begin(label));
}

mct_status fake_step_from_latent(uint32_t label)
{
    return whole(fake_begin_from_latent(label));
}

int8_t *fake_latent(void)
{
    return fake_arena.latent;
}

mct_status fake_push_latent(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{
    if (is_busy) {
        return MCT_ERR_BUSY;
    }
    return append(fake_arena.latent, &latent_came, offset, bytes, nbytes, FAKE_LATENT_BYTES);
}

mct_status fake_prefix(void)
{
    if (is_busy) {
        return MCT_ERR_BUSY;
    }
    if (lacks_sample()) {
        return MCT_ERR_SAMPLE;
    }
    take_sample();
    flip();
    latent_came = FAKE_LATENT_BYTES;
    return MCT_OK;
}

mct_status fake_keep_latent(uint32_t slot, uint32_t label)
{
    if (is_busy) {
        return MCT_ERR_BUSY;
    }
    if (slot >= FAKE_LATENT_SLOTS) {
        return MCT_ERR_RANGE;
    }
    if (lacks_latent()) {
        return MCT_ERR_SAMPLE;
    }
    memcpy(slots[slot].latent, fake_arena.latent, FAKE_LATENT_BYTES);
    slots[slot].label = label;
    slots[slot].is_full = true;
    return MCT_OK;
}

mct_status fake_recall_latent(uint32_t slot, uint32_t *label)
{
    if (is_busy) {
        return MCT_ERR_BUSY;
    }
    if (slot >= FAKE_LATENT_SLOTS || !slots[slot].is_full) {
        return MCT_ERR_RANGE;
    }
    memcpy(fake_arena.latent, slots[slot].latent, FAKE_LATENT_BYTES);
    latent_came = FAKE_LATENT_BYTES;
    *label = slots[slot].label;
    return MCT_OK;
}

mct_status fake_infer_from_latent(void)
{
    if (is_busy) {
        return MCT_ERR_BUSY;
    }
    if (lacks_latent()) {
        return MCT_ERR_SAMPLE;
    }
    latent_came = 0;
    forward();
    predict();
    return MCT_OK;
}

mct_status fake_infer(void)
{
    mct_status status = fake_prefix();
    return status == MCT_OK ? fake_infer_from_latent() : status;
}

bool fake_state_is_valid(void)
{
    return fake_state.multiplier == 0 || fake_state.multiplier >= 128;
}

bool fake_busy(void)
{
    return is_busy;
}

uint32_t fake_next_call(void)
{
    return next_call;
}

const int8_t *fake_logits(void)
{
    return (const int8_t *)fake_arena.logits;
}

uint32_t fake_predicted(void)
{
    return predicted;
}

mct_loss fake_loss(void)
{
    return loss;
}

void fake_set_learning_rate(uint8_t multiplier, uint8_t shift)
{
    fake_state.multiplier = multiplier;
    fake_state.shift = shift;
}

uint32_t fake_steps(void)
{
    return fake_state.steps;
}

void fake_slot_regions(mct_region *labels, mct_region *latents)
{
    const mct_region none = {NULL, 0};
    *labels = none;
    *latents = none;
}

uint32_t fake_digest(void)
{
    return mct_crc32(0, fake_state.w, sizeof fake_state.w);
}
