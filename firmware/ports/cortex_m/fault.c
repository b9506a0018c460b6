/* SPDX-License-Identifier: Apache-2.0 */
/* What a Cortex-M does when a program has failed: it notes where, and restarts. ARMv6-M and ARMv7-M
 * Architecture Reference Manuals, B1.5 (exceptions) and B3.2 (system control). */
#include "mct/port.h"
#include "runtime/health.h"

/* The vector table of the project's own ports names its handler; that of ST's start-up files has
 * all faults end in one, as long as the others are not enabled. */
#ifdef MCT_STM32_BOARD
#define HANDLER HardFault_Handler
#define STACK_TOP _estack
#else
#include "ports/cortex_m/startup.h"
#define HANDLER mct_cortex_m_fault
#define STACK_TOP mct_stack_top
#endif
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

void HANDLER(void);
void mct_cortex_m_failed(const uint32_t *frame);
extern uint32_t STACK_TOP[];

/* The stack may be what has failed, so the rest runs at its top. */
__attribute__((naked)) void HANDLER(void)
{
    __asm__ volatile("cpsid i\n\t"
                     "mov r0, sp\n\t"
                     "ldr r1, =" TEXT(STACK_TOP) "\n\t"
                                                 "mov sp, r1\n\t"
                                                 "bl mct_cortex_m_failed");
}

/* An exception pushes r0 to r3, r12, lr, the address of the instruction, and xpsr. A frame that
 * does not lie whole below the top was not pushed: where the program failed is not known then. */
__attribute__((used)) void mct_cortex_m_failed(const uint32_t *frame)
{
    enum { FRAME_WORDS = 8, ADDRESS = 6, STACK_AT_MOST_BYTES = 1 << 16 };
    uintptr_t top = (uintptr_t)STACK_TOP, at = (uintptr_t)frame;
    bool is_pushed = at <= top - FRAME_WORDS * sizeof *frame && at >= top - STACK_AT_MOST_BYTES;
#ifndef MCT_STM32_BOARD
    is_pushed = is_pushed && at >= (uintptr_t)mct_stack_begin;
#endif
    mct_health_fault(is_pushed ? frame[ADDRESS] : 0);
}

void mct_port_restart(void)
{
    /* AIRCR: the key, and SYSRESETREQ. */
    *(volatile uint32_t *)0xe000ed0cu = 0x05fau << 16 | 1u << 2;
    __asm__ volatile("dsb" ::: "memory");
    for (;;) { /* it takes some cycles */
    }
}
