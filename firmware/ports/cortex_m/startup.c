/* SPDX-License-Identifier: Apache-2.0 */
/* Start of a Cortex-M: .data, .bss, main. Symbols come from cortex_m.ld. */
#include "ports/cortex_m/startup.h"

#include "runtime/health.h"

extern const uint32_t mct_data_image[];
extern uint32_t mct_data_begin[], mct_data_end[], mct_bss_begin[], mct_bss_end[];

int main(void);

void mct_cortex_m_reset(void)
{
#ifdef __ARM_FEATURE_MVE
    /* Coprocessors 10 and 11 are the vectors (CPACR, Armv8-M ARM D1.2.12); off after a reset. */
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *image = mct_data_image;
    for (uint32_t *word = mct_data_begin; word < mct_data_end; word++) {
        *word = *image++;
    }
    for (uint32_t *word = mct_bss_begin; word < mct_bss_end; word++) {
        *word = 0;
    }
    /* Nothing that main() does may come before this, even if all is one unit to the compiler. */
    __asm__ volatile("" ::: "memory");
    main();
    mct_health_fault(0);
}
