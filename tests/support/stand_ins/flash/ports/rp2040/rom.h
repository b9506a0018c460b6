/* SPDX-License-Identifier: Apache-2.0 */
/* In place of firmware/ports/rp2040/rom.h. */
#include <stddef.h>

#include "flash/chip.h"

typedef struct {
    uint32_t begin;
} mct_rom_flash;

static inline mct_rom_flash mct_rom_flash_functions(void)
{
    const mct_rom_flash rom = {0x10000000u};
    return rom;
}

static inline void mct_rom_change(const mct_rom_flash *rom, uint32_t at, const uint8_t *from,
                                  uint32_t nbytes)
{
    (void)(from == NULL ? chip_erase(rom->begin + at)
                        : chip_program(rom->begin + at, from, nbytes));
}
