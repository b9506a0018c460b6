/* SPDX-License-Identifier: Apache-2.0 */
/* A session of the device in this process, its answers and its memory checked after each message.
 *
 * The sanitizers see what leaves an array. What they cannot see is checked here: all tensors share
 * the arena, so each kernel call is held to the bytes that the plan gives to it (fuzz_writes.h). One
 * translation unit with the firmware, whose static variables it compares and resets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzzed.c"

#include "runtime/frame.c"
#include "runtime/link.c"
#include "runtime/session.c"

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

/* ---- What is in memory ---- */

typedef struct {
    void *data;
    uint32_t nbytes;
} block;

/* The model's variables outside the regions, which no kernel call may change. */
static const block kept[] = {
#ifdef FUZZED_SLOTS
    {fuzzed_slots, sizeof fuzzed_slots},
    {fuzzed_slots_label, sizeof fuzzed_slots_label},
#endif
#ifdef FUZZED_AHEAD
    {fuzzed_ahead, sizeof fuzzed_ahead},
#endif
    {&fuzzed_next, sizeof fuzzed_next},
    {&fuzzed_busy_now, sizeof fuzzed_busy_now},
    {mct_link_rx, sizeof mct_link_rx},
    {mct_link_tx, sizeof mct_link_tx},
    {&mct_link_session, sizeof mct_link_session},
    {&mct_link_decoder, sizeof mct_link_decoder},
};
enum { KEPT = sizeof kept / sizeof kept[0], BLOCKS = REGIONS + KEPT };
#ifdef FUZZED_SLOTS
enum { SLOT_BLOCKS = 2 };
#else
enum { SLOT_BLOCKS = 0 };
#endif

static block block_at(uint32_t index)
{
    if (index < REGIONS) {
        return (block){fuzzed_regions[index].data, fuzzed_regions[index].nbytes};
    }
    return kept[index - REGIONS];
}

/* Copies of all blocks: one for the message under way, one for the kernel call. */
typedef struct {
    uint8_t *copies[BLOCKS];
} snapshot;
static snapshot at_message, at_call;

static void take(snapshot *all)
{
    for (uint32_t b = 0; b < BLOCKS; b++) {
        block now = block_at(b);
        if (all->copies[b] == NULL) {
            all->copies[b] = malloc(now.nbytes);
        }
        memcpy(all->copies[b], now.data, now.nbytes);
    }
}

static bool is_as_before(const snapshot *all, uint32_t index)
{
    block now = block_at(index);
    return memcmp(all->copies[index], now.data, now.nbytes) == 0;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "WRONG: %s\n", what);
    abort();
}

static void require(bool is_right, const char *what)
{
    if (!is_right) {
        fail(what);
    }
}

/* ---- Kernel calls ---- */

static void fuzz_call_begins(void)
{
    take(&at_call);
}

/* What the call may write becomes, in the copies, as it is now; then nothing else may differ. */
static void allow_writes(uint32_t call)
{
    for (uint32_t w = 0; w < sizeof fuzz_writes / sizeof fuzz_writes[0]; w++) {
        const writable *one = &fuzz_writes[w];
        if (one->call == call) {
            memcpy(at_call.copies[one->region] + one->offset,
                   fuzzed_regions[one->region].data + one->offset, one->nbytes);
        }
    }
}

static void fuzz_call_ends(uint32_t call)
{
    allow_writes(call);
    for (uint32_t r = 0; r < REGIONS; r++) {
        uint32_t n = 0;
        while (n < fuzzed_regions[r].nbytes && at_call.copies[r][n] == fuzzed_regions[r].data[n]) {
            n++;
        }
        if (n < fuzzed_regions[r].nbytes) {
            fprintf(stderr, "call %u wrote byte %u of region %u: ", call, n, r);
            fail("a kernel wrote what is not its own");
        }
    }
    for (uint32_t b = REGIONS; b < BLOCKS; b++) {
        require(is_as_before(&at_call, b), "a kernel changed a variable of the runtime");
    }
}

/* ---- The link ---- */

enum { LARGEST = MCT_FRAME_RAW_BYTES(4 * FUZZ_FIELDS + FUZZ_DATA) };

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

/* ---- What a message may do ---- */

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
        return true;
    default:
        return false;
    }
}

static bool may_change_arena(uint8_t type)
{
    return type != MCT_MSG_HELLO && type != MCT_MSG_READ && type != MCT_MSG_DIGEST &&
           type != MCT_MSG_KEEP && type != MCT_MSG_CLASSES && type != MCT_MSG_LEARNING_RATE &&
           type != MCT_MSG_RESET;
}

static void check_memory(uint8_t type, bool is_done)
{
    if (!is_done || !may_change_state(type)) {
        require(is_as_before(&at_message, MCT_REGION_STATE), "the state changed");
    }
    if (!is_done || !may_change_arena(type)) {
        require(is_as_before(&at_message, MCT_REGION_ARENA), "the arena changed");
    }
    for (uint32_t b = REGIONS; b < REGIONS + SLOT_BLOCKS && (!is_done || type != MCT_MSG_KEEP); b++) {
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

/* The reply to a frame of a right sequence number. */
static void check_reply(uint8_t type, uint16_t seq, const uint8_t *payload)
{
    static uint8_t raw[RAW_BYTES];
    mct_frame_decoder decoder = {.data = raw, .capacity = sizeof raw};
    uint32_t raw_bytes = 0;
    for (uint32_t n = 0; n < answered.nbytes; n++) {
        require(raw_bytes == 0, "bytes behind a reply");
        raw_bytes = mct_frame_push(&decoder, answered.wire[n]);
    }
    require(raw_bytes != 0, "no reply");
    uint32_t nbytes = mct_frame_check(raw, raw_bytes);
    require(nbytes >= MCT_FRAME_HEADER_BYTES + STATUS_BYTES, "a damaged reply");
    require(raw[0] == (type | MCT_MSG_REPLY), "a reply of another type");
    require(mct_get_u16(raw + 1) == seq, "a reply of another number");
    mct_status status = (mct_status)(int8_t)raw[MCT_FRAME_HEADER_BYTES];
    const uint8_t *reply = raw + MCT_FRAME_HEADER_BYTES + STATUS_BYTES;
    uint32_t expected = status == MCT_OK ? reply_bytes_of(type, payload) : 0;
    require(nbytes == MCT_FRAME_HEADER_BYTES + STATUS_BYTES + expected, "a reply of a wrong size");
    check_memory(type, status == MCT_OK);
    if (status == MCT_OK) {
        check_prediction(type, reply);
    }
}

/* ---- Messages ---- */

/* What becomes of a frame: it may not fit, be of no session, or be executed. */
typedef enum { LOST, REFUSED, EXECUTED } fate;

static uint8_t sent_type;
static uint8_t sent_payload[LARGEST];
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
    sent_bytes = 0;
    next_seq = 1;
    is_open = false;
    mct_session_init();
}

/* Ends what came before, which the device drops if it looks like a frame. */
static void end_noise(void)
{
    static const uint8_t end = 0;
    put(&end, 1);
    if (mct_link_rx_bytes != 0) {
        (void)mct_session_work();
    }
}

/* Hands over what was encoded into `sent`. */
static void deliver(void)
{
    end_noise();
    take(&at_message);
    is_answered = false;
    put(sent, sent_bytes);
    if (sent_fate == LOST) {
        require(mct_link_rx_bytes == 0, "a frame that is too long was received");
        return;
    }
    require(mct_session_work() && is_answered, "no reply");
    if (sent_fate == REFUSED) {
        check_memory(MCT_MSG_HELLO, false);
        require(answered.wire[1] == (sent_type | MCT_MSG_REPLY), "no refusal");
    } else {
        check_reply(sent_type, sent_seq, sent_payload);
    }
}

static const uint8_t nothing[1];

static void encode(uint8_t type, uint16_t seq, const uint8_t *payload, uint32_t nbytes)
{
    static uint8_t raw[LARGEST];
    raw[0] = type;
    mct_put_u16(raw + 1, seq);
    memcpy(raw + MCT_FRAME_HEADER_BYTES, payload, nbytes);
    memcpy(sent_payload, payload, nbytes);
    sent_bytes = mct_frame_encode(raw, MCT_FRAME_HEADER_BYTES + nbytes, sent);
    sent_type = type;
    sent_seq = seq;
}

static void send_message(uint8_t type, const uint8_t *payload, uint32_t nbytes)
{
    encode(type, next_seq, payload, nbytes);
    is_open = is_open || (type == MCT_MSG_HELLO && nbytes <= MCT_LINK_PAYLOAD);
    sent_fate = nbytes > MCT_LINK_PAYLOAD ? LOST : is_open ? EXECUTED : REFUSED;
    deliver();
    next_seq += sent_fate == EXECUTED;
}

/* A frame of a number that is neither the last nor the next. */
static void skip(void)
{
    encode(MCT_MSG_DIGEST, next_seq + 7, nothing, 0);
    sent_fate = REFUSED;
    deliver();
}

/* What was executed is answered as before, and not executed again. */
static void repeat(void)
{
    static reply_frame first;
    if (sent_bytes == 0) {
        return;
    }
    first = answered;
    deliver();
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
        send_message((uint8_t)line->fields[0], payload, nbytes);
        break;
    case FUZZ_NOISE:
        put(payload, nbytes);
        work(1);
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
        send_message(line->form->kind, payload, nbytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_script script;
    fuzz_read(data, size, &script);
    switch_on();
    send_message(MCT_MSG_HELLO, nothing, 0);
    for (uint32_t n = 0; n < script.count; n++) {
        execute_line(&script.lines[n]);
    }
    return 0;
}
