/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port_flash.h over the last pages of an nRF52840's flash, while the firmware ends before them.
 * No SoftDevice runs, which would own the NVMC; where BLE bonds are kept there, leave the store
 * out.
 */
#include <string.h>

#include "mct/port_flash.h"
#include "ports/nrf52/nvmc.h"

#ifdef MCT_HAS_FLASH

enum { PAGE_BYTES = 4096, PAGES = 16, WORD_BYTES = 4 };

#define STORE 0x000f0000u

/* Of Mbed's linker script: the variables' initial values are the last that the firmware has. */
extern uint8_t __etext[], __data_start__[], __data_end__[];

mct_flash_geometry mct_port_flash_geometry(void)
{
    const uintptr_t end = (uintptr_t)__etext + (uintptr_t)(__data_end__ - __data_start__);
    const mct_flash_geometry geometry = {
        .page_bytes = PAGE_BYTES, .pages = end <= STORE ? PAGES : 0u, .unit_bytes = WORD_BYTES};
    return geometry;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    memcpy(to, (const void *)(uintptr_t)(STORE + at), nbytes);
    return true;
}

bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    const uint8_t *bytes = from;
    for (uint32_t done = 0; done < nbytes; done += WORD_BYTES) {
        uint32_t word;
        memcpy(&word, bytes + done, sizeof word);
        mct_nvmc_program(STORE + at + done, word);
    }
    return true; /* the NVMC knows no failure: the store reads back what it has written */
}

bool mct_port_flash_erase(uint32_t page)
{
    mct_nvmc_erase(STORE + page * PAGE_BYTES);
    return true;
}

#endif
