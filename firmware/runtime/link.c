/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/link.h"

#include <string.h>

#include "mct/port.h"
#include "runtime/frame.h"

static uint8_t mct_link_rx[MCT_FRAME_RAW_BYTES(MCT_LINK_PAYLOAD)];
static mct_frame_decoder mct_link_decoder;  /* of mct_link_receive alone */
static volatile uint32_t mct_link_rx_bytes; /* of a frame in mct_link_rx; 0: it is being received */

void mct_link_init(void)
{
    memset(&mct_link_decoder, 0, sizeof mct_link_decoder);
    mct_link_decoder.data = mct_link_rx;
    mct_link_decoder.capacity = sizeof mct_link_rx;
    mct_link_rx_bytes = 0;
}

bool mct_link_receive(uint8_t byte)
{
    if (mct_link_rx_bytes != 0) {
        mct_link_decoder.is_bad = byte != 0; /* a frame whose beginning is lost */
        return true;
    }
    mct_link_rx_bytes = mct_frame_push(&mct_link_decoder, byte);
    return mct_link_rx_bytes != 0;
}

uint32_t mct_link_request(const uint8_t **request)
{
    uint32_t raw_bytes = mct_link_rx_bytes;
    uint32_t nbytes = raw_bytes == 0 ? 0 : mct_frame_check(mct_link_rx, raw_bytes);
    if (raw_bytes != 0 && nbytes == 0) {
        mct_link_open(); /* damaged: the host repeats it */
    }
    *request = mct_link_rx;
    return nbytes;
}

void mct_link_open(void)
{
    mct_link_rx_bytes = 0;
}
