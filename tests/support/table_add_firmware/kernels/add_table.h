/* SPDX-License-Identifier: Apache-2.0 */
/* out = a + b, elementwise, by tables. Twin of tests/support/table_add.py.
 *
 * out = requantize(a_terms[a] + b_terms[b]) + out_offset, clamped; a table is read by the byte of
 * the value. scratch has the terms of b, and may not overlap anything; out may be b. */
#ifndef MCT_KERNELS_ADD_TABLE_H
#define MCT_KERNELS_ADD_TABLE_H

#include <stdint.h>

typedef struct {
    int32_t size;
    int32_t out_offset, out_multiplier, out_shift;
    int32_t act_min, act_max;
} mct_add_table_params;

void mct_add_table_s8(const mct_add_table_params *p, const int8_t *a, const int8_t *b,
                      const int32_t *a_terms, const int32_t *b_terms, void *scratch, int8_t *out);

#endif
