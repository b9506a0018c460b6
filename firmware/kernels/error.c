/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/error.h"

#include <stddef.h>
#include <string.h>

/* Sums in whose bytes errors are written. */
typedef int32_t __attribute__((may_alias)) raw_error;

void mct_clear_sums(const mct_clear_sums_params *p, int32_t *sums)
{
    memset(sums, 0, (size_t)p->size * sizeof *sums);
}

/* How far an error's exponent is behind the greatest one, and half of the last place that is left.
 */
typedef struct {
    int32_t half, right;
} rounded_shift;

static inline rounded_shift behind(int32_t greatest_e, const int16_t *e)
{
    const int32_t steps = greatest_e - e[0] < 31 ? greatest_e - e[0] : 31;
    const rounded_shift found = {steps == 0 ? 0 : (int32_t)(UINT32_C(1) << (steps - 1)), steps};
    return found;
}

/* mct_near of an error with 8 bits more: no sum overflows. */
static inline int32_t shifted(int32_t error, rounded_shift by)
{
    return (error * 256 + by.half) >> by.right;
}

#ifdef MCT_HAS_VECTORS
enum { CHUNK = 32 }; /* elements whose bits of the mask are read at a time */

/* The bits of up to CHUNK elements from `at` on. */
static inline uint32_t mask_bits(const uint8_t *mask, int32_t at, int32_t count)
{
    uint64_t bits = 0u;
    for (int32_t byte = (at + count - 1) / 8; byte >= at / 8; byte--) {
        bits = bits << 8 | mask[byte];
    }
    return (uint32_t)(bits >> (at % 8));
}

/* The value if its bit is 1, else 0. */
static inline int32_t open_only(int32_t value, uint32_t bits, int32_t k)
{
    return value & -(int32_t)((bits >> k) & 1u);
}
#endif

#define MCT_TEMPLATE "kernels/error.c"
#include "kernels/each_error.h"

#else

#ifdef MCT_HAS_VECTORS

/* Raw values that the mask closes are put as zeros, which leave the same. So no loop has a branch,
 * and the compiler makes vectors of them. */
void MCT_NAME(mct_error_put_all)(MCT_NAME(mct_error_writer) * writer, const int32_t *raw,
                                 int32_t count, const uint8_t *mask, int32_t at, MCT_ERROR *dx)
{
    const raw_error *sums = (const raw_error *)raw;
    MCT_NAME(mct_error_writer) own = *writer;
    while (count > 0) {
        const int32_t size = count < CHUNK ? count : CHUNK;
        const uint32_t bits = mask_bits(mask, at, size);
        int32_t open[CHUNK];
        for (int32_t k = 0; k < size; k++) {
            open[k] = open_only(sums[k], bits, k);
        }
        for (int32_t k = 0; k < size; k++) {
            dx[k] = MCT_NAME(mct_error_put)(&own, open[k]);
        }
        count -= size;
        at += size;
        sums += size;
        dx += size;
    }
    *writer = own;
}

#else

void MCT_NAME(mct_error_put_all)(MCT_NAME(mct_error_writer) * writer, const int32_t *raw,
                                 int32_t count, const uint8_t *mask, int32_t at, MCT_ERROR *dx)
{
    const raw_error *sums = (const raw_error *)raw;
    MCT_NAME(mct_error_writer) own = *writer; /* in registers: what is stored could be any of it */
    const uint8_t *next = mask + (uint32_t)at / 8u;
    int32_t bit = (int32_t)((uint32_t)at % 8u);
    while (count > 0) { /* a byte of the mask */
        const int32_t some = 8 - bit < count ? 8 - bit : count;
        uint32_t bits = (uint32_t)*next++ >> bit;
        for (const raw_error *const end = sums + some; sums != end; sums++, dx++, bits >>= 1) {
            if ((bits & 1u) != 0u) {
                *dx = MCT_NAME(mct_error_put)(&own, *sums);
            } else {
                *dx = 0;
                MCT_NAME(mct_error_skip)(&own, 1);
            }
        }
        count -= some;
        bit = 0;
    }
    *writer = own;
}

#endif

void MCT_NAME(mct_error_open)(const mct_error_open_params *p, const int16_t *dout_e, MCT_HISTORY,
                              MCT_NAME(mct_error_writer) * writer, int16_t *dx_e)
{
    *writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    dx_e[0] = (int16_t)(writer->e_raw + writer->shift);
}

void MCT_NAME(mct_error_end)(const MCT_NAME(mct_error_writer) * writer, int16_t *history,
                             int16_t *dx_e)
{
    dx_e[0] = (int16_t)(writer->e_raw + writer->shift);
    if (writer->magnitudes == 0u) {
        return;
    }
    int32_t excess = mct_bit_length(writer->magnitudes) - MCT_BITS;
    int32_t need = writer->e_raw + (excess > 0 ? excess : 0);
    if (need >= history[0]) {
        history[0] = (int16_t)need;
        history[1] = 0;
    } else if (++history[1] == MCT_ERROR_DECAY) {
        history[0]--;
        history[1] = 0;
    }
}

void MCT_NAME(mct_error_pass)(const MCT_ERROR *dout, int32_t count, const uint8_t *mask, int32_t at,
                              MCT_ERROR *dx)
{
#ifdef MCT_HAS_VECTORS
    for (int32_t first = 0; first < count; first += CHUNK) {
        const int32_t size = count - first < CHUNK ? count - first : CHUNK;
        const uint32_t bits = mask_bits(mask, at + first, size);
        MCT_ERROR open[CHUNK]; /* dx may be dout */
        for (int32_t k = 0; k < size; k++) {
            open[k] = (MCT_ERROR)open_only(dout[first + k], bits, k);
        }
        memcpy(dx + first, open, (size_t)size * sizeof *open);
    }
#else
    const uint8_t *next = mask + (uint32_t)at / 8u;
    int32_t bit = (int32_t)((uint32_t)at % 8u);
    while (count > 0) { /* a byte of the mask */
        const int32_t some = 8 - bit < count ? 8 - bit : count;
        uint32_t bits = (uint32_t)*next++ >> bit;
        for (const MCT_ERROR *const end = dout + some; dout != end; dout++, dx++, bits >>= 1) {
            *dx = (bits & 1u) != 0u ? *dout : (MCT_ERROR)0;
        }
        count -= some;
        bit = 0;
    }
#endif
}

void MCT_NAME(mct_mask_error)(const mct_mask_error_params *p, const MCT_ERROR *dout,
                              const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                              int16_t *dx_e)
{
    MCT_NAME(mct_error_pass)(dout, p->size, mask, 0, dx);
    dx_e[0] = dout_e[0];
}

void MCT_NAME(mct_negate_error)(const mct_mask_error_params *p, const MCT_ERROR *dout,
                                const int16_t *dout_e, const uint8_t *mask, MCT_ERROR *dx,
                                int16_t *dx_e)
{
    for (int32_t k = 0; k < p->size; k++) {
        dx[k] = mct_is_open(mask, k) ? (MCT_ERROR)-dout[k] : (MCT_ERROR)0;
    }
    dx_e[0] = dout_e[0];
}

void MCT_NAME(mct_sum_errors)(const mct_sum_errors_params *p, const MCT_ERROR *const dout[],
                              const int16_t *const dout_e[], const uint8_t *mask, MCT_HISTORY,
                              MCT_ERROR *dx, int16_t *dx_e)
{
    int32_t greatest_e = dout_e[0][0];
    for (int32_t reader = 1; reader < p->readers; reader++) {
        greatest_e = dout_e[reader][0] > greatest_e ? dout_e[reader][0] : greatest_e;
    }
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(greatest_e - 8);
    const MCT_ERROR *const a = dout[0]; /* most are of two readers */
    const rounded_shift shift_a = behind(greatest_e, dout_e[0]);
#ifdef MCT_HAS_VECTORS
    for (int32_t at = 0; at < p->size; at += CHUNK) {
        const int32_t size = p->size - at < CHUNK ? p->size - at : CHUNK;
        int32_t raw[CHUNK];
        for (int32_t k = 0; k < size; k++) {
            raw[k] = shifted(a[at + k], shift_a);
        }
        for (int32_t reader = 1; reader < p->readers; reader++) {
            const rounded_shift by = behind(greatest_e, dout_e[reader]);
            for (int32_t k = 0; k < size; k++) {
                raw[k] += shifted(dout[reader][at + k], by);
            }
        }
        MCT_NAME(mct_error_put_all)(&writer, raw, size, mask, at, dx + at);
    }
#else
    const int32_t second = p->readers > 1; /* or the first again, which is not added */
    const MCT_ERROR *const b = dout[second];
    const rounded_shift shift_b = behind(greatest_e, dout_e[second]);
    for (int32_t k = 0; k < p->size; k++) {
        int32_t raw = 0;
        if (mct_is_open(mask, k)) {
            raw = shifted(a[k], shift_a) + (second != 0 ? shifted(b[k], shift_b) : 0);
            for (int32_t reader = 2; reader < p->readers; reader++) {
                raw += shifted(dout[reader][k], behind(greatest_e, dout_e[reader]));
            }
        }
        dx[k] = MCT_NAME(mct_error_put)(&writer, raw);
    }
#endif
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

void MCT_NAME(mct_requantize_error)(const mct_requantize_error_params *p, const int32_t *raw,
                                    const int16_t *dout_e, const uint8_t *mask, MCT_HISTORY,
                                    MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] + p->scale_exponent);
    MCT_NAME(mct_error_put_all)(&writer, raw, p->size, mask, 0, dx);
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
