/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/resize_bilinear.h"

#include "kernels/error.h"

#define BITS 10
#define ONE (INT32_C(1) << BITS)

/* The input's positions around a place, and how far it lies from the first of them. */
static int32_t low(int32_t at)
{
    return at >> BITS;
}

static int32_t high(int32_t at)
{
    return (at + ONE - 1) >> BITS;
}

static int32_t fraction(int32_t at)
{
    return at & (ONE - 1);
}

void mct_resize_bilinear_s8(const mct_resize_bilinear_params *p, const int8_t *x,
                            const int32_t *row, const int32_t *column, int8_t *out)
{
    int32_t row_size = p->in_w * p->channels;
    for (int32_t y = 0; y < p->out_h; y++) {
        const int8_t *upper = x + low(row[y]) * row_size;
        const int8_t *lower = x + high(row[y]) * row_size;
        int32_t down = fraction(row[y]);
        for (int32_t k = 0; k < p->out_w; k++) {
            int32_t left = low(column[k]) * p->channels;
            int32_t right = high(column[k]) * p->channels;
            int32_t across = fraction(column[k]);
            for (int32_t c = 0; c < p->channels; c++) {
                int32_t top = upper[left + c] * (ONE - across) + upper[right + c] * across;
                int32_t bottom = lower[left + c] * (ONE - across) + lower[right + c] * across;
                int32_t sum = top * (ONE - down) + bottom * down;
                *out++ = (int8_t)mct_rounding_shift_right(sum, 2 * BITS);
            }
        }
    }
}

/* Outputs first..last-1 along one axis read the input's position. */
typedef struct {
    int32_t first, last;
} readers;

/* The readers of `position`, given those of the position before it. */
static readers next_readers(readers found, const int32_t *at, int32_t outputs, int32_t position)
{
    while (found.first < outputs && high(at[found.first]) < position) {
        found.first++;
    }
    while (found.last < outputs && low(at[found.last]) <= position) {
        found.last++;
    }
    return found;
}

/* How much of `position` an output takes that reads it. */
static int32_t weight(int32_t at, int32_t position)
{
    return low(at) == position ? ONE - fraction(at) : fraction(at);
}

#define MCT_TEMPLATE "kernels/resize_bilinear.c"
#include "kernels/each_error.h"

#else

static int32_t MCT_NAME(error_at)(const mct_resize_bilinear_params *p, const MCT_ERROR *dout,
                                  const int32_t *row, const int32_t *column, readers rows,
                                  readers columns, int32_t y, int32_t x)
{
    int32_t sum = 0;
    for (int32_t j = rows.first; j < rows.last; j++) {
        int32_t along = 0;
        for (int32_t k = columns.first; k < columns.last; k++) {
            along += dout[(j * p->out_w + k) * p->channels] * weight(column[k], x);
        }
        sum += mct_near(along, p->shift) * weight(row[j], y);
    }
    return sum;
}

void MCT_NAME(mct_resize_bilinear_grad)(const mct_resize_bilinear_params *p, const MCT_ERROR *dout,
                                        const int16_t *dout_e, const uint8_t *mask,
                                        const int32_t *row, const int32_t *column, MCT_HISTORY,
                                        MCT_ERROR *dx, int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0] - 2 * BITS + p->shift);
    readers rows = {0, 0};
    int32_t at = 0; /* in dx */
    for (int32_t y = 0; y < p->in_h; y++) {
        rows = next_readers(rows, row, p->out_h, y);
        readers columns = {0, 0};
        for (int32_t x = 0; x < p->in_w; x++) {
            columns = next_readers(columns, column, p->out_w, x);
            for (int32_t c = 0; c < p->channels; c++, at++) {
                int32_t raw = mct_is_open(mask, at) ? MCT_NAME(error_at)(p, dout + c, row, column,
                                                                         rows, columns, y, x)
                                                    : 0;
                dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
            }
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
