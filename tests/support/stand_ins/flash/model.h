/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of the model of NOR flash under their other names (tests/support/flash_ports.py).
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

bool nor_flash_read(uint32_t at, void *to, uint32_t nbytes);
bool nor_flash_program(uint32_t at, const void *from, uint32_t nbytes);
bool nor_flash_erase(uint32_t page);

#endif
