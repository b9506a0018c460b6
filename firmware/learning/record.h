/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the entries of a chain (mct/record_chain.h) in flash (mct/port_flash.h), so that a host can
 * learn later what a device learned from when nobody watched it.
 *
 * The log has pages of its own: a port gives the store fewer pages than there are, and the log
 * those behind them. An entry takes a slot of a page. When all are full, the page with the oldest
 * entries is erased. Nothing here touches the state: a log that is lost or worn loses its entries
 * alone, and the chain value tells which ones are missing.
 *
 *     static mct_record_log record = {.first_page = 8, .pages = 4};
 *
 *     void mct_record_sink(const uint8_t *entry)     is called when a step begins
 *     {
 *         (void)mct_record_append(&record, entry);
 *     }
 *
 *     status = mct_record_open(&record);              once, at power-up, before the first step
 *
 * A power-up goes on in a new page: what power interrupted can read as erased today, and as
 * something else tomorrow. All sources are compiled with MCT_WITH_RECORD_LOG defined, or there is
 * no log. */
#ifndef MCT_RECORD_H
#define MCT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "mct/model.h"
#include "mct/record_chain.h"
#include "mct/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t first_page; /* of those that are the log's, counted as the port counts */
    uint32_t pages;      /* two or more, or an erase leaves nothing */
    uint32_t next;       /* the log's own: the slot of the next entry, */
    uint32_t number;     /* and which one it is, counted from 0 when the flash was new */
} mct_record_log;

/* Finds where the log goes on. MCT_ERR_RANGE: no entry fits a page, or there are no pages. */
MCT_CHECKED mct_status mct_record_open(mct_record_log *log);

/* Appends an entry; at the beginning of a page it erases that first, which takes as long as the
 * flash needs for it. MCT_ERR_FLASH: the flash says that it failed; the entry is lost, and the next
 * one goes to a later slot. */
MCT_CHECKED mct_status mct_record_append(mct_record_log *log, const uint8_t *entry);

/* Returns how many slots the log has. */
uint32_t mct_record_slots(const mct_record_log *log);

/* Reads the entry in slot `index`, from 0 for the oldest one, and its number. Returns false where
 * there is none that is whole. The entries come in the order of their numbers. */
bool mct_record_read(const mct_record_log *log, uint32_t index, uint32_t *number, uint8_t *entry);

#ifdef __cplusplus
}
#endif

#endif
