/* SPDX-License-Identifier: Apache-2.0 */
/* Where two operands lie, if one is repeated along axes of the other.
 * Twin of trainer/ops/broadcast.py.
 *
 * `axes` are four sizes, outermost first, then the steps of the first operand in elements, then
 * those of the second; a step of 0 repeats. The result lies densely, row after row of axes[3].
 * For sums two more axes follow in the same form, along which they run. */
#ifndef MCT_KERNELS_BROADCAST_H
#define MCT_KERNELS_BROADCAST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MCT_AXES = 4, MCT_SUM_AXES = 2 };

/* A row of the last axis: where it begins in each operand. */
typedef struct {
    int32_t at[MCT_AXES - 1];
    int32_t a, b;
} mct_row;

static inline mct_row mct_first_row(void)
{
    mct_row row = {{0, 0, 0}, 0, 0};
    return row;
}

static inline int32_t mct_rows(const int32_t *axes)
{
    return axes[0] * axes[1] * axes[2];
}

static inline void mct_next_row(mct_row *row, const int32_t *axes)
{
    for (int32_t axis = MCT_AXES - 2; axis >= 0; axis--) {
        row->a += axes[MCT_AXES + axis];
        row->b += axes[2 * MCT_AXES + axis];
        if (++row->at[axis] < axes[axis]) {
            return;
        }
        row->a -= axes[axis] * axes[MCT_AXES + axis];
        row->b -= axes[axis] * axes[2 * MCT_AXES + axis];
        row->at[axis] = 0;
    }
}

#ifdef __cplusplus
}
#endif

#endif
