/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port_flash.h over a file that an emulator opens: the image of flash whose path is the
 * emulator's command line for semihosting. The image's header comes first, as the native port's
 * (ports/native/flash.c); whoever starts the emulator has made it, and has it alone. The weak bits
 * behind the flash's bytes are not looked at.
 *
 * Calls and their numbers: Arm, "Semihosting for AArch32 and AArch64", 2.1; "RISC-V Semihosting".
 */
#include "mct/port_flash.h"

#ifdef MCT_HAS_FLASH

enum {
    SYS_OPEN = 0x01,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_SEEK = 0x0a,
    SYS_GET_CMDLINE = 0x15,
    MODE_READ_WRITE = 3, /* fopen's "r+b" */
    HEADER_BYTES = 128,
    PAGE_BYTES = 4096,
    PAGES = 512,
    UNIT_BYTES = 8,
    PATH_BYTES = 256,
    CHUNK_BYTES = 64
};

static uintptr_t mct_flash_file; /* 1 more than its handle; 0 before it is open */

/* The call is three instructions in a row on RISC-V, of which the shifts tell it from a break. */
static uintptr_t call(uintptr_t number, const void *block)
{
#ifdef __riscv
    register uintptr_t result __asm__("a0") = number;
    register const void *given __asm__("a1") = block;
    __asm__ volatile(".balign 16\n\t"
                     ".option push\n\t"
                     ".option norvc\n\t"
                     "slli x0, x0, 0x1f\n\t"
                     "ebreak\n\t"
                     "srai x0, x0, 7\n\t"
                     ".option pop"
                     : "+r"(result)
                     : "r"(given)
                     : "memory");
#else
    register uintptr_t result __asm__("r0") = number;
    register const void *given __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(result) : "r"(given) : "memory");
#endif
    return result;
}

static bool open_image(void)
{
    char path[PATH_BYTES];
    uintptr_t told[2] = {(uintptr_t)path, sizeof path};
    if (mct_flash_file == 0u && call(SYS_GET_CMDLINE, told) == 0u) {
        const uintptr_t asked[3] = {(uintptr_t)path, MODE_READ_WRITE, told[1]};
        mct_flash_file = call(SYS_OPEN, asked) + 1u; /* -1 is none */
    }
    return mct_flash_file != 0u;
}

/* Reads or writes `nbytes` of the flash at `at`. Both calls return how many are left. */
static bool move(uintptr_t number, uint32_t at, uintptr_t bytes, uint32_t nbytes)
{
    if (!open_image()) {
        return false;
    }
    const uintptr_t place[2] = {mct_flash_file - 1u, HEADER_BYTES + at};
    const uintptr_t data[3] = {mct_flash_file - 1u, bytes, nbytes};
    return nbytes == 0u || (call(SYS_SEEK, place) == 0u && call(number, data) == 0u);
}

mct_flash_geometry mct_port_flash_geometry(void)
{
    const mct_flash_geometry geometry = {
        .page_bytes = PAGE_BYTES, .pages = PAGES, .unit_bytes = UNIT_BYTES};
    return geometry;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    return move(SYS_READ, at, (uintptr_t)to, nbytes);
}

bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    return move(SYS_WRITE, at, (uintptr_t)from, nbytes);
}

bool mct_port_flash_erase(uint32_t page)
{
    uint8_t erased[CHUNK_BYTES];
    bool is_good = true;
    for (uint32_t k = 0; k < CHUNK_BYTES; k++) {
        erased[k] = 0xff;
    }
    for (uint32_t done = 0; done < PAGE_BYTES && is_good; done += CHUNK_BYTES) {
        is_good = mct_port_flash_program(page * (uint32_t)PAGE_BYTES + done, erased, sizeof erased);
    }
    return is_good;
}

#endif
