/* SPDX-License-Identifier: Apache-2.0 */
/* avr-libc's functions, as a Teensy's core has them. A byte can be written at any time: it is
 * erased for it. */
#ifndef AVR_EEPROM_H
#define AVR_EEPROM_H

#include <stddef.h>
#include <stdint.h>

#include "ports/nor/nor.h"

#define E2END 0x10bb

static inline void eeprom_read_block(void *to, const void *from, size_t nbytes)
{
    (void)nor_flash_read((uint32_t)(uintptr_t)from, to, (uint32_t)nbytes);
}

/* The model's pages are bytes here. */
static inline void eeprom_write_byte(uint8_t *at, uint8_t byte)
{
    if (byte == 0xffu) {
        (void)nor_flash_erase((uint32_t)(uintptr_t)at);
    } else {
        (void)nor_flash_program((uint32_t)(uintptr_t)at, &byte, 1u);
    }
}

#endif
