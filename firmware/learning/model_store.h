/* SPDX-License-Identifier: Apache-2.0 */
/* NAME_save and NAME_load of a generated model: its learned state in flash (learning/store.h). One
 * source file of the firmware includes this behind NAME.h, and gives the name:
 *
 *     #include "watch.h"
 *     #define MCT_API(symbol) watch_##symbol
 *     #include "learning/model_store.h"
 *
 *     watch_reset(seed);
 *     if (watch_load() != MCT_OK) { watch_reset(seed); }     at power-up
 *     (learn) status = watch_save();                         then at sensible moments, between steps
 *
 * What else shall be kept with the state, such as what a guard or a replay buffer holds, is named
 * before, and always the same:
 *
 *     #define MCT_STORE_ALSO {(uint8_t *)&guard, sizeof guard}, {best, sizeof best}
 *
 * The firmware links learning/store.c and gives mct/port_flash.h. */
#ifndef MCT_API
#error "say MCT_API(symbol), the model's name and the symbol, before learning/model_store.h"
#endif

#include "learning/store.h"

#ifndef MCT_STORE_ALSO
#define MCT_STORE_ALSO
#endif

/* Returns MCT_ERR_BUSY while a step is under way, else as mct_store_save or mct_store_load. */
MCT_CHECKED static inline mct_status MCT_API(stored)(mct_status (*what)(const mct_store *store))
{
    const mct_region parts[] = {MCT_API(regions)[MCT_REGION_STATE], MCT_STORE_ALSO};
    const mct_store store = {.parts = parts,
                             .count = sizeof parts / sizeof *parts,
                             .meaning = MCT_API(numerics_hash),
                             .is_valid = MCT_API(state_is_valid)};
    return MCT_API(busy)() ? MCT_ERR_BUSY : what(&store);
}

/* Saves what was learned. */
MCT_CHECKED static inline mct_status MCT_API(save)(void)
{
    return MCT_API(stored)(mct_store_save);
}

/* Puts back what was saved last. A state that is not MCT_OK is none: reset the model. */
MCT_CHECKED static inline mct_status MCT_API(load)(void)
{
    return MCT_API(stored)(mct_store_load);
}

#undef MCT_API
#undef MCT_STORE_ALSO
