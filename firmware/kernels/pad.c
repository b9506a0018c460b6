/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pad.h"

#include <stdbool.h>
#include <string.h>

static bool is_inside(int32_t index, int32_t before, int32_t size)
{
    return index >= before && index < before + size;
}

void mct_pad_s8_row(const mct_pad_params *p, const int8_t *const rows[], int8_t *out_row)
{
    if (rows[0] != NULL) {
        mct_pad_s8(p, rows[0], out_row);
    } else {
        memset(out_row, (int)p->value, (size_t)(p->out_0 * p->out_1 * p->out_2 * p->out_3));
    }
}

void mct_pad_s8(const mct_pad_params *p, const int8_t *x, int8_t *out)
{
    memset(out, (int)p->value, (size_t)(p->out_0 * p->out_1 * p->out_2 * p->out_3));
    for (int32_t i = 0; i < p->out_0; i++) {
        for (int32_t j = 0; j < p->out_1; j++) {
            for (int32_t k = 0; k < p->out_2; k++, out += p->out_3) {
                if (is_inside(i, p->before_0, p->in_0) && is_inside(j, p->before_1, p->in_1) &&
                    is_inside(k, p->before_2, p->in_2)) {
                    memcpy(out + p->before_3, x, (size_t)p->in_3);
                    x += p->in_3;
                }
            }
        }
    }
}
