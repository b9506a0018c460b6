/* SPDX-License-Identifier: Apache-2.0 */
/* Twin of trainer/replay.py: which samples of a stream a bounded buffer keeps, and which it
 * replays.
 *
 * Class-balancing reservoir sampling (Chrysakis and Moens 2020) over slots of labels; the samples,
 * or their latents (NAME_keep_latent), are stored by the caller in the slots that offer names. Both
 * functions take time proportional to the number of slots. All storage is the caller's:
 *
 *   static uint16_t labels[WATCH_LATENT_SLOTS];
 *   static mct_replay_class balance[WATCH_CLASSES];
 *   static mct_replay replay = {.slots = WATCH_LATENT_SLOTS, .classes = WATCH_CLASSES,
 *                               .labels = labels, .balance = balance, .seed = 1};
 *
 *   slot = mct_replay_offer(&replay, label);      the latent of a new sample is in place
 *   if (slot != MCT_REPLAY_NONE) { watch_keep_latent(slot, label) }
 *   watch_step_from_latent(label)
 *   slot = mct_replay_draw(&replay);              then as many old samples as wanted
 *   watch_recall_latent(slot, &label), watch_step_from_latent(label) */
#ifndef MCT_REPLAY_H
#define MCT_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MCT_REPLAY_NONE UINT32_MAX
#define MCT_REPLAY_OFFER_NODE UINT32_C(0x40000000)
#define MCT_REPLAY_DRAW_NODE UINT32_C(0x40000001)

/* What the buffer knows of one class. A full one has been among the largest. */
typedef struct {
    uint32_t seen;
    uint16_t kept;
    bool is_full;
} mct_replay_class;

typedef struct {
    uint32_t slots; /* 65,535 at most */
    uint32_t classes;
    uint16_t *labels;          /* of each slot */
    mct_replay_class *balance; /* of each class, zero at first */
    uint32_t seed;
    /* From here on: what MCT_REPLAY_STORED keeps, and the two arrays. */
    uint32_t offered;
    uint32_t drawn;
    uint32_t filled; /* slots in use, from the first */
} mct_replay;

/* The parts of a store (MCT_STORE_ALSO of learning/model_store.h) that are what a buffer knows,
 * without the pointers. The latents in the slots are saved with the state. */
#define MCT_REPLAY_STORED(replay)                                                                  \
    {(uint8_t *)&(replay).offered, sizeof(mct_replay) - offsetof(mct_replay, offered)},            \
        {(uint8_t *)(replay).labels, (replay).slots * (uint32_t)sizeof(uint16_t)},                 \
    {                                                                                              \
        (uint8_t *)(replay).balance, (replay).classes *(uint32_t)sizeof(mct_replay_class)          \
    }

/* The slot in which to store a sample of the stream with this label (below classes), or
 * MCT_REPLAY_NONE if it is not kept. */
uint32_t mct_replay_offer(mct_replay *replay, uint32_t label);

/* The slot of a kept sample to replay, each as likely; MCT_REPLAY_NONE if nothing is kept. */
uint32_t mct_replay_draw(mct_replay *replay);

#ifdef __cplusplus
}
#endif

#endif
