/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the device's memory, compared before and after: part of harness.c.
 *
 * All tensors share the arena, so the sanitizers cannot see a kernel that writes into another
 * tensor: each kernel call is held to the bytes that the plan gives to it (fuzz_writes.h). */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

typedef struct {
    void *data;
    uint32_t nbytes;
} block;

/* The model's variables outside the regions, which no kernel call may change. */
static const block kept[] = {
#ifdef FUZZED_SLOTS
    {fuzzed_slots, sizeof fuzzed_slots},
    {fuzzed_slots_label, sizeof fuzzed_slots_label},
#endif
#ifdef FUZZED_AHEAD
    {fuzzed_ahead, sizeof fuzzed_ahead},
#endif
    {&fuzzed_next, sizeof fuzzed_next},
    {&fuzzed_busy_now, sizeof fuzzed_busy_now},
    {mct_link_rx, sizeof mct_link_rx},
    {mct_link_tx, sizeof mct_link_tx},
    {&mct_link_session, sizeof mct_link_session},
    {&mct_link, sizeof mct_link},
};
enum { KEPT = sizeof kept / sizeof kept[0], BLOCKS = REGIONS + KEPT };
#ifdef FUZZED_SLOTS
enum { SLOT_BLOCKS = 2 };
#else
enum { SLOT_BLOCKS = 0 };
#endif

static block block_at(uint32_t index)
{
    if (index < REGIONS) {
        return (block){fuzzed_regions[index].data, fuzzed_regions[index].nbytes};
    }
    return kept[index - REGIONS];
}

/* Copies of all blocks: one for the message under way, one for the kernel call. */
typedef struct {
    uint8_t *copies[BLOCKS];
} snapshot;
static snapshot at_message, at_call;

static void take(snapshot *all)
{
    for (uint32_t b = 0; b < BLOCKS; b++) {
        block now = block_at(b);
        if (all->copies[b] == NULL) {
            all->copies[b] = malloc(now.nbytes);
        }
        memcpy(all->copies[b], now.data, now.nbytes);
    }
}

static bool is_as_before(const snapshot *all, uint32_t index)
{
    block now = block_at(index);
    return memcmp(all->copies[index], now.data, now.nbytes) == 0;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "WRONG: %s\n", what);
    abort();
}

static void require(bool is_right, const char *what)
{
    if (!is_right) {
        fail(what);
    }
}

/* ---- Kernel calls ---- */

static void fuzz_call_begins(void)
{
    take(&at_call);
}

/* What the call may write becomes, in the copies, as it is now; then nothing else may differ. */
static void allow_writes(uint32_t call)
{
    for (uint32_t w = 0; w < sizeof fuzz_writes / sizeof fuzz_writes[0]; w++) {
        const writable *one = &fuzz_writes[w];
        if (one->call == call) {
            memcpy(at_call.copies[one->region] + one->offset,
                   fuzzed_regions[one->region].data + one->offset, one->nbytes);
        }
    }
}

static void fuzz_call_ends(uint32_t call)
{
    allow_writes(call);
    for (uint32_t r = 0; r < REGIONS; r++) {
        uint32_t n = 0;
        while (n < fuzzed_regions[r].nbytes && at_call.copies[r][n] == fuzzed_regions[r].data[n]) {
            n++;
        }
        if (n < fuzzed_regions[r].nbytes) {
            fprintf(stderr, "call %u wrote byte %u of region %u: ", call, n, r);
            fail("a kernel wrote what is not its own");
        }
    }
    for (uint32_t b = REGIONS; b < BLOCKS; b++) {
        require(is_as_before(&at_call, b), "a kernel changed a variable of the runtime");
    }
}

#endif
