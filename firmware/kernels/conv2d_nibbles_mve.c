/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv2d_nibbles_mve.h"

#include <stddef.h>

#include "kernels/windows_mve.h"
#include "mct/model.h"
#include "mct/nibbles_mve.h"

/* The weights, and how their sums become outputs. */
typedef struct {
    const uint8_t *w;
    int32_t size, step; /* of a filter: weights, bytes */
    const int32_t *b;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t filters;
    int32_t out_step; /* from the outputs of one position to those of the next */
    int32_t x_offset, out_offset, min, max;
} layer;

static layer layer_of(const mct_conv2d_params *p, const uint8_t *w, const int32_t *b,
                      const int32_t *multiplier, const int8_t *shift)
{
    const int32_t size = p->kernel_h * p->kernel_w * p->in_ch;
    layer l = {w,         size,        (size + 1) / 2, b,          multiplier, shift, p->out_ch,
               p->out_ch, p->x_offset, p->out_offset,  p->act_min, p->act_max};
    return l;
}

/* What each filter's sum of products is added to, wherever its window lies. */
static void put_bases(const layer *l, int32_t *base)
{
    const uint8_t *w = l->w;
    for (int32_t o = 0; o < l->filters; o++, w += l->step) {
        const int32_t weights = mct_sum_nibbles(w, l->size);
        base[o] = mct_wrapping_add(weights * l->x_offset, l->b != NULL ? l->b[o] : 0);
    }
}

/* Fewer than four filters, one at a time. */
static MCT_NOINLINE void put_few(const layer *l, const int8_t *x, int8_t *out)
{
    for (int32_t o = 0; o < l->filters; o++) {
        const uint8_t *w = l->w + o * l->step;
        mct_centred_dots s = {0, 0, 0, 0};
        mct_add_centred_nibble_dots(x, w, w, l->size, &s);
        int32_t acc = mct_wrapping_add(s.sum0 + s.weights0 * l->x_offset, l->b ? l->b[o] : 0);
        acc = mct_requantize(acc, l->multiplier[o], l->shift[o]);
        out[o] = (int8_t)mct_clamp(mct_wrapping_add(acc, l->out_offset), l->min, l->max);
    }
}

/* Two windows and four filters at a time. */
static MCT_NOINLINE void put_fours(const layer *l, const int32_t *base, const int8_t *x,
                                   int8_t *out)
{
    const int32_t size = l->size, step = l->step, offset = l->out_offset;
    const uint8_t *w = l->w;
    const int32_t *multipliers = l->multiplier;
    const int8_t *shifts = l->shift;
    const mct_four min = mct_four_of_one(l->min), max = mct_four_of_one(l->max);
    int8_t *out1 = out + l->out_step;
    for (const int8_t *end = out + (l->filters & ~3); out != end; out += 4, out1 += 4) {
        mct_dots s = {base[0], base[1], base[0], base[1]};
        mct_add_nibble_dots(x, x + size, w, w + step, size, &s);
        w += 2 * step;
        mct_dots t = {base[2], base[3], base[2], base[3]};
        mct_add_nibble_dots(x, x + size, w, w + step, size, &t);
        w += 2 * step;
        base += 4;
        const mct_four first = mct_four_of(s.sum00, s.sum01, t.sum00, t.sum01);
        const mct_four second = mct_four_of(s.sum10, s.sum11, t.sum10, t.sum11);
        const mct_four multiplier = mct_load_four(multipliers);
        const mct_four shift = mct_load_four_s8(shifts);
        multipliers += 4;
        shifts += 4;
        mct_store_four_s8(out, mct_outputs_of(first, multiplier, shift, offset, min, max));
        mct_store_four_s8(out1, mct_outputs_of(second, multiplier, shift, offset, min, max));
    }
}

/* The last four filters alone. */
static layer last_four(const layer *l)
{
    const int32_t o = l->filters - 4;
    layer last = *l;
    last.w += o * l->step;
    last.multiplier += o;
    last.shift += o;
    last.filters = 4;
    return last;
}

static void put_two(const layer *l, const int32_t *base, const int8_t *x, int8_t *out)
{
    if (l->filters < 4) {
        put_few(l, x, out);
        put_few(l, x + l->size, out + l->out_step);
        return;
    }
    put_fours(l, base, x, out);
    if (l->filters % 4 != 0) {
        /* Some have their turn again: the windows are copies, so no input was written over. */
        const layer last = last_four(l);
        const int32_t o = l->filters - 4;
        put_fours(&last, base + o, x, out + o);
    }
}

static MCT_NOINLINE void put_one(const layer *l, const int8_t *x, int8_t *out)
{
    const mct_four min = mct_four_of_one(l->min), max = mct_four_of_one(l->max);
    if (l->filters < 4) {
        put_few(l, x, out);
        return;
    }
    for (int32_t k = 0; k < l->filters; k += 4) {
        const int32_t o = k + 4 <= l->filters ? k : l->filters - 4; /* some have their turn again */
        const uint8_t *w = l->w + o * l->step;
        mct_centred_dots s = {0, 0, 0, 0};
        mct_add_centred_nibble_dots(x, w, w + l->step, l->size, &s);
        w += 2 * l->step;
        mct_centred_dots t = {0, 0, 0, 0};
        mct_add_centred_nibble_dots(x, w, w + l->step, l->size, &t);
        mct_four acc = mct_add_scaled_four(
            mct_four_of(s.sum0, s.sum1, t.sum0, t.sum1),
            mct_four_of(s.weights0, s.weights1, t.weights0, t.weights1), l->x_offset);
        if (l->b != NULL) {
            acc = mct_add_four(acc, mct_load_four(l->b + o));
        }
        mct_store_four_s8(out + o,
                          mct_outputs_of(acc, mct_load_four(l->multiplier + o),
                                         mct_load_four_s8(l->shift + o), l->out_offset, min, max));
    }
}

static void put_row(const mct_conv2d_params *p, const layer *l, const int8_t *const rows[],
                    int32_t *scratch, int8_t *out)
{
    int32_t x_in = -p->pad_left;
    int32_t left = p->out_w;
    if (left > 1) {
        int8_t *copies = (int8_t *)(scratch + p->out_ch);
        for (; left > 1; left -= 2, out += 2 * p->out_ch) {
            mct_copy_window(p, rows, p->in_ch, x_in, copies);
            mct_copy_window(p, rows, p->in_ch, x_in + p->stride_w, copies + l->size);
            x_in += 2 * p->stride_w;
            put_two(l, scratch, copies, out);
        }
    }
    if (left == 0) {
        return;
    }
    if (p->kernel_h * p->kernel_w == 1) {
        /* No output of this row follows: what is written over its inputs is not read again. */
        put_one(l, rows[0] + x_in * p->in_ch, out);
        return;
    }
    int8_t *copy = (int8_t *)(scratch + (p->out_w > 1 ? p->out_ch : 0));
    mct_copy_window(p, rows, p->in_ch, x_in, copy);
    put_one(l, copy, out);
}

void mct_conv2d_nibbles_mve_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                   const uint8_t *w, const int32_t *b, const int32_t *multiplier,
                                   const int8_t *shift, int32_t *scratch, int8_t *out_row)
{
    const layer l = layer_of(p, w, b, multiplier, shift);
    if (p->out_w > 1) {
        put_bases(&l, scratch);
    }
    put_row(p, &l, rows, scratch, out_row);
}

void mct_conv2d_nibbles_mve_s8(const mct_conv2d_params *p, const int8_t *x, const uint8_t *w,
                               const int32_t *b, const int32_t *multiplier, const int8_t *shift,
                               int32_t *scratch, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const layer l = layer_of(p, w, b, multiplier, shift);
    if (p->out_w > 1) {
        put_bases(&l, scratch);
    }
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        put_row(p, &l, rows, scratch, out);
    }
}
