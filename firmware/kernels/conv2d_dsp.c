/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv2d_dsp.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/filters_dsp.h"
#include "kernels/filters_nibbles_dsp.h"
#include "kernels/window.h"

enum { TURN = MCT_TURN, TURN_WORDS = MCT_TURN_WORDS };

/* How weights lie. */
typedef enum { BYTES, PACKED, NIBBLES } layout;

/* Centres and widens `size` values of one position; the words of its turns are `step` apart.
 * The last turn takes the last TURN values of all: those that had their turn become zeros.
 * Returns where the next value's turn lies. */
static MCT_INLINED uint32_t *widen(const int8_t *x, int32_t size, uint32_t offsets, int32_t step,
                                   uint32_t *to)
{
    const int8_t *last = x + size - TURN;
    for (; x <= last; x += TURN, to += step) {
        uint32_t four = mct_load4(x);
        to[0] = mct_add_even(offsets, four);
        to[1] = mct_add_odd(offsets, four);
    }
    const int32_t left = size % TURN;
    if (left != 0) {
        uint32_t four = mct_load4(last);
        uint32_t odd = mct_add_odd(offsets, four);
        to[0] = left == 1 ? 0u : mct_add_even(offsets, four) & 0xffff0000u;
        to[1] = left == 3 ? odd : odd & 0xffff0000u;
        to += step;
    }
    return to;
}

static MCT_INLINED uint32_t *widen_zeros(int32_t size, int32_t step, uint32_t *to)
{
    for (; size > 0; size -= TURN, to += step) {
        to[0] = 0;
        to[1] = 0;
    }
    return to;
}

/* Copies a run of bytes: mostly too few for a call of memcpy. */
static MCT_INLINED void gather(const int8_t *from, int32_t size, int8_t *to)
{
    if (size < TURN) {
        for (int32_t k = 0; k < size; k++) {
            to[k] = from[k];
        }
        return;
    }
    for (int32_t k = 0; k < size - TURN; k += TURN) {
        mct_store4(to + k, mct_load4(from + k));
    }
    mct_store4(to + size - TURN, mct_load4(from + size - TURN));
}

/* The window at column x_in of rows with in_ch channels. Where a turn does not end with a column,
 * the window is gathered first. */
static uint32_t *widen_window(const mct_conv2d_params *p, const int8_t *const rows[], int32_t in_ch,
                              int32_t x_in, int32_t step, int8_t *gathered, uint32_t *to)
{
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    if (p->kernel_h * p->kernel_w == 1 && x_in >= 0 && x_in < p->in_w && rows[0] != NULL) {
        return widen(rows[0] + x_in * in_ch, in_ch, offsets, step, to);
    }
    const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
    const int32_t run = p->kernel_w * in_ch;
    const int32_t before = columns.first * in_ch;
    const int32_t inside = (columns.last - columns.first) * in_ch;
    const int32_t at = (x_in + columns.first) * in_ch;
    if (run % TURN == 0 && (in_ch % TURN == 0 || inside == run)) {
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
            if (rows[ky] == NULL) {
                to = widen_zeros(run, step, to);
            } else {
                to = widen_zeros(before, step, to);
                to = widen(rows[ky] + at, inside, offsets, step, to);
                to = widen_zeros(run - before - inside, step, to);
            }
        }
        return to;
    }
    if (p->kernel_h == 1 && inside == run && rows[0] != NULL) {
        return widen(rows[0] + at, run, offsets, step, to);
    }
    int8_t *end = gathered;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, end += run) {
        if (rows[ky] == NULL || inside < run) {
            memset(end, -p->x_offset, (size_t)run);
        }
        if (rows[ky] != NULL) {
            gather(rows[ky] + at, inside, end + before);
        }
    }
    return widen(gathered, (int32_t)(end - gathered), offsets, step, to);
}

/* A row of outputs: the windows of two positions at a time, in `turns` turns each, meet the
 * filters. A build with weights of one layout has not the code of others. */
static MCT_INLINED void put_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                const int8_t *const rows_l[], const mct_filters *filters,
                                layout weights, int32_t turns, uint32_t *scratch, int8_t *out_row)
{
    const bool is_even = weights != BYTES;
    const int32_t zeros = is_even ? (turns - (filters->size + TURN - 1) / TURN) * TURN : 0;
    int8_t *gathered = (int8_t *)(scratch + 2 * TURN_WORDS * turns);
    int8_t *out = out_row;
    for (int32_t x = 0; x < p->out_w; x += 2) {
        const int32_t positions = p->out_w - x < 2 ? 1 : 2;
        const int32_t step = positions * TURN_WORDS;
        for (int32_t k = 0; k < positions; k++) {
            int32_t x_in = (x + k) * p->stride_w - p->pad_left;
            uint32_t *to = scratch + k * TURN_WORDS;
            to = widen_window(p, rows, p->in_ch, x_in, step, gathered, to);
            if (is_even) {
                (void)widen_zeros(zeros, step, to);
            } else if (p->learned_ch != 0) {
                (void)widen_window(p, rows_l, p->learned_ch, x_in, step, gathered, to);
            }
        }
        if (weights == NIBBLES && positions == 1) {
            mct_meet_one_nibbles(filters, scratch, out);
        } else if (weights == NIBBLES) {
            mct_meet_two_nibbles(filters, scratch, out);
        } else if (weights == PACKED && positions == 1) {
            mct_meet_one_packed(filters, scratch, out);
        } else if (weights == PACKED) {
            mct_meet_two_packed(filters, scratch, out);
        } else if (positions == 1) {
            mct_meet_one(filters, scratch, out);
        } else {
            mct_meet_two(filters, scratch, out);
        }
        out += positions * p->out_ch;
    }
    mct_clamp_outputs(out_row, p->out_w * p->out_ch, p->act_min, p->act_max);
}

void mct_conv2d_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[], const int8_t *w,
                           const int32_t *b, const int8_t *const rows_l[], const int8_t *w_l,
                           const int32_t *requant, uint32_t *scratch, int8_t *out_row)
{
    const int32_t taps = p->kernel_h * p->kernel_w;
    const mct_filters filters = {.w = w,
                                 .w_l = w_l,
                                 .b = b,
                                 .requant = requant,
                                 .filters = p->out_ch,
                                 .size = taps * p->in_ch,
                                 .size_l = taps * p->learned_ch,
                                 .offset = p->out_offset};
    const int32_t turns = (filters.size + TURN - 1) / TURN + (filters.size_l + TURN - 1) / TURN;
    put_row(p, rows, rows_l, &filters, BYTES, turns, scratch, out_row);
}

void mct_conv2d_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const int8_t *w,
                       const int32_t *b, const int8_t *x_l, const int8_t *w_l,
                       const int32_t *requant, uint32_t *scratch, int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const int8_t *rows_l[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++) {
        int32_t top = y * p->stride_h - p->pad_top;
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, top, p->kernel_h, rows);
        mct_window_rows(x_l, p->in_w * p->learned_ch, p->in_h, top, p->kernel_h, rows_l);
        mct_conv2d_dsp_s8_row(p, rows, w, b, rows_l, w_l, requant, scratch,
                              out + y * p->out_w * p->out_ch);
    }
}

void mct_conv2d_packed_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                  const uint32_t *w, const int32_t *b, const int32_t *requant,
                                  uint32_t *scratch, int8_t *out_row)
{
    const mct_filters filters = {.packed = w,
                                 .b = b,
                                 .requant = requant,
                                 .filters = p->out_ch,
                                 .size = p->kernel_h * p->kernel_w * p->in_ch,
                                 .offset = p->out_offset};
    put_row(p, rows, NULL, &filters, PACKED, mct_packed_turns(filters.size), scratch, out_row);
}

void mct_conv2d_packed_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const uint32_t *w,
                              const int32_t *b, const int32_t *requant, uint32_t *scratch,
                              int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        mct_conv2d_packed_dsp_s8_row(p, rows, w, b, requant, scratch, out);
    }
}

void mct_conv2d_nibbles_dsp_s8_row(const mct_conv2d_params *p, const int8_t *const rows[],
                                   const uint32_t *w, const int32_t *b, const int32_t *requant,
                                   uint32_t *scratch, int8_t *out_row)
{
    const mct_filters filters = {.packed = w,
                                 .b = b,
                                 .requant = requant,
                                 .filters = p->out_ch,
                                 .size = p->kernel_h * p->kernel_w * p->in_ch,
                                 .offset = p->out_offset};
    put_row(p, rows, NULL, &filters, NIBBLES, mct_packed_turns(filters.size), scratch, out_row);
}

void mct_conv2d_nibbles_dsp_s8(const mct_conv2d_params *p, const int8_t *x, const uint32_t *w,
                               const int32_t *b, const int32_t *requant, uint32_t *scratch,
                               int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        mct_conv2d_nibbles_dsp_s8_row(p, rows, w, b, requant, scratch, out);
    }
}
