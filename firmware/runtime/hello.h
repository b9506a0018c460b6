/* SPDX-License-Identifier: Apache-2.0 */
/* Part of runtime/session.c, which selects the model: what the device says of itself. */
#ifndef MCT_HELLO_H
#define MCT_HELLO_H

#include <string.h>

#include "mct/port.h"
#include "mct/protocol.h"
#include "mct_selected_model.h"
#include "runtime/frame.h"
#include "runtime/health.h"
#include "runtime/link.h"

static inline uint8_t mct_hello_features(void)
{
    uint8_t features = mct_health_is_safe() ? MCT_FEATURE_SAFE_START : 0;
#ifdef MCT_WITH_STORE
    features |= MCT_FEATURE_STORE;
#endif
#ifdef MCT_KEEPS_CHAIN
    features |= MCT_FEATURE_RECORD;
#endif
#ifdef MCT_WITH_KEY
    features |= MCT_FEATURE_KEY;
#endif
    return features;
}

static inline uint32_t mct_hello_saves(void)
{
#ifdef MCT_WITH_STORE
    return MCT_MODEL(saved)().sequence;
#else
    return 0;
#endif
}

/* Who the device is and what became of it: what protocol 3 added, behind the plan's numbers. */
static inline void mct_hello_device(uint8_t *reply)
{
    mct_port_device_id(reply);
    reply[12] = (uint8_t)mct_health_cause();
    reply[13] = mct_hello_features();
    mct_put_u16(reply + 14, mct_health_resets());
    mct_put_u32(reply + 16, mct_hello_saves());
#ifdef MCT_WITH_KEY
    memcpy(reply + 20, mct_seal_nonce(), MCT_NONCE_BYTES);
#else
    memset(reply + 20, 0, MCT_NONCE_BYTES);
#endif
}

/* Writes MCT_REPLY_HELLO_BYTES. */
static inline void mct_hello(uint8_t *reply)
{
    static const uint8_t bytes[8] = MCT_BUILD_HASH_BYTES;
    const uint8_t *build_hash = bytes;
    /* Else these would be instructions, whose size differs from build to build. */
    __asm__("" : "+r"(build_hash));
    mct_put_u16(reply, MCT_PROTOCOL_VERSION);
    mct_put_u16(reply + 2, MCT_LINK_PAYLOAD);
    memcpy(reply + 4, build_hash, sizeof bytes);
    memcpy(reply + 12, MCT_MODEL(numerics_hash), 8);
    mct_put_u32(reply + 20, MCT_MODEL_CONST(INPUT_BYTES));
    mct_put_u32(reply + 24, MCT_MODEL_CONST(CLASSES));
    mct_put_u32(reply + 28, MCT_MODEL(regions)[MCT_REGION_ARENA].nbytes);
    mct_put_u32(reply + 32, MCT_MODEL(regions)[MCT_REGION_STATE].nbytes);
    mct_put_u32(reply + 36, MCT_MODEL(steps)());
    mct_put_u32(reply + 40, MCT_MODEL_CONST(CALLS));
    mct_hello_device(reply + 44);
}

#endif
