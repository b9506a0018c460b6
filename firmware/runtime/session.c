/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/session.h"

#include <string.h>

#include "mct/port.h"
#include "mct/protocol.h"
#include "mct_selected_model.h"
#include "runtime/frame.h"
#include "runtime/health.h"
#include "runtime/link.h"
#include "runtime/record_reply.h"
#include "runtime/request.h"

/* MCT_WITH_STORE: this firmware has a store. mct_selected_model.h says so, or the board. */
#ifdef MCT_WITH_STORE
#define MCT_API(symbol) MCT_MODEL(symbol)
#include "learning/model_store.h"
#endif

#include "runtime/hello.h"

#ifdef MCT_WITH_SENSOR
#include "runtime/collect.h"
#endif

/* The header of the selected model includes runtime/seal.h in a build with a key, whose replies
 * hold so much less. */
#ifdef MCT_WITH_KEY
enum { SEAL_BYTES = MCT_MAC_BYTES };
#else
enum { SEAL_BYTES = 0 };
#endif

/* Whether the model has a buffer for the next sample: mct_selected_model.h says so. */
#ifndef MCT_RECEIVES_AHEAD
#define MCT_RECEIVES_AHEAD 0
#endif

/* Whether the model's head can be enrolled from latents that it keeps: so does this. */
#ifndef MCT_ENROLS
#define MCT_ENROLS 0
#endif

_Static_assert(MCT_LINK_PAYLOAD >= 96 + SEAL_BYTES && MCT_LINK_PAYLOAD <= 0xffff,
               "MCT_LINK_PAYLOAD must hold the HELLO reply and fit 16 bits");

enum {
    STATUS_BYTES = 1,
    RAW_BYTES = MCT_FRAME_RAW_BYTES(MCT_LINK_PAYLOAD),
    REFUSAL_RAW_BYTES = MCT_FRAME_RAW_BYTES(STATUS_BYTES)
};

/* The last reply stays encoded in mct_link_tx, to be repeated if the host did not get it. */
static uint8_t mct_link_tx[MCT_FRAME_WIRE_BYTES(RAW_BYTES)];
static struct {
    uint32_t tx_bytes;
    uint32_t cycles; /* of the last request executed */
    uint16_t seq;    /* of the last request executed */
    bool is_open;
    bool was_new;      /* it was not a repeat, so what came behind it was one of it */
    bool is_at_latent; /* LATENT, PREFIX or RECALL came after the last sample */
    bool is_started;   /* the step under way was begun by START */
    bool is_written;   /* the state, by WRITE: whether it is valid is not known yet */
#ifdef MCT_WITH_KEY
    bool has_outputs; /* an INFER has left them in the arena, and nothing came since but READs */
#endif
} mct_link_session;

__attribute__((weak)) uint32_t mct_port_cycles(void)
{
    return 0;
}

__attribute__((noinline)) void mct_mark_end(void)
{
    __asm__ volatile("" ::: "memory");
}

void mct_session_init(void)
{
    memset(&mct_link_session, 0, sizeof mct_link_session);
    mct_link_init();
    mct_health_begin();
    MCT_MODEL(reset)(0);
#ifdef MCT_WITH_STORE
    if (!mct_health_is_safe() && MCT_MODEL(load)() != MCT_OK) {
        MCT_MODEL(reset)(0); /* a load that is refused may have left half of something */
    }
#endif
}

/* Where a payload must end: 0 data bytes unless the message carries data. */
static bool size_is_right(uint8_t type, uint32_t nbytes)
{
    switch (type) {
    case MCT_MSG_HELLO:
        return nbytes == MCT_REQUEST_HELLO_BYTES;
    case MCT_MSG_RESET:
        return nbytes == MCT_REQUEST_RESET_BYTES;
    case MCT_MSG_LEARNING_RATE:
        return nbytes == MCT_REQUEST_LEARNING_RATE_BYTES;
    case MCT_MSG_SAMPLE:
        return nbytes >= MCT_REQUEST_SAMPLE_BYTES;
    case MCT_MSG_STEP:
        return nbytes == MCT_REQUEST_STEP_BYTES;
    case MCT_MSG_INFER:
        return nbytes == MCT_REQUEST_INFER_BYTES;
    case MCT_MSG_BEGIN:
        return nbytes == MCT_REQUEST_BEGIN_BYTES;
    case MCT_MSG_RUN:
        return nbytes == MCT_REQUEST_RUN_BYTES;
    case MCT_MSG_DIGEST:
        return nbytes == MCT_REQUEST_DIGEST_BYTES;
    case MCT_MSG_READ:
        return nbytes == MCT_REQUEST_READ_BYTES;
    case MCT_MSG_WRITE:
        return nbytes >= MCT_REQUEST_WRITE_BYTES;
    case MCT_MSG_TARGET:
        return nbytes >= MCT_REQUEST_TARGET_BYTES;
    case MCT_MSG_CLASSES:
        return nbytes == MCT_REQUEST_CLASSES_BYTES;
    case MCT_MSG_LATENT:
        return nbytes >= MCT_REQUEST_LATENT_BYTES;
    case MCT_MSG_PREFIX:
        return nbytes == MCT_REQUEST_PREFIX_BYTES;
    case MCT_MSG_KEEP:
        return nbytes == MCT_REQUEST_KEEP_BYTES;
    case MCT_MSG_RECALL:
        return nbytes == MCT_REQUEST_RECALL_BYTES;
    case MCT_MSG_START:
        return MCT_RECEIVES_AHEAD && nbytes == MCT_REQUEST_START_BYTES;
    case MCT_MSG_FINISH:
        return MCT_RECEIVES_AHEAD && nbytes == MCT_REQUEST_FINISH_BYTES;
    case MCT_MSG_CYCLES:
        return nbytes == MCT_REQUEST_CYCLES_BYTES;
#ifdef MCT_WITH_STORE
    case MCT_MSG_STORE:
        return nbytes == MCT_REQUEST_STORE_BYTES;
#endif
#ifdef MCT_KEEPS_CHAIN
    case MCT_MSG_RECORD:
        return nbytes == MCT_REQUEST_RECORD_BYTES;
#endif
#ifdef MCT_WITH_SENSOR
    case MCT_MSG_COLLECT:
        return nbytes == MCT_REQUEST_COLLECT_BYTES;
#endif
#if MCT_ENROLS
    case MCT_MSG_ENROL:
        return nbytes == MCT_REQUEST_ENROL_BYTES;
#endif
    default:
        return false;
    }
}

#include "runtime/execute.h"

/* Whether the message begins to compute with the state. */
static bool uses_state(uint8_t type)
{
    const uint32_t one = 1u;
    uint32_t types = one << MCT_MSG_STEP | one << MCT_MSG_INFER | one << MCT_MSG_BEGIN |
                     one << MCT_MSG_START | one << MCT_MSG_PREFIX | one << MCT_MSG_KEEP |
                     one << MCT_MSG_ENROL;
    if (MCT_MODEL_CONST(FIRST_CALL) != 0) {
        /* Its rows are computed as they come. */
        types |= one << MCT_MSG_SAMPLE | one << MCT_MSG_COLLECT;
    }
    return (types >> type & 1u) != 0; /* size_is_right() has refused all types beyond 31 */
}

static mct_status execute(uint8_t type, const uint8_t *payload, uint32_t nbytes, uint8_t *reply,
                          uint32_t *reply_bytes)
{
#ifdef MCT_WITH_KEY
    if (!mct_seal_allows(type, payload, nbytes)) {
        return MCT_ERR_RIGHT;
    }
    mct_link_session.has_outputs &= type == MCT_MSG_READ;
#endif
    if (!size_is_right(type, nbytes)) {
        return MCT_ERR_MESSAGE;
    }
    if (uses_state(type) && !state_is_usable()) {
        return MCT_ERR_STATE;
    }
#ifdef MCT_WITH_SENSOR
    mct_collected.is_there &= type == MCT_MSG_COLLECT;
#endif
    switch (type) {
    case MCT_MSG_HELLO:
        return execute_hello(reply, reply_bytes);
    case MCT_MSG_RESET:
        MCT_MODEL(reset)(mct_get_u32(payload));
        mct_link_session.is_written = false;
        return now_at_latent(false, MCT_OK);
    case MCT_MSG_LEARNING_RATE:
        return execute_learning_rate(payload[0], payload[1]);
    case MCT_MSG_SAMPLE:
    case MCT_MSG_LATENT:
    case MCT_MSG_TARGET:
        return execute_push(type, payload, nbytes, reply, reply_bytes);
    case MCT_MSG_PREFIX:
        return execute_prefix();
    case MCT_MSG_KEEP:
        return MCT_MODEL(keep_latent)(mct_get_u32(payload), mct_get_u32(payload + 4));
    case MCT_MSG_RECALL:
        return execute_recall(mct_get_u32(payload), reply, reply_bytes);
    case MCT_MSG_STEP:
        return execute_step(mct_get_u32(payload), payload[4], reply, reply_bytes);
    case MCT_MSG_INFER:
        return execute_infer(reply, reply_bytes);
    case MCT_MSG_BEGIN:
        return execute_begin(mct_get_u32(payload), false);
    case MCT_MSG_RUN:
        return execute_run(mct_get_u32(payload), reply, reply_bytes);
    case MCT_MSG_DIGEST:
        return execute_digest(true, reply, reply_bytes);
    case MCT_MSG_READ:
        return execute_read(payload, reply, reply_bytes);
    case MCT_MSG_CLASSES:
        return MCT_MODEL(set_classes)(mct_get_u32(payload));
    case MCT_MSG_START:
        return execute_begin(mct_get_u32(payload), true);
    case MCT_MSG_FINISH:
        return execute_finish(payload[0], reply, reply_bytes);
    case MCT_MSG_CYCLES:
        return put_number(mct_link_session.cycles, reply, reply_bytes);
#ifdef MCT_WITH_STORE
    case MCT_MSG_STORE:
        return execute_store(payload[0], reply, reply_bytes);
#endif
#ifdef MCT_KEEPS_CHAIN
    case MCT_MSG_RECORD:
        return mct_record_reply(payload[0], mct_get_u32(payload + 1), reply, reply_bytes);
#endif
#ifdef MCT_WITH_SENSOR
    case MCT_MSG_COLLECT:
        return execute_collect(payload, reply, reply_bytes);
#endif
#if MCT_ENROLS
    case MCT_MSG_ENROL:
        return MCT_MODEL(enrol)(mct_get_u32(payload));
#endif
    default: /* MCT_MSG_WRITE: size_is_right() has refused all others */
        return execute_write(payload, nbytes, reply, reply_bytes);
    }
}

static void put_header(uint8_t *raw, uint8_t type, uint16_t seq, mct_status status)
{
    raw[0] = type | MCT_MSG_REPLY;
    mct_put_u16(raw + 1, seq);
    raw[MCT_FRAME_HEADER_BYTES] = (uint8_t)status;
}

/* Answers from the stack: the kept reply must survive a stray frame. */
static void refuse(uint8_t type, uint16_t seq, mct_status status)
{
    uint8_t raw[REFUSAL_RAW_BYTES];
    uint8_t wire[MCT_FRAME_WIRE_BYTES(REFUSAL_RAW_BYTES)];
    put_header(raw, type, seq, status);
    mct_port_write(wire, mct_frame_encode(raw, MCT_FRAME_HEADER_BYTES + STATUS_BYTES, wire));
}

/* Whether a request is to be answered in this session. In a build with a key it is taken out of its
 * seal. */
static mct_status admit(mct_request *request)
{
    bool is_last = request->seq == mct_link_session.seq;
    if (request->type == MCT_MSG_HELLO) {
#ifdef MCT_WITH_KEY
        mct_seal_begin(mct_link_session.is_open && is_last);
#endif
        mct_link_session.is_open = true;
        return MCT_OK;
    }
    if (!mct_link_session.is_open ||
        (!is_last && request->seq != (uint16_t)(mct_link_session.seq + 1))) {
        return MCT_ERR_SESSION;
    }
#ifdef MCT_WITH_KEY
    return mct_seal_open(request, !is_last);
#else
    return MCT_OK;
#endif
}

/* Executes a request that came in a frame of a type, and keeps the reply, encoded in place. */
static void execute_once(uint8_t type, const mct_request *request)
{
    uint8_t *raw = mct_link_tx + MCT_FRAME_GAP_BYTES(RAW_BYTES);
    uint8_t *reply = raw + MCT_FRAME_HEADER_BYTES + STATUS_BYTES;
    uint32_t reply_bytes = 0;
    uint32_t begun = mct_port_cycles();
    mct_status status =
        execute(request->type, request->payload, request->nbytes, reply, &reply_bytes);
    mct_link_session.cycles = mct_port_cycles() - begun;
    mct_health_served();
    put_header(raw, type, request->seq, status);
    reply_bytes += STATUS_BYTES;
#ifdef MCT_WITH_KEY
    if (type == MCT_MSG_SEALED) {
        reply_bytes = mct_seal_close(request, reply - STATUS_BYTES, reply_bytes);
    }
#endif
    reply_bytes += MCT_FRAME_HEADER_BYTES;
    mct_link_session.tx_bytes = mct_frame_encode(raw, reply_bytes, mct_link_tx);
    mct_link_session.seq = request->seq;
}

/* The link is opened before the reply goes out: the next request may follow at once. */
static void answer(const uint8_t *frame, uint32_t frame_bytes)
{
    const uint8_t type = frame[0];
    mct_request request = {frame + MCT_FRAME_HEADER_BYTES, frame_bytes - MCT_FRAME_HEADER_BYTES,
                           (uint16_t)mct_get_u16(frame + 1), type};
    mct_link_session.was_new = false;
    if ((type & MCT_MSG_REPLY) != 0) { /* an echo of what this device has sent */
        mct_link_open();
        return;
    }
    mct_status status = admit(&request);
    if (status != MCT_OK) {
        mct_link_open();
        refuse(type, request.seq, status);
        return;
    }
    mct_link_session.was_new = type != MCT_MSG_HELLO && request.seq != mct_link_session.seq;
    if (mct_link_session.was_new || request.type == MCT_MSG_HELLO || request.type == MCT_MSG_READ) {
        execute_once(type, &request);
    }
    mct_link_open();
    mct_port_write(mct_link_tx, mct_link_session.tx_bytes);
}

/* Tells the host of a frame that was lost, once the device is idle again: it repeats at once. What
 * was dropped behind a request that was executed just now was a repeat of it, which has its answer.
 * Behind a repeat it may have been the next request. */
static bool tell_loss(void)
{
    mct_link_loss loss = mct_link_take_loss();
    if (loss == MCT_LINK_LOST_NOTHING || (loss == MCT_LINK_DROPPED && mct_link_session.was_new)) {
        return false;
    }
    refuse(0, mct_link_session.seq, MCT_ERR_DAMAGED);
    return true;
}

/* Runs a call of a started step, if it is not the last: that is FINISH's. So until then the step is
 * under way, whenever its calls have run, and its loss stays in the arena. */
static bool run_ahead(void)
{
    if (!mct_link_session.is_started || !MCT_MODEL(busy)() ||
        MCT_MODEL(next_call)() + 1u >= MCT_MODEL_CONST(CALLS)) {
        return false;
    }
    (void)MCT_MODEL(run)(1);
    return true;
}

bool mct_session_work(void)
{
    const uint8_t *request;
    uint32_t frame_bytes = mct_link_request(&request);
    if (frame_bytes != 0) {
        answer(request, frame_bytes);
        return true;
    }
    return tell_loss() || (MCT_RECEIVES_AHEAD && run_ahead());
}
