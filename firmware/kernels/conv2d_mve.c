/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv2d_mve.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/windows_mve.h"
#include "mct/model.h"
#include "mct/mve.h"

/* The weights, of which some may be learned in part, and how their sums become outputs. */
typedef struct {
    const int8_t *w, *w_l;
    int32_t size, size_l; /* of a filter */
    const int32_t *b;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t filters;
    int32_t out_step; /* from the outputs of one position to those of the next */
    int32_t x_offset, out_offset, min, max;
} layer;

/* One or two windows of each kind. */
typedef struct {
    const int8_t *x, *x_l;
} windows;

static layer layer_of(const mct_conv2d_params *p, const int8_t *w, const int32_t *b,
                      const int8_t *w_l, const int32_t *multiplier, const int8_t *shift)
{
    const int32_t taps = p->kernel_h * p->kernel_w;
    layer l = {
        w,         w_l,       taps * p->in_ch, taps * p->learned_ch, b,          multiplier, shift,
        p->out_ch, p->out_ch, p->x_offset,     p->out_offset,        p->act_min, p->act_max};
    return l;
}

/* What each filter's sum of products is added to, wherever its window lies. */
static void put_bases(const layer *l, int32_t *base)
{
    const int8_t *w = l->w;
    const int8_t *w_l = l->w_l;
    for (int32_t o = 0; o < l->filters; o++, w += l->size) {
        int32_t weights = mct_sum(w, l->size);
        if (l->size_l != 0) {
            weights += mct_sum(w_l, l->size_l);
            w_l += l->size_l;
        }
        base[o] = mct_wrapping_add(weights * l->x_offset, l->b != NULL ? l->b[o] : 0);
    }
}

/* Fewer than four filters, one at a time. */
static MCT_NOINLINE void put_few(const layer *l, windows at, int8_t *out)
{
    for (int32_t o = 0; o < l->filters; o++) {
        const int8_t *w = l->w + o * l->size;
        mct_centred_dots s = {0, 0, 0, 0};
        mct_add_centred_dots(at.x, w, w, l->size, &s);
        if (l->size_l != 0) {
            w = l->w_l + o * l->size_l;
            mct_add_centred_dots(at.x_l, w, w, l->size_l, &s);
        }
        int32_t acc = mct_wrapping_add(s.sum0 + s.weights0 * l->x_offset, l->b ? l->b[o] : 0);
        acc = mct_requantize(acc, l->multiplier[o], l->shift[o]);
        out[o] = (int8_t)mct_clamp(mct_wrapping_add(acc, l->out_offset), l->min, l->max);
    }
}

/* Two windows and four filters at a time. A layer is known to learn whole, or not at all, if
 * `is_plain`: most do. */
static MCT_INLINED void put_fours(const layer *l, const int32_t *base, windows at, bool is_plain,
                                  int8_t *out)
{
    const int32_t size = l->size, size_l = l->size_l, offset = l->out_offset;
    const int8_t *x = at.x, *x_l = at.x_l, *w = l->w, *w_l = l->w_l;
    const int32_t *multipliers = l->multiplier;
    const int8_t *shifts = l->shift;
    const mct_four min = mct_four_of_one(l->min), max = mct_four_of_one(l->max);
    int8_t *out1 = out + l->out_step;
    for (const int8_t *end = out + (l->filters & ~3); out != end; out += 4, out1 += 4) {
        mct_dots s = {base[0], base[1], base[0], base[1]};
        mct_add_dots(x, x + size, w, w + size, size, &s);
        w += 2 * size;
        mct_dots t = {base[2], base[3], base[2], base[3]};
        mct_add_dots(x, x + size, w, w + size, size, &t);
        w += 2 * size;
        base += 4;
        if (!is_plain) {
            mct_add_dots(x_l, x_l + size_l, w_l, w_l + size_l, size_l, &s);
            w_l += 2 * size_l;
            mct_add_dots(x_l, x_l + size_l, w_l, w_l + size_l, size_l, &t);
            w_l += 2 * size_l;
        }
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

static MCT_NOINLINE void put_plain_fours(const layer *l, const int32_t *base, windows at,
                                         int8_t *out)
{
    put_fours(l, base, at, true, out);
}

static MCT_NOINLINE void put_any_fours(const layer *l, const int32_t *base, windows at, int8_t *out)
{
    put_fours(l, base, at, false, out);
}

static void put_all_fours(const layer *l, const int32_t *base, windows at, int8_t *out)
{
    if (l->size_l == 0) {
        put_plain_fours(l, base, at, out);
    } else {
        put_any_fours(l, base, at, out);
    }
}

/* The last four filters alone. */
static layer last_four(const layer *l)
{
    const int32_t o = l->filters - 4;
    layer last = *l;
    last.w += o * l->size;
    last.w_l = l->size_l != 0 ? l->w_l + o * l->size_l : NULL;
    last.multiplier += o;
    last.shift += o;
    last.filters = 4;
    return last;
}

static void put_two(const layer *l, const int32_t *base, windows at, int8_t *out)
{
    if (l->filters < 4) {
        const windows next = {at.x + l->size, l->size_l != 0 ? at.x_l + l->size_l : NULL};
        put_few(l, at, out);
        put_few(l, next, out + l->out_step);
        return;
    }
    put_all_fours(l, base, at, out);
    if (l->filters % 4 != 0) {
        /* Some have their turn again: the windows are copies, so no input was written over. */
        const layer last = last_four(l);
        const int32_t o = l->filters - 4;
        put_all_fours(&last, base + o, at, out + o);
    }
}

/* The sums of filters o and o + 1 and one window. */
static MCT_INLINED mct_centred_dots centred_dots_of(const layer *l, int32_t o, windows at)
{
    mct_centred_dots s = {0, 0, 0, 0};
    const int8_t *w = l->w + o * l->size;
    mct_add_centred_dots(at.x, w, w + l->size, l->size, &s);
    if (l->size_l != 0) {
        w = l->w_l + o * l->size_l;
        mct_add_centred_dots(at.x_l, w, w + l->size_l, l->size_l, &s);
    }
    return s;
}

static MCT_NOINLINE void put_one(const layer *l, windows at, int8_t *out)
{
    const mct_four min = mct_four_of_one(l->min), max = mct_four_of_one(l->max);
    if (l->filters < 4) {
        put_few(l, at, out);
        return;
    }
    for (int32_t k = 0; k < l->filters; k += 4) {
        const int32_t o = k + 4 <= l->filters ? k : l->filters - 4; /* some have their turn again */
        const mct_centred_dots s = centred_dots_of(l, o, at);
        const mct_centred_dots t = centred_dots_of(l, o + 2, at);
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

/* Copies window k of `count` at column x_in, and that of the learned channels behind all of them.
 */
static void copy_windows(const mct_conv2d_params *p, const layer *l, const int8_t *const rows[],
                         const int8_t *const rows_l[], int32_t x_in, int32_t k, int32_t count,
                         int8_t *to)
{
    mct_copy_window(p, rows, p->in_ch, x_in, to + k * l->size);
    if (l->size_l != 0) {
        to += count * l->size + k * l->size_l;
        mct_copy_window(p, rows_l, p->learned_ch, x_in, to);
    }
}

static void put_row(const mct_conv2d_params *p, const layer *l, const int8_t *const rows[],
                    const int8_t *const rows_l[], int32_t *scratch, int8_t *out)
{
    int32_t x_in = -p->pad_left;
    int32_t left = p->out_w;
    if (left > 1) {
        int8_t *copies = (int8_t *)(scratch + p->out_ch);
        const windows two = {copies, copies + 2 * l->size};
        for (; left > 1; left -= 2, out += 2 * p->out_ch) {
            for (int32_t k = 0; k < 2; k++, x_in += p->stride_w) {
                copy_windows(p, l, rows, rows_l, x_in, k, 2, copies);
            }
            put_two(l, scratch, two, out);
        }
    }
    if (left == 0) {
        return;
    }
    if (p->kernel_h * p->kernel_w == 1) {
        /* No output of this row follows: what is written over its inputs is not read again. */
        const windows direct = {rows[0] + x_in * p->in_ch,
                                l->size_l != 0 ? rows_l[0] + x_in * p->learned_ch : NULL};
        put_one(l, direct, out);
        return;
    }
    int8_t *copy = (int8_t *)(scratch + (p->out_w > 1 ? p->out_ch : 0));
    const windows one = {copy, copy + l->size};
    copy_windows(p, l, rows, rows_l, x_in, 0, 1, copy);
    put_one(l, one, out);
}

void mct_conv2d_mve_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                           const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                           const int32_t *multiplier, const int8_t *shift, int32_t *scratch,
                           int8_t *out_row)
{
    const layer l = layer_of(p, w, b, w_l, multiplier, shift);
    if (p->out_w > 1) {
        put_bases(&l, scratch);
    }
    put_row(p, &l, rows, rows_l, scratch, out_row);
}

void mct_conv2d_mve_s8(const mct_conv2d_params *p, const int8_t *x, const int8_t *w,
                       const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                       const int32_t *multiplier, const int8_t *shift, int32_t *scratch,
                       int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const int8_t *rows_l[MCT_MAX_KERNEL_H];
    const layer l = layer_of(p, w, b, w_l, multiplier, shift);
    if (p->out_w > 1) {
        put_bases(&l, scratch);
    }
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        int32_t top = y * p->stride_h - p->pad_top;
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, top, p->kernel_h, rows);
        mct_window_rows(x_l, p->in_w * p->learned_ch, p->in_h, top, p->kernel_h, rows_l);
        put_row(p, &l, rows, rows_l, scratch, out);
    }
}
