/* SPDX-License-Identifier: Apache-2.0 */
#include "ports/nor/nor.h"

#include <string.h>

nor_flash mct_nor;

__attribute__((weak)) void mct_nor_cut(void)
{
}

/* xorshift32 (Marsaglia 2003, "Xorshift RNGs") */
static uint32_t next_random(void)
{
    uint32_t x = mct_nor.random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    mct_nor.random = x;
    return x;
}

/* Counts an operation; whether it is done whole. */
static bool begins_whole(void)
{
    mct_nor.operations++;
    mct_nor.is_off = mct_nor.operations == mct_nor.cut_at;
    return !mct_nor.is_off;
}

/* A byte on its way to `to` when power fails. */
static void change_in_part(uint32_t at, uint8_t to)
{
    for (uint32_t bit = 1; bit < 256u; bit <<= 1) {
        if (((mct_nor.bytes[at] ^ to) & bit) == 0u && (mct_nor.weak[at] & bit) == 0u) {
            continue;
        }
        const uint32_t random = next_random();
        if ((random >> 8 & 255u) < mct_nor.cut_part) {
            mct_nor.bytes[at] = (uint8_t)((mct_nor.bytes[at] & ~bit) | (to & bit));
            mct_nor.weak[at] &= (uint8_t)~bit;
        }
        if ((random & 7u) == 0u && mct_nor.cut_part != 0u) {
            mct_nor.weak[at] |= (uint8_t)bit;
        }
    }
}

mct_flash_geometry mct_port_flash_geometry(void)
{
    return mct_nor.geometry;
}

static bool is_torn(uint32_t unit)
{
    for (uint32_t k = 0; k < mct_nor.geometry.unit_bytes; k++) {
        if (mct_nor.weak[unit + k] != 0u) {
            return true;
        }
    }
    return false;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    uint8_t *bytes = to;
    for (uint32_t k = 0; k < nbytes; k++) {
        const uint32_t unit = (at + k) & ~(mct_nor.geometry.unit_bytes - 1u);
        if (mct_nor.is_off || (mct_nor.corrects && is_torn(unit))) {
            return false;
        }
        bytes[k] = mct_nor.bytes[at + k];
        if (mct_nor.weak[at + k] != 0u) {
            bytes[k] ^= (uint8_t)(next_random() >> 16) & mct_nor.weak[at + k];
        }
    }
    return true;
}

static bool program_unit(uint32_t at, const uint8_t *from)
{
    const bool is_whole = begins_whole();
    for (uint32_t k = 0; k < mct_nor.geometry.unit_bytes; k++) {
        mct_nor.faults += mct_nor.bytes[at + k] != 0xffu || mct_nor.weak[at + k] != 0u;
        if (is_whole) {
            mct_nor.bytes[at + k] &= from[k];
        } else {
            change_in_part(at + k, mct_nor.bytes[at + k] & from[k]);
        }
    }
    if (!is_whole) {
        mct_nor_cut();
    }
    return is_whole;
}

bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    const uint8_t *bytes = from;
    const uint32_t unit = mct_nor.geometry.unit_bytes;
    mct_nor.faults += at % unit != 0u || nbytes % unit != 0u;
    for (uint32_t done = 0; done < nbytes; done += unit) {
        if (mct_nor.is_off || !program_unit(at + done, bytes + done)) {
            return false;
        }
    }
    return true;
}

bool mct_port_flash_erase(uint32_t page)
{
    const uint32_t nbytes = mct_nor.geometry.page_bytes;
    const uint32_t at = page * nbytes;
    if (mct_nor.is_off) {
        return false;
    }
    const bool is_whole = begins_whole();
    mct_nor.erases[page]++;
    if (is_whole) {
        memset(mct_nor.bytes + at, 0xff, nbytes);
        memset(mct_nor.weak + at, 0, nbytes);
        if (mct_nor.worn_after != 0u && mct_nor.erases[page] > mct_nor.worn_after) {
            mct_nor.bytes[at + page % nbytes] = 0u;
        }
        return true;
    }
    for (uint32_t k = 0; k < nbytes; k++) {
        change_in_part(at + k, 0xffu);
    }
    mct_nor_cut();
    return false;
}
