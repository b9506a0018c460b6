/* SPDX-License-Identifier: Apache-2.0 */
/* Where the window of one output lies in its input: what the spatial kernels share.
 * Twin of trainer/ops/window.py. */
#ifndef MCT_KERNELS_WINDOW_H
#define MCT_KERNELS_WINDOW_H

#include <stddef.h>

#include "mct/fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_MAX_KERNEL_H = 32 };

/* Row pointers of a window from row `top` on: row_size elements apart, NULL above and below the
 * in_h rows of x, and everywhere if x is NULL. */
static inline void mct_window_rows(const int8_t *x, int32_t row_size, int32_t in_h, int32_t top,
                                   int32_t kernel_h, const int8_t *rows[])
{
    for (int32_t ky = 0; ky < kernel_h; ky++) {
        int32_t y = top + ky;
        rows[ky] = x != NULL && y >= 0 && y < in_h ? x + y * row_size : NULL;
    }
}

/* As mct_window_rows, of rows that lie in a ring: row y of x at y modulo `kept`. */
static inline void mct_ring_rows(const int8_t *x, int32_t row_size, int32_t kept, int32_t in_h,
                                 int32_t top, int32_t kernel_h, const int8_t *rows[])
{
    for (int32_t ky = 0; ky < kernel_h; ky++) {
        int32_t y = top + ky;
        rows[ky] = y >= 0 && y < in_h ? x + y % kept * row_size : NULL;
    }
}

/* How many rows of an input of in_h rows the output row y needs, from the first on. */
static inline int32_t mct_rows_needed(int32_t y, int32_t kernel_h, int32_t stride_h,
                                      int32_t pad_top, int32_t in_h)
{
    int32_t end = y * stride_h - pad_top + kernel_h;
    return end < in_h ? end : in_h;
}

/* Columns first..last-1 of a window from column `left` on lie in an input of in_w columns. */
typedef struct {
    int32_t first, last;
} mct_columns;

static inline mct_columns mct_window_columns(int32_t left, int32_t kernel_w, int32_t in_w)
{
    int32_t first = mct_clamp(-left, 0, kernel_w);
    mct_columns columns = {first, mct_clamp(in_w - left, first, kernel_w)};
    return columns;
}

/* Outputs first..last-1 along one axis have windows that hold a position of the padded input. */
typedef struct {
    int32_t first, last;
} mct_readers;

static inline mct_readers mct_window_readers(int32_t position, int32_t kernel, int32_t stride,
                                             int32_t outputs)
{
    int32_t before = position - kernel; /* the last position of the last window that ends early */
    int32_t first = before < 0 ? 0 : before / stride + 1;
    int32_t last = position / stride + 1;
    mct_readers readers = {first, last < outputs ? last : outputs};
    return readers;
}

/* The output whose window's tap `k` holds input position `at`; negative if none does. */
static inline int32_t mct_window_reader(int32_t at, int32_t pad, int32_t k, int32_t stride,
                                        int32_t outputs)
{
    int32_t reader = at + pad - k;
    if (stride != 1 && reader >= 0) { /* a division is long where the processor has none */
        reader = reader % stride == 0 ? reader / stride : -1;
    }
    return reader < outputs ? reader : -1;
}

#ifdef __cplusplus
}
#endif

#endif
