/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/frame.h"

#include "mct/crc32.h"

enum { LONGEST_RUN = 254 };

static void append(mct_frame_decoder *d, uint8_t byte)
{
    if (d->nbytes < d->capacity) {
        d->data[d->nbytes++] = byte;
    } else {
        d->is_bad = true;
    }
}

/* The bytes decoded if they may be a whole frame, else 0. */
static uint32_t whole_bytes(const mct_frame_decoder *d)
{
    return d->is_bad || d->left != 0 || d->nbytes < MCT_FRAME_RAW_BYTES(0u) ? 0 : d->nbytes;
}

uint32_t mct_frame_push(mct_frame_decoder *d, uint8_t byte)
{
    uint32_t complete_bytes = 0;
    if (byte == 0) {
        complete_bytes = whole_bytes(d);
        d->nbytes = 0;
        d->left = 0;
        d->owes_zero = false;
        d->is_bad = false;
    } else if (d->left == 0) {
        if (d->owes_zero) {
            append(d, 0);
        }
        d->left = (uint8_t)(byte - 1);
        d->owes_zero = byte != LONGEST_RUN + 1;
    } else {
        append(d, byte);
        d->left--;
    }
    return complete_bytes;
}

uint32_t mct_frame_check(const uint8_t *raw, uint32_t raw_bytes)
{
    uint32_t nbytes = raw_bytes - MCT_FRAME_CRC_BYTES;
    return mct_crc32(0, raw, nbytes) == mct_get_u32(raw + nbytes) ? nbytes : 0;
}

uint32_t mct_frame_encode(uint8_t *raw, uint32_t nbytes, uint8_t *wire)
{
    mct_put_u32(raw + nbytes, mct_crc32(0, raw, nbytes));
    nbytes += MCT_FRAME_CRC_BYTES;

    uint8_t *out = wire;
    uint32_t at = 0;
    for (;;) {
        uint32_t run = 0;
        while (run < LONGEST_RUN && at + run < nbytes && raw[at + run] != 0) {
            run++;
        }
        /* Ascending, a byte at a time: `wire` may overlap `raw` from below. */
        *out++ = (uint8_t)(run + 1);
        for (uint32_t n = 0; n < run; n++) {
            *out++ = raw[at + n];
        }
        at += run;
        /* A block stands for its run and a zero (at the end, one past the frame); a longest run
         * has no zero. */
        if (at == nbytes) {
            break;
        }
        if (run < LONGEST_RUN) {
            at++;
        }
    }
    *out++ = 0;
    return (uint32_t)(out - wire);
}
