/* SPDX-License-Identifier: Apache-2.0 */
#include "mct_selected_model.h"

#ifdef MCT_WITH_KEY

#include <string.h>

#include "mct/hmac.h"
#include "mct/model.h"
#include "mct/port.h"
#include "mct_keys.h"
#include "runtime/frame.h"
#include "runtime/seal.h"

enum { OF_NONCE = 0, OF_REQUEST = 1, OF_REPLY = 2 }; /* what a code is of: its first byte */
/* More than a request has that is not sealed. */
enum { AROUND_BYTES = MCT_REQUEST_SEALED_BYTES + MCT_MAC_BYTES };
enum { HEAD_BYTES = 1 + 2 * MCT_NONCE_BYTES + 2 + 4 + 1 + 1, NO_RIGHT = MCT_RIGHTS };

static struct {
    uint8_t nonce[MCT_NONCE_BYTES]; /* this device's */
    uint8_t host_nonce[MCT_NONCE_BYTES];
    uint32_t sessions; /* since the start */
    uint32_t counter;  /* of the last request that was opened; 0 before the first */
    uint8_t right;     /* of its key */
} mct_link_seal;

__attribute__((weak)) void mct_port_key(uint32_t right, uint8_t *out)
{
    MCT_COPY_FROM_FLASH(out, mct_link_keys, right * MCT_KEY_BYTES, MCT_KEY_BYTES);
}

__attribute__((weak)) void mct_port_mac(uint32_t right, const uint8_t *head, uint32_t head_bytes,
                                        const uint8_t *body, uint32_t body_bytes, uint8_t *out)
{
    mct_sha256 hash;
    uint8_t key[MCT_KEY_BYTES], code[MCT_SHA256_BYTES];
    mct_port_key(right, key);
    mct_hmac_init(&hash, key, MCT_KEY_BYTES);
    mct_sha256_update(&hash, head, head_bytes);
    mct_sha256_update(&hash, body, body_bytes);
    mct_hmac_final(&hash, key, MCT_KEY_BYTES, code);
    memcpy(out, code, MCT_MAC_BYTES);
}

/* The holder of the write key alone could foretell a nonce, and so have a host say now what is to
 * be said to this device later: it may say so itself. */
void mct_seal_begin(bool is_repeat)
{
    uint8_t head[1 + 4 + MCT_NONCE_BYTES + MCT_DEVICE_ID_BYTES] = {OF_NONCE};
    if (is_repeat && mct_link_seal.counter == 0) {
        return; /* the host has the nonce, or its reply is on the way */
    }
    mct_link_seal.sessions++;
    mct_link_seal.counter = 0;
    mct_put_u32(head + 1, mct_link_seal.sessions);
    mct_port_nonce(head + 1 + 4);
    mct_port_device_id(head + 1 + 4 + MCT_NONCE_BYTES);
    mct_port_mac(MCT_RIGHT_WRITE, head, sizeof head, NULL, 0, mct_link_seal.nonce);
}

const uint8_t *mct_seal_nonce(void)
{
    return mct_link_seal.nonce;
}

static void code_of(uint8_t what, const uint8_t *host_nonce, uint32_t counter, uint8_t right,
                    const mct_request *request, const uint8_t *body, uint32_t nbytes, uint8_t *out)
{
    uint8_t head[HEAD_BYTES];
    uint8_t *at = head + 1 + 2 * MCT_NONCE_BYTES;
    head[0] = what;
    memcpy(head + 1, mct_link_seal.nonce, MCT_NONCE_BYTES);
    memcpy(head + 1 + MCT_NONCE_BYTES, host_nonce, MCT_NONCE_BYTES);
    mct_put_u16(at, request->seq);
    mct_put_u32(at + 2, counter);
    at[6] = right;
    at[7] = request->type;
    mct_port_mac(right, head, HEAD_BYTES, body, nbytes, out);
}

/* In a time that does not tell where they differ. */
static bool are_equal(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t differs = 0;
    for (uint32_t n = 0; n < MCT_MAC_BYTES; n++) {
        differs |= a[n] ^ b[n];
    }
    return differs == 0;
}

/* The first request of a session is a HELLO with the host's nonce, which the codes of all cover;
 * that with the counter 1. */
mct_status mct_seal_open(mct_request *request, bool is_new)
{
    const uint8_t *sealed = request->payload;
    if (request->type != MCT_MSG_SEALED || request->nbytes < AROUND_BYTES) {
        return MCT_ERR_KEY;
    }
    uint8_t right = sealed[0];
    uint32_t counter = mct_get_u32(sealed + 1);
    const uint8_t *body = sealed + MCT_REQUEST_SEALED_BYTES;
    uint32_t nbytes = request->nbytes - AROUND_BYTES;
    mct_request inner = {body, nbytes, request->seq, sealed[5]};
    bool is_first = inner.type == MCT_MSG_HELLO;
    if (right >= MCT_RIGHTS || (is_first && nbytes != MCT_NONCE_BYTES)) {
        return MCT_ERR_KEY;
    }
    uint8_t code[MCT_MAC_BYTES];
    code_of(OF_REQUEST, is_first ? body : mct_link_seal.host_nonce, counter, right, &inner, body,
            nbytes, code);
    if (!are_equal(code, body + nbytes)) {
        return MCT_ERR_KEY;
    }
    if (counter == 0 || counter != mct_link_seal.counter + is_new || is_first != (counter == 1)) {
        return MCT_ERR_SESSION;
    }
    if (is_first) {
        memcpy(mct_link_seal.host_nonce, body, MCT_NONCE_BYTES);
        inner.nbytes = 0;
    }
    mct_link_seal.counter = counter;
    mct_link_seal.right = right;
    *request = inner;
    return MCT_OK;
}

/* What is not named here needs the key that may most. Who trains may see outputs, which lie in the
 * arena; no key writes there. COLLECT, which shows what a sensor sees, is one of these. */
static uint32_t right_to(uint8_t type, uint8_t first)
{
    switch (type) {
    case MCT_MSG_DIGEST:
    case MCT_MSG_CYCLES:
    case MCT_MSG_RECORD:
        return MCT_RIGHT_READ;
    case MCT_MSG_READ:
        return first == MCT_REGION_STATE ? MCT_RIGHT_READ : MCT_RIGHT_TRAIN;
    case MCT_MSG_STORE:
        return first == MCT_STORE_LOOK ? MCT_RIGHT_READ : MCT_RIGHT_WRITE;
    case MCT_MSG_SAMPLE:
    case MCT_MSG_TARGET:
    case MCT_MSG_LATENT:
    case MCT_MSG_PREFIX:
    case MCT_MSG_KEEP:
    case MCT_MSG_RECALL:
    case MCT_MSG_STEP:
    case MCT_MSG_INFER:
    case MCT_MSG_BEGIN:
    case MCT_MSG_RUN:
    case MCT_MSG_START:
    case MCT_MSG_FINISH:
    case MCT_MSG_ENROL:
        return MCT_RIGHT_TRAIN;
    case MCT_MSG_WRITE:
        return first == MCT_REGION_STATE ? MCT_RIGHT_WRITE : NO_RIGHT;
    default:
        return MCT_RIGHT_WRITE;
    }
}

bool mct_seal_allows(uint8_t type, const uint8_t *payload, uint32_t nbytes)
{
    uint8_t first = nbytes == 0 ? UINT8_MAX : payload[0];
    return type == MCT_MSG_HELLO || right_to(type, first) == mct_link_seal.right;
}

uint32_t mct_seal_close(const mct_request *request, uint8_t *reply, uint32_t nbytes)
{
    code_of(OF_REPLY, mct_link_seal.host_nonce, mct_link_seal.counter, mct_link_seal.right, request,
            reply, nbytes, reply + nbytes);
    return nbytes + MCT_MAC_BYTES;
}

#endif
