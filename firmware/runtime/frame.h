/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the link. Twin of host/link/frame.py; both read tests/golden/frames.txt.
 *
 * A frame is type u8, sequence number u16, payload, CRC-32 of all before it (little-endian),
 * encoded with COBS (Cheshire and Baker 1999). A zero byte stands before it, which ends whatever
 * came between frames, and two behind it: a damaged frame is told from other bytes by the two. No
 * I/O here. */
#ifndef MCT_FRAME_H
#define MCT_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_FRAME_HEADER_BYTES = 3, MCT_FRAME_CRC_BYTES = 4 };

/* Size of a frame before COBS, and what comes before and between its bytes at most, on the wire. */
#define MCT_FRAME_RAW_BYTES(payload) ((payload) + MCT_FRAME_HEADER_BYTES + MCT_FRAME_CRC_BYTES)
#define MCT_FRAME_GAP_BYTES(raw) ((raw) / 254 + 2)
#define MCT_FRAME_WIRE_BYTES(raw) ((raw) + MCT_FRAME_GAP_BYTES(raw) + 2)

/* Decodes as bytes arrive, so that only the raw frame needs memory. Zero all but the first two. */
typedef struct {
    uint8_t *data;
    uint32_t capacity;
    uint32_t nbytes; /* decoded since the last zero, or the whole frame */
    uint32_t crc;    /* of those, complemented */
    uint8_t left;    /* literal bytes until the next code byte */
    bool owes_zero;  /* the last code byte stands for a zero, if anything follows */
    bool is_begun;   /* a byte came since the last zero */
    bool is_bad;     /* too long, or spoilt: wait for the next zero */
    bool is_whole;   /* a frame has come to the first of its two zeros */
    bool is_damaged; /* a block between zeros was no frame, since the last whole one */
} mct_frame_decoder;

typedef enum {
    MCT_FRAME_GOES_ON,
    MCT_FRAME_WHOLE,  /* d->data holds a frame, until the next byte that is not zero */
    MCT_FRAME_DAMAGED /* one that was damaged has come to its end */
} mct_frame_event;

/* Takes one byte. Either event comes with the second zero behind a frame: so no byte of a request
 * arrives while it is executed. The time does not depend on the frame: it may run in an interrupt.
 */
mct_frame_event mct_frame_push(mct_frame_decoder *d, uint8_t byte);

/* Bytes of header and payload of the frame that is whole. */
static inline uint32_t mct_frame_bytes(const mct_frame_decoder *d)
{
    return d->nbytes - MCT_FRAME_CRC_BYTES;
}

/* Drops the bytes until the next zero; d->data and d->nbytes stay as they are. */
void mct_frame_spoil(mct_frame_decoder *d);

/* Appends the CRC to `nbytes` of header and payload in `raw`, and encodes into `wire`. Returns the
 * bytes there, all zeros included. In place if wire + MCT_FRAME_GAP_BYTES(all raw) <= raw. */
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
