/* SPDX-License-Identifier: Apache-2.0 */
/* The native port with a counter of cycles that goes on by 1000 with each look. */
#include "../../firmware/ports/native/port.c"

uint32_t mct_port_cycles(void)
{
    static uint32_t looks;
    return 1000u * looks++ + 0xffffff00u; /* soon beyond 2^32 */
}
