/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#define MCT_MODEL(symbol) fake_##symbol
#define MCT_MODEL_CONST(symbol) FAKE_##symbol
#define MCT_RECEIVES_AHEAD FAKE_AHEAD
#define MCT_BUILD_HASH_BYTES {0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7}

#ifdef FAKE_KEYED
#define MCT_WITH_KEY
#include "runtime/seal.h"
#endif
