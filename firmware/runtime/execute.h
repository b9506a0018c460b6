/* SPDX-License-Identifier: Apache-2.0 */
/* Part of runtime/session.c, which selects the model and has the session: what each message does.
 *
 * An executor gets a payload of the right size. It writes its reply after the status, and its size
 * to *reply_bytes (0 on entry). */
#ifndef MCT_EXECUTE_H
#define MCT_EXECUTE_H

/* Written so that no sum can overflow. */
static bool is_inside(uint32_t offset, uint32_t nbytes, uint32_t limit_bytes)
{
    return offset <= limit_bytes && nbytes <= limit_bytes - offset;
}

static mct_status execute_hello(uint8_t *reply, uint32_t *reply_bytes)
{
    mct_hello(reply);
    *reply_bytes = MCT_REPLY_HELLO_BYTES;
    return MCT_OK;
}

static mct_status execute_learning_rate(uint8_t multiplier, uint8_t shift)
{
    if (MCT_MODEL(busy)()) {
        return MCT_ERR_BUSY;
    }
    if (multiplier != 0 && multiplier < 128) {
        return MCT_ERR_RANGE;
    }
    MCT_MODEL(set_learning_rate)(multiplier, shift);
    return MCT_OK;
}

/* A reply of one number: to data that were taken the offset behind them, since a repeat may carry
 * fewer of them. */
static mct_status put_number(uint32_t number, uint8_t *reply, uint32_t *reply_bytes)
{
    mct_put_u32(reply, number);
    *reply_bytes = MCT_REPLY_SAMPLE_BYTES;
    return MCT_OK;
}

/* What the next step begins with has come: a sample or its latent. */
static mct_status now_at_latent(bool is_at_latent, mct_status status)
{
    if (status == MCT_OK) {
        mct_link_session.is_at_latent = is_at_latent;
    }
    return status;
}

/* SAMPLE, TARGET and LATENT: an offset and data. */
static mct_status execute_push(uint8_t type, const uint8_t *payload, uint32_t nbytes,
                               uint8_t *reply, uint32_t *reply_bytes)
{
    uint32_t offset = mct_get_u32(payload);
    const int8_t *data = (const int8_t *)payload + MCT_REQUEST_SAMPLE_BYTES;
    uint32_t data_bytes = nbytes - MCT_REQUEST_SAMPLE_BYTES;
    mct_status status;
    if (type == MCT_MSG_TARGET) {
        status = MCT_MODEL(push_target)(offset, data, data_bytes);
    } else if (type == MCT_MSG_LATENT) {
        status = now_at_latent(true, MCT_MODEL(push_latent)(offset, data, data_bytes));
    } else {
        status = now_at_latent(false, MCT_MODEL(push)(offset, data, data_bytes));
    }
    return status == MCT_OK ? put_number(offset + data_bytes, reply, reply_bytes) : status;
}

static mct_status execute_prefix(void)
{
    mct_status status = MCT_MODEL(prefix)();
    if (status == MCT_OK) {
        mct_mark_end();
    }
    return now_at_latent(true, status);
}

static mct_status execute_recall(uint32_t slot, uint8_t *reply, uint32_t *reply_bytes)
{
    uint32_t label = 0;
    mct_status status = MCT_MODEL(recall_latent)(slot, &label);
    if (status == MCT_OK) {
        mct_put_u32(reply, label);
        *reply_bytes = MCT_REPLY_RECALL_BYTES;
    }
    return now_at_latent(true, status);
}

static mct_status execute_begin(uint32_t label, bool is_started)
{
    mct_status status = mct_link_session.is_at_latent ? MCT_MODEL(begin_from_latent)(label)
                                                      : MCT_MODEL(begin)(label);
    if (status == MCT_OK) {
        mct_link_session.is_started = is_started;
    }
    return status;
}

static mct_status execute_digest(bool wants_digest, uint8_t *reply, uint32_t *reply_bytes)
{
    mct_loss loss = MCT_MODEL(loss)();
    mct_put_u32(reply, loss.sum);
    mct_put_u32(reply + 4, loss.distance);
    mct_put_u32(reply + 8, MCT_MODEL(predicted)());
    mct_put_u32(reply + 12, MCT_MODEL(steps)());
    mct_put_u32(reply + 16, wants_digest ? MCT_MODEL(digest)() : 0);
    *reply_bytes = MCT_REPLY_STEP_BYTES;
    return MCT_OK;
}

static mct_status execute_step(uint32_t label, uint8_t flags, uint8_t *reply, uint32_t *reply_bytes)
{
    if ((flags & ~MCT_STEP_DIGEST) != 0) {
        return MCT_ERR_RANGE;
    }
    mct_status status =
        mct_link_session.is_at_latent ? MCT_MODEL(step_from_latent)(label) : MCT_MODEL(step)(label);
    if (status != MCT_OK) {
        return status;
    }
    mct_mark_end();
    return execute_digest((flags & MCT_STEP_DIGEST) != 0, reply, reply_bytes);
}

/* The rest of the step under way, which has its last call left at least. */
static mct_status execute_finish(uint8_t flags, uint8_t *reply, uint32_t *reply_bytes)
{
    if ((flags & ~MCT_STEP_DIGEST) != 0) {
        return MCT_ERR_RANGE;
    }
    if (!MCT_MODEL(busy)()) {
        return MCT_ERR_IDLE;
    }
    (void)MCT_MODEL(run)(MCT_MODEL_CONST(CALLS));
    return execute_digest((flags & MCT_STEP_DIGEST) != 0, reply, reply_bytes);
}

static mct_status execute_infer(uint8_t *reply, uint32_t *reply_bytes)
{
    mct_status status =
        mct_link_session.is_at_latent ? MCT_MODEL(infer_from_latent)() : MCT_MODEL(infer)();
    if (status != MCT_OK) {
        return status;
    }
    mct_mark_end();
#ifdef MCT_WITH_KEY
    mct_link_session.has_outputs = true;
#endif
    mct_put_u32(reply, MCT_MODEL(predicted)());
    *reply_bytes = MCT_REPLY_INFER_BYTES;
    return MCT_OK;
}

static mct_status execute_run(uint32_t max_calls, uint8_t *reply, uint32_t *reply_bytes)
{
    if (!MCT_MODEL(busy)()) {
        return MCT_ERR_IDLE;
    }
    reply[0] = MCT_MODEL(run)(max_calls) ? 1 : 0;
    mct_put_u32(reply + 1, MCT_MODEL(next_call)());
    *reply_bytes = MCT_REPLY_RUN_BYTES;
    return MCT_OK;
}

/* The regions of this model, of which MCT_REGION_COUNT are those of every model. */
enum { REGIONS = sizeof MCT_MODEL(regions) / sizeof MCT_MODEL(regions)[0] };

#ifdef MCT_WITH_KEY
/* Of RAM beside the state, which holds samples, a key shows the outputs of the inference just made.
 */
static bool is_shown(uint8_t index, const uint8_t *data, uint32_t nbytes)
{
    uintptr_t outputs = (uintptr_t)MCT_MODEL(logits)(), at = (uintptr_t)data;
    return index == MCT_REGION_STATE ||
           (mct_link_session.has_outputs && at >= outputs &&
            is_inside((uint32_t)(at - outputs), nbytes, MCT_MODEL_CONST(OUTPUT_BYTES)));
}
#endif

static mct_status execute_read(const uint8_t *payload, uint8_t *reply, uint32_t *reply_bytes)
{
    uint8_t index = payload[0];
    uint32_t offset = mct_get_u32(payload + 1);
    uint32_t nbytes = mct_get_u16(payload + 5);
    if (index >= REGIONS || nbytes > MCT_LINK_PAYLOAD - STATUS_BYTES - SEAL_BYTES ||
        !is_inside(offset, nbytes, MCT_MODEL(regions)[index].nbytes)) {
        return MCT_ERR_RANGE;
    }
    const uint8_t *data = MCT_MODEL(regions)[index].data + offset;
#ifdef MCT_WITH_KEY
    if (!is_shown(index, data, nbytes)) {
        return MCT_ERR_RIGHT;
    }
#endif
    memcpy(reply, data, (size_t)nbytes);
    *reply_bytes = nbytes;
    return MCT_OK;
}

static mct_status execute_write(const uint8_t *payload, uint32_t nbytes, uint8_t *reply,
                                uint32_t *reply_bytes)
{
    uint8_t index = payload[0];
    uint32_t offset = mct_get_u32(payload + 1);
    uint32_t data_bytes = nbytes - MCT_REQUEST_WRITE_BYTES;
    if (MCT_MODEL(busy)()) {
        return MCT_ERR_BUSY;
    }
    if (index >= REGIONS || !is_inside(offset, data_bytes, MCT_MODEL(regions)[index].nbytes)) {
        return MCT_ERR_RANGE;
    }
    memcpy(MCT_MODEL(regions)[index].data + offset, payload + MCT_REQUEST_WRITE_BYTES,
           (size_t)data_bytes);
    mct_link_session.is_written |= index == MCT_REGION_STATE;
    return put_number(offset + data_bytes, reply, reply_bytes);
}

/* A state can be written in many parts: it is judged when it is to be used. */
static bool state_is_usable(void)
{
    if (mct_link_session.is_written) {
        mct_link_session.is_written = !MCT_MODEL(state_is_valid)();
    }
    return !mct_link_session.is_written;
}

#ifdef MCT_WITH_STORE
static mct_status execute_store(uint8_t action, uint8_t *reply, uint32_t *reply_bytes)
{
    mct_status status = MCT_OK;
    if (action > MCT_STORE_FORGET) {
        return MCT_ERR_RANGE;
    }
    if (action == MCT_STORE_SAVE) {
        status = state_is_usable() ? MCT_MODEL(save)() : MCT_ERR_STATE;
    } else if (action == MCT_STORE_LOAD) {
        status = MCT_MODEL(load)();
        if (status == MCT_OK) {
            mct_link_session.is_written = false;
        } else if (status != MCT_ERR_BUSY && status != MCT_ERR_NOTHING_SAVED) {
            MCT_MODEL(reset)(0); /* half of something may have been loaded */
        }
    } else if (action == MCT_STORE_FORGET) {
        status = MCT_MODEL(forget)();
    }
    if (status == MCT_OK) {
        const mct_store_report report = MCT_MODEL(saved)();
        mct_put_u32(reply, report.slots);
        mct_put_u32(reply + 4, report.whole);
        mct_put_u32(reply + 8, report.sequence);
        mct_put_u32(reply + 12, report.erases);
        mct_put_u32(reply + 16, report.damaged);
        mct_put_u32(reply + 20, report.foreign);
        *reply_bytes = MCT_REPLY_STORE_BYTES;
    }
    return status;
}
#endif

#ifdef MCT_WITH_SENSOR
static mct_status execute_collect(const uint8_t *payload, uint8_t *reply, uint32_t *reply_bytes)
{
    uint32_t offset = mct_get_u32(payload);
    uint32_t nbytes = mct_get_u16(payload + 4);
    if (nbytes > MCT_LINK_PAYLOAD - STATUS_BYTES - MCT_REPLY_COLLECT_BYTES - SEAL_BYTES ||
        !is_inside(offset, nbytes, MCT_MODEL_CONST(INPUT_BYTES))) {
        return MCT_ERR_RANGE;
    }
    mct_status status = mct_collect(offset, nbytes, reply);
    if (status == MCT_OK) {
        *reply_bytes = MCT_REPLY_COLLECT_BYTES + nbytes;
    }
    return now_at_latent(false, status);
}
#endif

#endif
