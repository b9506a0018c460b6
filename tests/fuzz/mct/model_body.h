/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of the firmware's own mct/model_body.h, which it includes: lets the generated
 * model's kernel calls run one by one, each inside fuzz_call_begins and fuzz_call_ends, and notes
 * what kind of model it is. */
static void fuzz_call_begins(void);
static void fuzz_call_ends(uint32_t call);

static uint32_t fuzz_calls(uint32_t first, uint32_t end)
{
    for (uint32_t call = first; call < end; call++) {
        fuzz_call_begins();
        (void)fuzzed_calls(call, call + 1u);
        fuzz_call_ends(call);
    }
    return end;
}
#define fuzzed_calls fuzz_calls

#ifdef MCT_API_ARRIVE
#define FUZZED_ARRIVES
static void fuzz_arrive(int32_t rows)
{
    fuzz_call_begins();
    MCT_API_ARRIVE(rows);
    fuzz_call_ends(0u);
}
#undef MCT_API_ARRIVE
#define MCT_API_ARRIVE fuzz_arrive
#endif
#ifdef MCT_API_AHEAD_BYTES
#define FUZZED_AHEAD
#endif
#if MCT_API_LATENT_SLOTS > 0
#define FUZZED_SLOTS
#endif

#include "firmware/mct/model_body.h"
