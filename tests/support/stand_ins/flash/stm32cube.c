/* SPDX-License-Identifier: Apache-2.0 */
/* The HAL's functions that change the flash, and what error correction tells of a read. */
#define MCT_TEXT(x) #x
#define MCT_PATH(x) MCT_TEXT(x)
#include MCT_PATH(MCT_STM32_BOARD.h)

#include "flash/chip.h"

static bool is_unlocked;
static uintptr_t read_at; /* what was taken from the caches last, and so is read anew */

HAL_StatusTypeDef HAL_FLASH_Unlock(void)
{
    is_unlocked = true;
    return HAL_OK;
}

HAL_StatusTypeDef HAL_FLASH_Lock(void)
{
    is_unlocked = false;
    return HAL_OK;
}

HAL_StatusTypeDef HAL_FLASH_Program(uint32_t type, uint32_t address, uintptr_t data)
{
    const uint32_t word = (uint32_t)data;
    const void *from = &word;
    if (MCT_STM32_UNIT_BYTES > sizeof word) {
        from = (const void *)data;
    }
    const bool is_good = is_unlocked && type == MCT_STM32_PROGRAM &&
                         chip_program(address, from, MCT_STM32_UNIT_BYTES);
    return is_good ? HAL_OK : HAL_ERROR;
}

HAL_StatusTypeDef HAL_FLASHEx_Erase(FLASH_EraseInitTypeDef *wanted, uint32_t *failed)
{
    const uint32_t page = wanted->Sector - MCT_STM32_SECTOR;
    bool is_good = is_unlocked && wanted->TypeErase == FLASH_TYPEERASE_SECTORS &&
                   wanted->VoltageRange == FLASH_VOLTAGE_RANGE_3 && wanted->NbSectors == 1u &&
                   wanted->Banks == MCT_STM32_BANK && page < 2u;
    is_good = is_good && chip_erase(MCT_STM32_STORE + page * MCT_STM32_SECTOR_BYTES);
    *failed = is_good ? UINT32_MAX : wanted->Sector;
    return is_good ? HAL_OK : HAL_ERROR;
}

void SCB_InvalidateDCache_by_Addr(void *address, int32_t nbytes)
{
    (void)nbytes;
    read_at = (uintptr_t)address;
}

#ifdef FLASH_FLAG_DBECCERR_BANK2
static bool ignores_faults;
static bool was_read_safely; /* a torn unit, while its fault was ignored */
stand_in_scb_block stand_in_scb;

void __disable_fault_irq(void)
{
    ignores_faults = true;
    was_read_safely = false;
}

void __enable_fault_irq(void)
{
    ignores_faults = false;
}

void __DSB(void)
{
    was_read_safely |= ignores_faults && (stand_in_scb.CCR & SCB_CCR_BFHFNMIGN_Msk) != 0u;
}

/* A read of a torn unit with faults on would have ended the firmware. */
bool stand_in_uncorrectable(void)
{
    if (!was_read_safely || ignores_faults || stand_in_scb.CCR != 0u) {
        __builtin_trap();
    }
    return chip_is_torn(read_at, MCT_STM32_UNIT_BYTES);
}
#endif
