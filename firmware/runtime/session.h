/* SPDX-License-Identifier: Apache-2.0 */
/* The device's end of the link: executes the messages of mct/protocol.h on the selected model.
 *
 * One session, static buffers. Whatever arrives is checked here; the model sees valid values only.
 * A request is executed exactly once however often its frame arrives. */
#ifndef MCT_SESSION_H
#define MCT_SESSION_H

#include <stdint.h>

/* Resets the model (seed 0) and forgets any session. */
void mct_session_init(void);

/* Takes bytes from the link; executes and answers each request they complete. */
void mct_session_receive(const uint8_t *bytes, uint32_t nbytes);

/* Called right after a successful step or inference: the end of the regions whose instructions the
 * simulator counts. Does nothing. */
void mct_mark_end(void);

#endif
