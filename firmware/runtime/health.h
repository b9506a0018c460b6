/* SPDX-License-Identifier: Apache-2.0 */
/* What became of the device: why it started, how often, and whether it keeps failing. It is kept in
 * RAM that outlives a reset, where the build has such (MCT_HAS_NOINIT, health.c). */
#ifndef MCT_HEALTH_H
#define MCT_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "mct/reset_cause.h"

#ifdef __cplusplus
extern "C" {
#endif

/* So many starts in a row that a fault or the watchdog caused, none of which served a request, and
 * the device starts without what was saved. */
#ifndef MCT_SAFE_AFTER
#define MCT_SAFE_AFTER 3
#endif

/* Notes this start. Called once, before what was saved is loaded. */
void mct_health_begin(void);

/* A whole request was executed, or a step of a firmware without a host: this start was a good one.
 */
void mct_health_served(void);

/* What HELLO tells. */
mct_reset_cause mct_health_cause(void);
uint16_t mct_health_resets(void); /* since power-on, 65535 at most */

/* Whether this start is a safe one, which leaves what was saved where it is. */
bool mct_health_is_safe(void);

/* For a port's fault handler, with interrupts off and room on the stack: notes the address of the
 * instruction that failed, and restarts the device (mct_port_restart). Does not return. */
#ifdef __GNUC__
__attribute__((noreturn))
#endif
void mct_health_fault(uint32_t at);

#ifdef __cplusplus
}
#endif

#endif
