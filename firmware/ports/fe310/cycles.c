/* SPDX-License-Identifier: Apache-2.0 */
/* mcycle (RISC-V privileged architecture, 3.1.10). In QEMU it follows the host's time. */
#include "mct/port.h"
#include "ports/riscv/startup.h"

uint32_t mct_port_cycles(void)
{
    uint32_t cycles;
    __asm__ volatile(MCT_CSR("csrr %0, mcycle") : "=r"(cycles));
    return cycles;
}
