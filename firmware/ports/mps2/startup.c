/* SPDX-License-Identifier: Apache-2.0 */
/* Start of a Cortex-M: vector table, .data, .bss, main. Symbols come from mps2.ld. */
#include <stdint.h>

#include "ports/mps2/vectors.h"

extern uint32_t mct_stack_top[];
extern const uint32_t mct_data_image[];
extern uint32_t mct_data_begin[], mct_data_end[], mct_bss_begin[], mct_bss_end[];

int main(void);

typedef struct {
    void *initial_stack;
    void (*exceptions[15])(void);
    void (*interrupts[1])(void);
} vector_table;

/* Only the entries that can be taken: 1 reset, 2 to 6 faults, 16 the UART. */
__attribute__((section(".vectors"), used)) static const vector_table vectors = {
    .initial_stack = mct_stack_top,
    .exceptions = {mct_mps2_reset, mct_mps2_fault, mct_mps2_fault, mct_mps2_fault, mct_mps2_fault,
                   mct_mps2_fault},
    .interrupts = {[MCT_MPS2_UART_RX_IRQ] = mct_mps2_uart_rx},
};

void mct_mps2_reset(void)
{
    const uint32_t *image = mct_data_image;
    for (uint32_t *word = mct_data_begin; word < mct_data_end; word++) {
        *word = *image++;
    }
    for (uint32_t *word = mct_bss_begin; word < mct_bss_end; word++) {
        *word = 0;
    }
    main();
    mct_mps2_fault();
}

/* Stops for good, asleep: the host sees a device that no longer answers. */
void mct_mps2_fault(void)
{
    __asm__ volatile("cpsid i");
    for (;;) {
        __asm__ volatile("wfi");
    }
}
