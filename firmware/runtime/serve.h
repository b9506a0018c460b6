/* SPDX-License-Identifier: Apache-2.0 */
/* What the firmware does for ever, for whatever runs it: main (runtime/main.c), or a framework that
 * has a main of its own, such as Arduino's setup and loop or ESP-IDF's app_main (ports/). */
#ifndef MCT_SERVE_H
#define MCT_SERVE_H

#include <stdbool.h>

#include "mct/alive.h"
#include "mct/port.h"
#include "runtime/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Once, first. */
static inline void mct_serve_begin(void)
{
    mct_session_init();
    mct_port_init();
}

/* Again and again: does what there is to do, and sleeps when that is nothing. */
static inline void mct_serve(void)
{
    mct_port_alive();
    bool is_idle = !mct_session_work();
    mct_port_receive(is_idle);
}

#ifdef __cplusplus
}
#endif

#endif
