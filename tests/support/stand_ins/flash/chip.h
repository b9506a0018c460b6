/* SPDX-License-Identifier: Apache-2.0 */
/* A chip's flash as the drivers of firmware/ports see it: readable at its address, and erased and
 * programmed by operations, which are those of the model of NOR flash (ports/nor). */
#ifndef CHIP_H
#define CHIP_H

#include <stdbool.h>
#include <stdint.h>

/* Has the chip's flash begin at an address, where `nbytes` of it can be read; those bytes. */
uint8_t *chip_map(uintptr_t address, uint32_t nbytes);

bool chip_program(uintptr_t address, const void *from, uint32_t nbytes);
bool chip_erase(uintptr_t address);

/* Whether a unit in there was torn: what error correction tells of a read. */
bool chip_is_torn(uintptr_t address, uint32_t nbytes);

#endif
