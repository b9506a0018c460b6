/* SPDX-License-Identifier: Apache-2.0 */
/* Changes inputs of the fuzzer message by message, and draws fields that the model can mean. */
#include <string.h>

#include "facts.h"
#include "mct/model.h"
#include "mct/protocol.h"
#include "script.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out, unsigned seed);

static uint32_t rng;

static uint32_t below(uint32_t limit)
{
    return limit == 0 ? 0 : fuzz_random(&rng) % limit;
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

/* ---- Fields ---- */

/* A number near a bound of something. */
static uint32_t bound(void)
{
    static const uint32_t bounds[] = {
        0,      1,      2,      3,       7,        8,          15,         16,
        31,     32,     63,     64,      127,      128,        255,        256,
        0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffff, 0x7fffffff, 0x80000000, 0xffffffff};
    const uint32_t known[] = {fuzz_model.classes,
                              fuzz_model.input_bytes,
                              fuzz_model.latent_bytes,
                              fuzz_model.target_bytes,
                              fuzz_model.calls,
                              fuzz_model.slots,
                              fuzz_model.region_bytes[MCT_REGION_STATE]};
    switch (below(6)) {
    case 0:
        return fuzz_random(&rng);
    case 1:
    case 2:
        return known[below(sizeof known / sizeof known[0])] + below(3) - 1;
    case 3:
        return below(fuzz_model.classes + 4);
    default:
        return bounds[below(sizeof bounds / sizeof bounds[0])];
    }
}

static uint32_t label(void)
{
    return one_in(8) ? bound() : below(fuzz_model.classes);
}

static uint32_t slot(void)
{
    return one_in(8) ? bound() : below(fuzz_model.slots);
}

static uint32_t offset_in(uint32_t nbytes)
{
    switch (below(6)) {
    case 0:
        return bound();
    case 1:
        return 0;
    case 2:
        return below(nbytes + 1);
    default:
        return below(nbytes / 4 + 1) * 4;
    }
}

static uint32_t field(uint8_t kind, uint32_t index)
{
    switch (kind) {
    case MCT_MSG_LEARNING_RATE:
        return one_in(3) ? bound() : index == 0 ? 128 + below(128) : below(40);
    case MCT_MSG_STEP:
        return index == 0 ? label() : one_in(8) ? bound() : below(2);
    case MCT_MSG_BEGIN:
    case MCT_MSG_START:
        return label();
    case MCT_MSG_KEEP:
        return index == 0 ? slot() : label();
    case MCT_MSG_ENROL:
        return one_in(2) ? MCT_ALL_CLASSES : label();
    case MCT_MSG_RECALL:
        return slot();
    case MCT_MSG_FINISH:
        return one_in(8) ? bound() : below(2);
    case MCT_MSG_RUN:
    case FUZZ_WORK:
        return one_in(4) ? bound() : below(fuzz_model.calls + 1);
    case MCT_MSG_CLASSES:
        return one_in(4) ? bound() : below(fuzz_model.classes + 2);
    case MCT_MSG_SAMPLE:
        return one_in(2) ? 0 : offset_in(fuzz_model.input_bytes);
    case MCT_MSG_TARGET:
        return one_in(2) ? 0 : offset_in(fuzz_model.target_bytes);
    case MCT_MSG_LATENT:
        return one_in(2) ? 0 : offset_in(fuzz_model.latent_bytes);
    case FUZZ_FRAME:
    case FUZZ_BARE:
        return below(one_in(8) ? 256 : MCT_MSG_ENROL + 2);
    default:
        return bound();
    }
}

/* Region, offset and size of READ and WRITE. */
static void draw_place(fuzz_line *line)
{
    uint32_t region = one_in(8)   ? below(fuzz_model.region_count + 1)
                      : one_in(4) ? MCT_REGION_ARENA
                                  : MCT_REGION_STATE;
    line->fields[0] = region;
    line->fields[1] =
        offset_in(region < fuzz_model.region_count ? fuzz_model.region_bytes[region] : 8);
    line->fields[2] = one_in(4) ? bound() : below(16);
}

static void draw_fields(fuzz_line *line)
{
    const fuzz_form *form = line->form;
    if (form->kind == MCT_MSG_READ || form->kind == MCT_MSG_WRITE) {
        draw_place(line);
    } else {
        for (uint32_t f = 0; f < FUZZ_FIELDS && form->field_bytes[f] != 0; f++) {
            line->fields[f] = field(form->kind, f);
        }
    }
    for (uint32_t f = 0; f < FUZZ_FIELDS; f++) {
        uint8_t nbytes = form->field_bytes[f];
        line->fields[f] &= nbytes == 4 ? UINT32_MAX : (UINT32_C(1) << (8 * nbytes)) - 1u;
    }
}

static uint32_t data_size(const fuzz_line *line)
{
    uint32_t whole = 0;
    switch (line->form->kind) {
    case MCT_MSG_SAMPLE:
        whole = fuzz_model.input_bytes;
        break;
    case MCT_MSG_TARGET:
        whole = fuzz_model.target_bytes;
        break;
    case MCT_MSG_LATENT:
        whole = fuzz_model.latent_bytes;
        break;
    case MCT_MSG_WRITE:
        return one_in(4) ? below(17) : one_in(8) ? below(FUZZ_DATA) : one_in(4) ? 2 : 4;
    default:
        return below(12);
    }
    whole -= line->fields[0] < whole ? line->fields[0] : 0;
    return one_in(4) ? below(whole + 3) : whole;
}

static void draw_data(fuzz_line *line)
{
    line->nbytes = data_size(line);
    line->nbytes = line->nbytes > FUZZ_DATA ? FUZZ_DATA : line->nbytes;
    line->is_drawn = one_in(line->form->kind == MCT_MSG_WRITE ? 8 : 2);
    line->seed = below(1000);
    line->pattern_bytes = one_in(3) ? (uint8_t)(1 + below(FUZZ_PATTERN)) : 4;
    for (uint32_t b = 0; b < FUZZ_PATTERN; b += 4) {
        uint32_t value = bound();
        memcpy(line->pattern + b, &value, sizeof value);
    }
}

static fuzz_line line_of(uint8_t kind)
{
    fuzz_line line = {.form = fuzz_form_of(kind)};
    draw_fields(&line);
    if (line.form->has_data) {
        draw_data(&line);
    }
    return line;
}

/* ---- Lines ---- */

static void insert(fuzz_script *script, uint32_t at, fuzz_line line)
{
    if (script->count < FUZZ_LINES) {
        memmove(&script->lines[at + 1], &script->lines[at],
                (script->count - at) * sizeof script->lines[0]);
        script->lines[at] = line;
        script->count++;
    }
}

static void erase(fuzz_script *script, uint32_t at)
{
    script->count--;
    memmove(&script->lines[at], &script->lines[at + 1],
            (script->count - at) * sizeof script->lines[0]);
}

/* A sample as a host sends it: whole, in one part or two. */
static uint32_t insert_sample(fuzz_script *script, uint32_t at)
{
    uint32_t first_bytes = one_in(4) ? below(fuzz_model.input_bytes) : fuzz_model.input_bytes;
    fuzz_line part = line_of(MCT_MSG_SAMPLE);
    part.fields[0] = 0;
    part.nbytes = first_bytes;
    insert(script, at++, part);
    if (first_bytes < fuzz_model.input_bytes) {
        part.fields[0] = first_bytes;
        part.nbytes = fuzz_model.input_bytes - first_bytes;
        insert(script, at++, part);
    }
    return at;
}

/* What belongs together in a session. */
static void insert_phrase(fuzz_script *script, uint32_t at)
{
    enum { LONGEST = 7, WHOLE = 0xff }; /* a whole sample */
    static const uint8_t phrases[][LONGEST] = {
        {WHOLE, MCT_MSG_STEP},
        {MCT_MSG_TARGET, WHOLE, MCT_MSG_STEP},
        {WHOLE, MCT_MSG_INFER},
        {WHOLE, MCT_MSG_BEGIN, MCT_MSG_RUN, MCT_MSG_RUN},
        {WHOLE, MCT_MSG_PREFIX, MCT_MSG_KEEP, MCT_MSG_STEP},
        {MCT_MSG_LATENT, MCT_MSG_KEEP, MCT_MSG_RECALL, MCT_MSG_STEP},
        {MCT_MSG_RECALL, MCT_MSG_STEP},
        {WHOLE, MCT_MSG_START, FUZZ_WORK, WHOLE, MCT_MSG_TARGET, MCT_MSG_FINISH},
        {MCT_MSG_WRITE, WHOLE, MCT_MSG_STEP},
        {MCT_MSG_WRITE, MCT_MSG_DIGEST},
        {MCT_MSG_CLASSES, WHOLE, MCT_MSG_STEP},
        {MCT_MSG_LEARNING_RATE, WHOLE, MCT_MSG_STEP},
    };
    const uint8_t *phrase = phrases[below(sizeof phrases / sizeof phrases[0])];
    for (; *phrase != 0; phrase++) {
        if (*phrase == WHOLE) {
            at = insert_sample(script, at);
        } else {
            uint32_t count = script->count;
            insert(script, at, line_of(*phrase));
            at += script->count - count;
        }
    }
}

static void change(fuzz_script *script, uint32_t at)
{
    fuzz_line *line = &script->lines[at];
    if (one_in(2)) {
        fuzz_line other = line_of(line->form->kind);
        memcpy(line->fields, other.fields, sizeof line->fields);
    } else if (line->form->has_data) {
        draw_data(line);
    } else {
        draw_fields(line);
    }
}

static void mutate(fuzz_script *script)
{
    uint32_t at = below(script->count + 1);
    bool is_line = at < script->count;
    switch (below(8)) {
    case 0:
    case 1:
        insert_phrase(script, at);
        break;
    case 2:
        insert(script, at, line_of(fuzz_forms[below(fuzz_form_count)].kind));
        break;
    case 3:
        if (is_line) {
            erase(script, at);
        }
        break;
    case 4:
        if (is_line) {
            insert(script, below(script->count + 1), script->lines[at]);
        }
        break;
    default:
        if (is_line) {
            change(script, at);
        }
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static fuzz_script script;
    rng = seed * UINT32_C(2654435761) + 1u;
    fuzz_read(data, size, &script);
    uint32_t times = 1 + below(4);
    while (times-- > 0) {
        mutate(&script);
    }
    return fuzz_print(&script, data, max_size);
}

/* The beginning of one session and the end of another. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out, unsigned seed)
{
    static fuzz_script first, second;
    rng = seed * UINT32_C(2654435761) + 1u;
    fuzz_read(data1, size1, &first);
    fuzz_read(data2, size2, &second);
    first.count = below(first.count + 1);
    for (uint32_t n = below(second.count + 1); n < second.count; n++) {
        insert(&first, first.count, second.lines[n]);
    }
    return fuzz_print(&first, out, max_out);
}
