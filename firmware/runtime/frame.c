/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/frame.h"

#include "mct/crc32.h"

enum { LONGEST_RUN = 254 };

#define CRC_OF_WHOLE 0x2144df1cu /* of any bytes with their own CRC-32 behind them */

static void append(mct_frame_decoder *d, uint8_t byte)
{
    if (d->nbytes < d->capacity) {
        d->data[d->nbytes++] = byte;
        d->crc = mct_crc32_push(d->crc, byte);
    } else {
        d->is_bad = true;
    }
}

static void begin(mct_frame_decoder *d)
{
    d->is_begun = true;
    d->is_whole = false;
    d->nbytes = 0;
    d->crc = UINT32_MAX;
    d->left = 0;
    d->owes_zero = false;
    d->is_bad = false;
}

/* A frame whose second zero does not come is damaged. */
static mct_frame_event push_zero(mct_frame_decoder *d)
{
    mct_frame_event event = MCT_FRAME_GOES_ON;
    if (d->is_whole) {
        d->is_whole = false;
        d->is_damaged = false;
        event = MCT_FRAME_WHOLE;
    } else if (!d->is_begun) {
        event = d->is_damaged ? MCT_FRAME_DAMAGED : MCT_FRAME_GOES_ON;
        d->is_damaged = false;
    } else {
        d->is_whole = !d->is_bad && d->left == 0 && d->nbytes >= MCT_FRAME_RAW_BYTES(0u) &&
                      d->crc == (uint32_t)~CRC_OF_WHOLE;
        d->is_damaged = true;
    }
    d->is_begun = false;
    return event;
}

mct_frame_event mct_frame_push(mct_frame_decoder *d, uint8_t byte)
{
    if (byte == 0) {
        return push_zero(d);
    }
    if (!d->is_begun) {
        begin(d);
    }
    if (d->is_bad) {
        return MCT_FRAME_GOES_ON;
    }
    bool is_code = d->left == 0;
    if (!is_code || d->owes_zero) {
        append(d, (uint8_t)(is_code ? 0 : byte));
    }
    if (is_code) {
        d->left = byte;
        d->owes_zero = byte != LONGEST_RUN + 1;
    }
    d->left--;
    return MCT_FRAME_GOES_ON;
}

void mct_frame_spoil(mct_frame_decoder *d)
{
    d->is_begun = true;
    d->is_whole = false;
    d->is_bad = true;
}

uint32_t mct_frame_encode(uint8_t *raw, uint32_t nbytes, uint8_t *wire)
{
    mct_put_u32(raw + nbytes, mct_crc32(0, raw, nbytes));
    nbytes += MCT_FRAME_CRC_BYTES;

    uint8_t *out = wire;
    uint32_t at = 0;
    *out++ = 0;
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
    *out++ = 0;
    return (uint32_t)(out - wire);
}
