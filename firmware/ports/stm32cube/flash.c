/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port_flash.h over ST's HAL: the last two sectors of the chip's flash, which are equal, while
 * the firmware ends before them. The headers of the families say where they are. */
#define MCT_TEXT(x) #x
#define MCT_PATH(x) MCT_TEXT(x)
#include MCT_PATH(MCT_STM32_BOARD.h)

#include <string.h>

#include "mct/port_flash.h"

#ifdef MCT_HAS_FLASH

enum { SECTORS = 2, WORD_BYTES = 4 };

/* Of the framework's linker script: the variables' initial values are the last that the firmware
 * has in flash. */
extern uint8_t _sidata[], _sdata[], _edata[];

mct_flash_geometry mct_port_flash_geometry(void)
{
    const uintptr_t end = (uintptr_t)_sidata + (uintptr_t)(_edata - _sdata);
    const mct_flash_geometry geometry = {.page_bytes = MCT_STM32_SECTOR_BYTES,
                                         .pages = end <= MCT_STM32_STORE ? SECTORS : 0u,
                                         .unit_bytes = MCT_STM32_UNIT_BYTES};
    return geometry;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    uint8_t *bytes = to;
    while (nbytes > 0u) {
        const uint32_t room = MCT_STM32_UNIT_BYTES - at % MCT_STM32_UNIT_BYTES;
        const uint32_t part = nbytes < room ? nbytes : room;
        if (!mct_stm32_flash_read(MCT_STM32_STORE + at, bytes, part)) {
            return false;
        }
        at += part;
        bytes += part;
        nbytes -= part;
    }
    return true;
}

static bool program_unit(uint32_t address, const uint8_t *from)
{
    uint32_t words[MCT_STM32_UNIT_BYTES / WORD_BYTES]; /* aligned, as the HAL wants them */
    memcpy(words, from, sizeof words);
    return HAL_FLASH_Program(MCT_STM32_PROGRAM, address, MCT_STM32_PROGRAM_DATA(words)) == HAL_OK;
}

bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    const uint8_t *bytes = from;
    bool is_good = HAL_FLASH_Unlock() == HAL_OK;
    for (uint32_t done = 0; done < nbytes && is_good; done += MCT_STM32_UNIT_BYTES) {
        is_good = program_unit(MCT_STM32_STORE + at + done, bytes + done);
    }
    mct_stm32_flash_changed(MCT_STM32_STORE + at, nbytes);
    (void)HAL_FLASH_Lock();
    return is_good;
}

bool mct_port_flash_erase(uint32_t page)
{
    uint32_t failed = 0;
    FLASH_EraseInitTypeDef wanted = {.TypeErase = FLASH_TYPEERASE_SECTORS,
                                     .Banks = MCT_STM32_BANK,
                                     .Sector = MCT_STM32_SECTOR + page,
                                     .NbSectors = 1,
                                     .VoltageRange = FLASH_VOLTAGE_RANGE_3};
    const bool is_good =
        HAL_FLASH_Unlock() == HAL_OK && HAL_FLASHEx_Erase(&wanted, &failed) == HAL_OK;
    mct_stm32_flash_changed(MCT_STM32_STORE + page * MCT_STM32_SECTOR_BYTES,
                            MCT_STM32_SECTOR_BYTES);
    (void)HAL_FLASH_Lock();
    return is_good;
}

#endif
