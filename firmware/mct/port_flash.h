/* SPDX-License-Identifier: Apache-2.0 */
/* The optional seam between the store (learning/store.h) and a board's flash: the pages that are
 * the store's alone. Offsets count from the first of them.
 *
 * What the store relies on: a page is erased as a whole, to bytes of 0xff; a unit is programmed as
 * a whole, once after each erase; what an operation does that power interrupts is anyone's guess
 * within its page or unit, and leaves all others alone. EEPROM, whose bytes need no erase, is
 * erased by writing 0xff, and has units of one byte. */
#ifndef MCT_PORT_FLASH_H
#define MCT_PORT_FLASH_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t page_bytes; /* what one erase clears; a multiple of unit_bytes */
    uint32_t pages;
    uint32_t unit_bytes; /* what one program writes: a power of 2, MCT_FLASH_UNIT_MAX at most */
} mct_flash_geometry;

#ifndef MCT_FLASH_UNIT_MAX
#define MCT_FLASH_UNIT_MAX                                                                         \
    256 /* bytes of stack in a save: a build that knows its flash says less */
#endif

mct_flash_geometry mct_port_flash_geometry(void);

/* Copies `nbytes` from `at`, any of both. Returns false if they cannot be read: flash with error
 * correction says so of a unit whose programming was interrupted. */
bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes);

/* Programs `nbytes` at `at`, whole units, which are erased. Returns false if the flash says that it
 * failed. */
bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes);

/* Erases page number `page`. Returns false if the flash says that it failed. It may take seconds:
 * the watchdog must allow for it. */
bool mct_port_flash_erase(uint32_t page);

#ifdef __cplusplus
}
#endif

#endif
