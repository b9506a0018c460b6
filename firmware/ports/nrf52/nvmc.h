/* SPDX-License-Identifier: Apache-2.0 */
/* The NVMC of the nRF52840 (Nordic, nRF52840 Product Specification 1.7, 4.3). The core waits by
 * itself while a page is erased or a word is programmed, if it runs from flash. */
#ifndef MCT_NVMC_H
#define MCT_NVMC_H

#include <stdint.h>

#define MCT_NVMC(offset) (*(volatile uint32_t *)(0x4001e000u + (offset)))
#define MCT_NVMC_READY MCT_NVMC(0x400u)
#define MCT_NVMC_CONFIG MCT_NVMC(0x504u)
#define MCT_NVMC_ERASE_PAGE MCT_NVMC(0x508u)

enum { MCT_NVMC_READS = 0, MCT_NVMC_PROGRAMS = 1, MCT_NVMC_ERASES = 2 };

static inline void mct_nvmc_wait(void)
{
    while (MCT_NVMC_READY == 0u) {
    }
}

static inline void mct_nvmc_mode(uint32_t mode)
{
    MCT_NVMC_CONFIG = mode;
    mct_nvmc_wait();
}

static inline void mct_nvmc_erase(uint32_t address)
{
    mct_nvmc_mode(MCT_NVMC_ERASES);
    MCT_NVMC_ERASE_PAGE = address;
    mct_nvmc_wait();
    mct_nvmc_mode(MCT_NVMC_READS);
}

static inline void mct_nvmc_program(uint32_t address, uint32_t word)
{
    mct_nvmc_mode(MCT_NVMC_PROGRAMS);
    *(volatile uint32_t *)address = word;
    mct_nvmc_wait();
    mct_nvmc_mode(MCT_NVMC_READS);
}

#endif
