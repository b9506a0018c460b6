/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/link.h"

#include <stdatomic.h>
#include <string.h>

#include "mct/port.h"
#include "runtime/frame.h"

/* An interrupt and the main loop share these. Only volatile objects keep their order among
 * themselves; a fence keeps the other ones in place beside them, whatever is inlined (a signal
 * fence is one between a thread and an interrupt of its own core, and costs no instruction). The
 * volatile ones have a byte each: a processor of 8 bits reads and writes no more at once. */
static uint8_t mct_link_rx[MCT_FRAME_RAW_BYTES(MCT_LINK_PAYLOAD)];
static struct {
    mct_frame_decoder decoder; /* of mct_link_receive alone, as the next */
    bool drops;                /* bytes behind the frame in mct_link_rx are lost */
    volatile uint8_t loss;     /* an mct_link_loss that the main loop has not seen */
    volatile bool is_waiting;  /* a frame is in mct_link_rx; else it is being received */
} mct_link;

void mct_link_init(void)
{
    memset(&mct_link.decoder, 0, sizeof mct_link.decoder);
    mct_link.decoder.data = mct_link_rx;
    mct_link.decoder.capacity = sizeof mct_link_rx;
    mct_link.is_waiting = false;
    mct_link.loss = MCT_LINK_LOST_NOTHING;
    mct_link.drops = false;
    atomic_signal_fence(memory_order_release); /* before the port's interrupt is let through */
}

bool mct_link_receive(uint8_t byte)
{
    if (mct_link.is_waiting && byte != 0) {
        mct_frame_spoil(&mct_link.decoder); /* the request in the buffer stays */
        mct_link.drops = true;
    }
    mct_frame_event event = mct_frame_push(&mct_link.decoder, byte);
    if (event != MCT_FRAME_GOES_ON) {
        bool is_whole = event == MCT_FRAME_WHOLE;
        mct_link_loss loss = mct_link.drops ? MCT_LINK_DROPPED : MCT_LINK_DAMAGED;
        mct_link.loss = (uint8_t)(is_whole ? MCT_LINK_LOST_NOTHING : loss);
        mct_link.drops = false;
        if (is_whole) {
            atomic_signal_fence(memory_order_release);
            mct_link.is_waiting = true;
        }
    }
    return mct_link.is_waiting;
}

uint32_t mct_link_request(const uint8_t **request)
{
    if (!mct_link.is_waiting) {
        return 0;
    }
    atomic_signal_fence(memory_order_acquire);
    *request = mct_link_rx;
    return mct_frame_bytes(&mct_link.decoder);
}

void mct_link_open(void)
{
    atomic_signal_fence(memory_order_release);
    mct_link.is_waiting = false;
}

mct_link_loss mct_link_take_loss(void)
{
    mct_link_loss loss = (mct_link_loss)mct_link.loss;
    if (loss != MCT_LINK_LOST_NOTHING) {
        mct_link.loss = MCT_LINK_LOST_NOTHING;
    }
    return loss;
}
