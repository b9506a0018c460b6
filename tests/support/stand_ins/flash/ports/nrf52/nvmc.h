/* SPDX-License-Identifier: Apache-2.0 */
/* In place of firmware/ports/nrf52/nvmc.h. */
#include "flash/chip.h"

static inline void mct_nvmc_erase(uint32_t address)
{
    (void)chip_erase(address);
}

static inline void mct_nvmc_program(uint32_t address, uint32_t word)
{
    (void)chip_program(address, &word, sizeof word);
}
