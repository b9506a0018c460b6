/* SPDX-License-Identifier: Apache-2.0 */
#include "learning/replay.h"

#include "mct/fixedpoint.h"

/* A number below limit from 32 random bits (Lemire 2019, without its rejection). */
static uint32_t below(uint32_t random, uint32_t limit)
{
    return (uint32_t)(((uint64_t)random * limit) >> 32);
}

/* The greatest number kept of a class; all that have it are full from now on. */
static uint32_t mark_largest(mct_replay *replay)
{
    uint32_t largest = 0;
    for (uint32_t c = 0; c < replay->classes; c++) {
        uint32_t kept = replay->balance[c].kept;
        largest = kept > largest ? kept : largest;
    }
    for (uint32_t c = 0; c < replay->classes; c++) {
        mct_replay_class *balance = &replay->balance[c];
        balance->is_full = balance->is_full || balance->kept == largest;
    }
    return largest;
}

/* Number `index` of the slots that hold a class of which `largest` are kept; of the class `label`
 * if `largest` is 0. */
static uint32_t slot_of(const mct_replay *replay, uint32_t label, uint32_t largest, uint32_t index)
{
    for (uint32_t slot = 0;; slot++) {
        uint32_t held = replay->labels[slot];
        bool counts = largest == 0u ? held == label : replay->balance[held].kept == largest;
        if (counts && index-- == 0u) {
            return slot;
        }
    }
}

uint32_t mct_replay_offer(mct_replay *replay, uint32_t label)
{
    mct_replay_class *own = &replay->balance[label];
    uint32_t random = mct_seed_op(replay->seed, replay->offered, MCT_REPLAY_OFFER_NODE);
    replay->offered++;
    own->seen++;
    if (replay->filled < replay->slots) {
        own->kept++;
        replay->labels[replay->filled] = (uint16_t)label;
        return replay->filled++;
    }
    uint32_t largest = mark_largest(replay);
    if (own->is_full) {
        uint32_t index = below(random, own->seen);
        return index < own->kept ? slot_of(replay, label, 0, index) : MCT_REPLAY_NONE;
    }
    uint32_t members = 0;
    for (uint32_t c = 0; c < replay->classes; c++) {
        members += replay->balance[c].kept == largest ? largest : 0u;
    }
    uint32_t slot = slot_of(replay, label, largest, below(random, members));
    replay->balance[replay->labels[slot]].kept--;
    own->kept++;
    replay->labels[slot] = (uint16_t)label;
    return slot;
}

uint32_t mct_replay_draw(mct_replay *replay)
{
    if (replay->filled == 0u) {
        return MCT_REPLAY_NONE;
    }
    uint32_t random = mct_seed_op(replay->seed, replay->drawn, MCT_REPLAY_DRAW_NODE);
    replay->drawn++;
    return below(random, replay->filled);
}
