/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MCT_ERROR

#include "kernels/resize_nearest_neighbor.h"

#include <string.h>

#include "kernels/error.h"

void mct_resize_nearest_neighbor_s8(const mct_resize_nearest_neighbor_params *p, const int8_t *x,
                                    const uint16_t *row, const uint16_t *column, int8_t *out)
{
    for (int32_t y = 0; y < p->out_h; y++) {
        const int8_t *from = x + row[y] * p->in_w * p->channels;
        for (int32_t k = 0; k < p->out_w; k++, out += p->channels) {
            memcpy(out, from + column[k] * p->channels, (size_t)p->channels);
        }
    }
}

/* Outputs first..last-1 along one axis read the input's position. */
typedef struct {
    int32_t first, last;
} readers;

/* The readers of `position`, given those of the position before it. */
static readers next_readers(readers before, const uint16_t *index, int32_t outputs,
                            int32_t position)
{
    readers next = {before.last, before.last};
    while (next.last < outputs && index[next.last] == position) {
        next.last++;
    }
    return next;
}

#define MCT_TEMPLATE "kernels/resize_nearest_neighbor.c"
#include "kernels/each_error.h"

#else

static int32_t MCT_NAME(error_at)(const mct_resize_nearest_neighbor_params *p,
                                  const MCT_ERROR *dout, readers rows, readers columns, int32_t c)
{
    int32_t sum = 0;
    for (int32_t y = rows.first; y < rows.last; y++) {
        for (int32_t x = columns.first; x < columns.last; x++) {
            sum += dout[(y * p->out_w + x) * p->channels + c];
        }
    }
    return sum;
}

void MCT_NAME(mct_resize_nearest_neighbor_pass_error)(const mct_resize_nearest_neighbor_params *p,
                                                      const MCT_ERROR *dout, const int16_t *dout_e,
                                                      const uint8_t *mask, const uint16_t *row,
                                                      const uint16_t *column, MCT_ERROR *dx,
                                                      int16_t *dx_e)
{
    readers rows = {0, 0};
    int32_t at = 0; /* in dx */
    for (int32_t y = 0; y < p->in_h; y++) {
        rows = next_readers(rows, row, p->out_h, y);
        readers columns = {0, 0};
        for (int32_t k = 0; k < p->in_w; k++) {
            columns = next_readers(columns, column, p->out_w, k);
            for (int32_t c = 0; c < p->channels; c++, at++) {
                int32_t raw =
                    mct_is_open(mask, at) ? MCT_NAME(error_at)(p, dout, rows, columns, c) : 0;
                dx[at] = (MCT_ERROR)raw;
            }
        }
    }
    dx_e[0] = dout_e[0];
}

void MCT_NAME(mct_resize_nearest_neighbor_grad)(const mct_resize_nearest_neighbor_params *p,
                                                const MCT_ERROR *dout, const int16_t *dout_e,
                                                const uint8_t *mask, const uint16_t *row,
                                                const uint16_t *column, MCT_HISTORY, MCT_ERROR *dx,
                                                int16_t *dx_e)
{
    MCT_NAME(mct_error_writer) writer = MCT_BEGIN(dout_e[0]);
    readers rows = {0, 0};
    int32_t at = 0; /* in dx */
    for (int32_t y = 0; y < p->in_h; y++) {
        rows = next_readers(rows, row, p->out_h, y);
        readers columns = {0, 0};
        for (int32_t k = 0; k < p->in_w; k++) {
            columns = next_readers(columns, column, p->out_w, k);
            for (int32_t c = 0; c < p->channels; c++, at++) {
                int32_t raw =
                    mct_is_open(mask, at) ? MCT_NAME(error_at)(p, dout, rows, columns, c) : 0;
                dx[at] = MCT_NAME(mct_error_put)(&writer, raw);
            }
        }
    }
    MCT_NAME(mct_error_end)(&writer, history, dx_e);
}

#endif
