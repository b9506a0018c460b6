/* SPDX-License-Identifier: Apache-2.0 */
/* The boot ROM's functions that erase and program the flash (RP2040 datasheet, 2.8.3.1.3). While
 * they run nothing can be read from the flash, no code either: what calls them lies in RAM, and
 * interrupts are off. The other core must not run from flash. */
#ifndef MCT_RP2040_ROM_H
#define MCT_RP2040_ROM_H

#include <stdint.h>

/* The section that the linker scripts of the SDK and of its cores put into RAM. */
#define MCT_IN_RAM __attribute__((noinline, section(".time_critical.mct_flash")))
#define MCT_ROM_CODE(a, b) ((uint32_t)(a) | (uint32_t)(b) << 8)

enum { MCT_BOOT2_WORDS = 64 };

typedef struct {
    void (*connect)(void);
    void (*exit_xip)(void);
    void (*erase)(uint32_t at, uint32_t nbytes, uint32_t block_bytes, uint8_t block_command);
    void (*program)(uint32_t at, const uint8_t *from, uint32_t nbytes);
    void (*flush_cache)(void);
    uint32_t boot2[MCT_BOOT2_WORDS]; /* which makes the flash readable at its speed again */
} mct_rom_flash;

static inline uintptr_t mct_rom_function(uint32_t code)
{
    typedef void *(*lookup)(const uint16_t *table, uint32_t code);
    uintptr_t at = 0x14u;
    __asm__("" : "+r"(at)); /* else the compiler has an opinion on an address this low */
    const uint16_t *const pointers = (const uint16_t *)at;
    const lookup find = (lookup)(uintptr_t)pointers[2];
    return (uintptr_t)find((const uint16_t *)(uintptr_t)pointers[0], code);
}

static inline mct_rom_flash mct_rom_flash_functions(void)
{
    mct_rom_flash rom;
    rom.connect = (void (*)(void))mct_rom_function(MCT_ROM_CODE('I', 'F'));
    rom.exit_xip = (void (*)(void))mct_rom_function(MCT_ROM_CODE('E', 'X'));
    rom.erase =
        (void (*)(uint32_t, uint32_t, uint32_t, uint8_t))mct_rom_function(MCT_ROM_CODE('R', 'E'));
    rom.program =
        (void (*)(uint32_t, const uint8_t *, uint32_t))mct_rom_function(MCT_ROM_CODE('R', 'P'));
    rom.flush_cache = (void (*)(void))mct_rom_function(MCT_ROM_CODE('F', 'C'));
    const volatile uint32_t *const boot2 = (const volatile uint32_t *)0x10000000u;
    for (uint32_t k = 0; k < MCT_BOOT2_WORDS; k++) {
        rom.boot2[k] = boot2[k];
    }
    return rom;
}

/* Programs `nbytes`, or erases them where `from` is NULL; `at` counts from the flash's begin. */
MCT_IN_RAM static void mct_rom_change(const mct_rom_flash *rom, uint32_t at, const uint8_t *from,
                                      uint32_t nbytes)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked) : : "memory");
    rom->connect();
    rom->exit_xip();
    if (from == (const uint8_t *)0) {
        rom->erase(at, nbytes, 1u << 16, 0xd8u); /* by blocks of 64 KiB where it can */
    } else {
        rom->program(at, from, nbytes);
    }
    rom->flush_cache();
    ((void (*)(void))((uintptr_t)rom->boot2 + 1u))();
    __asm__ volatile("msr primask, %0" : : "r"(masked) : "memory");
}

#endif
