/* SPDX-License-Identifier: Apache-2.0 */
#if !defined MCT_ERROR && !defined MCT_STEP

#include "kernels/sgd.h"

#include <stdbool.h>

#include "mct/model.h"

/* Whether this step is the last of those that are summed; never at the rate 0. */
static bool is_last(const mct_apply_sum_params *p, const uint32_t *sgd)
{
    const mct_sgd state = mct_sgd_load(sgd);
    return state.multiplier != 0u && (state.step + 1u) % (uint32_t)p->samples == 0u;
}

/* The step that a sum stands for, which begins anew. */
static int32_t take(int32_t *sum)
{
    int32_t u = -mct_clamp(*sum, -MCT_BIAS_MAX, MCT_BIAS_MAX);
    *sum = 0;
    return u;
}

void mct_apply_sum_s8_8(const mct_apply_sum_params *p, int8_t *w, int8_t *frac, int32_t *sum,
                        const uint32_t *sgd)
{
    const int32_t size = is_last(p, sgd) ? p->size : 0;
    for (int32_t k = 0; k < size; k++) {
        if (sum[k] != 0) {
            mct_step_weight(&w[k], &frac[k], take(&sum[k]));
        }
    }
}

void mct_apply_sum_s8(const mct_apply_sum_params *p, int8_t *w, int32_t *sum, const uint32_t *sgd)
{
    const int32_t size = is_last(p, sgd) ? p->size : 0;
    for (int32_t k = 0; k < size; k++) {
        if (sum[k] != 0) {
            mct_step_whole(&w[k], take(&sum[k]));
        }
    }
}

void mct_apply_sum_s32(const mct_apply_sum_params *p, int32_t *b, int32_t *sum, const uint32_t *sgd)
{
    const int32_t size = is_last(p, sgd) ? p->size : 0;
    for (int32_t k = 0; k < size; k++) {
        if (sum[k] != 0) {
            mct_step_wide(&b[k], take(&sum[k]));
        }
    }
}

void mct_count_step(uint32_t *sgd)
{
    sgd[1]++;
}

/* Seldom called: the loops of steps keep their registers without it. */
MCT_NOINLINE int32_t mct_weight_step(mct_rate rate, int32_t dw, uint32_t r)
{
    return mct_clamp(mct_scaled_step(rate, dw, r), -MCT_STEP_MAX, MCT_STEP_MAX);
}

/* A centred value, of at most 255 in magnitude, and its product. */
#ifdef MCT_MULTIPLIES_BYTES
typedef int16_t mct_centre;

static inline int32_t centred_product(int16_t centred, int32_t factor)
{
    return mct_times_nine_bits(centred, factor);
}
#else
typedef int32_t mct_centre;

static inline int32_t centred_product(int32_t centred, int32_t factor)
{
    return centred * factor;
}
#endif

/* Gradients of -2^22 to 2^22 - 1: a product with a rate, and a dither of 30 bits added, fit. */
static inline bool is_small(int32_t gradient)
{
    return ((uint32_t)gradient + (UINT32_C(1) << 22)) >> 23 == 0u;
}

enum { MOST_SHIFT = 30 };

static bool is_plain(mct_rate rate)
{
    return rate.shift >= 1 && rate.shift <= MOST_SHIFT && rate.multiplier != 0;
}

/* mct_weight_step of a small gradient at a plain rate, but not clamped; v is their product. A sum
 * with a dither of `shift` bits carries where the rest and the dither do. */
static inline int32_t small_step(int32_t v, int32_t shift, uint32_t r)
{
    return mct_shift_right(v + (int32_t)mct_shift_right_unsigned(r, 32 - shift), shift);
}

#ifdef MCT_MULTIPLIES_BYTES
/* A factor of |x| <= 255, to whose product a dither of up to 24 bits is added. */
#define MOST_SCALED ((INT32_MAX - (INT32_C(1) << 24)) / 255)

/* small_step of products with one more factor, 2^up, that makes the shift one of whole bytes. */
typedef struct {
    uint8_t bytes; /* 2 or 3; 0 if there is no such factor */
    uint8_t up;
    uint16_t mask; /* of what the factor leaves of a dither, in its low 16 bits */
} byte_shift;

/* Of products x * scaled, |x| <= 255. */
static byte_shift in_bytes(int32_t scaled, int32_t shift)
{
    const uint8_t up = (uint8_t)(-shift & 7);
    const int32_t most = MOST_SCALED >> up;
    const bool fits = shift > 8 && shift <= 24 && scaled <= most && scaled >= -most;
    const byte_shift found = {fits ? (uint8_t)((shift + 7) / 8) : (uint8_t)0u, up,
                              (uint16_t)(0xffffu << up)};
    return found;
}

/* The same for each shift of its own behind an input channel: by ``up``, as far as factors fit. */
typedef struct {
    int32_t factor[8]; /* scaled * 2^up */
    uint8_t mask[8];   /* the low byte of byte_shift's mask */
    uint8_t ups;       /* how many fit; that of 0 does, as |scaled| <= 2047 * 255 */
} byte_factors;

/* Of products x * scaled, |x| <= 255. */
static void find_factors(byte_factors *found, int32_t scaled)
{
    uint8_t up = 0, mask = 0xffu;
    while (up < 8u && scaled <= MOST_SCALED && scaled >= -MOST_SCALED) {
        found->factor[up] = scaled;
        found->mask[up] = mask;
        scaled = (int32_t)((uint32_t)scaled << 1);
        mask = (uint8_t)(mask << 1);
        up++;
    }
    found->ups = up;
}

static inline int16_t byte_step(int32_t v, byte_shift by, uint32_t r)
{
    if (by.bytes == 2) {
        const uint16_t dither = (uint16_t)(r >> 16) & by.mask;
        return (int16_t)((v + (int32_t)dither) >> 16);
    }
    const uint16_t low = (uint16_t)(r >> 8) & by.mask;
    const uint32_t dither = (uint32_t)(uint8_t)(r >> 24) << 16 | low;
    return (int16_t)((v + (int32_t)dither) >> 24);
}
#endif

#ifdef MCT_HAS_HIGH_REGISTERS
/* Weights with fractions take the small steps of products (x[k] + centre) * scaled, the first with
 * the dither r. The compiler has too few registers, and moves what does not change to and fro. The
 * addresses are those of the ends; a weight that would leave its range ends the loop in between. A
 * shift by a register looks at its low byte, so both shifts lie in one. */
static inline void step_fractions(int8_t *w, int8_t *frac, const int8_t *x, int32_t centre,
                                  int32_t scaled, int32_t size, int32_t shift, uint32_t r)
{
    int32_t k = -size;
    w += size;
    frac += size;
    x += size;
    while (k != 0) {
        int32_t v, m, s, t;
        __asm volatile(
            ".syntax unified\n"
            "1:\n\t"
            "ldrsb %[v], [%[x], %[k]]\n\t"
            "add %[v], %[centre]\n\t"
            "mov %[t], %[scaled]\n\t"
            "muls %[v], %[t]\n\t"
            "beq 2f\n\t"
            "mov %[t], %[r]\n\t" /* small_step */
            "mov %[s], %[shifts]\n\t"
            "lsrs %[s], #8\n\t"
            "lsrs %[t], %[s]\n\t"
            "adds %[v], %[t]\n\t"
            "mov %[s], %[shifts]\n\t"
            "asrs %[v], %[s]\n\t"
            "ldrsb %[m], [%[w], %[k]]\n\t" /* mct_step_weight */
            "lsls %[m], #8\n\t"
            "ldrsb %[t], [%[frac], %[k]]\n\t"
            "adds %[m], %[t]\n\t"
            "subs %[m], %[v]\n\t"
            "movs %[s], #254\n\t"
            "lsls %[s], #8\n\t" /* 2 * MCT_WEIGHT_MAX */
            "lsrs %[t], %[s], #1\n\t"
            "adds %[t], %[m]\n\t"
            "cmp %[t], %[s]\n\t"
            "bhi 3f\n\t"
            "strb %[m], [%[frac], %[k]]\n\t"
            "adds %[m], #128\n\t"
            "asrs %[m], #8\n\t"
            "strb %[m], [%[w], %[k]]\n"
            "2:\n\t"
            "add %[r], %[next]\n\t"
            "adds %[k], #1\n\t"
            "bne 1b\n"
            "3:"
            : [k] "+l"(k), [r] "+h"(r), [v] "=&l"(v), [m] "=&l"(m), [s] "=&l"(s), [t] "=&l"(t)
            : [w] "l"(w), [frac] "l"(frac), [x] "l"(x), [centre] "h"(centre), [scaled] "h"(scaled),
              [shifts] "h"((32 - shift) << 8 | shift), [next] "h"(mct_dither(0u, 1u))
            : "cc", "memory");
        if (k != 0) {
            w[k] = m < 0 ? -127 : 127;
            frac[k] = 0;
            r = mct_dither(r, 1u);
            k++;
        }
    }
}
#endif

/* mct_weight_step where each weight may have a rate of its own. */
static inline int32_t shifted_step(mct_rate rate, int32_t gradient, uint32_t r)
{
    if (!is_small(gradient) || !is_plain(rate)) {
        return mct_weight_step(rate, gradient, r);
    }
    return small_step(gradient * rate.multiplier, rate.shift, r);
}

enum { BIASES = 4 }; /* summed side by side */

#define MCT_TEMPLATE "kernels/sgd.c"
#include "kernels/each_update.h"

#include "kernels/each_error.h"

#elif defined MCT_STEP

#if MCT_HAS_SHIFTS

void MCT_WAY(mct_steps)(MCT_LEARNED, const int32_t *dw, int32_t offset, int32_t size, mct_rate rate,
                        uint32_t r)
{
    for (int32_t k = 0; k < size; k++, r = mct_dither(r, 1u)) {
        int32_t gradient = mct_wrapping_add(dw[k], offset);
        if (gradient != 0) {
            MCT_STEP(k, shifted_step(MCT_RATE_BEHIND(rate, k), gradient, r));
        }
    }
}

#ifdef MCT_MULTIPLIES_BYTES
/* Of products (x[k] + centre) * error, at a rate whose shift is that of a few bytes. */
static MCT_NOINLINE void MCT_WAY(byte_steps)(MCT_LEARNED, const int8_t *x, int16_t centre,
                                             int16_t error, int16_t size, mct_rate rate, uint32_t r)
{
    byte_factors by;
    find_factors(&by, error * rate.multiplier);
    for (int16_t k = 0; k < size; k++, r = mct_dither(r, 1u)) {
        const int16_t value = (int16_t)(x[k] + centre);
        const int16_t shift = (int16_t)((int16_t)rate.shift - input_shift[k]);
        const uint8_t up = (uint8_t)-shift & 7u;
        if (value == 0) {
            continue;
        }
        if (shift > 8 && shift <= 24 && up < by.ups) {
            const byte_shift each = {(uint8_t)(shift > 16 ? 3 : 2), up,
                                     (uint16_t)(0xff00u | by.mask[up])};
            MCT_STEP(k, byte_step(mct_times_nine_bits(value, by.factor[up]), each, r));
        } else if (shift >= 1 && shift <= MOST_SHIFT) {
            MCT_STEP(k, small_step(mct_times_nine_bits(value, by.factor[0]), shift, r));
        } else {
            MCT_STEP(k, mct_weight_step(MCT_RATE_BEHIND(rate, k), (int32_t)value * error, r));
        }
    }
}
#endif

void MCT_WAY(mct_product_steps)(MCT_LEARNED, const int8_t *x, int32_t x_offset, int32_t error,
                                int32_t size, mct_rate rate, uint32_t r)
{
    if (error == 0) {
        return;
    }
#ifdef MCT_MULTIPLIES_BYTES
    if (rate.multiplier != 0 && rate.shift > -128 && rate.shift < 256) {
        MCT_WAY(byte_steps)(MCT_LEARNED_ARGS, x, (int16_t)x_offset, (int16_t)error, (int16_t)size,
                            rate, r);
        return;
    }
#endif
    for (int32_t k = 0; k < size; k++, r = mct_dither(r, 1u)) {
        int32_t gradient = (x[k] + x_offset) * error;
        if (gradient != 0) {
            MCT_STEP(k, shifted_step(MCT_RATE_BEHIND(rate, k), gradient, r));
        }
    }
}

#else

void MCT_WAY(mct_steps)(MCT_LEARNED, const int32_t *dw, int32_t offset, int32_t size, mct_rate rate,
                        uint32_t r)
{
    const bool plain = is_plain(rate);
    for (int32_t k = 0; k < size; k++, r = mct_dither(r, 1u)) {
        int32_t gradient = mct_wrapping_add(dw[k], offset);
        if (gradient == 0) {
            continue;
        }
        if (__builtin_expect(!plain || !is_small(gradient), 0)) {
            MCT_STEP(k, mct_weight_step(rate, gradient, r));
        } else {
            MCT_STEP(k, small_step(gradient * rate.multiplier, rate.shift, r));
        }
    }
}

#ifdef MCT_MULTIPLIES_BYTES
/* Of products (x[k] + centre) * factor; apart, so that the loop has all registers. */
static MCT_NOINLINE void MCT_WAY(byte_steps)(MCT_LEARNED, const int8_t *x, int16_t centre,
                                             int32_t factor, int16_t size, byte_shift by,
                                             uint32_t r)
{
    for (int16_t k = 0; k < size; k++, r = mct_dither(r, 1u)) {
        int32_t v = mct_times_nine_bits((int16_t)(x[k] + centre), factor);
        if (v != 0) {
            MCT_STEP(k, byte_step(v, by, r));
        }
    }
}
#endif

void MCT_WAY(mct_product_steps)(MCT_LEARNED, const int8_t *x, int32_t x_offset, int32_t error,
                                int32_t size, mct_rate rate, uint32_t r)
{
    if (error == 0) {
        return;
    }
    if (!is_plain(rate)) {
        for (int32_t k = 0; k < size; k++) {
            int32_t gradient = (x[k] + x_offset) * error;
            if (gradient != 0) {
                MCT_STEP(k, mct_weight_step(rate, gradient, mct_dither(r, (uint32_t)k)));
            }
        }
        return;
    }
    /* 255 * 2047 is a small gradient. */
    const int32_t scaled = error * rate.multiplier;
    const mct_centre centre = (mct_centre)x_offset;
#ifdef MCT_MULTIPLIES_BYTES
    const byte_shift by = in_bytes(scaled, rate.shift);
    if (by.bytes != 0u) {
        const int32_t factor = (int32_t)((uint32_t)scaled << by.up);
        MCT_WAY(byte_steps)(MCT_LEARNED_ARGS, x, centre, factor, (int16_t)size, by, r);
        return;
    }
#endif
#if defined MCT_HAS_HIGH_REGISTERS && defined MCT_HAS_FRACTION
    step_fractions(w, frac, x, centre, scaled, size, rate.shift, r);
#else
    for (int32_t k = 0; k < size; k++, r = mct_dither(r, 1u)) {
        int32_t v = centred_product(x[k] + centre, scaled);
        if (v != 0) {
            MCT_STEP(k, small_step(v, rate.shift, r));
        }
    }
#endif
}

#endif

#else

/* The gradients of up to BIASES channels that lie beside one another. */
static inline void MCT_NAME(sum_biases)(const MCT_ERROR *dout, int32_t dout_step, int32_t positions,
                                        int32_t channels, int32_t *db)
{
    if (channels < BIASES) {
        for (int32_t k = 0; k < channels; k++) {
            db[k] = 0;
            for (int32_t position = 0; position < positions; position++) {
                db[k] += dout[position * dout_step + k];
            }
        }
        return;
    }
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (; positions > 0; positions--, dout += dout_step) {
        sum0 += dout[0];
        sum1 += dout[1];
        sum2 += dout[2];
        sum3 += dout[3];
    }
    db[0] = sum0;
    db[1] = sum1;
    db[2] = sum2;
    db[3] = sum3;
}

void MCT_NAME(mct_bias_update_part)(const mct_bias_update_params *p, mct_channels part, int32_t *b,
                                    const MCT_ERROR *dout, int32_t dout_step, const int16_t *dout_e,
                                    const uint32_t *sgd, const uint8_t *rate,
                                    const int16_t *rate_shift)
{
    const mct_sgd state = mct_sgd_load(sgd);
    if (state.multiplier == 0u) {
        return;
    }
    uint32_t seed = mct_seed_op(state.seed, state.step, (uint32_t)p->node);
    int32_t db[BIASES];
    for (int32_t c = part.first; c < part.last; c++, dout++) {
        const int32_t k = (c - part.first) % BIASES;
        if (k == 0) {
            MCT_NAME(sum_biases)(dout, dout_step, p->positions, part.last - c, db);
        }
        if (db[k] == 0 || rate[c] == 0u) {
            continue;
        }
        mct_rate channel_rate = mct_channel_rate(&state, rate[c], rate_shift[c], dout_e);
        int32_t u = mct_scaled_step(channel_rate, db[k], mct_dither(seed, (uint32_t)c));
        mct_step_wide(&b[c], mct_clamp(u, -(MCT_BIAS_MAX - 1), MCT_BIAS_MAX - 1));
    }
}

void MCT_NAME(mct_bias_update)(const mct_bias_update_params *p, int32_t *b, const MCT_ERROR *dout,
                               const int16_t *dout_e, const uint32_t *sgd, const uint8_t *rate,
                               const int16_t *rate_shift)
{
    MCT_NAME(mct_bias_update_part)(p, mct_all_channels(p->channels), b, dout, p->channels, dout_e,
                                   sgd, rate, rate_shift);
}

#endif
