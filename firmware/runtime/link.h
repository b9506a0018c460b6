/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives on the link: one request at a time, decoded byte by byte as the port receives it, by
 * interrupt even while kernels run. So a frame of any size comes in during a call, and only the
 * frame itself needs memory. The port's end is mct_link_receive (mct/port.h). */
#ifndef MCT_LINK_H
#define MCT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest payload of a frame, either way. A board's build says how much it has room for. */
#ifndef MCT_LINK_PAYLOAD
#define MCT_LINK_PAYLOAD 256
#endif

/* Forgets what has come. Called once, before the port is up. */
void mct_link_init(void);

/* Bytes of header and payload of the request that waits, 0 if none does; *request points at it. It
 * stays until the link is opened: what comes meanwhile is dropped, or kept back by the port. */
uint32_t mct_link_request(const uint8_t **request);

/* The request has been read: the next may come. */
void mct_link_open(void);

typedef enum {
    MCT_LINK_LOST_NOTHING,
    MCT_LINK_DAMAGED, /* a frame came damaged, and no whole one after it */
    MCT_LINK_DROPPED  /* so did one whose bytes came while a request waited */
} mct_link_loss;

/* What was lost since the last whole request; each loss is told once. */
mct_link_loss mct_link_take_loss(void);

#ifdef __cplusplus
}
#endif

#endif
