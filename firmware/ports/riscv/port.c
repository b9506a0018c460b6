/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h on an RV32 core with a UART behind a PLIC. */
#include "ports/riscv/plic.h" /* and how interrupts go off and on */

#include "ports/uart/port.h"

void mct_riscv_external(void)
{
    uint32_t irq = *mct_plic(MCT_PLIC_CLAIM);
    mct_port_uart();
    *mct_plic(MCT_PLIC_CLAIM) = irq; /* completed: it may come again */
}
