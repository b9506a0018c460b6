/* SPDX-License-Identifier: Apache-2.0 */
/* Twin of host/link/protocol.py: message ids and payload sizes (tests/firmware/test_protocol.py
 * compares them).
 *
 * A request and its reply are one frame each (runtime/frame.h), all integers little-endian. A reply
 * has the request's type | MCT_MSG_REPLY, its sequence number, and a payload that begins with an
 * int8 mct_status; what the table calls the reply follows only if that is MCT_OK.
 *
 *   message        request                         reply
 *   HELLO          -                               version u16, largest payload u16,
 *                                                  build hash 8 bytes, numerics hash 8 bytes,
 *                                                  input bytes, classes, arena bytes,
 *                                                  state bytes, steps, calls of a step: u32 each,
 *                                                  device id 12 bytes, cause of the last reset u8,
 *                                                  features u8, resets u16, saves u32,
 *                                                  nonce 16 bytes
 *   RESET          seed u32                        -
 *   LEARNING_RATE  multiplier u8, shift u8         -
 *   SAMPLE         offset u32, bytes               offset behind them u32
 *   STEP           label u32, flags u8             sum u32, distance u32, predicted u32, steps u32,
 *                                                  digest u32 (0 unless MCT_STEP_DIGEST)
 *   INFER          -                               predicted u32
 *   BEGIN          label u32                       -
 *   RUN            max calls u32                   done u8, next call u32
 *   DIGEST         -                               as STEP; the loss until the arena is used
 *   READ           region u8, offset u32, size u16 bytes
 *   WRITE          region u8, offset u32, bytes    offset behind them u32
 *   TARGET         offset u32, bytes               offset behind them u32
 *   CLASSES        classes in use u32              -
 *   LATENT         offset u32, bytes               offset behind them u32
 *   PREFIX         -                               -
 *   KEEP           slot u32, label u32             -
 *   RECALL         slot u32                        label u32
 *   START          label u32                       -
 *   FINISH         flags u8                        as STEP
 *   CYCLES         -                               cycles of the request before u32
 *   STORE          action u8                       slots, whole, sequence, erases, damaged,
 *                                                  foreign: u32 each
 *   RECORD         action u8, number u32           chain value 16 bytes, state hash 16 bytes,
 *                                                  room, steps, entered, classes: u32 each; or an
 *                                                  entry (mct/record_chain.h)
 *   SEALED         right u8, counter u32, type u8, the reply of that type, code 16 bytes
 *                  its request, code 16 bytes
 *   COLLECT        offset u32, size u16            label u32, bytes
 *   ENROL          label u32                       -
 *
 * The cause is an mct_reset_cause (mct/reset_cause.h), resets and saves count those since power-on
 * and those in flash. What a build has not is 0.
 *
 * HELLO opens a session and sets the sequence number. After it, a request with the number of the
 * last one is answered with the kept reply and not executed again, but for a READ, which changes
 * nothing; any number but the next is refused with MCT_ERR_SESSION.
 *
 * A damaged frame is answered with a reply of the type MCT_MSG_REPLY alone, the number of the last
 * request executed and MCT_ERR_DAMAGED, and the host repeats. Then it may send less: the reply to
 * SAMPLE, WRITE, TARGET and LATENT tells how far the copy came that was executed. Frames with a
 * reply's type are an echo of the device's own, and passed over.
 *
 * START and FINISH are STEP in two halves, of builds that receive samples ahead: in between the
 * device computes whenever no request waits, and takes the next SAMPLE and TARGET.
 *
 * CYCLES tells what the port's counter counted while the request before was executed, modulo 2^32:
 * 0 where the port has no counter.
 *
 * STORE saves what was learned in flash, loads it, or forgets it, in firmware with flash for it,
 * and tells what is there (learning/store.h).
 *
 * RECORD tells the chain value of builds that have a chain, and a hash of the state, or an entry that
 * is kept.
 * SEALED holds another request, in builds with a key, which refuse all else but HELLO
 * (runtime/seal.h). HELLO in it has a payload, the host's nonce of 16 bytes.
 * COLLECT with offset 0 takes the next sample of the device's sensor, in firmware that has one, as
 * if SAMPLE had brought it; the offsets behind it read the rest of that sample. The label is
 * MCT_NO_LABEL where the device knows none.
 *
 * ENROL writes rows of the head from the latents in slots, in builds that can (mct/model_api.h).
 *
 * STEP, INFER, BEGIN and START start at the latent if LATENT, PREFIX or RECALL came after the
 * last SAMPLE or COLLECT. */
#ifndef MCT_PROTOCOL_H
#define MCT_PROTOCOL_H

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_PROTOCOL_VERSION = 3 };

enum {
    MCT_MSG_HELLO = 1,
    MCT_MSG_RESET = 2,
    MCT_MSG_LEARNING_RATE = 3,
    MCT_MSG_SAMPLE = 4,
    MCT_MSG_STEP = 5,
    MCT_MSG_INFER = 6,
    MCT_MSG_BEGIN = 7,
    MCT_MSG_RUN = 8,
    MCT_MSG_DIGEST = 9,
    MCT_MSG_READ = 10,
    MCT_MSG_WRITE = 11,
    MCT_MSG_TARGET = 12,
    MCT_MSG_CLASSES = 13,
    MCT_MSG_LATENT = 14,
    MCT_MSG_PREFIX = 15,
    MCT_MSG_KEEP = 16,
    MCT_MSG_RECALL = 17,
    MCT_MSG_START = 18,
    MCT_MSG_FINISH = 19,
    MCT_MSG_CYCLES = 20,
    MCT_MSG_STORE = 21,
    MCT_MSG_RECORD = 22,
    MCT_MSG_COLLECT = 23,
    MCT_MSG_SEALED = 24,
    MCT_MSG_ENROL = 25,
    MCT_MSG_REPLY = 0x80
};

/* Fixed part of each request's payload; SAMPLE, WRITE, TARGET and LATENT carry data after it, and
 * SEALED a request with its code. */
enum {
    MCT_REQUEST_HELLO_BYTES = 0,
    MCT_REQUEST_RESET_BYTES = 4,
    MCT_REQUEST_LEARNING_RATE_BYTES = 2,
    MCT_REQUEST_SAMPLE_BYTES = 4,
    MCT_REQUEST_STEP_BYTES = 5,
    MCT_REQUEST_INFER_BYTES = 0,
    MCT_REQUEST_BEGIN_BYTES = 4,
    MCT_REQUEST_RUN_BYTES = 4,
    MCT_REQUEST_DIGEST_BYTES = 0,
    MCT_REQUEST_READ_BYTES = 7,
    MCT_REQUEST_WRITE_BYTES = 5,
    MCT_REQUEST_TARGET_BYTES = 4,
    MCT_REQUEST_CLASSES_BYTES = 4,
    MCT_REQUEST_LATENT_BYTES = 4,
    MCT_REQUEST_PREFIX_BYTES = 0,
    MCT_REQUEST_KEEP_BYTES = 8,
    MCT_REQUEST_RECALL_BYTES = 4,
    MCT_REQUEST_START_BYTES = 4,
    MCT_REQUEST_FINISH_BYTES = 1,
    MCT_REQUEST_CYCLES_BYTES = 0,
    MCT_REQUEST_STORE_BYTES = 1,
    MCT_REQUEST_RECORD_BYTES = 5,
    MCT_REQUEST_COLLECT_BYTES = 6,
    MCT_REQUEST_SEALED_BYTES = 6,
    MCT_REQUEST_ENROL_BYTES = 4
};

/* Fixed part of each reply that has one, after the status. */
enum {
    MCT_REPLY_HELLO_BYTES = 80,
    MCT_REPLY_SAMPLE_BYTES = 4,
    MCT_REPLY_STEP_BYTES = 20,
    MCT_REPLY_INFER_BYTES = 4,
    MCT_REPLY_RUN_BYTES = 5,
    MCT_REPLY_DIGEST_BYTES = 20,
    MCT_REPLY_WRITE_BYTES = 4,
    MCT_REPLY_TARGET_BYTES = 4,
    MCT_REPLY_LATENT_BYTES = 4,
    MCT_REPLY_RECALL_BYTES = 4,
    MCT_REPLY_FINISH_BYTES = 20,
    MCT_REPLY_CYCLES_BYTES = 4,
    MCT_REPLY_STORE_BYTES = 24,
    MCT_REPLY_RECORD_BYTES = 48,
    MCT_REPLY_COLLECT_BYTES = 4
};

enum { MCT_NONCE_BYTES = 16 }; /* of HELLO's reply, and of a HELLO that is sealed */

/* Features, bits of HELLO's reply. */
enum {
    MCT_FEATURE_STORE = 1,     /* it can save what was learned in flash */
    MCT_FEATURE_RECORD = 2,    /* its state holds the head of a record chain */
    MCT_FEATURE_KEY = 4,       /* it holds a key */
    MCT_FEATURE_SAFE_START = 8 /* it kept failing, and started without what was saved */
};

/* What STORE is asked to do. */
enum { MCT_STORE_LOOK = 0, MCT_STORE_SAVE = 1, MCT_STORE_LOAD = 2, MCT_STORE_FORGET = 3 };

/* What RECORD is asked for. */
enum { MCT_RECORD_LOOK = 0, MCT_RECORD_ENTRY = 1 };

enum { MCT_STEP_DIGEST = 1 }; /* flag of STEP and FINISH: compute the digest of the learned state */

#ifdef __cplusplus
}
#endif

#endif
