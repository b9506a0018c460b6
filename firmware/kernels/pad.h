/* SPDX-License-Identifier: Apache-2.0 */
/* A border of one value. Twin of trainer/ops/pad.py.
 *
 * out[i0][i1][i2][i3] = x[i0 - before_0][..][..][i3 - before_3] where that is inside x, else value
 */
#ifndef MCT_KERNELS_PAD_H
#define MCT_KERNELS_PAD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t before_0, in_0, out_0;
    int32_t before_1, in_1, out_1;
    int32_t before_2, in_2, out_2;
    int32_t before_3, in_3, out_3;
    int32_t value;
} mct_pad_params;

void mct_pad_s8(const mct_pad_params *p, const int8_t *x, int8_t *out);

/* One output row from an input row, NULL above and below the input; p describes a row alone. */
void mct_pad_s8_row(const mct_pad_params *p, const int8_t *const rows[], int8_t *out_row);

#ifdef __cplusplus
}
#endif

#endif
