/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port_flash.h over the last 64 KiB of the 2 MiB of a Raspberry Pi Pico, by the ROM's
 * functions, while the firmware ends before them. The emulated Pico has a file instead
 * (ports/semihosting). */
#include <string.h>

#include "mct/port_flash.h"
#include "ports/rp2040/rom.h"

#ifdef MCT_HAS_FLASH

enum { PAGE_BYTES = 4096, PAGES = 16, UNIT_BYTES = 256 };

#define FLASH 0x10000000u
#define STORE 0x1f0000u

/* Of Mbed's linker script: the variables' initial values are the last that the firmware has. */
extern uint8_t __etext[], __data_start__[], __data_end__[];

mct_flash_geometry mct_port_flash_geometry(void)
{
    const uintptr_t end = (uintptr_t)__etext + (uintptr_t)(__data_end__ - __data_start__);
    const mct_flash_geometry geometry = {.page_bytes = PAGE_BYTES,
                                         .pages = end <= FLASH + STORE ? PAGES : 0u,
                                         .unit_bytes = UNIT_BYTES};
    return geometry;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    memcpy(to, (const void *)(uintptr_t)(FLASH + STORE + at), nbytes);
    return true;
}

/* `from` lies in RAM: the store hands over what it has staged there. */
bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    const mct_rom_flash rom = mct_rom_flash_functions();
    mct_rom_change(&rom, STORE + at, from, nbytes);
    return true; /* the ROM knows no failure: the store reads back what it has written */
}

bool mct_port_flash_erase(uint32_t page)
{
    const mct_rom_flash rom = mct_rom_flash_functions();
    mct_rom_change(&rom, STORE + page * PAGE_BYTES, NULL, PAGE_BYTES);
    return true;
}

#endif
