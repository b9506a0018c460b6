/* SPDX-License-Identifier: Apache-2.0 */
/* The device's end of the link: executes the messages of mct/protocol.h on the selected model.
 *
 * One session, static buffers. Whatever arrives is checked here; the model sees valid values only.
 * A request is executed exactly once however often its frame arrives. */
#ifndef MCT_SESSION_H
#define MCT_SESSION_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Resets the model (seed 0) and forgets any session. */
void mct_session_init(void);

/* Executes and answers the request that waits, if one does; else runs a call of the step that START
 * began, if one is under way. False if there is nothing to do. */
bool mct_session_work(void);

/* Called right after a successful step or inference: the end of the regions whose instructions the
 * simulator counts. Does nothing. */
void mct_mark_end(void);

#ifdef __cplusplus
}
#endif

#endif
