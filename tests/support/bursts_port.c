/* SPDX-License-Identifier: Apache-2.0 */
/* The native port as an interrupt would feed it: all that has arrived is handed on at once, and
 * what comes while a request waits is lost. */
#define _GNU_SOURCE

#include "mct/port.h"

/* The port is told that there is always room. */
#define mct_link_receive(byte) (mct_link_receive(byte), false)
#include "ports/native/port.c"
