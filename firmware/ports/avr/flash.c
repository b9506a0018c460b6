/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port_flash.h over an AVR's EEPROM. Registers: ATmega1284P data sheet (Microchip DS40002070),
 * chapter on EEPROM; those of the ATmega2560 (DS40002211) are the same. A byte is erased and
 * programmed in operations of their own, of 1.8 ms each, so that a save wears it once. */
#include <avr/io.h>

#include "mct/model.h"
#include "mct/port_flash.h"

#ifdef MCT_HAS_FLASH

enum { PAGE_BYTES = 64, EEPROM_BYTES = E2END + 1 };

static void select_byte(uint32_t at)
{
    while ((EECR & _BV(EEPE)) != 0) { /* the byte before is on its way */
    }
    EEAR = (uint16_t)at;
}

/* EEPE counts for four cycles behind EEMPE: no interrupt may come between. */
static void begin_write(uint8_t mode)
{
    MCT_AT_ONCE
    {
        EECR = mode | _BV(EEMPE);
        EECR |= _BV(EEPE);
    }
}

mct_flash_geometry mct_port_flash_geometry(void)
{
    const mct_flash_geometry geometry = {
        .page_bytes = PAGE_BYTES, .pages = EEPROM_BYTES / PAGE_BYTES, .unit_bytes = 1};
    return geometry;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    uint8_t *bytes = to;
    for (uint32_t k = 0; k < nbytes; k++) {
        select_byte(at + k);
        EECR |= _BV(EERE);
        bytes[k] = EEDR;
    }
    return true;
}

bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    const uint8_t *bytes = from;
    for (uint32_t k = 0; k < nbytes; k++) {
        select_byte(at + k);
        EEDR = bytes[k];
        begin_write(_BV(EEPM1)); /* programs only */
    }
    return true;
}

bool mct_port_flash_erase(uint32_t page)
{
    for (uint32_t k = 0; k < PAGE_BYTES; k++) {
        select_byte(page * PAGE_BYTES + k);
        EEDR = 0xff;
        begin_write(_BV(EEPM0)); /* erases only */
    }
    return true;
}

#endif
