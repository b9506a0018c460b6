/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps what was learned in flash (mct/port_flash.h), so that it outlives a loss of power at any
 * moment: SPEC 4.1 has every byte.
 *
 * The flash is divided into slots of whole pages, two or more. A save erases the slot that is worth
 * least, programs a header, the data and then the commit word, in a unit of its own. A slot counts
 * once its commit word fits all that it holds; of those the newest counts. So a save that is
 * interrupted leaves the state before it, and one that has ended is there for good.
 *
 *     static const mct_region parts[] = {...};     all that is to be kept, in a fixed order
 *     static const mct_store store = {parts, 1, NAME_numerics_hash};
 *     status = mct_store_save(&store);             at sensible moments, between steps
 *
 *     mct_store_place place = {0};                 once, at power-up: the newest that is valid
 *     while ((status = mct_store_load(&store, &place)) == MCT_OK && !NAME_state_is_valid()) {
 *     }
 *
 * learning/model_store.h does this for a generated model. learning/store.c is
 * compiled with MCT_WITH_STORE defined, or there is no store. */
#ifndef MCT_STORE_H
#define MCT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "mct/model.h"
#include "mct/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is kept. `meaning` is 8 bytes that name how the bytes are to be read: the model's numerics
 * hash. */
typedef struct {
    const mct_region *parts;
    uint32_t count;
    const uint8_t *meaning;
} mct_store;

/* Which of the saved states was loaded last; {0} before. */
typedef struct {
    bool is_loaded;
    uint32_t sequence;
} mct_store_place;

/* Saves the parts in the slot that is worth least. MCT_OK: they are there, and outlive a loss of
 * power from now on. MCT_ERR_RANGE: two slots of their size do not fit the flash. MCT_ERR_FLASH: no
 * slot but the newest can be written any more; what was saved before is still there. */
MCT_CHECKED mct_status mct_store_save(const mct_store *store);

/* Loads the newest slot that is whole and has the same meaning and length, among those older than
 * `*place`, and notes it there. Without one: MCT_ERR_NOTHING_SAVED if the flash holds no other that
 * was ever whole, MCT_ERR_FOREIGN if it holds something of another model, version or length. Then
 * the parts are what they were, unless MCT_ERR_FLASH says that one was whole and could not be read
 * again. MCT_ERR_RANGE as of a save. */
MCT_CHECKED mct_status mct_store_load(const mct_store *store, mct_store_place *place);

/* What the flash holds, to be told to a person. */
typedef struct {
    uint32_t slots;    /* that fit */
    uint32_t whole;    /* that hold something whole of this meaning and length */
    uint32_t sequence; /* of the newest of these: how many saves there have been; 0 without */
    uint32_t erases;   /* the most that a slot has been erased: its wear */
    uint32_t
        damaged; /* slots that hold something that is not whole: a save that was cut, or worse */
    uint32_t foreign; /* slots of another meaning, format or length */
} mct_store_report;

mct_store_report mct_store_look(const mct_store *store);

/* Erases every slot: nothing is saved then. Power that is lost in the middle leaves some of them;
 * the newest goes last. Returns MCT_ERR_FLASH if a page could not be erased. */
MCT_CHECKED mct_status mct_store_forget(const mct_store *store);

#ifdef __cplusplus
}
#endif

#endif
