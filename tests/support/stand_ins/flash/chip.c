/* SPDX-License-Identifier: Apache-2.0 */
#include "chip.h"

#include <stddef.h>
#include <sys/mman.h>

#include "ports/nor/nor.h"

static uintptr_t begin;

uint8_t *chip_map(uintptr_t address, uint32_t nbytes)
{
    /* So low an address is nobody else's but that of the flash of a test before. */
    void *found = mmap((void *)address, nbytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    begin = address;
    return found == MAP_FAILED ? NULL : found;
}

/* tests/support/flash_ports.py compiles the model's functions under these names. */
bool chip_program(uintptr_t address, const void *from, uint32_t nbytes)
{
    return nor_flash_program((uint32_t)(address - begin), from, nbytes);
}

bool chip_erase(uintptr_t address)
{
    return nor_flash_erase((uint32_t)(address - begin) / mct_nor.geometry.page_bytes);
}

bool chip_is_torn(uintptr_t address, uint32_t nbytes)
{
    for (uint32_t k = 0; k < nbytes; k++) {
        if (mct_nor.weak[address - begin + k] != 0u) {
            return true;
        }
    }
    return mct_nor.is_off;
}
