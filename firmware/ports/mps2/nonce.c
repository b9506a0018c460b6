/* SPDX-License-Identifier: Apache-2.0 */
/* The board has no generator of random numbers. Its counter of 25 MHz cycles (FPGA system control
 * register COUNTER of Application Notes AN385 and AN386) tells starts apart by when a host says
 * HELLO: enough for an emulated board to try keys with, and not for a device that is to be
 * protected. */
#include "mct/port_key.h"

#include <string.h>

#define FPGA_COUNTER (*(volatile uint32_t *)0x40028018u)

void mct_port_nonce(uint8_t *out)
{
    uint32_t cycles = FPGA_COUNTER;
    memset(out, 0, MCT_NONCE_BYTES);
    memcpy(out, &cycles, sizeof cycles);
}
