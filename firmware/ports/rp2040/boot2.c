/* SPDX-License-Identifier: Apache-2.0 */
/* The second stage of the RP2040's boot: makes the flash readable in place, then starts the
 * program.
 *
 * The boot ROM copies the first 256 bytes of the flash to the end of SRAM, checks the CRC-32 in the
 * last 4 of them, which the build fills in, and calls the rest (RP2040 datasheet 2.8.1). So this
 * code runs at an address that it was not linked for: it calls nothing.
 *
 * The flash is read by the command 03h, one bit at a time, which every SPI NOR flash knows: slower
 * than the four bits of most second stages, but nothing in the flash has to be set up. Fields of
 * the registers: RP2040 datasheet 4.10.13; the command: data sheet of the W25Q16JV, Read Data, at
 * up to 50 MHz.
 */
#include "ports/rp2040/registers.h"

enum {
    DIVIDER = 4,               /* 31 MHz of a system clock of 125 MHz */
    FRAMES_OF_32 = 31 << 16,   /* CTRLR0: DFS_32 */
    READS_EEPROM = 3 << 8,     /* TMOD: send a command and an address, then receive */
    INSTRUCTION_OF_8 = 2 << 8, /* SPI_CTRLR0: INST_L */
    ADDRESS_OF_24 = 6 << 2,    /* ADDR_L, in units of 4 bits */
    COMMAND_READ = 0x03 << 24, /* XIP_CMD */
    FIRST_SLAVE = 1
};

#define PROGRAM 0x10000100u /* the vector table, behind this code */

__attribute__((section(".boot2"), used, noreturn)) void mct_rp2040_boot2(void)
{
    SSI_ENABLE = 0; /* it cannot be set up while it is on */
    SSI_BAUDR = DIVIDER;
    SSI_CTRLR0 = FRAMES_OF_32 | READS_EEPROM;
    SSI_CTRLR1 = 0; /* one frame for each access */
    SSI_SPI_CTRLR0 = COMMAND_READ | INSTRUCTION_OF_8 | ADDRESS_OF_24;
    SSI_SER = FIRST_SLAVE;
    SSI_ENABLE = 1;
    VTOR = PROGRAM;
    const volatile uint32_t *vectors = (const volatile uint32_t *)PROGRAM;
    uint32_t stack = vectors[0], entry = vectors[1];
    __asm__ volatile("msr msp, %0\n\tbx %1" : : "r"(stack), "r"(entry));
    __builtin_unreachable();
}

/* The CRC's place. Subsection 1 comes behind the code, wherever the compiler prints this. */
__asm__(".pushsection .boot2, 1, \"ax\", %progbits\n\t"
        ".org 252\n\t"
        ".word 0\n\t"
        ".popsection");
