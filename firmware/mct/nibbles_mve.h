/* SPDX-License-Identifier: Apache-2.0 */
/* Products with weights that are nibbles, sixteen in an instruction. */
#ifndef MCT_NIBBLES_MVE_H
#define MCT_NIBBLES_MVE_H

#include <stdint.h>

#include "mct/mve.h"
#include "mct/nibbles.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __ARM_FEATURE_MVE

/* Nibbles of weights lie in blocks of 32, of which the first 16 are the low ones; then come the
 * rest as one after the other. Of a block 16 bytes at w are two vectors, of the rest 8 bytes are
 * one, and q4 is lost; its last turn has half a lane where the number is odd, of which the low byte
 * is all that is used. */
enum { MCT_NIBBLE_BLOCK = 32 };
#define MCT_LOAD_BLOCK(low, high, w)                                                               \
    "vldrb.8 " high ", [" w "], #16\n"                                                             \
    "vshl.i8 " low ", " high ", #4\n"                                                              \
    "vshr.s8 " high ", " high ", #4\n"                                                             \
    "vshr.s8 " low ", " low ", #4\n"
#define MCT_LOAD_NIBBLES(to, w)                                                                    \
    "vldrb.u16 q4, [" w "], #8\n"                                                                  \
    "vshl.i16 " to ", q4, #4\n"                                                                    \
    "vsli.16 " to ", q4, #8\n"                                                                     \
    "vshr.s8 " to ", " to ", #4\n"

static MCT_INLINED int32_t mct_sum_nibbles(const uint8_t *w, int32_t size)
{
    int32_t sum = 0;
    __asm volatile("wlstp.8 lr, %[size], 2f\n"
                   "1: " MCT_LOAD_NIBBLES("q0", "%[w]") "vaddva.s8 %[sum], q0\n"
                                                        "letp lr, 1b\n"
                                                        "2:"
                   : [w] "+l"(w), [sum] "+Te"(sum)
                   : [size] "r"(size)
                   : "lr", "q0", "q4", "memory");
    return sum;
}

static MCT_INLINED void mct_add_nibble_dots(const int8_t *x0, const int8_t *x1, const uint8_t *w0,
                                            const uint8_t *w1, int32_t size, mct_dots *s)
{
    __asm volatile(
        "wls lr, %[blocks], 2f\n"
        "1: vldrb.8 q0, [%[x0]], #16\n"
        "vldrb.8 q1, [%[x0]], #16\n" MCT_LOAD_BLOCK(
            "q4", "q5",
            "%[w0]") "vmladava.s8 %[sum00], q0, q4\n"
                     "vmladava.s8 %[sum00], q1, q5\n"
                     "vldrb.8 q2, [%[x1]], #16\n"
                     "vldrb.8 q3, [%[x1]], #16\n"
                     "vmladava.s8 %[sum10], q2, q4\n"
                     "vmladava.s8 %[sum10], q3, q5\n" MCT_LOAD_BLOCK(
                         "q4", "q5",
                         "%[w1]") "vmladava.s8 %[sum01], q0, q4\n"
                                  "vmladava.s8 %[sum01], q1, q5\n"
                                  "vmladava.s8 %[sum11], q2, q4\n"
                                  "vmladava.s8 %[sum11], q3, q5\n"
                                  "le lr, 1b\n"
                                  "2: wlstp.8 lr, %[rest], 4f\n"
                                  "3: vldrb.8 q0, [%[x0]], #16\n" MCT_LOAD_NIBBLES(
                                      "q1",
                                      "%[w0]") "vmladava.s8 %[sum00], q0, q1\n"
                                               "vldrb.8 q2, [%[x1]], #16\n"
                                               "vmladava.s8 %[sum10], q2, q1\n" MCT_LOAD_NIBBLES(
                                                   "q1", "%[w1]") "vmladava.s8 %[sum01], q0, q1\n"
                                                                  "vmladava.s8 %[sum11], q2, q1\n"
                                                                  "letp lr, 3b\n"
                                                                  "4:"
        : [x0] "+r"(x0), [x1] "+r"(x1), [w0] "+l"(w0), [w1] "+l"(w1), [sum00] "+Te"(s->sum00),
          [sum01] "+Te"(s->sum01), [sum10] "+Te"(s->sum10), [sum11] "+Te"(s->sum11)
        : [blocks] "r"(size / MCT_NIBBLE_BLOCK), [rest] "r"(size % MCT_NIBBLE_BLOCK)
        : "lr", "q0", "q1", "q2", "q3", "q4", "q5", "memory");
}

static MCT_INLINED void mct_add_centred_nibble_dots(const int8_t *x, const uint8_t *w0,
                                                    const uint8_t *w1, int32_t size,
                                                    mct_centred_dots *s)
{
    __asm volatile(
        "wls lr, %[blocks], 2f\n"
        "1: vldrb.8 q0, [%[x]], #16\n"
        "vldrb.8 q1, [%[x]], #16\n" MCT_LOAD_BLOCK(
            "q2", "q3",
            "%[w0]") "vmladava.s8 %[sum0], q0, q2\n"
                     "vmladava.s8 %[sum0], q1, q3\n"
                     "vaddva.s8 %[weights0], q2\n"
                     "vaddva.s8 %[weights0], q3\n" MCT_LOAD_BLOCK(
                         "q2", "q3",
                         "%[w1]") "vmladava.s8 %[sum1], q0, q2\n"
                                  "vmladava.s8 %[sum1], q1, q3\n"
                                  "vaddva.s8 %[weights1], q2\n"
                                  "vaddva.s8 %[weights1], q3\n"
                                  "le lr, 1b\n"
                                  "2: wlstp.8 lr, %[rest], 4f\n"
                                  "3: vldrb.8 q0, [%[x]], #16\n" MCT_LOAD_NIBBLES(
                                      "q1", "%[w0]") "vmladava.s8 %[sum0], q0, q1\n"
                                                     "vaddva.s8 %[weights0], q1\n" MCT_LOAD_NIBBLES(
                                                         "q1",
                                                         "%[w1]") "vmladava.s8 %[sum1], q0, q1\n"
                                                                  "vaddva.s8 %[weights1], q1\n"
                                                                  "letp lr, 3b\n"
                                                                  "4:"
        : [x] "+r"(x), [w0] "+l"(w0), [w1] "+l"(w1), [sum0] "+Te"(s->sum0), [sum1] "+Te"(s->sum1),
          [weights0] "+Te"(s->weights0), [weights1] "+Te"(s->weights1)
        : [blocks] "r"(size / MCT_NIBBLE_BLOCK), [rest] "r"(size % MCT_NIBBLE_BLOCK)
        : "lr", "q0", "q1", "q2", "q3", "q4", "memory");
}

#else

/* Weight k of `size` as nibbles: in blocks of 32, of which the first 16 are the low ones, then the
 * rest as one after the other. */
static inline int mct_nibble(const uint8_t *w, int32_t k, int32_t size)
{
    if (k / 32 < size / 32) {
        const uint8_t both = w[k / 32 * 16 + k % 16];
        return k % 32 >= 16 ? mct_high_nibble(both) : mct_low_nibble(both);
    }
    return k % 2 != 0 ? mct_high_nibble(w[k / 2]) : mct_low_nibble(w[k / 2]);
}

static inline int32_t mct_sum_nibbles(const uint8_t *w, int32_t size)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < size; k++) {
        sum += mct_nibble(w, k, size);
    }
    return sum;
}

static inline void mct_add_nibble_dots(const int8_t *x0, const int8_t *x1, const uint8_t *w0,
                                       const uint8_t *w1, int32_t size, mct_dots *s)
{
    for (int32_t k = 0; k < size; k++) {
        s->sum00 = mct_wrapping_add(s->sum00, x0[k] * mct_nibble(w0, k, size));
        s->sum01 = mct_wrapping_add(s->sum01, x0[k] * mct_nibble(w1, k, size));
        s->sum10 = mct_wrapping_add(s->sum10, x1[k] * mct_nibble(w0, k, size));
        s->sum11 = mct_wrapping_add(s->sum11, x1[k] * mct_nibble(w1, k, size));
    }
}

static inline void mct_add_centred_nibble_dots(const int8_t *x, const uint8_t *w0,
                                               const uint8_t *w1, int32_t size, mct_centred_dots *s)
{
    for (int32_t k = 0; k < size; k++) {
        s->sum0 += x[k] * mct_nibble(w0, k, size);
        s->sum1 += x[k] * mct_nibble(w1, k, size);
        s->weights0 += mct_nibble(w0, k, size);
        s->weights1 += mct_nibble(w1, k, size);
    }
}

#endif

#ifdef __cplusplus
}
#endif

#endif
