/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mct/protocol.h"

const fuzz_form fuzz_forms[] = {
    {"HELLO", MCT_MSG_HELLO, {0}, false},
    {"RESET", MCT_MSG_RESET, {4}, false},
    {"LEARNING_RATE", MCT_MSG_LEARNING_RATE, {1, 1}, false},
    {"SAMPLE", MCT_MSG_SAMPLE, {4}, true},
    {"STEP", MCT_MSG_STEP, {4, 1}, false},
    {"INFER", MCT_MSG_INFER, {0}, false},
    {"BEGIN", MCT_MSG_BEGIN, {4}, false},
    {"RUN", MCT_MSG_RUN, {4}, false},
    {"DIGEST", MCT_MSG_DIGEST, {0}, false},
    {"READ", MCT_MSG_READ, {1, 4, 2}, false},
    {"WRITE", MCT_MSG_WRITE, {1, 4}, true},
    {"TARGET", MCT_MSG_TARGET, {4}, true},
    {"CLASSES", MCT_MSG_CLASSES, {4}, false},
    {"LATENT", MCT_MSG_LATENT, {4}, true},
    {"PREFIX", MCT_MSG_PREFIX, {0}, false},
    {"KEEP", MCT_MSG_KEEP, {4, 4}, false},
    {"RECALL", MCT_MSG_RECALL, {4}, false},
    {"START", MCT_MSG_START, {4}, false},
    {"FINISH", MCT_MSG_FINISH, {1}, false},
    {"CYCLES", MCT_MSG_CYCLES, {0}, false},
    {"ENROL", MCT_MSG_ENROL, {4}, false},
    {"FRAME", FUZZ_FRAME, {1}, true},
    {"BARE", FUZZ_BARE, {1}, true},
    {"NOISE", FUZZ_NOISE, {0}, true},
    {"AGAIN", FUZZ_AGAIN, {0}, false},
    {"SKIP", FUZZ_SKIP, {0}, false},
    {"WORK", FUZZ_WORK, {1}, false},
    {"RESTART", FUZZ_RESTART, {0}, false},
};
const uint32_t fuzz_form_count = sizeof fuzz_forms / sizeof fuzz_forms[0];

const fuzz_form *fuzz_form_of(uint8_t kind)
{
    const fuzz_form *form = fuzz_forms;
    while (form->kind != kind) {
        form++;
    }
    return form;
}

/* The number that `*text` begins with, which is moved behind it. */
static bool read_number(const char **text, uint32_t *number)
{
    char *end;
    unsigned long found = strtoul(*text, &end, 10);
    bool is_read = end != *text && found <= UINT32_MAX;
    *number = (uint32_t)found;
    *text = end;
    return is_read;
}

static bool read_pattern(const char *text, fuzz_line *line)
{
    uint32_t value;
    int used;
    while (line->pattern_bytes < FUZZ_PATTERN &&
           sscanf(text, "%2" SCNx32 "%n", &value, &used) == 1 && used == 2) {
        line->pattern[line->pattern_bytes++] = (uint8_t)value;
        text += 2;
    }
    return line->pattern_bytes > 0 && *text == '\0';
}

static bool read_data(const char *text, fuzz_line *line)
{
    if (!read_number(&text, &line->nbytes) || line->nbytes > FUZZ_DATA) {
        return false;
    }
    line->is_drawn = *text == '~';
    if (line->is_drawn) {
        text++;
        return read_number(&text, &line->seed) && *text == '\0';
    }
    return *text == ':' && read_pattern(text + 1, line);
}

static uint32_t field_limit(uint8_t nbytes)
{
    return nbytes == 4 ? UINT32_MAX : (UINT32_C(1) << (8 * nbytes)) - 1u;
}

static bool read_line(char *text, fuzz_line *line)
{
    char *at = strchr(text, ' ');
    if (at != NULL) {
        *at++ = '\0';
    }
    const char *rest = at == NULL ? "" : at;
    memset(line, 0, sizeof *line);
    for (uint32_t f = 0; f < fuzz_form_count; f++) {
        if (strcmp(fuzz_forms[f].name, text) == 0) {
            line->form = &fuzz_forms[f];
        }
    }
    if (line->form == NULL) {
        return false;
    }
    for (uint32_t f = 0; f < FUZZ_FIELDS && line->form->field_bytes[f] != 0; f++) {
        if (!read_number(&rest, &line->fields[f]) ||
            line->fields[f] > field_limit(line->form->field_bytes[f])) {
            return false;
        }
        rest += *rest == ' ';
    }
    return line->form->has_data ? read_data(rest, line) : *rest == '\0';
}

void fuzz_read(const uint8_t *text, size_t nbytes, fuzz_script *script)
{
    char one[FUZZ_LINE];
    script->count = 0;
    while (nbytes > 0 && script->count < FUZZ_LINES) {
        const uint8_t *end = memchr(text, '\n', nbytes);
        size_t length = end == NULL ? nbytes : (size_t)(end - text);
        if (length < sizeof one) {
            memcpy(one, text, length);
            one[length] = '\0';
            script->count += read_line(one, &script->lines[script->count]);
        }
        length += end != NULL;
        text += length;
        nbytes -= length;
    }
}

uint32_t fuzz_print_line(const fuzz_line *line, char *text)
{
    char *out = text;
    out += sprintf(out, "%s", line->form->name);
    for (uint32_t f = 0; f < FUZZ_FIELDS && line->form->field_bytes[f] != 0; f++) {
        out += sprintf(out, " %" PRIu32, line->fields[f]);
    }
    if (line->form->has_data) {
        out += sprintf(out, " %" PRIu32, line->nbytes);
        if (line->is_drawn) {
            out += sprintf(out, "~%" PRIu32, line->seed);
        } else {
            *out++ = ':';
            for (uint32_t b = 0; b < line->pattern_bytes; b++) {
                out += sprintf(out, "%02x", line->pattern[b]);
            }
        }
    }
    out += sprintf(out, "\n");
    return (uint32_t)(out - text);
}

size_t fuzz_print(const fuzz_script *script, uint8_t *text, size_t capacity)
{
    size_t used = 0;
    for (uint32_t n = 0; n < script->count; n++) {
        char one[FUZZ_LINE];
        uint32_t length = fuzz_print_line(&script->lines[n], one);
        if (length > capacity - used) {
            break;
        }
        memcpy(text + used, one, length);
        used += length;
    }
    return used;
}

/* Whether the field of a line is a frame's type. */
static bool has_type(const fuzz_form *form)
{
    return form->kind == FUZZ_FRAME || form->kind == FUZZ_BARE;
}

uint32_t fuzz_payload(const fuzz_line *line, uint8_t *payload)
{
    uint32_t used = 0;
    /* The field of FRAME is its type, which stands in the header. */
    for (uint32_t f = 0; f < FUZZ_FIELDS && !has_type(line->form); f++) {
        for (uint32_t b = 0; b < line->form->field_bytes[f]; b++) {
            payload[used++] = (uint8_t)(line->fields[f] >> (8 * b));
        }
    }
    uint32_t state = line->seed * UINT32_C(2654435761) + 1u;
    for (uint32_t b = 0; b < line->nbytes; b++) {
        payload[used++] = line->is_drawn ? (uint8_t)(fuzz_random(&state) >> 24)
                                         : line->pattern[b % line->pattern_bytes];
    }
    return used;
}

uint32_t fuzz_random(uint32_t *state)
{
    uint32_t x = *state == 0 ? 1u : *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return x;
}
