/* SPDX-License-Identifier: Apache-2.0 */
/* Resets of an AVR, and its one fault: an interrupt that nothing handles. ATmega1284P data sheet
 * (Microchip DS40002070), chapter on system control and reset. A start with no flag of a reset set
 * is the program running into address 0, as a call of NULL does; the flags are cleared each time.
 */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/wdt.h>

#include "mct/port.h"
#include "runtime/health.h"

/* After its reset the watchdog goes on at its shortest, 16 ms. Called first in main, this comes in
 * time: to fill and clear 16 KiB of RAM takes less than 10 ms at 16 MHz. */
mct_reset_cause mct_port_reset_cause(void)
{
    uint8_t flags = MCUSR;
    MCUSR = 0;
    wdt_disable();
    if ((flags & _BV(PORF)) != 0) {
        return MCT_RESET_POWER_ON;
    }
    if ((flags & _BV(BORF)) != 0) {
        return MCT_RESET_BROWN_OUT;
    }
    if ((flags & _BV(WDRF)) != 0) {
        return MCT_RESET_WATCHDOG;
    }
    return (flags & _BV(EXTRF)) != 0 ? MCT_RESET_PIN : MCT_RESET_FAULT;
}

/* The address that the interrupt pushed, big-endian and in words, is that of the instruction which
 * it came before. */
__attribute__((used)) void mct_avr_failed(const uint8_t *pushed);
__attribute__((used)) void mct_avr_failed(const uint8_t *pushed)
{
#ifdef __AVR_3_BYTE_PC__
    uint32_t words = (uint32_t)pushed[1] << 16 | (uint32_t)pushed[2] << 8 | pushed[3];
#else
    uint32_t words = (uint32_t)pushed[1] << 8 | pushed[2];
#endif
    mct_health_fault(2u * words);
}

ISR(BADISR_vect, ISR_NAKED)
{
    __asm__ volatile("clr __zero_reg__\n\t"
                     "in r24, __SP_L__\n\t"
                     "in r25, __SP_H__\n\t"
                     "%~jmp mct_avr_failed" ::);
}

void mct_port_restart(void)
{
    cli();
    wdt_enable(WDTO_15MS);
    for (;;) {
    }
}
