/* SPDX-License-Identifier: Apache-2.0 */
/* NAME_save and NAME_load of a generated model: its learned state, and the latents that it keeps,
 * in flash (learning/store.h). One source file of the firmware includes this behind NAME.h, and
 * gives the name:
 *
 *     #include "watch.h"
 *     #define MCT_API(symbol) watch_##symbol
 *     #include "learning/model_store.h"
 *
 *     watch_reset(seed);
 *     if (watch_load() != MCT_OK) { watch_reset(seed); }     at power-up
 *     (learn) status = watch_save();                         at sensible moments, between steps
 *
 * What else shall be kept with the state, such as what a guard or a replay buffer holds, is named
 * before, and always the same:
 *
 *     #define MCT_STORE_ALSO MCT_GUARD_STORED(guard), MCT_REPLAY_STORED(replay)
 *
 * Name no struct that has pointers: they lead elsewhere in another build of the same model.
 *
 * The firmware compiles learning/store.c with MCT_WITH_STORE defined, and gives mct/port_flash.h.
 */
#ifndef MCT_API
#error "say MCT_API(symbol), the model's name and the symbol, before learning/model_store.h"
#endif

#include <string.h>

#include "learning/store.h"

#ifndef MCT_STORE_ALSO
#define MCT_STORE_ALSO
#endif

/* Names what is kept. */
#define MCT_STORED                                                                                 \
    mct_region kept_labels;                                                                        \
    mct_region kept_latents;                                                                       \
    MCT_API(slot_regions)(&kept_labels, &kept_latents);                                            \
    const mct_region parts[] = {MCT_API(regions)[MCT_REGION_STATE], kept_labels, kept_latents,     \
                                MCT_STORE_ALSO};                                                   \
    const mct_store store = {parts, sizeof parts / sizeof *parts, MCT_API(numerics_hash)}

/* Saves what was learned. Returns MCT_ERR_BUSY while a step is under way, else as mct_store_save.
 */
MCT_CHECKED static inline mct_status MCT_API(save)(void)
{
    MCT_STORED;
    return MCT_API(busy)() ? MCT_ERR_BUSY : mct_store_save(&store);
}

/* Puts back the newest that was saved and is valid. Returns MCT_ERR_BUSY while a step is under way,
 * MCT_ERR_STATE if what is saved is not valid, else as mct_store_load. Unless it returns MCT_OK,
 * MCT_ERR_BUSY or MCT_ERR_NOTHING_SAVED the state is none: reset the model then. Slots of latents
 * are empty where what was read into them does not count. */
MCT_CHECKED static inline mct_status MCT_API(load)(void)
{
    MCT_STORED;
    mct_store_place place = {0};
    if (MCT_API(busy)()) {
        return MCT_ERR_BUSY;
    }
    mct_status status = mct_store_load(&store, &place);
    bool is_invalid = false;
    while (status == MCT_OK && !MCT_API(state_is_valid)()) {
        is_invalid = true;
        status = mct_store_load(&store, &place);
    }
    if (status != MCT_OK && place.is_loaded && kept_labels.nbytes > 0u) {
        memset(kept_labels.data, 0, (size_t)kept_labels.nbytes);
    }
    return status != MCT_OK && is_invalid ? MCT_ERR_STATE : status;
}

/* Forgets what was saved; what was learned stays. */
MCT_CHECKED static inline mct_status MCT_API(forget)(void)
{
    MCT_STORED;
    return mct_store_forget(&store);
}

/* Returns what the flash holds. */
static inline mct_store_report MCT_API(saved)(void)
{
    MCT_STORED;
    return mct_store_look(&store);
}

#undef MCT_STORED
#undef MCT_API
#undef MCT_STORE_ALSO
