/* SPDX-License-Identifier: Apache-2.0 */
/* The chip's generator of random numbers (nRF51 Series Reference Manual 3.0, RNG), with its
 * bias correction. */
#include "mct/port_key.h"

#define RNG(offset) (*(volatile uint32_t *)(0x4000d000u + (offset)))
#define TASKS_START RNG(0x000)
#define TASKS_STOP RNG(0x004)
#define EVENTS_VALRDY RNG(0x100)
#define CONFIG RNG(0x504)
#define VALUE RNG(0x508)

void mct_port_nonce(uint8_t *out)
{
    CONFIG = 1;
    TASKS_START = 1;
    for (uint32_t n = 0; n < MCT_NONCE_BYTES; n++) {
        EVENTS_VALRDY = 0;
        while (EVENTS_VALRDY == 0) {
        }
        out[n] = (uint8_t)VALUE;
    }
    TASKS_STOP = 1;
}
