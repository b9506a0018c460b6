/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h on an AVR with a USART0: an interrupt hands on each byte, the core sleeps in between.
 * Registers: ATmega1284P data sheet (Microchip DS40002070), chapters 11 (power) and 21 (USART);
 * those of the ATmega2560 (DS40002211, chapters 11 and 22) are the same. */
#include "mct/port.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

#define BAUD 250000uL /* divides clocks of whole MHz: no error, where that of 115,200 is 2.1 % */

static volatile bool mct_port_uart_came; /* a byte, since the core last slept */

ISR(USART0_RX_vect)
{
    (void)mct_link_receive(UDR0);
    mct_port_uart_came = true;
}

void mct_port_init(void)
{
    UBRR0 = (uint16_t)(F_CPU / (16uL * BAUD) - 1uL);
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00); /* 8N1 */
    UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
    sei(); /* the mode of sleep is idle after a reset */
}

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    for (uint32_t n = 0; n < nbytes; n++) {
        while ((UCSR0A & _BV(UDRE0)) == 0) {
        }
        UDR0 = data[n];
    }
}

void mct_port_receive(bool may_sleep)
{
    if (!may_sleep) {
        return;
    }
    /* The instruction behind SEI is executed before an interrupt that is pending (data sheet, 7.7):
     * no wake-up can be lost between the test and the sleep. */
    cli();
    if (!mct_port_uart_came) {
        sleep_enable();
        sei();
        sleep_cpu();
        sleep_disable();
    }
    cli();
    mct_port_uart_came = false;
    sei();
}
