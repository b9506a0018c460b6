/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port_flash.h over the EEPROM that a Teensy 4's core emulates in its flash (avr/eeprom.h). The
 * core spreads wear by itself; what a loss of power does to a sector that it moves is its own. */
#include <avr/eeprom.h>

#include "mct/port_flash.h"

#ifdef MCT_HAS_FLASH

enum { PAGE_BYTES = 64, EEPROM_BYTES = E2END + 1 };

static uint8_t *byte_at(uint32_t at)
{
    return (uint8_t *)(uintptr_t)at;
}

mct_flash_geometry mct_port_flash_geometry(void)
{
    const mct_flash_geometry geometry = {
        .page_bytes = PAGE_BYTES, .pages = EEPROM_BYTES / PAGE_BYTES, .unit_bytes = 1};
    return geometry;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    eeprom_read_block(to, byte_at(at), nbytes);
    return true;
}

bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    const uint8_t *bytes = from;
    for (uint32_t k = 0; k < nbytes; k++) {
        eeprom_write_byte(byte_at(at + k), bytes[k]);
    }
    return true;
}

bool mct_port_flash_erase(uint32_t page)
{
    for (uint32_t k = 0; k < PAGE_BYTES; k++) {
        eeprom_write_byte(byte_at(page * PAGE_BYTES + k), 0xff);
    }
    return true;
}

#endif
