/* SPDX-License-Identifier: Apache-2.0 */
#include "learning/record.h"

#include <string.h>

#include "mct/crc32.h"
#include "mct/port_flash.h"

#ifdef MCT_WITH_RECORD_LOG /* a port without flash has none of it */

/* What a slot holds, little-endian as every target is; the rest of its last unit is 0xff. */
typedef struct {
    uint8_t entry[MCT_RECORD_ENTRY_BYTES];
    uint32_t number;
    uint32_t crc; /* of all before */
} record_slot;

enum { SLOT_CRC_AT = MCT_RECORD_ENTRY_BYTES + 4 };

_Static_assert(sizeof(record_slot) == 56, "an entry, its number and a CRC");

/* How the flash is divided for a log. */
typedef struct {
    uint32_t page_bytes, unit_bytes, slot_bytes;
    uint32_t page_slots;
} layout;

static layout layout_of(void)
{
    const mct_flash_geometry flash = mct_port_flash_geometry();
    layout l = {.page_bytes = flash.page_bytes, .unit_bytes = flash.unit_bytes};
    const uint32_t units = ((uint32_t)sizeof(record_slot) + l.unit_bytes - 1u) / l.unit_bytes;
    l.slot_bytes = units * l.unit_bytes;
    l.page_slots = l.page_bytes / l.slot_bytes;
    return l;
}

static uint32_t place_of(const mct_record_log *log, const layout *l, uint32_t slot)
{
    const uint32_t page = log->first_page + slot / l->page_slots;
    return page * l->page_bytes + slot % l->page_slots * l->slot_bytes;
}

/* Reads a slot; whether what it holds is whole. */
static bool get_slot(const mct_record_log *log, const layout *l, uint32_t slot, record_slot *found)
{
    return mct_port_flash_read(place_of(log, l, slot), found, sizeof *found) &&
           mct_crc32(0, found, SLOT_CRC_AT) == found->crc;
}

/* Programs a slot, unit by unit. */
static bool put_slot(const mct_record_log *log, const layout *l, const record_slot *given)
{
    const uint32_t at = place_of(log, l, log->next);
    uint8_t unit[MCT_FLASH_UNIT_MAX];
    for (uint32_t done = 0; done < sizeof *given; done += l->unit_bytes) {
        const uint32_t left = (uint32_t)sizeof *given - done;
        memset(unit, 0xff, l->unit_bytes);
        memcpy(unit, (const uint8_t *)given + done, left < l->unit_bytes ? left : l->unit_bytes);
        if (!mct_port_flash_program(at + done, unit, l->unit_bytes)) {
            return false;
        }
    }
    return true;
}

uint32_t mct_record_slots(const mct_record_log *log)
{
    return layout_of().page_slots * log->pages;
}

mct_status mct_record_open(mct_record_log *log)
{
    const layout l = layout_of();
    const uint32_t slots = l.page_slots * log->pages;
    record_slot found;
    log->next = 0;
    log->number = 0;
    if (slots == 0u) {
        return MCT_ERR_RANGE;
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        if (get_slot(log, &l, slot, &found) && found.number >= log->number) {
            log->number = found.number + 1u;
            log->next = (slot / l.page_slots + 1u) % log->pages * l.page_slots;
        }
    }
    return MCT_OK;
}

mct_status mct_record_append(mct_record_log *log, const uint8_t *entry)
{
    const layout l = layout_of();
    const uint32_t slots = l.page_slots * log->pages;
    record_slot given = {.number = log->number};
    bool is_there = log->next % l.page_slots != 0u ||
                    mct_port_flash_erase(log->first_page + log->next / l.page_slots);
    if (!is_there) { /* no slot of this page can be written: the next one is tried */
        log->next = (log->next + l.page_slots) % slots;
        return MCT_ERR_FLASH;
    }
    memcpy(given.entry, entry, sizeof given.entry);
    given.crc = mct_crc32(0, &given, SLOT_CRC_AT);
    is_there = put_slot(log, &l, &given);
    log->next = (log->next + 1u) % slots;
    log->number++;
    return is_there ? MCT_OK : MCT_ERR_FLASH;
}

bool mct_record_read(const mct_record_log *log, uint32_t index, uint32_t *number, uint8_t *entry)
{
    const layout l = layout_of();
    const uint32_t slots = l.page_slots * log->pages;
    record_slot found;
    if (index >= slots || !get_slot(log, &l, (log->next + index) % slots, &found) ||
        found.number >= log->number) { /* what power interrupted, and was not whole at power-up */
        return false;
    }
    *number = found.number;
    memcpy(entry, found.entry, sizeof found.entry);
    return true;
}

#endif
