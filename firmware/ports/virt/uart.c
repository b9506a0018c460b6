/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's machine virt: a 16550 UART. Registers: National Semiconductor PC16550D data sheet;
 * addresses and interrupt: QEMU, hw/riscv/virt.c and include/hw/riscv/virt.h. */
#include "ports/uart/uart.h"

#include "ports/riscv/plic.h"

enum {
    UART_IRQ = 10,
    RECEIVE_INTERRUPT = 1, /* of IER */
    FIFO_ENABLE = 1,       /* of FCR */
    EIGHT_BITS = 3,        /* of LCR */
    DIVISOR_ACCESS = 0x80,
    DATA_READY = 1, /* of LSR */
    TRANSMIT_EMPTY = 0x20
};

typedef struct {
    volatile uint8_t data; /* divisor, low byte, with DIVISOR_ACCESS */
    volatile uint8_t ier;  /* divisor, high byte */
    volatile uint8_t fcr;
    volatile uint8_t lcr;
    volatile uint8_t mcr;
    volatile uint8_t lsr;
} uart_16550;

#define UART ((uart_16550 *)0x10000000u)

/* What stands for flash is RAM here, and lies below the stack. Locked physical memory protection
 * (Privileged Architecture, 3.7) holds for machine mode too: a write there faults, so that an
 * overflow of the stack does. 4 MiB from 0x80000000, as virt.ld has them. */
static void protect_flash(void)
{
    const uint32_t locked = 0x80, power_of_two = 0x18, executable = 4, readable = 1;
    MCT_CSR_WRITE("pmpaddr0", (0x80000000u + (0x400000u / 2 - 1)) >> 2);
    MCT_CSR_WRITE("pmpcfg0", locked | power_of_two | executable | readable);
}

void mct_uart_init(void)
{
    protect_flash();
    UART->lcr = DIVISOR_ACCESS;
    UART->data = 2; /* 115,200 baud of 3.6864 MHz */
    UART->ier = 0;
    UART->lcr = EIGHT_BITS;
    UART->fcr = FIFO_ENABLE;
    UART->ier = RECEIVE_INTERRUPT;
    mct_plic_enable(UART_IRQ);
}

int32_t mct_uart_take(void)
{
    return (UART->lsr & DATA_READY) != 0 ? UART->data : -1;
}

void mct_uart_send(uint8_t byte)
{
    while ((UART->lsr & TRANSMIT_EMPTY) == 0) {
    }
    UART->data = byte;
}
