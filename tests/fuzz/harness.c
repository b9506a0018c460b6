/* SPDX-License-Identifier: Apache-2.0 */
/* A session of the device in this process, its answers and its memory checked after each message.
 *
 * The sanitizers see what leaves an array. What they cannot see is checked here: all tensors share
 * the arena, so each kernel call is held to the bytes that the plan gives to it (fuzz_writes.h).
 * One translation unit with the firmware, whose static variables it compares and resets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzzed.c"

#include "mct/alive.c"
#include "runtime/frame.c"
#include "runtime/health.c"
#include "runtime/link.c"
#include "runtime/session.c"
#ifdef MCT_WITH_KEY
#include "mct/hmac.c"
#include "runtime/seal.c"
#endif

#include "facts.h"
#include "script.h"

typedef struct {
    uint32_t call, region, offset, nbytes;
} writable;
#include "fuzz_writes.h" /* static const writable fuzz_writes[], in the order of the calls */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const fuzz_facts fuzz_model = {
    MCT_LINK_PAYLOAD,
    MCT_MODEL_CONST(INPUT_BYTES),
    MCT_MODEL_CONST(TARGET_BYTES),
    MCT_MODEL_CONST(LATENT_BYTES),
    MCT_MODEL_CONST(CLASSES),
    MCT_MODEL_CONST(CALLS),
    MCT_MODEL_CONST(LATENT_SLOTS) + MCT_MODEL_CONST(FLASH_LATENTS),
    REGIONS,
    {FUZZ_REGION_BYTES},
};

#include "memory.h"
#include "sealing.h"

#include "rules.h"

/* ---- The link ---- */

enum { LARGEST = MCT_FRAME_RAW_BYTES(4 * FUZZ_FIELDS + FUZZ_DATA + MCT_REQUEST_SEALED_BYTES + 16) };

static uint8_t sent[MCT_FRAME_WIRE_BYTES(LARGEST)]; /* the last frame */
static uint32_t sent_bytes;
typedef struct {
    uint8_t wire[MCT_FRAME_WIRE_BYTES(RAW_BYTES)];
    uint32_t nbytes;
} reply_frame;
static reply_frame answered; /* what it was answered with */
static bool is_answered;

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    require(nbytes <= sizeof answered.wire && !is_answered, "more than one reply");
    memcpy(answered.wire, data, nbytes);
    answered.nbytes = nbytes;
    is_answered = true;
}

static void put(const uint8_t *bytes, uint32_t nbytes)
{
    for (uint32_t n = 0; n < nbytes; n++) {
        (void)mct_link_receive(bytes[n]);
    }
}

/* The reply to a request in a frame of a type and a right sequence number; whether it was done. */
static bool check_reply(uint8_t frame_type, uint8_t type, uint16_t seq, const uint8_t *payload,
                        uint32_t payload_bytes)
{
    static uint8_t raw[RAW_BYTES];
    mct_frame_decoder decoder = {.data = raw, .capacity = sizeof raw};
    mct_frame_event event = MCT_FRAME_GOES_ON;
    for (uint32_t n = 0; n < answered.nbytes; n++) {
        require(event == MCT_FRAME_GOES_ON, "bytes behind a reply");
        event = mct_frame_push(&decoder, answered.wire[n]);
    }
    require(event == MCT_FRAME_WHOLE, "no whole reply");
    uint32_t nbytes = mct_frame_bytes(&decoder);
    require(nbytes >= MCT_FRAME_HEADER_BYTES + STATUS_BYTES, "a damaged reply");
    require(raw[0] == (frame_type | MCT_MSG_REPLY), "a reply of another type");
    require(mct_get_u16(raw + 1) == seq, "a reply of another number");
    if (frame_type == MCT_MSG_SEALED) {
        nbytes = MCT_FRAME_HEADER_BYTES + without_code(type, seq, raw + MCT_FRAME_HEADER_BYTES,
                                                       nbytes - MCT_FRAME_HEADER_BYTES);
    }
    mct_status status = (mct_status)(int8_t)raw[MCT_FRAME_HEADER_BYTES];
    const uint8_t *reply = raw + MCT_FRAME_HEADER_BYTES + STATUS_BYTES;
    uint32_t expected = status == MCT_OK ? reply_bytes_of(type, payload) : 0;
    require(nbytes == MCT_FRAME_HEADER_BYTES + STATUS_BYTES + expected, "a reply of a wrong size");
    check_memory(type, status == MCT_OK);
    if (status == MCT_OK) {
        check_prediction(type, reply);
        require(!must_refuse(type, payload, payload_bytes), "what is beyond the model was taken");
        require(!is_hidden(type, payload), "RAM was shown or written that no key has a right to");
    }
    follow_outputs(type, status == MCT_OK);
    return status == MCT_OK;
}

/* ---- Messages ---- */

/* What becomes of a frame: it may not fit, be a reply, be of no session, or be executed. */
typedef enum { LOST, PASSED_OVER, REFUSED, EXECUTED } fate;

static uint8_t sent_type, frame_type; /* of the request, and of the frame that holds it */
static uint8_t sent_payload[LARGEST];
static uint32_t sent_payload_bytes;
static uint16_t sent_seq, next_seq;
static fate sent_fate;
static bool is_open;

static void switch_on(void)
{
    for (uint32_t b = 0; b < BLOCKS; b++) {
        block one = block_at(b);
        memset(one.data, 0, one.nbytes);
    }
#if defined FUZZED_AHEAD || defined FUZZED_ARRIVES
    fuzzed_came = 0;
#endif
#ifdef FUZZED_ARRIVES
    memset(fuzzed_done, 0, sizeof fuzzed_done);
#endif
    memset(&come, 0, sizeof come);
#ifdef MCT_WITH_KEY
    memset(&mct_link_seal, 0, sizeof mct_link_seal);
    shows_outputs = false;
#endif
    sent_bytes = 0;
    next_seq = 1;
    is_open = false;
    mct_session_init();
}

/* Lets the device say what it has to of bytes that were no message of ours. */
static void settle(void)
{
    static reply_frame kept; /* what our last message was answered with */
    kept = answered;
    while (mct_link.is_waiting || mct_link.loss != MCT_LINK_LOST_NOTHING) {
        come.is_unknown |= mct_link.is_waiting;
        is_answered = false;
        (void)mct_session_work();
    }
    answered = kept;
}

/* Ends what came before, which the device drops unless it is a frame. */
static void end_noise(void)
{
    static const uint8_t end[2] = {0, 0};
    settle(); /* what is whole already */
    put(end, sizeof end);
    settle();
}

/* Hands over what was encoded into `sent`; whether the device says that it has done it. */
static bool deliver(void)
{
    end_noise();
    take(&at_message);
    is_answered = false;
    put(sent, sent_bytes);
    if (sent_fate == LOST) {
        require(!mct_link.is_waiting, "a frame that is too long was received");
        settle();
        return false;
    }
    require(mct_session_work() && is_answered == (sent_fate != PASSED_OVER), "no reply");
    if (sent_fate == PASSED_OVER) {
        check_memory(MCT_MSG_HELLO, false);
        return false;
    }
    if (sent_fate == REFUSED) {
        check_memory(MCT_MSG_HELLO, false);
        require(answered.wire[2] == (frame_type | MCT_MSG_REPLY), "no refusal");
        return false;
    }
    return check_reply(frame_type, sent_type, sent_seq, sent_payload, sent_payload_bytes);
}

static const uint8_t nothing[1];

/* Encodes a frame; returns the bytes of its payload. */
static uint32_t encode(uint8_t type, uint16_t seq, const uint8_t *payload, uint32_t nbytes,
                       bool is_sealed)
{
    static uint8_t raw[LARGEST];
    frame_type = is_sealed ? MCT_MSG_SEALED : type;
    raw[0] = frame_type;
    mct_put_u16(raw + 1, seq);
    memcpy(sent_payload, payload, nbytes);
    sent_payload_bytes = nbytes;
    sent_type = type;
    sent_seq = seq;
    if (is_sealed) {
        nbytes = seal(type, seq, payload, nbytes, raw + MCT_FRAME_HEADER_BYTES);
    } else {
        memcpy(raw + MCT_FRAME_HEADER_BYTES, payload, nbytes);
    }
    sent_bytes = mct_frame_encode(raw, MCT_FRAME_HEADER_BYTES + nbytes, sent);
    return nbytes;
}

/* Sends a frame, and looks at what becomes of it. `may_be` is what does if it fits, in a session.
 */
static void send_frame(uint8_t type, const uint8_t *payload, uint32_t nbytes, bool is_sealed,
                       fate may_be)
{
    bool fits = encode(type, next_seq, payload, nbytes, is_sealed) <= MCT_LINK_PAYLOAD;
    is_open = is_open || (frame_type == MCT_MSG_HELLO && fits);
    sent_fate = !fits ? LOST : may_be == EXECUTED && !is_open ? REFUSED : may_be;
    if (deliver()) {
        require(!lacks_sample(type), "a sample served twice, or before it was whole");
        follow(type, payload, nbytes);
    }
    next_seq += sent_fate == EXECUTED;
}

#ifdef MCT_WITH_KEY
/* The first request of a session with a device that has a key. */
static void greet(void)
{
    send_frame(MCT_MSG_HELLO, host_nonce, sizeof host_nonce, true, EXECUTED);
}
#else
static void greet(void)
{
}
#endif

static void send_message(uint8_t type, const uint8_t *payload, uint32_t nbytes, bool is_bare)
{
    bool is_hello = type == MCT_MSG_HELLO, is_echo = (type & MCT_MSG_REPLY) != 0;
    bool is_sealed = IS_KEYED && !is_hello && !is_echo && !is_bare;
    bool is_refused = IS_KEYED && !is_hello && is_bare;
    send_frame(type, payload, nbytes, is_sealed,
               is_echo      ? PASSED_OVER
               : is_refused ? REFUSED
                            : EXECUTED);
    if (is_hello && sent_fate == EXECUTED) {
        greet();
    }
}

/* A frame of a number that is neither the last nor the next. */
static void skip(void)
{
    (void)encode(MCT_MSG_DIGEST, next_seq + 7, nothing, 0, false);
    sent_fate = REFUSED;
    (void)deliver();
}

/* What was executed is answered as before, and not executed again. */
static void repeat(void)
{
    static reply_frame first;
    if (sent_bytes == 0) {
        return;
    }
    first = answered;
    (void)deliver();
    if (sent_fate == EXECUTED && sent_type != MCT_MSG_HELLO) {
        require(answered.nbytes == first.nbytes &&
                    memcmp(first.wire, answered.wire, first.nbytes) == 0,
                "a frame that came twice has two replies");
        check_memory(MCT_MSG_HELLO, false);
    }
}

static void work(uint32_t times)
{
    while (times-- > 0 && mct_session_work()) {
    }
}

static void execute_line(const fuzz_line *line)
{
    uint8_t payload[4 * FUZZ_FIELDS + FUZZ_DATA];
    uint32_t nbytes = fuzz_payload(line, payload);
    switch (line->form->kind) {
    case FUZZ_FRAME:
    case FUZZ_BARE:
        send_message((uint8_t)line->fields[0], payload, nbytes, line->form->kind == FUZZ_BARE);
        break;
    case FUZZ_NOISE:
        put(payload, nbytes);
        settle();
        break;
    case FUZZ_AGAIN:
        repeat();
        break;
    case FUZZ_SKIP:
        skip();
        break;
    case FUZZ_WORK:
        work(line->fields[0]);
        break;
    case FUZZ_RESTART:
        switch_on();
        break;
    default:
        send_message(line->form->kind, payload, nbytes, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_script script;
    fuzz_read(data, size, &script);
    switch_on();
    send_message(MCT_MSG_HELLO, nothing, 0, false);
    for (uint32_t n = 0; n < script.count; n++) {
        execute_line(&script.lines[n]);
    }
    return 0;
}
