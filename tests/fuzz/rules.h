/* SPDX-License-Identifier: Apache-2.0 */
/* What messages may change and must refuse, and how long their replies are: part of harness.c. Said
 * again here, from mct/protocol.h and not from the session's code. */
#ifndef FUZZ_RULES_H
#define FUZZ_RULES_H

static bool may_change_state(uint8_t type)
{
    switch (type) {
    case MCT_MSG_RESET:
    case MCT_MSG_LEARNING_RATE:
    case MCT_MSG_STEP:
    case MCT_MSG_RUN:
    case MCT_MSG_FINISH:
    case MCT_MSG_WRITE:
    case MCT_MSG_CLASSES:
    case MCT_MSG_ENROL:
        return true;
    default:
        return false;
    }
}

static bool may_change_arena(uint8_t type)
{
    return type != MCT_MSG_HELLO && type != MCT_MSG_READ && type != MCT_MSG_DIGEST &&
           type != MCT_MSG_KEEP && type != MCT_MSG_CLASSES && type != MCT_MSG_LEARNING_RATE &&
           type != MCT_MSG_RESET && type != MCT_MSG_CYCLES && type != MCT_MSG_ENROL;
}

static void check_memory(uint8_t type, bool is_done)
{
    if (!is_done || !may_change_state(type)) {
        require(is_as_before(&at_message, MCT_REGION_STATE), "the state changed");
    }
    if (!is_done || !may_change_arena(type)) {
        require(is_as_before(&at_message, MCT_REGION_ARENA), "the arena changed");
    }
    for (uint32_t b = REGIONS; b < REGIONS + SLOT_BLOCKS && (!is_done || type != MCT_MSG_KEEP);
         b++) {
        require(is_as_before(&at_message, b), "a latent that was kept changed");
    }
}

static uint32_t reply_bytes_of(uint8_t type, const uint8_t *payload)
{
    switch (type) {
    case MCT_MSG_HELLO:
        return MCT_REPLY_HELLO_BYTES;
    case MCT_MSG_STEP:
    case MCT_MSG_FINISH:
    case MCT_MSG_DIGEST:
        return MCT_REPLY_STEP_BYTES;
    case MCT_MSG_INFER:
        return MCT_REPLY_INFER_BYTES;
    case MCT_MSG_RUN:
        return MCT_REPLY_RUN_BYTES;
    case MCT_MSG_RECALL:
        return MCT_REPLY_RECALL_BYTES;
    case MCT_MSG_CYCLES:
        return MCT_REPLY_CYCLES_BYTES;
    case MCT_MSG_SAMPLE:
    case MCT_MSG_TARGET:
    case MCT_MSG_LATENT:
    case MCT_MSG_WRITE:
        return MCT_REPLY_SAMPLE_BYTES;
    case MCT_MSG_READ:
        return mct_get_u16(payload + 5);
    default:
        return 0;
    }
}

/* What the reply says of a class must be one. */
static void check_prediction(uint8_t type, const uint8_t *reply)
{
    uint32_t classes = MCT_MODEL_CONST(CLASSES);
    if (type == MCT_MSG_INFER || type == MCT_MSG_STEP || type == MCT_MSG_FINISH) {
        uint32_t predicted = mct_get_u32(type == MCT_MSG_INFER ? reply : reply + 8);
        require(predicted < (classes == 0 ? 1 : classes), "no class was predicted");
    }
    if (type == MCT_MSG_RECALL && classes != 0) {
        require(mct_get_u32(reply) < classes, "a recalled label is no class");
    }
}

static bool is_outside(uint32_t offset, uint32_t nbytes, uint32_t limit_bytes)
{
    return (uint64_t)offset + nbytes > limit_bytes;
}

/* Whether READ or WRITE goes beyond what its region holds. */
static bool is_beyond_region(const uint8_t *payload, uint32_t data_bytes)
{
    return payload[0] >= fuzz_model.region_count ||
           is_outside(mct_get_u32(payload + 1), data_bytes, fuzz_model.region_bytes[payload[0]]);
}

/* What has come of what a step takes, and has not been used: the rule that SPEC 2.3 says of all
 * builds. A resident sample and the latent take each other's place. */
static struct {
    uint32_t sample_bytes, latent_bytes, target_bytes;
    bool is_at_latent;
    bool is_unknown; /* noise may have been a frame */
} come;

static void add_part(uint32_t *nbytes, const uint8_t *payload, uint32_t payload_bytes)
{
    *nbytes = mct_get_u32(payload) + payload_bytes - 4;
}

static void use_up(bool is_at_latent)
{
    if (!MCT_RECEIVES_AHEAD || !is_at_latent) {
        come.sample_bytes = 0;
    }
    come.latent_bytes = 0;
}

static void put_latent(uint32_t nbytes)
{
    use_up(true);
    come.latent_bytes = nbytes;
    come.is_at_latent = true;
}

/* Notes what a message that was taken hands over, or uses up. */
static void follow(uint8_t type, const uint8_t *payload, uint32_t nbytes)
{
    switch (type) {
    case MCT_MSG_RESET:
        memset(&come, 0, sizeof come);
        break;
    case MCT_MSG_SAMPLE:
        add_part(&come.sample_bytes, payload, nbytes);
        come.latent_bytes = MCT_RECEIVES_AHEAD ? come.latent_bytes : 0;
        come.is_at_latent = false;
        break;
    case MCT_MSG_LATENT:
        add_part(&come.latent_bytes, payload, nbytes);
        come.sample_bytes = MCT_RECEIVES_AHEAD ? come.sample_bytes : 0;
        come.is_at_latent = true;
        break;
    case MCT_MSG_TARGET:
        add_part(&come.target_bytes, payload, nbytes);
        break;
    case MCT_MSG_PREFIX:
        use_up(false);
        put_latent(fuzz_model.latent_bytes);
        break;
    case MCT_MSG_RECALL:
        put_latent(fuzz_model.latent_bytes);
        break;
    case MCT_MSG_STEP:
    case MCT_MSG_BEGIN:
    case MCT_MSG_START:
        come.target_bytes = 0;
        use_up(come.is_at_latent);
        break;
    case MCT_MSG_INFER:
        use_up(come.is_at_latent);
        break;
    default:
        break;
    }
}

/* Whether a message needs what has not come whole. */
static bool lacks_sample(uint8_t type)
{
    bool is_latent_whole = come.latent_bytes == fuzz_model.latent_bytes;
    bool is_sample_whole = come.sample_bytes == fuzz_model.input_bytes;
    if (come.is_unknown) {
        return false;
    }
    bool is_step = type == MCT_MSG_STEP || type == MCT_MSG_BEGIN || type == MCT_MSG_START;
    if (is_step && come.target_bytes != fuzz_model.target_bytes) {
        return true;
    }
    if (is_step || type == MCT_MSG_INFER) {
        return come.is_at_latent ? !is_latent_whole : !is_sample_whole;
    }
    return (type == MCT_MSG_PREFIX && !is_sample_whole) ||
           (type == MCT_MSG_KEEP && !is_latent_whole);
}

/* Whether a field of a message, which has its fixed part at least, is beyond what the model has. */
static bool must_refuse(uint8_t type, const uint8_t *payload, uint32_t nbytes)
{
    switch (type) {
    case MCT_MSG_SAMPLE:
        return is_outside(mct_get_u32(payload), nbytes - 4, fuzz_model.input_bytes);
    case MCT_MSG_TARGET:
        return is_outside(mct_get_u32(payload), nbytes - 4, fuzz_model.target_bytes);
    case MCT_MSG_LATENT:
        return is_outside(mct_get_u32(payload), nbytes - 4, fuzz_model.latent_bytes);
    case MCT_MSG_READ:
        return is_beyond_region(payload, mct_get_u16(payload + 5));
    case MCT_MSG_WRITE:
        return is_beyond_region(payload, nbytes - MCT_REQUEST_WRITE_BYTES);
    case MCT_MSG_STEP:
    case MCT_MSG_BEGIN:
    case MCT_MSG_START:
        return fuzz_model.classes != 0 && mct_get_u32(payload) >= fuzz_model.classes;
    case MCT_MSG_CLASSES:
        return mct_get_u32(payload) > fuzz_model.classes;
    case MCT_MSG_ENROL:
        return mct_get_u32(payload) != MCT_ALL_CLASSES &&
               mct_get_u32(payload) >= fuzz_model.classes;
    case MCT_MSG_KEEP:
        return mct_get_u32(payload) >= MCT_MODEL_CONST(LATENT_SLOTS);
    case MCT_MSG_RECALL:
        return mct_get_u32(payload) >= fuzz_model.slots;
    default:
        return false;
    }
}

#endif
