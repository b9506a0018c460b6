/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ALIVE_H
#define MCT_ALIVE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Called between two kernel calls of a step or an inference, between two rows or groups of channels
 * where a layer is computed so, and whenever the runtime looks for a request: feed a watchdog here.
 * The project's own does nothing and is weak, so a firmware just defines it. `mcutrain plan` prints
 * the longest slice, what may lie between two of these. */
void mct_port_alive(void);

#ifdef __cplusplus
}
#endif

#endif
