/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_dsp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/window.h"
#include "mct/dsp.h"
#include "mct/model.h"

enum { CHANNELS = 4 }; /* summed side by side */

/* Words of scratch: sums that 3x3 windows begin with, then the weights, CHANNELS of two rows or
 * half as many of the last of an odd number for each column. */
enum { START = CHANNELS, TWO_ROWS = CHANNELS, ONE_ROW = CHANNELS / 2 };

typedef struct {
    int32_t sum0, sum1, sum2, sum3;
} sums_4;

/* Some output positions of a row. */
typedef struct {
    int32_t first, last;
} positions;

/* A layer, and those of the rows of a window that lie in its input. */
typedef struct {
    const mct_depthwise_conv2d_params *p;
    const int8_t *const *rows;
    const int8_t *w, *w_l;
    const uint16_t *channel;
    const int32_t *b;
    const mct_requant *requants;
    uint32_t *scratch;
    int32_t row_count;
    int32_t first_tap; /* of the first of the rows */
    positions inside;  /* whose windows lie in the input with all columns */
} layer;

/* The rows of a window that are not padding; none, or some one after another. */
static mct_columns rows_present(const int8_t *const rows[], int32_t kernel_h)
{
    mct_columns present = {0, kernel_h};
    while (present.first < kernel_h && rows[present.first] == NULL) {
        present.first++;
    }
    while (present.last > present.first && rows[present.last - 1] == NULL) {
        present.last--;
    }
    return present;
}

/* The weights of tap t in four channels. */
static uint32_t weights_at(const layer *of, int32_t t, int32_t c)
{
    const int32_t learned = of->p->learned_ch;
    uint32_t four = mct_load4(of->w + t * of->p->in_ch + c);
    for (int32_t k = 0; k < learned; k++) {
        const int32_t lane = of->channel[k] - c;
        if (lane >= 0 && lane < CHANNELS) {
            four |= (uint32_t)(uint8_t)of->w_l[t * learned + k] << 8 * lane;
        }
    }
    return four;
}

/* Writes the weights of four channels to scratch. */
static MCT_NOINLINE void widen_weights(const layer *of, int32_t c)
{
    const int32_t kernel_w = of->p->kernel_w;
    uint32_t *to = of->scratch + START;
    int32_t t = of->first_tap;
    for (int32_t pairs = of->row_count / 2; pairs > 0; pairs--, t += kernel_w) {
        for (const int32_t end = t + kernel_w; t < end; t++, to += TWO_ROWS) {
            const uint32_t upper = weights_at(of, t, c);
            const uint32_t lower = weights_at(of, t + kernel_w, c);
            const uint32_t left = mct_low_halves(upper, lower);
            const uint32_t right = mct_high_halves(upper, lower);
            to[0] = mct_even(left);
            to[1] = mct_odd(left);
            to[2] = mct_even(right);
            to[3] = mct_odd(right);
        }
    }
    for (int32_t kx = 0; of->row_count % 2 != 0 && kx < kernel_w; kx++, to += ONE_ROW) {
        const uint32_t four = weights_at(of, t + kx, c);
        to[0] = mct_even(four);
        to[1] = mct_odd(four);
    }
}

static sums_4 biases_of(const layer *of, int32_t c)
{
    const int32_t *b = of->b + c;
    sums_4 none = {0, 0, 0, 0};
    sums_4 found = {b[0], b[1], b[2], b[3]};
    return of->b == NULL ? none : found;
}

#ifdef __ARM_FEATURE_DSP

/* What columns of two rows give, which begin `step` apart: a word of weights for two products of
 * each channel. All registers are taken: the compiler would keep half of the sums in memory. */
#define MCT_COLUMN(at)                                                                             \
    "ldr %[x], [%[upper]" at "]\n\tldr %[y], [%[lower]" at "]\n\t"                                 \
    "pkhbt %[v], %[x], %[y], lsl #16\n\tpkhtb %[y], %[y], %[x], asr #16\n\t"                       \
    "ldr %[x], [%[w]], #4\n\tsxtab16 %[u], %[offsets], %[v]\n\t"                                   \
    "smlad %[s0], %[u], %[x], %[s0]\n\t"                                                           \
    "ldr %[x], [%[w]], #4\n\tsxtab16 %[v], %[offsets], %[v], ror #8\n\t"                           \
    "smlad %[s1], %[v], %[x], %[s1]\n\t"                                                           \
    "ldrd %[x], %[v], [%[w]], #8\n\tsxtab16 %[u], %[offsets], %[y]\n\t"                            \
    "smlad %[s2], %[u], %[x], %[s2]\n\tsxtab16 %[y], %[offsets], %[y], ror #8\n\t"                 \
    "smlad %[s3], %[y], %[v], %[s3]\n\t"
#define MCT_COLUMNS(text)                                                                          \
    uint32_t x, y, u, v;                                                                           \
    __asm volatile(                                                                                \
        text                                                                                       \
        : [w] "+r"(*w), [s0] "+r"(s->sum0), [s1] "+r"(s->sum1), [s2] "+r"(s->sum2),                \
          [s3] "+r"(s->sum3), [x] "=&r"(x), [y] "=&r"(y), [u] "=&r"(u), [v] "=&r"(v)               \
        : [upper] "r"(upper), [lower] "r"(lower), [step] "r"(step), [offsets] "r"(offsets)         \
        : "memory")

static MCT_INLINED void add_column(const int8_t *upper, const int8_t *lower, int32_t step,
                                   const uint32_t **w, uint32_t offsets, sums_4 *s)
{
    MCT_COLUMNS(MCT_COLUMN(""));
}

static MCT_INLINED void add_three_columns(const int8_t *upper, const int8_t *lower, int32_t step,
                                          const uint32_t **w, uint32_t offsets, sums_4 *s)
{
    MCT_COLUMNS(MCT_COLUMN("") MCT_COLUMN(", %[step]") MCT_COLUMN(", %[step], lsl #1"));
}

#else

static MCT_INLINED void add_column(const int8_t *upper, const int8_t *lower, int32_t step,
                                   const uint32_t **w, uint32_t offsets, sums_4 *s)
{
    (void)step;
    const uint32_t left = mct_low_halves(mct_load4(upper), mct_load4(lower));
    const uint32_t right = mct_high_halves(mct_load4(upper), mct_load4(lower));
    const mct_two_words w_left = mct_load_two(w);
    const mct_two_words w_right = mct_load_two(w);
    s->sum0 = mct_multiply_pairs(mct_add_even(offsets, left), w_left.first, s->sum0);
    s->sum1 = mct_multiply_pairs(mct_add_odd(offsets, left), w_left.second, s->sum1);
    s->sum2 = mct_multiply_pairs(mct_add_even(offsets, right), w_right.first, s->sum2);
    s->sum3 = mct_multiply_pairs(mct_add_odd(offsets, right), w_right.second, s->sum3);
}

static MCT_INLINED void add_three_columns(const int8_t *upper, const int8_t *lower, int32_t step,
                                          const uint32_t **w, uint32_t offsets, sums_4 *s)
{
    for (int32_t k = 0; k < 3; k++) {
        add_column(upper + k * step, lower + k * step, step, w, offsets, s);
    }
}

#endif

static MCT_INLINED void add_two_rows(const int8_t *upper, const int8_t *lower, int32_t step,
                                     const uint32_t *w, int32_t columns, uint32_t offsets,
                                     sums_4 *s)
{
    for (; columns >= 3; columns -= 3, upper += 3 * step, lower += 3 * step) {
        add_three_columns(upper, lower, step, &w, offsets, s);
    }
    for (; columns > 0; columns--, upper += step, lower += step) {
        add_column(upper, lower, step, &w, offsets, s);
    }
}

static MCT_INLINED void add_row(const int8_t *row, int32_t step, const uint32_t *w, int32_t columns,
                                uint32_t offsets, sums_4 *s)
{
    for (; columns > 0; columns--, row += step) {
        const uint32_t four = mct_load4(row);
        const uint32_t even = mct_add_even(offsets, four);
        const uint32_t odd = mct_add_odd(offsets, four);
        const mct_two_words weights = mct_load_two(&w);
        s->sum0 = mct_multiply_low(even, weights.first, s->sum0);
        s->sum1 = mct_multiply_low(odd, weights.second, s->sum1);
        s->sum2 = mct_multiply_high(even, weights.first, s->sum2);
        s->sum3 = mct_multiply_high(odd, weights.second, s->sum3);
    }
}

/* The outputs of four channels at any positions. `out` is that of position 0. */
static MCT_NOINLINE void put_any(const layer *of, int32_t c, positions at, int8_t *out,
                                 int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t step = p->in_ch;
    const mct_requant *q = of->requants + c;
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    for (int32_t x = at.first; x < at.last; x++) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        const mct_columns columns = mct_window_columns(x_in, p->kernel_w, p->in_w);
        const int32_t count = columns.last - columns.first;
        const int32_t from = (x_in + columns.first) * step + c;
        const uint32_t *w = of->scratch + START + TWO_ROWS * columns.first;
        const int8_t *const *row = of->rows;
        sums_4 s = biases_of(of, c);
        for (int32_t pairs = of->row_count / 2; pairs > 0; pairs--, row += 2) {
            add_two_rows(row[0] + from, row[1] + from, step, w, count, offsets, &s);
            w += TWO_ROWS * p->kernel_w;
        }
        if (of->row_count % 2 != 0) {
            add_row(row[0] + from, step, w - (TWO_ROWS - ONE_ROW) * columns.first, count, offsets,
                    &s);
        }
        int8_t *to = out + x * out_step;
        to[0] = (int8_t)mct_requantize_any(s.sum0, q[0], p->out_offset);
        to[1] = (int8_t)mct_requantize_any(s.sum1, q[1], p->out_offset);
        to[2] = (int8_t)mct_requantize_any(s.sum2, q[2], p->out_offset);
        to[3] = (int8_t)mct_requantize_any(s.sum3, q[3], p->out_offset);
    }
}

/* The first sums of 3x3 windows, whose values are not centred: the biases, and the centre times
 * all weights. */
static void start_3x3(const layer *of, int32_t c)
{
    const uint32_t offsets = mct_pair(of->p->x_offset, of->p->x_offset);
    const uint32_t *w = of->scratch + START;
    sums_4 s = biases_of(of, c);
    for (int32_t kx = 0; kx < 3; kx++, w += TWO_ROWS) {
        s.sum0 = mct_multiply_pairs(offsets, w[0], s.sum0);
        s.sum1 = mct_multiply_pairs(offsets, w[1], s.sum1);
        s.sum2 = mct_multiply_pairs(offsets, w[2], s.sum2);
        s.sum3 = mct_multiply_pairs(offsets, w[3], s.sum3);
    }
    for (int32_t kx = 0; kx < 3; kx++, w += ONE_ROW) {
        s.sum0 = mct_multiply_low(offsets, w[0], s.sum0);
        s.sum1 = mct_multiply_low(offsets, w[1], s.sum1);
        s.sum2 = mct_multiply_high(offsets, w[0], s.sum2);
        s.sum3 = mct_multiply_high(offsets, w[1], s.sum3);
    }
    memcpy(of->scratch, &s, sizeof s);
}

/* The sums of the 3x3 window that begins at the three rows. */
static MCT_INLINED sums_4 sums_3x3(const int8_t *row0, const int8_t *row1, const int8_t *row2,
                                   int32_t step, const uint32_t *scratch)
{
    sums_4 s;
#ifdef __ARM_FEATURE_DSP
#define MCT_TWO(at, w0, w1, w2)                                                                    \
    "ldr %[x], [%[row0]" at "]\n\tldr %[y], [%[row1]" at "]\n\t"                                   \
    "pkhbt %[v], %[x], %[y], lsl #16\n\tpkhtb %[y], %[y], %[x], asr #16\n\t"                       \
    "ldr %[x], [%[w], #" w0 "]\n\tsxtb16 %[u], %[v]\n\tsmlad %[s0], %[u], %[x], %[s0]\n\t"         \
    "ldr %[x], [%[w], #" w1 "]\n\tsxtb16 %[v], %[v], ror #8\n\tsmlad %[s1], %[v], %[x], %[s1]\n\t" \
    "ldrd %[x], %[v], [%[w], #" w2 "]\n\tsxtb16 %[u], %[y]\n\tsmlad %[s2], %[u], %[x], %[s2]\n\t"  \
    "sxtb16 %[y], %[y], ror #8\n\tsmlad %[s3], %[y], %[v], %[s3]\n\t"
#define MCT_ONE(at, w0)                                                                            \
    "ldr %[x], [%[row2]" at "]\n\tldrd %[u], %[v], [%[w], #" w0 "]\n\t"                            \
    "sxtb16 %[y], %[x]\n\tsxtb16 %[x], %[x], ror #8\n\t"                                           \
    "smlabb %[s0], %[y], %[u], %[s0]\n\tsmlatt %[s2], %[y], %[u], %[s2]\n\t"                       \
    "smlabb %[s1], %[x], %[v], %[s1]\n\tsmlatt %[s3], %[x], %[v], %[s3]\n\t"
    uint32_t x, y, u, v;
    __asm volatile(
        "ldrd %[s0], %[s1], [%[w]]\n\tldrd %[s2], %[s3], [%[w], #8]\n\t" /* */
        MCT_TWO("", "16", "20", "24") MCT_TWO(", %[step]", "32", "36", "40")
            MCT_TWO(", %[step], lsl #1", "48", "52", "56") MCT_ONE("", "64")
                MCT_ONE(", %[step]", "72") MCT_ONE(", %[step], lsl #1", "80")
        : [s0] "=&r"(s.sum0), [s1] "=&r"(s.sum1), [s2] "=&r"(s.sum2), [s3] "=&r"(s.sum3),
          [x] "=&r"(x), [y] "=&r"(y), [u] "=&r"(u), [v] "=&r"(v)
        : [row0] "r"(row0), [row1] "r"(row1), [row2] "r"(row2), [step] "r"(step), [w] "r"(scratch)
        : "memory");
#undef MCT_TWO
#undef MCT_ONE
#else
    const uint32_t *w = scratch + START;
    memcpy(&s, scratch, sizeof s);
    add_two_rows(row0, row1, step, w, 3, 0, &s);
    add_row(row2, step, w + 3 * TWO_ROWS, 3, 0, &s);
#endif
    return s;
}

/* The outputs of four channels with fast ways at positions whose 3x3 windows lie inside. */
static MCT_NOINLINE void put_3x3(const layer *of, int32_t c, positions at, int8_t *out,
                                 int32_t out_step)
{
    const int32_t step = of->p->in_ch;
    const int32_t move = of->p->stride_w * step;
    const int32_t from = (at.first * of->p->stride_w - of->p->pad_left) * step + c;
    const int8_t *row0 = of->rows[0] + from;
    const int8_t *row1 = of->rows[1] + from;
    const int8_t *row2 = of->rows[2] + from;
    const uint32_t *scratch = of->scratch;
    const mct_requant *q = of->requants + c;
    const int8_t *end = out + at.last * out_step;
    for (out += at.first * out_step; out != end; out += out_step) {
        const sums_4 s = sums_3x3(row0, row1, row2, step, scratch);
        out[0] = (int8_t)mct_requantize_fast(s.sum0, q[0]);
        out[1] = (int8_t)mct_requantize_fast(s.sum1, q[1]);
        out[2] = (int8_t)mct_requantize_fast(s.sum2, q[2]);
        out[3] = (int8_t)mct_requantize_fast(s.sum3, q[3]);
        row0 += move;
        row1 += move;
        row2 += move;
    }
}

/* The outputs of four channels. */
static void put(const layer *of, int32_t c, positions at, int8_t *out, int32_t out_step)
{
    const mct_requant *q = of->requants + c;
    const bool is_fast = q[0].right != 0 && q[1].right != 0 && q[2].right != 0 && q[3].right != 0;
    const positions inside = {mct_clamp(of->inside.first, at.first, at.last),
                              mct_clamp(of->inside.last, at.first, at.last)};
    widen_weights(of, c);
    if (is_fast && of->row_count == 3 && of->p->kernel_w == 3 && inside.first < inside.last) {
        const positions before = {at.first, inside.first};
        const positions after = {inside.last, at.last};
        start_3x3(of, c);
        put_any(of, c, before, out, out_step);
        put_3x3(of, c, inside, out, out_step);
        put_any(of, c, after, out, out_step);
    } else {
        put_any(of, c, at, out, out_step);
    }
}

/* All channels at some positions. Channels that make no four come first, and are held until all
 * others are done. */
static void put_channels(const layer *of, positions at, int8_t *out_row)
{
    const int32_t channels = of->p->in_ch;
    const int32_t few = channels % CHANNELS;
    int8_t *held = (int8_t *)(of->scratch + START + ONE_ROW * of->p->kernel_h * of->p->kernel_w);
    if (few != 0) {
        put(of, 0, at, held, CHANNELS);
    }
    for (int32_t c = few; c < channels; c += CHANNELS) {
        put(of, c, at, out_row + c, channels);
    }
    for (int32_t x = at.first; few != 0 && x < at.last; x++) {
        memcpy(out_row + x * channels, held + x * CHANNELS, (size_t)few);
    }
}

/* A row of outputs, `block` positions at a time. */
static void put_row(const mct_depthwise_conv2d_params *p, const int8_t *const rows[],
                    const int8_t *w, const int32_t *b, const int8_t *w_l, const uint16_t *channel,
                    const int32_t *requant, uint32_t *scratch, int32_t block, int8_t *out_row)
{
    const mct_columns present = rows_present(rows, p->kernel_h);
    const int32_t room = p->in_w - p->kernel_w + p->pad_left;
    const layer of = {
        p,
        rows + present.first,
        w,
        w_l,
        channel,
        b,
        mct_requants(requant),
        scratch,
        present.last - present.first,
        present.first * p->kernel_w,
        {(p->pad_left + p->stride_w - 1) / p->stride_w, room < 0 ? 0 : room / p->stride_w + 1},
    };
    for (positions at = {0, block}; at.first < p->out_w; at.first = at.last, at.last += block) {
        put_channels(&of, at, out_row);
    }
    mct_clamp_outputs(out_row, p->out_w * p->out_ch, p->act_min, p->act_max);
}

void mct_depthwise_conv2d_dsp_s8_row(const mct_depthwise_conv2d_params *p,
                                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                                     const int8_t *w_l, const uint16_t *channel,
                                     const int32_t *requant, uint32_t *scratch, int8_t *out_row)
{
    put_row(p, rows, w, b, w_l, channel, requant, scratch, p->out_w, out_row);
}

/* How many positions at a time may have one channel after another, where the outputs lie over what
 * of the input has been read (trainer/ops/overlap.py): a row of them if the outputs of a channel
 * lie over the same channel, or over one before it that is done; else one. */
static int32_t block_of(const mct_depthwise_conv2d_params *p, const int8_t *x, const int8_t *out)
{
    const intptr_t distance = (intptr_t)x - (intptr_t)out;
    const bool apart =
        distance >= p->out_h * p->out_w * p->out_ch || -distance >= p->in_h * p->in_w * p->in_ch;
    return apart || distance % p->in_ch <= p->in_ch % CHANNELS ? p->out_w : 1;
}

void mct_depthwise_conv2d_dsp_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                 const int8_t *w, const int32_t *b, const int8_t *w_l,
                                 const uint16_t *channel, const int32_t *requant, uint32_t *scratch,
                                 int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const int32_t block = block_of(p, x, out);
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        put_row(p, rows, w, b, w_l, channel, requant, scratch, block, out);
    }
}
