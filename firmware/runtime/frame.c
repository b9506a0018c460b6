/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/frame.h"

#include "mct/crc32.h"

enum { LONGEST_RUN = 254 };

#define CRC_OF_WHOLE 0x2144df1cu /* of any bytes with their own CRC-32 behind them */

static void append(mct_frame_decoder *d, uint8_t byte)
{
    if (d->nbytes < d->capacity) {
        d->data[d->nbytes++] = byte;
        d->crc = mct_crc32(d->crc, &byte, 1);
    } else {
        d->is_bad = true;
    }
}

static mct_frame_event event_of_zero(mct_frame_decoder *d, uint32_t *frame_bytes)
{
    bool is_empty = d->nbytes == 0 && d->left == 0 && !d->owes_zero && !d->is_bad;
    if (is_empty) {
        bool was_damaged = d->is_damaged;
        d->is_damaged = false;
        return was_damaged ? MCT_FRAME_DAMAGED : MCT_FRAME_GOES_ON;
    }
    d->is_damaged =
        d->is_bad || d->left != 0 || d->nbytes < MCT_FRAME_RAW_BYTES(0u) || d->crc != CRC_OF_WHOLE;
    if (d->is_damaged) {
        return MCT_FRAME_GOES_ON;
    }
    *frame_bytes = d->nbytes - MCT_FRAME_CRC_BYTES;
    return MCT_FRAME_WHOLE;
}

static void push_code(mct_frame_decoder *d, uint8_t code)
{
    if (d->owes_zero) {
        append(d, 0);
    }
    d->left = (uint8_t)(code - 1);
    d->owes_zero = code != LONGEST_RUN + 1;
}

mct_frame_event mct_frame_push(mct_frame_decoder *d, uint8_t byte, uint32_t *frame_bytes)
{
    mct_frame_event event = MCT_FRAME_GOES_ON;
    if (byte == 0) {
        event = event_of_zero(d, frame_bytes);
        d->nbytes = 0;
        d->crc = 0;
        d->left = 0;
        d->owes_zero = false;
        d->is_bad = false;
    } else if (d->is_bad) {
        return event;
    } else if (d->left == 0) {
        push_code(d, byte);
    } else {
        append(d, byte);
        d->left--;
    }
    return event;
}

void mct_frame_spoil(mct_frame_decoder *d)
{
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
