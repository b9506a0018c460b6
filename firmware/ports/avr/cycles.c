/* SPDX-License-Identifier: Apache-2.0 */
/* Cycles by Timer1, in units of 1024, without an interrupt: ATmega1284P data sheet (Microchip
 * DS40002070), chapter 16. A request that takes more than 2^26 cycles is counted modulo that. */
#include "mct/port.h"

#ifdef __AVR__
#include <avr/io.h>

uint32_t mct_port_cycles(void)
{
    static uint16_t wraps;
    TCCR1A = 0;                     /* Arduino's core has made it a PWM */
    TCCR1B = _BV(CS12) | _BV(CS10); /* clock / 1024; it runs on where it ran */
    uint16_t count = TCNT1;
    if ((TIFR1 & _BV(TOV1)) != 0) {
        TIFR1 = _BV(TOV1);
        wraps++;
        count = TCNT1; /* the first look may have been before the wrap */
    }
    return ((uint32_t)wraps << 16 | count) << 10;
}
#endif
