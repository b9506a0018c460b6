/* SPDX-License-Identifier: Apache-2.0 */
#include "learning/store.h"

#include <stddef.h>
#include <string.h>

#include "mct/crc32.h"
#include "mct/port_flash.h"

/* A port without flash has none of it. Builds that choose by the model say MCT_HAS_FLASH: what is
 * not called is not linked. */
#if defined MCT_WITH_STORE || defined MCT_HAS_FLASH

/* What a slot begins with, little-endian as every target is. */
typedef struct {
    uint32_t magic;
    uint32_t format;
    uint8_t meaning[8];
    uint32_t sequence; /* one more than that of the save before */
    uint32_t nbytes;   /* of the data behind it */
    uint32_t erases;   /* of this slot so far */
    uint32_t crc;      /* of the fields before */
} slot_header;

_Static_assert(sizeof(slot_header) == 32, "SPEC 4.1 says where each field is");

enum { FORMAT = 1, HEADER_CRC_AT = 28, WORD_BYTES = 4, ERASED_READS = 16, CHUNK_BYTES = 64 };

/* Where the commit word stands. COMMIT is programmed when the data are there, AGAIN at once behind
 * it: if AGAIN was begun, COMMIT is whole. The others are for a power-up that finds it was not, and
 * cannot tell a whole word from one that reads as such today. */
enum { COMMIT = 0, AGAIN, LATER, LATEST, WORDS };

#define MAGIC UINT32_C(0x4654434d) /* "MCTF" */
#define NO_SLOT UINT32_MAX
#define ERASED UINT32_C(0xffffffff)

/* How the flash is divided for a store. */
typedef struct {
    mct_flash_geometry flash;
    uint32_t nbytes; /* of the data */
    uint32_t data_at, words_at, word_bytes;
    uint32_t slot_pages, slots;
} layout;

/* SLOT_ERASED reads as erased where its header would stand, and SLOT_BROKEN has no header there.
 * SLOT_TORN has one, and no commit word that fits. */
typedef enum { SLOT_ERASED, SLOT_BROKEN, SLOT_TORN, SLOT_FOREIGN, SLOT_WHOLE } slot_kind;

static uint32_t rounded_up(uint32_t nbytes, uint32_t unit)
{
    return (nbytes + unit - 1u) / unit * unit;
}

static layout layout_of(const mct_store *store)
{
    layout l = {.flash = mct_port_flash_geometry()};
    const uint32_t unit = l.flash.unit_bytes;
    for (uint32_t k = 0; k < store->count; k++) {
        l.nbytes += store->parts[k].nbytes;
    }
    l.data_at = rounded_up(sizeof(slot_header), unit);
    l.words_at = l.data_at + rounded_up(l.nbytes, unit);
    l.word_bytes = rounded_up(WORD_BYTES, unit);
    l.slot_pages = rounded_up(l.words_at + WORDS * l.word_bytes, l.flash.page_bytes);
    l.slot_pages /= l.flash.page_bytes;
    l.slots = l.flash.pages / l.slot_pages;
    return l;
}

static uint32_t slot_at(const layout *l, uint32_t slot)
{
    return slot * l->slot_pages * l->flash.page_bytes;
}

/* ---- Reading ---- */

/* Reads a slot's header. False if it is none: damaged, or never written. */
static bool read_header(const layout *l, uint32_t slot, slot_header *header)
{
    return mct_port_flash_read(slot_at(l, slot), header, sizeof *header) &&
           header->magic == MAGIC && header->crc == mct_crc32(0u, header, HEADER_CRC_AT);
}

/* What the commit word of this header must be, from the CRC of header and data: never that of
 * erased flash. */
static uint32_t word_of(uint32_t crc)
{
    return crc == ERASED ? 0u : crc;
}

/* Reads the data of a slot, into the parts if they are given; *crc is of header and data. */
static bool read_data(const layout *l, uint32_t slot, const slot_header *header,
                      const mct_store *into, uint32_t *crc)
{
    uint8_t chunk[CHUNK_BYTES];
    uint32_t at = slot_at(l, slot) + l->data_at;
    *crc = mct_crc32(0u, header, sizeof *header);
    if (into != NULL) {
        for (uint32_t k = 0; k < into->count; at += into->parts[k++].nbytes) {
            if (into->parts[k].nbytes == 0u) { /* which lies nowhere */
                continue;
            }
            if (!mct_port_flash_read(at, into->parts[k].data, into->parts[k].nbytes)) {
                return false;
            }
            *crc = mct_crc32(*crc, into->parts[k].data, into->parts[k].nbytes);
        }
        return true;
    }
    for (uint32_t left = l->nbytes; left > 0u;) {
        const uint32_t nbytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        if (!mct_port_flash_read(at, chunk, nbytes)) {
            return false;
        }
        *crc = mct_crc32(*crc, chunk, nbytes);
        at += nbytes;
        left -= nbytes;
    }
    return true;
}

/* A commit word as it reads now; ERASED also where all of its unit is. A unit that cannot be read
 * is not erased. */
static uint32_t read_word(const layout *l, uint32_t slot, uint32_t which)
{
    uint32_t word;
    uint8_t chunk[CHUNK_BYTES];
    const uint32_t at = slot_at(l, slot) + l->words_at + which * l->word_bytes;
    if (!mct_port_flash_read(at, &word, sizeof word)) {
        return 0u;
    }
    for (uint32_t done = 0; word == ERASED && done < l->word_bytes; done += CHUNK_BYTES) {
        const uint32_t left = l->word_bytes - done;
        const uint32_t nbytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        bool is_erased = mct_port_flash_read(at + done, chunk, nbytes);
        for (uint32_t k = 0; is_erased && k < nbytes; k++) {
            is_erased = chunk[k] == 0xffu;
        }
        word = is_erased ? ERASED : 0u;
    }
    return word;
}

static bool has_word(const layout *l, uint32_t slot, uint32_t word)
{
    for (uint32_t which = 0; which < WORDS; which++) {
        if (read_word(l, slot, which) == word) {
            return true;
        }
    }
    return false;
}

static bool is_committed(const layout *l, uint32_t slot, const slot_header *header)
{
    uint32_t crc;
    return read_data(l, slot, header, NULL, &crc) && has_word(l, slot, word_of(crc));
}

/* Whether a slot reads as erased where its header would stand. */
static bool has_no_bits(const layout *l, uint32_t slot)
{
    uint8_t bytes[sizeof(slot_header)];
    bool is_erased = mct_port_flash_read(slot_at(l, slot), bytes, sizeof bytes);
    for (uint32_t k = 0; is_erased && k < sizeof bytes; k++) {
        is_erased = bytes[k] == 0xffu;
    }
    return is_erased;
}

static slot_kind kind_of(const layout *l, const mct_store *store, uint32_t slot,
                         slot_header *header)
{
    if (!read_header(l, slot, header)) {
        return has_no_bits(l, slot) ? SLOT_ERASED : SLOT_BROKEN;
    }
    if (header->format != FORMAT || header->nbytes != l->nbytes ||
        memcmp(header->meaning, store->meaning, sizeof header->meaning) != 0) {
        return SLOT_FOREIGN;
    }
    /* What was half written may read as whole once. */
    const bool is_whole = is_committed(l, slot, header) && is_committed(l, slot, header);
    return is_whole ? SLOT_WHOLE : SLOT_TORN;
}

/* What all slots say together. */
typedef struct {
    uint32_t newest; /* the whole slot to be loaded, or NO_SLOT */
    uint32_t newest_sequence, highest_sequence;
    uint32_t most_erases, whole, damaged, foreign;
    bool has_header;
} survey;

static bool is_newer(uint32_t sequence, uint32_t than)
{
    return (int32_t)(sequence - than) > 0;
}

/* Looks at all slots; of whole ones only at those older than `*limit`, if that is given. */
static survey look_at_all(const layout *l, const mct_store *store, const uint32_t *limit)
{
    survey found = {.newest = NO_SLOT};
    for (uint32_t slot = 0; slot < l->slots; slot++) {
        slot_header header;
        const slot_kind kind = kind_of(l, store, slot, &header);
        found.damaged += kind == SLOT_BROKEN || kind == SLOT_TORN;
        found.foreign += kind == SLOT_FOREIGN;
        if (kind == SLOT_ERASED || kind == SLOT_BROKEN) {
            continue;
        }
        if (!found.has_header || is_newer(header.sequence, found.highest_sequence)) {
            found.highest_sequence = header.sequence;
        }
        found.has_header = true;
        found.most_erases = header.erases > found.most_erases ? header.erases : found.most_erases;
        if (kind != SLOT_WHOLE || (limit != NULL && !is_newer(*limit, header.sequence))) {
            continue;
        }
        found.whole++;
        if (found.newest == NO_SLOT || is_newer(header.sequence, found.newest_sequence)) {
            found.newest = slot;
            found.newest_sequence = header.sequence;
        }
    }
    return found;
}

/* ---- Writing ---- */

/* Bytes on their way into units. */
typedef struct {
    uint32_t at, unit, fill, crc;
    bool is_good;
    uint8_t staged[MCT_FLASH_UNIT_MAX];
} unit_writer;

static void flush_unit(unit_writer *writer)
{
    if (writer->fill == 0u || !writer->is_good) {
        return;
    }
    memset(writer->staged + writer->fill, 0xff, (size_t)(writer->unit - writer->fill));
    writer->is_good = mct_port_flash_program(writer->at, writer->staged, writer->unit);
    writer->at += writer->unit;
    writer->fill = 0u;
}

static void put_bytes(unit_writer *writer, const void *bytes, uint32_t nbytes)
{
    const uint8_t *from = bytes;
    writer->crc = mct_crc32(writer->crc, bytes, nbytes);
    while (nbytes > 0u && writer->is_good) {
        const uint32_t room = writer->unit - writer->fill;
        const uint32_t part = nbytes < room ? nbytes : room;
        memcpy(writer->staged + writer->fill, from, (size_t)part);
        writer->fill += part;
        from += part;
        nbytes -= part;
        if (writer->fill == writer->unit) {
            flush_unit(writer);
        }
    }
}

static bool put_word(const layout *l, uint32_t slot, uint32_t which, uint32_t word)
{
    unit_writer writer = {.at = slot_at(l, slot) + l->words_at + which * l->word_bytes,
                          .unit = l->flash.unit_bytes,
                          .is_good = true};
    put_bytes(&writer, &word, sizeof word);
    flush_unit(&writer);
    return writer.is_good && read_word(l, slot, which) == word;
}

static bool erase_slot(const layout *l, uint32_t slot)
{
    bool is_good = true;
    for (uint32_t page = 0; page < l->slot_pages; page++) {
        is_good = mct_port_flash_erase(slot * l->slot_pages + page) && is_good;
    }
    return is_good;
}

/* Erases a slot and fills it with the parts. It is read back before it is committed. */
static bool fill_slot(const layout *l, const mct_store *store, uint32_t slot,
                      const slot_header *header)
{
    uint32_t crc;
    slot_header written;
    if (!erase_slot(l, slot)) {
        return false;
    }
    unit_writer writer = {.at = slot_at(l, slot), .unit = l->flash.unit_bytes, .is_good = true};
    put_bytes(&writer, header, sizeof *header);
    flush_unit(&writer);
    for (uint32_t k = 0; k < store->count; k++) {
        put_bytes(&writer, store->parts[k].data, store->parts[k].nbytes);
    }
    flush_unit(&writer);
    if (!writer.is_good || !read_header(l, slot, &written) ||
        memcmp(&written, header, sizeof *header) != 0 || !read_data(l, slot, header, NULL, &crc) ||
        crc != writer.crc) {
        return false;
    }
    if (!put_word(l, slot, COMMIT, word_of(crc))) {
        return false;
    }
    (void)put_word(l, slot, AGAIN, word_of(crc)); /* it is committed with or without */
    return true;
}

/* Whether a commit word's unit is erased, as far as can be told: weak bits may read as erased, but
 * not time and again. */
static bool is_erased(const layout *l, uint32_t slot, uint32_t which)
{
    for (uint32_t reads = 0; reads < ERASED_READS; reads++) {
        if (read_word(l, slot, which) != ERASED) {
            return false;
        }
    }
    return true;
}

/* A whole slot whose commit may have been interrupted is committed once more, in a unit that is
 * erased: what reads as whole now does so from then on, and older slots may be given up. */
static void confirm(const layout *l, uint32_t slot)
{
    uint32_t crc;
    slot_header header;
    if (!is_erased(l, slot, AGAIN) || !read_header(l, slot, &header) ||
        !read_data(l, slot, &header, NULL, &crc)) {
        return;
    }
    for (uint32_t which = LATER; which < WORDS; which++) {
        if (is_erased(l, slot, which)) {
            (void)put_word(l, slot, which, word_of(crc));
            return;
        }
    }
}

mct_status mct_store_save(const mct_store *store)
{
    const layout l = layout_of(store);
    if (l.slots < 2u) {
        return MCT_ERR_RANGE;
    }
    const survey all = look_at_all(&l, store, NULL);
    if (all.newest != NO_SLOT) {
        confirm(&l, all.newest);
    }
    /* In a ring behind the newest: the next one is the oldest, torn, or was never written. */
    const uint32_t others = all.newest == NO_SLOT ? l.slots : l.slots - 1u;
    uint32_t slot = all.newest == NO_SLOT ? l.slots - 1u : all.newest;
    for (uint32_t n = 0; n < others; n++) {
        slot = slot + 1u == l.slots ? 0u : slot + 1u;
        slot_header header;
        const bool has_count = read_header(&l, slot, &header);
        slot_header written = {.magic = MAGIC,
                               .format = FORMAT,
                               .sequence = all.highest_sequence + 1u,
                               .nbytes = l.nbytes,
                               .erases = has_count ? header.erases + 1u : all.most_erases};
        written.erases += written.erases == 0u; /* the first that this flash has */
        memcpy(written.meaning, store->meaning, sizeof written.meaning);
        written.crc = mct_crc32(0u, &written, HEADER_CRC_AT);
        if (fill_slot(&l, store, slot, &written)) {
            return MCT_OK;
        }
    }
    return MCT_ERR_FLASH;
}

mct_status mct_store_load(const mct_store *store, mct_store_place *place)
{
    const layout l = layout_of(store);
    if (l.slots < 2u) {
        return MCT_ERR_RANGE;
    }
    mct_status why = MCT_ERR_NOTHING_SAVED;
    for (;;) {
        uint32_t crc;
        slot_header header;
        const survey all = look_at_all(&l, store, place->is_loaded ? &place->sequence : NULL);
        if (all.newest == NO_SLOT) {
            const bool is_foreign = why == MCT_ERR_NOTHING_SAVED && all.foreign != 0u;
            return is_foreign ? MCT_ERR_FOREIGN : why;
        }
        place->is_loaded = true;
        place->sequence = all.newest_sequence;
        if (read_header(&l, all.newest, &header) &&
            read_data(&l, all.newest, &header, store, &crc) &&
            has_word(&l, all.newest, word_of(crc))) {
            confirm(&l, all.newest);
            return MCT_OK;
        }
        why = MCT_ERR_FLASH;
    }
}

mct_store_report mct_store_look(const mct_store *store)
{
    const layout l = layout_of(store);
    const survey all = look_at_all(&l, store, NULL);
    const mct_store_report report = {.slots = l.slots,
                                     .whole = all.whole,
                                     .sequence = all.newest == NO_SLOT ? 0u : all.newest_sequence,
                                     .erases = all.most_erases,
                                     .damaged = all.damaged,
                                     .foreign = all.foreign};
    return report;
}

mct_status mct_store_forget(const mct_store *store)
{
    const layout l = layout_of(store);
    const survey all = look_at_all(&l, store, NULL);
    bool is_good = true;
    for (uint32_t slot = 0; slot < l.slots; slot++) {
        is_good = (slot == all.newest || erase_slot(&l, slot)) && is_good;
    }
    if (is_good && all.newest != NO_SLOT) {
        is_good = erase_slot(&l, all.newest);
    }
    return is_good ? MCT_OK : MCT_ERR_FLASH;
}

#endif
