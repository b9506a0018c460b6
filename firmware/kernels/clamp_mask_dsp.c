/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/clamp_mask_dsp.h"

#include "mct/dsp.h"

/* A bit for each of the four elements at x. */
static MCT_INLINED uint32_t four_bits(const int8_t *x, uint32_t least, uint32_t most)
{
    /* The bits 0, 8, 16 and 24 become 28 to 31; no other product reaches these. */
    return mct_within4(mct_load4(x), least, most) * 0x10204080u >> 28;
}

void mct_clamp_mask_dsp_s8(const mct_clamp_mask_params *p, const int8_t *x, uint8_t *mask)
{
    const uint32_t least = ((uint32_t)(p->x_min + 1) & 0xffu) * 0x01010101u;
    const uint32_t most = ((uint32_t)(p->x_max - 1) & 0xffu) * 0x01010101u;
    const int8_t *const end = x + p->size;
    const int8_t *const eights = x + (p->size & ~7);
    for (; x != eights; x += 8) {
        *mask++ = (uint8_t)(four_bits(x, least, most) | four_bits(x + 4, least, most) << 4);
    }
    if (x != end) {
        const mct_clamp_mask_params left = {(int32_t)(end - x), p->x_min, p->x_max};
        mct_clamp_mask_s8(&left, x, mask);
    }
}
