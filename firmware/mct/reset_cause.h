/* SPDX-License-Identifier: Apache-2.0 */
/* Why a device started, as HELLO tells it. Twin of ResetCause in host/link/protocol.py. */
#ifndef MCT_RESET_CAUSE_H
#define MCT_RESET_CAUSE_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    MCT_RESET_UNKNOWN = 0,
    MCT_RESET_POWER_ON = 1,
    MCT_RESET_PIN = 2,
    MCT_RESET_WATCHDOG = 3,
    MCT_RESET_FAULT = 4,
    MCT_RESET_SOFTWARE = 5,
    MCT_RESET_BROWN_OUT = 6
} mct_reset_cause;

#ifdef __cplusplus
}
#endif

#endif
