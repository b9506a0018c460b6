/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/link.h"

#include <stdatomic.h>
#include <string.h>

#include "mct/port.h"
#include "runtime/frame.h"

/* An interrupt and the main loop share these. Only volatile objects keep their order among
 * themselves; a fence keeps the other ones in place beside them, whatever is inlined (a signal
 * fence is one between a thread and an interrupt of its own core, and costs no instruction). */
static uint8_t mct_link_rx[MCT_FRAME_RAW_BYTES(MCT_LINK_PAYLOAD)];
static mct_frame_decoder mct_link_decoder;  /* of mct_link_receive alone, as the next */
static bool mct_link_drops;                 /* bytes behind the frame in mct_link_rx are lost */
static volatile uint32_t mct_link_rx_bytes; /* of a frame in mct_link_rx; 0: it is being received */
static volatile uint8_t mct_link_damage;    /* an mct_link_loss, that the main loop has not seen */

void mct_link_init(void)
{
    memset(&mct_link_decoder, 0, sizeof mct_link_decoder);
    mct_link_decoder.data = mct_link_rx;
    mct_link_decoder.capacity = sizeof mct_link_rx;
    mct_link_rx_bytes = 0;
    mct_link_damage = MCT_LINK_LOST_NOTHING;
    mct_link_drops = false;
    atomic_signal_fence(memory_order_release); /* before the port's interrupt is let through */
}

bool mct_link_receive(uint8_t byte)
{
    uint32_t frame_bytes = 0;
    if (mct_link_rx_bytes != 0 && byte != 0) {
        mct_frame_spoil(&mct_link_decoder); /* the request in the buffer stays */
        mct_link_drops = true;
    }
    switch (mct_frame_push(&mct_link_decoder, byte, &frame_bytes)) {
    case MCT_FRAME_WHOLE:
        mct_link_damage = MCT_LINK_LOST_NOTHING;
        mct_link_drops = false;
        atomic_signal_fence(memory_order_release);
        mct_link_rx_bytes = frame_bytes;
        break;
    case MCT_FRAME_DAMAGED:
        mct_link_damage = mct_link_drops ? MCT_LINK_DROPPED : MCT_LINK_DAMAGED;
        mct_link_drops = false;
        break;
    default:
        break;
    }
    return mct_link_rx_bytes != 0;
}

uint32_t mct_link_request(const uint8_t **request)
{
    uint32_t nbytes = mct_link_rx_bytes;
    atomic_signal_fence(memory_order_acquire);
    *request = mct_link_rx;
    return nbytes;
}

void mct_link_open(void)
{
    atomic_signal_fence(memory_order_release);
    mct_link_rx_bytes = 0;
}

mct_link_loss mct_link_take_loss(void)
{
    mct_link_loss loss = (mct_link_loss)mct_link_damage;
    if (loss != MCT_LINK_LOST_NOTHING) {
        mct_link_damage = MCT_LINK_LOST_NOTHING;
    }
    return loss;
}
