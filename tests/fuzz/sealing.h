/* SPDX-License-Identifier: Apache-2.0 */
/* What a host does to a device with a key, and what it may see: part of harness.c. In builds
 * without one nothing of it. */
#ifndef FUZZ_SEALING_H
#define FUZZ_SEALING_H

#ifdef MCT_WITH_KEY
enum { IS_KEYED = 1, SEAL_HEAD_BYTES = MCT_REQUEST_SEALED_BYTES };

static const uint8_t host_nonce[MCT_NONCE_BYTES] = {0x11, 0x22};
static bool shows_outputs; /* an inference is the last thing that was done, but for READs */

/* Starts differ by their number. */
void mct_port_nonce(uint8_t *out)
{
    memset(out, 0, MCT_NONCE_BYTES);
}

/* Seals a request in place of its payload, with the key that it needs; returns the bytes. */
static uint32_t seal(uint8_t type, uint16_t seq, const uint8_t *payload, uint32_t nbytes,
                     uint8_t *sealed)
{
    uint32_t right = type == MCT_MSG_HELLO ? MCT_RIGHT_READ
                                           : right_to(type, nbytes == 0 ? UINT8_MAX : payload[0]);
    uint32_t counter = mct_link_seal.counter + 1;
    mct_request request = {payload, nbytes, seq, type};
    sealed[0] = (uint8_t)(right == NO_RIGHT ? MCT_RIGHT_WRITE : right);
    mct_put_u32(sealed + 1, counter);
    sealed[5] = type;
    memcpy(sealed + SEAL_HEAD_BYTES, payload, nbytes);
    code_of(OF_REQUEST, host_nonce, counter, sealed[0], &request, payload, nbytes,
            sealed + SEAL_HEAD_BYTES + nbytes);
    return nbytes + MCT_REQUEST_SEALED_BYTES + MCT_MAC_BYTES;
}

/* The bytes of a reply's payload without its code, which must be right. */
static uint32_t without_code(uint8_t type, uint16_t seq, const uint8_t *payload, uint32_t nbytes)
{
    uint8_t code[MCT_MAC_BYTES];
    mct_request request = {NULL, 0, seq, type};
    require(nbytes >= 1 + MCT_MAC_BYTES, "a reply that is not sealed");
    nbytes -= MCT_MAC_BYTES;
    code_of(OF_REPLY, host_nonce, mct_link_seal.counter, mct_link_seal.right, &request, payload,
            nbytes, code);
    require(memcmp(code, payload + nbytes, MCT_MAC_BYTES) == 0, "a reply with a wrong code");
    return nbytes;
}

static void follow_outputs(uint8_t type, bool is_done)
{
    shows_outputs = (type == MCT_MSG_INFER && is_done) || (shows_outputs && type == MCT_MSG_READ);
}

/* Whether a READ or WRITE is of RAM that no key gives the right to. */
static bool is_hidden(uint8_t type, const uint8_t *payload)
{
    if ((type != MCT_MSG_READ && type != MCT_MSG_WRITE) || payload[0] == MCT_REGION_STATE) {
        return false;
    }
    if (type == MCT_MSG_WRITE || !shows_outputs || payload[0] >= fuzz_model.region_count) {
        return true;
    }
    uint64_t begin = (uintptr_t)MCT_MODEL(regions)[payload[0]].data;
    uint64_t at = begin + mct_get_u32(payload + 1), outputs = (uintptr_t)MCT_MODEL(logits)();
    return at < outputs ||
           at + mct_get_u16(payload + 5) > outputs + (uint64_t)MCT_MODEL_CONST(OUTPUT_BYTES);
}
#else
enum { IS_KEYED = 0 };

static uint32_t seal(uint8_t type, uint16_t seq, const uint8_t *payload, uint32_t nbytes,
                     uint8_t *sealed)
{
    (void)type, (void)seq;
    memcpy(sealed, payload, nbytes);
    return nbytes;
}

static uint32_t without_code(uint8_t type, uint16_t seq, const uint8_t *payload, uint32_t nbytes)
{
    (void)type, (void)seq, (void)payload;
    return nbytes;
}

static void follow_outputs(uint8_t type, bool is_done)
{
    (void)type, (void)is_done;
}

static bool is_hidden(uint8_t type, const uint8_t *payload)
{
    (void)type, (void)payload;
    return false;
}
#endif

#endif
