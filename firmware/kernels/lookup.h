/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one value and their gradient. Twin of trainer/ops/lookup.py.
 *
 * out[k] = table[x[k] + 128], 256 entries
 * grad: dx = REQ(dout * slope[x + 128], dout_e + exponent_step); |slope| <= 2^14 fits 32 bits */
#ifndef MCT_KERNELS_LOOKUP_H
#define MCT_KERNELS_LOOKUP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t size;
} mct_lookup_params;

void mct_lookup_s8(const mct_lookup_params *p, const int8_t *x, const int8_t *table, int8_t *out);

typedef struct {
    int32_t size, exponent_step;
} mct_lookup_grad_params;

#define MCT_TEMPLATE "kernels/lookup.h"
#include "kernels/each_error.h"

#ifdef __cplusplus
}
#endif

#elif defined MCT_ERROR

void MCT_NAME(mct_lookup_grad)(const mct_lookup_grad_params *p, const MCT_ERROR *dout,
                               const int16_t *dout_e, const int8_t *x, const uint8_t *mask,
                               const int16_t *slope, MCT_HISTORY, MCT_ERROR *dx, int16_t *dx_e);

#endif
