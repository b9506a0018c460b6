/* SPDX-License-Identifier: Apache-2.0 */
/* An input of the fuzzer: a session as text, one message in a line.
 *
 *   WRITE 1 104 4:06000000     fields in decimal, as mct/protocol.h lists them, then the data:
 *   SAMPLE 0 189~7             BYTES:PATTERN in hex, repeated, or BYTES~SEED, drawn at random
 *
 * Each message of the protocol goes by its own name, in a frame with a right sequence number and
 * checksum. The other lines are
 *
 *   FRAME TYPE DATA   a right frame of any type and any payload
 *   BARE TYPE DATA    the same, and not sealed, to a device with a key
 *   NOISE DATA        bytes on the link that are no frame
 *   AGAIN             the last frame once more, as after a lost reply
 *   SKIP              the next frame's sequence number is wrong
 *   WORK N            the device's main loop, N times without a request
 *   RESTART           the device is switched off and on, and not greeted
 *
 * A line that is none of these is left out. */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Beyond the messages of the protocol, which are numbered as there. */
enum { FUZZ_FRAME = 32, FUZZ_NOISE, FUZZ_AGAIN, FUZZ_SKIP, FUZZ_WORK, FUZZ_RESTART, FUZZ_BARE };

enum { FUZZ_FIELDS = 3, FUZZ_PATTERN = 8, FUZZ_DATA = 600, FUZZ_LINES = 40, FUZZ_LINE = 96 };

/* What a line of a kind holds: the bytes of each field, 0 behind the last; whether data follow. */
typedef struct {
    const char *name;
    uint8_t kind;
    uint8_t field_bytes[FUZZ_FIELDS];
    bool has_data;
} fuzz_form;

extern const fuzz_form fuzz_forms[];
extern const uint32_t fuzz_form_count;

typedef struct {
    const fuzz_form *form;
    uint32_t fields[FUZZ_FIELDS];
    uint32_t nbytes; /* of the data */
    bool is_drawn;
    uint32_t seed; /* if they are drawn */
    uint8_t pattern[FUZZ_PATTERN];
    uint8_t pattern_bytes;
} fuzz_line;

typedef struct {
    fuzz_line lines[FUZZ_LINES];
    uint32_t count;
} fuzz_script;

/* The form of a kind. */
const fuzz_form *fuzz_form_of(uint8_t kind);

/* Reads as many lines as a script holds. */
void fuzz_read(const uint8_t *text, size_t nbytes, fuzz_script *script);

/* Writes a line with its end into FUZZ_LINE bytes; returns its length. */
uint32_t fuzz_print_line(const fuzz_line *line, char *text);

/* Writes the whole lines that fit; returns their length. */
size_t fuzz_print(const fuzz_script *script, uint8_t *text, size_t capacity);

/* The payload of a line's frame, or its bytes on the link: at most 4 * FUZZ_FIELDS + FUZZ_DATA. */
uint32_t fuzz_payload(const fuzz_line *line, uint8_t *payload);

/* The next of a sequence of random numbers (xorshift, Marsaglia 2003). */
uint32_t fuzz_random(uint32_t *state);

#endif
