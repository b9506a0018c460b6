/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the link. Twin of host/link/frame.py; both read tests/golden/frames.txt.
 *
 * A frame is type u8, sequence number u16, payload, CRC-32 of all before it (little-endian),
 * encoded with COBS (Cheshire and Baker 1999) and closed by a zero byte. No I/O here. */
#ifndef MCT_FRAME_H
#define MCT_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_FRAME_HEADER_BYTES = 3, MCT_FRAME_CRC_BYTES = 4 };

/* Size of a frame before COBS, and the most that COBS adds to it without the closing zero. */
#define MCT_FRAME_RAW_BYTES(payload) ((payload) + MCT_FRAME_HEADER_BYTES + MCT_FRAME_CRC_BYTES)
#define MCT_FRAME_GAP_BYTES(raw) ((raw) / 254 + 1)
#define MCT_FRAME_WIRE_BYTES(raw) ((raw) + MCT_FRAME_GAP_BYTES(raw) + 1)

/* Decodes as bytes arrive, so that only the raw frame needs memory. Zero all but the first two. */
typedef struct {
    uint8_t *data;
    uint32_t capacity;
    uint32_t nbytes; /* decoded so far */
    uint8_t left;    /* literal bytes until the next code byte */
    bool owes_zero;  /* the last code byte stands for a zero, if anything follows */
    bool is_bad;     /* too long: wait for the next zero */
} mct_frame_decoder;

/* Takes one byte. Returns the bytes now in d->data if it closed what may be a frame, else 0. The
 * data stay until the next call. Its time does not depend on the frame: it may run in an interrupt.
 */
uint32_t mct_frame_push(mct_frame_decoder *d, uint8_t byte);

/* Bytes of header and payload of the frame that mct_frame_push has decoded; 0 if its CRC differs.
 */
uint32_t mct_frame_check(const uint8_t *raw, uint32_t raw_bytes);

/* Appends the CRC to `nbytes` of header and payload in `raw`, and encodes into `wire`. Returns the
 * bytes there, closing zero included. In place if wire + MCT_FRAME_GAP_BYTES(all raw) <= raw. */
uint32_t mct_frame_encode(uint8_t *raw, uint32_t nbytes, uint8_t *wire);

static inline uint32_t mct_get_u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t mct_get_u32(const uint8_t *p)
{
    return mct_get_u16(p) | mct_get_u16(p + 2) << 16;
}

static inline void mct_put_u16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void mct_put_u32(uint8_t *p, uint32_t value)
{
    mct_put_u16(p, value);
    mct_put_u16(p + 2, value >> 16);
}

#ifdef __cplusplus
}
#endif

#endif
