/* SPDX-License-Identifier: Apache-2.0 */
/* Part of runtime/session.c, which selects the model: the reply to RECORD, of builds with a
 * chain. */
#ifndef MCT_RECORD_REPLY_H
#define MCT_RECORD_REPLY_H

#include <string.h>

#include "mct/protocol.h"
#include "mct_selected_model.h"
#include "runtime/frame.h"

#ifdef MCT_KEEPS_CHAIN

#include "mct/record_chain.h"

_Static_assert((int)MCT_RECORD_ENTRY_BYTES == (int)MCT_REPLY_RECORD_BYTES, "an entry is a reply");

static void mct_record_look(uint8_t *reply)
{
    memcpy(reply, MCT_MODEL(chain)(), MCT_CHAIN_BYTES);
    (void)MCT_MODEL(state_hash)(reply + 16);
    mct_put_u32(reply + 32, MCT_MODEL_CONST(ENTRIES));
    mct_put_u32(reply + 36, MCT_MODEL(steps)());
    mct_put_u32(reply + 40, MCT_MODEL(entered)());
    mct_put_u32(reply + 44, MCT_MODEL(classes)());
}

/* Between two steps, since amid one the state is none. */
static mct_status mct_record_reply(uint8_t action, uint32_t number, uint8_t *reply,
                                   uint32_t *reply_bytes)
{
    if (MCT_MODEL(busy)()) {
        return MCT_ERR_BUSY;
    }
    if (action == MCT_RECORD_LOOK) {
        mct_record_look(reply);
    } else {
        const uint8_t *entry = action == MCT_RECORD_ENTRY ? MCT_MODEL(entry)(number) : NULL;
        if (entry == NULL) {
            return MCT_ERR_RANGE;
        }
        memcpy(reply, entry, MCT_RECORD_ENTRY_BYTES);
    }
    *reply_bytes = MCT_REPLY_RECORD_BYTES;
    return MCT_OK;
}

#endif
#endif
