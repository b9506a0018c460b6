/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h on an AVR with a USART0. Registers: ATmega1284P data sheet (Microchip DS40002070),
 * chapters on power management and USART; those of the ATmega2560 (DS40002211) are the same. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

/* The instruction behind SEI is executed before an interrupt that is pending: no wake-up can be
 * lost between the test and the sleep. The mode of sleep is idle after a reset. */
#define MCT_INTERRUPTS_OFF() cli()
#define MCT_SLEEP()                                                                                \
    do {                                                                                           \
        sleep_enable();                                                                            \
        sei();                                                                                     \
        sleep_cpu();                                                                               \
        sleep_disable();                                                                           \
        cli();                                                                                     \
    } while (0)
#define MCT_INTERRUPTS_ON() sei()

#include "ports/uart/port.h"

#define BAUD 250000uL /* divides clocks of whole MHz: no error, where that of 115,200 is 2.1 % */

ISR(USART0_RX_vect)
{
    mct_port_uart();
}

void mct_uart_init(void)
{
    UBRR0 = (uint16_t)(F_CPU / (16uL * BAUD) - 1uL);
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00); /* 8N1 */
    UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
    sei();
}

int32_t mct_uart_take(void)
{
    return (UCSR0A & _BV(RXC0)) != 0 ? UDR0 : -1;
}

void mct_uart_send(uint8_t byte)
{
    while ((UCSR0A & _BV(UDRE0)) == 0) {
    }
    UDR0 = byte;
}
