/* SPDX-License-Identifier: Apache-2.0 */
/* What a chip needs to start and be interrupted: its vector table, made by one macro. */
#ifndef MCT_CORTEX_M_STARTUP_H
#define MCT_CORTEX_M_STARTUP_H

#include <stdint.h>

extern uint32_t mct_stack_begin[], mct_stack_top[]; /* cortex_m.ld */

void mct_cortex_m_reset(void);
void mct_cortex_m_fault(void);
void mct_cortex_m_uart(void);

/* Only the entries that can be taken: 1 reset, 2 to 6 faults, and interrupt `uart_irq`. Stands once
 * in a program, in the driver of its chip. */
#define MCT_CORTEX_M_VECTORS(uart_irq)                                                             \
    __attribute__((section(".vectors"), used)) static const struct {                               \
        void *initial_stack;                                                                       \
        void (*exceptions[15])(void);                                                              \
        void (*interrupts[(uart_irq) + 1])(void);                                                  \
    } vectors = {.initial_stack = mct_stack_top,                                                   \
                 .exceptions = {mct_cortex_m_reset, mct_cortex_m_fault, mct_cortex_m_fault,        \
                                mct_cortex_m_fault, mct_cortex_m_fault, mct_cortex_m_fault},       \
                 .interrupts = {[uart_irq] = mct_cortex_m_uart}}

/* Lets interrupt `irq` through (NVIC_ISER, ARMv6-M B3.4.3 and ARMv7-M B3.4.4). */
static inline void mct_cortex_m_enable(uint32_t irq)
{
    ((volatile uint32_t *)0xe000e100u)[irq / 32] = 1u << irq % 32;
}

#endif
