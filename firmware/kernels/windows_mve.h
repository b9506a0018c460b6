/* SPDX-License-Identifier: Apache-2.0 */
/* What convolutions with sixteen products in an instruction share, whatever their weights are. */
#ifndef MCT_KERNELS_WINDOWS_MVE_H
#define MCT_KERNELS_WINDOWS_MVE_H

#include <stddef.h>

#include "kernels/conv2d.h"
#include "kernels/window.h"
#include "mct/mve.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Copies the window at column x_in of rows with in_ch channels; outside are zeros, once centred. */
static MCT_UNUSED void mct_copy_window(const mct_conv2d_params *p, const int8_t *const rows[],
                                       int32_t in_ch, int32_t x_in, int8_t *to)
{
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    const int32_t run = p->kernel_w * in_ch;
    const int32_t before = columns.first * in_ch;
    const int32_t inside = (columns.last - columns.first) * in_ch;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, to += run) {
        if (rows[ky] == NULL || inside != run) {
            mct_fill(to, -p->x_offset, run);
        }
        if (rows[ky] != NULL) {
            mct_copy(to + before, rows[ky] + (x_in + columns.first) * in_ch, inside);
        }
    }
}

/* How sums become outputs; what does not change from filter to filter stays in registers. */
static MCT_INLINED mct_four mct_outputs_of(mct_four acc, mct_four multiplier, mct_four shift,
                                           int32_t offset, mct_four min, mct_four max)
{
    return mct_clamp_four(mct_requantize_four(acc, multiplier, shift), offset, min, max);
}

#ifdef __cplusplus
}
#endif

#endif
