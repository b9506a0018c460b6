/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_nibbles_dsp.h"

#include <stddef.h>

#include "kernels/depthwise_conv2d_dsp.h"
#include "mct/nibbles.h"

static int32_t weights_of(const mct_depthwise_conv2d_params *p)
{
    return p->kernel_h * p->kernel_w * p->out_ch;
}

void mct_depthwise_conv2d_nibbles_dsp_s8_row(const mct_depthwise_conv2d_params *p,
                                             const int8_t *const rows[], const uint8_t *w,
                                             const int32_t *b, const int32_t *requant,
                                             uint32_t *scratch, int8_t *out_row)
{
    const int32_t count = weights_of(p);
    int8_t *weights = (int8_t *)scratch;
    mct_unpack_nibbles(w, count, weights);
    mct_depthwise_conv2d_dsp_s8_row(p, rows, weights, b, NULL, NULL, requant,
                                    scratch + (count + 3) / 4, out_row);
}

void mct_depthwise_conv2d_nibbles_dsp_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                         const uint8_t *w, const int32_t *b, const int32_t *requant,
                                         uint32_t *scratch, int8_t *out)
{
    const int32_t count = weights_of(p);
    int8_t *weights = (int8_t *)scratch;
    mct_unpack_nibbles(w, count, weights);
    mct_depthwise_conv2d_dsp_s8(p, x, weights, b, NULL, NULL, requant, scratch + (count + 3) / 4,
                                out);
}
