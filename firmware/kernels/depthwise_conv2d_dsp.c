/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/depthwise_conv2d_dsp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/depthwise_3x3_dsp.h"
#include "kernels/window.h"
#include "mct/dsp.h"
#include "mct/model.h"

/* The columns of so many positions are widened at once; of windows with few rows, which have
 * another way if they are 3x3, those of one. */
enum { FEW_ROWS = 3, POSITIONS = 8 };

/* Widens columns of four channels of two rows, which begin `step` apart; they are written `to_step`
 * words apart. */
static MCT_NOINLINE void widen_pairs(const int8_t *upper, const int8_t *lower, int32_t step,
                                     int32_t columns, uint32_t offsets, uint32_t *to,
                                     int32_t to_step)
{
    for (; columns > 0; columns--, upper += step, lower += step, to += to_step) {
        const uint32_t left = mct_low_halves(mct_load4(upper), mct_load4(lower));
        const uint32_t right = mct_high_halves(mct_load4(upper), mct_load4(lower));
        mct_store_two(to, mct_add_even(offsets, left), mct_add_odd(offsets, left));
        mct_store_two(to + 2, mct_add_even(offsets, right), mct_add_odd(offsets, right));
    }
}

/* What learns of four channels of a layer learned in part, over the zeros in its frozen weights. */
static MCT_NOINLINE void widen_learned(const mct_depthwise_layer *of, int32_t c)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t learned = p->learned_ch;
    const int32_t pair_halves = 2 * MCT_PAIR_WORDS * of->pairs * p->kernel_w;
    for (int32_t k = 0; k < learned; k++) {
        const int32_t lane = of->channel[k] - c;
        const int8_t *w = of->w_l + of->first * p->kernel_w * learned + k;
        for (int32_t ky = 0;
             lane >= 0 && lane < MCT_DEPTHWISE_CHANNELS && ky < 2 * of->pairs + of->odd; ky++) {
            const int32_t at = ky == 2 * of->pairs
                                   ? pair_halves + 2 * (lane % 2) + lane / 2
                                   : 2 * (MCT_PAIR_WORDS * (ky / 2) + lane) + ky % 2;
            const int32_t step =
                ky == 2 * of->pairs ? 2 * MCT_ODD_WORDS : 2 * MCT_PAIR_WORDS * of->pairs;
            for (int32_t kx = 0; kx < p->kernel_w; kx++, w += learned) {
                const int16_t weight = *w;
                memcpy((int16_t *)(void *)of->scratch + at + kx * step, &weight, sizeof weight);
            }
        }
    }
}

/* Writes the weights of four channels to scratch. */
static void widen_weights(const mct_depthwise_layer *of, int32_t c)
{
    const int32_t columns = of->p->kernel_w;
    const int32_t step = of->p->in_ch;
    const int8_t *w = of->w + of->first * columns * step + c;
    uint32_t *to = of->scratch;
    for (int32_t k = 0; k < of->pairs; k++, w += 2 * columns * step) {
        widen_pairs(w, w + columns * step, step, columns, 0, to + MCT_PAIR_WORDS * k,
                    MCT_PAIR_WORDS * of->pairs);
    }
    to += MCT_PAIR_WORDS * of->pairs * columns;
    for (int32_t k = 0; of->odd != 0 && k < columns; k++, w += step, to += MCT_ODD_WORDS) {
        const uint32_t four = mct_load4(w);
        mct_store_two(to, mct_even(four), mct_odd(four));
    }
    if (of->p->learned_ch != 0) {
        widen_learned(of, c);
    }
}

/* Writes the pairs of the columns of `count` positions, of which the first begins at column x_in.
 * Returns the first column. */
static int32_t widen_columns(const mct_depthwise_layer *of, int32_t c, int32_t x_in, int32_t count)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t left = mct_clamp(x_in, 0, p->in_w);
    const int32_t right = mct_clamp(x_in + (count - 1) * p->stride_w + p->kernel_w, left, p->in_w);
    const int32_t at = left * p->in_ch + c;
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    for (int32_t k = 0; k < of->pairs; k++) {
        widen_pairs(of->rows[2 * k] + at, of->rows[2 * k + 1] + at, p->in_ch, right - left, offsets,
                    of->values + MCT_PAIR_WORDS * k, MCT_PAIR_WORDS * of->pairs);
    }
    return left;
}

#if defined __ARM_FEATURE_DSP && defined __OPTIMIZE__

/* Loops as the compiler would not write them: it loads fewer words at once, and keeps half of the
 * sums in memory. Each of them moves *w behind the weights that it takes. */
#define MCT_SUMS                                                                                   \
    [w] "+r"(*w), [s0] "+r"(s->sum0), [s1] "+r"(s->sum1), [s2] "+r"(s->sum2), [s3] "+r"(s->sum3)

#define MCT_MEET_PAIR                                                                              \
    "ldmia %[x]!, {r0, r1, r2, r3}\n\tldrd %[u], %[v], [%[w]], #8\n\t"                             \
    "smlad %[s0], r0, %[u], %[s0]\n\tsmlad %[s1], r1, %[v], %[s1]\n\t"                             \
    "ldrd %[u], %[v], [%[w]], #8\n\t"                                                              \
    "smlad %[s2], r2, %[u], %[s2]\n\tsmlad %[s3], r3, %[v], %[s3]\n\t"
#define MCT_ADD_PAIRS(text)                                                                        \
    __asm volatile(text                                                                            \
                   : [x] "+r"(x), MCT_SUMS, [u] "=&r"(u), [v] "=&r"(v)                             \
                   : [end] "m"(end)                                                                \
                   : "r0", "r1", "r2", "r3", "cc", "memory")

/* The products of widened pairs. */
static MCT_INLINED void add_pairs(const uint32_t *x, const uint32_t **w, int32_t pairs,
                                  mct_depthwise_sums *s)
{
    uint32_t u, v;
    const uint32_t *const end = *w + MCT_PAIR_WORDS * pairs; /* in memory: no register is left */
    if (pairs % 2 != 0) {
        MCT_ADD_PAIRS(MCT_MEET_PAIR);
    }
    if (pairs > 1) {
        MCT_ADD_PAIRS("1:\n\t" MCT_MEET_PAIR MCT_MEET_PAIR
                      "ldr r0, %[end]\n\tcmp %[w], r0\n\tbne 1b");
    }
}

#define MCT_MEET_ONE(at)                                                                           \
    "ldr %[t], [%[x]" at "]\n\tldrd %[u], %[v], [%[w]], #8\n\t"                                    \
    "sxtab16 %[y], %[offsets], %[t]\n\tsxtab16 %[t], %[offsets], %[t], ror #8\n\t"                 \
    "smlabb %[s0], %[y], %[u], %[s0]\n\tsmlatt %[s2], %[y], %[u], %[s2]\n\t"                       \
    "smlabb %[s1], %[t], %[v], %[s1]\n\tsmlatt %[s3], %[t], %[v], %[s3]\n\t"
#define MCT_ADD_ONE(text)                                                                          \
    __asm volatile(text                                                                            \
                   : MCT_SUMS, [t] "=&r"(t), [y] "=&r"(y), [u] "=&r"(u), [v] "=&r"(v)              \
                   : [x] "r"(x), [step] "r"(step), [offsets] "r"(offsets)                          \
                   : "memory")

/* The products of columns of the odd row. */
static MCT_INLINED void add_row(const int8_t *x, int32_t step, uint32_t offsets, const uint32_t **w,
                                int32_t columns, mct_depthwise_sums *s)
{
    uint32_t t, y, u, v;
    for (; columns >= 3; columns -= 3, x += 3 * step) {
        MCT_ADD_ONE(MCT_MEET_ONE("") MCT_MEET_ONE(", %[step]") MCT_MEET_ONE(", %[step], lsl #1"));
    }
    for (; columns > 0; columns--, x += step) {
        MCT_ADD_ONE(MCT_MEET_ONE(""));
    }
}

#else

static void add_pairs(const uint32_t *x, const uint32_t **w, int32_t pairs, mct_depthwise_sums *s)
{
    for (; pairs > 0; pairs--, x += MCT_PAIR_WORDS, *w += MCT_PAIR_WORDS) {
        s->sum0 = mct_multiply_pairs(x[0], (*w)[0], s->sum0);
        s->sum1 = mct_multiply_pairs(x[1], (*w)[1], s->sum1);
        s->sum2 = mct_multiply_pairs(x[2], (*w)[2], s->sum2);
        s->sum3 = mct_multiply_pairs(x[3], (*w)[3], s->sum3);
    }
}

static void add_row(const int8_t *x, int32_t step, uint32_t offsets, const uint32_t **w,
                    int32_t columns, mct_depthwise_sums *s)
{
    for (; columns > 0; columns--, x += step, *w += MCT_ODD_WORDS) {
        const uint32_t even = mct_add_even(offsets, mct_load4(x));
        const uint32_t odd = mct_add_odd(offsets, mct_load4(x));
        s->sum0 = mct_multiply_low(even, (*w)[0], s->sum0);
        s->sum1 = mct_multiply_low(odd, (*w)[1], s->sum1);
        s->sum2 = mct_multiply_high(even, (*w)[0], s->sum2);
        s->sum3 = mct_multiply_high(odd, (*w)[1], s->sum3);
    }
}

#endif

/* The outputs of any channels. */
static MCT_NOINLINE void put_any(mct_depthwise_sums s, const mct_requant *q, int32_t offset,
                                 int8_t *out)
{
    out[0] = (int8_t)mct_requantize_any(s.sum0, q[0], offset);
    out[1] = (int8_t)mct_requantize_any(s.sum1, q[1], offset);
    out[2] = (int8_t)mct_requantize_any(s.sum2, q[2], offset);
    out[3] = (int8_t)mct_requantize_any(s.sum3, q[3], offset);
}

static bool is_fast(const mct_requant *q)
{
    return q[0].right != 0 && q[1].right != 0 && q[2].right != 0 && q[3].right != 0;
}

/* What the outputs of four channels at some positions are made of: the columns of their windows
 * that lie in the input, of which the first one begin at column `from`. */
typedef struct {
    mct_columns columns;
    int32_t from;
    int32_t count; /* of positions */
} windows;

/* Windows whose pairs lie in scratch from column `left` on. */
static MCT_NOINLINE void put_windows(const mct_depthwise_layer *of, int32_t c, windows some,
                                     int32_t left, bool fast, int8_t *out, int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const int32_t step = p->in_ch;
    const int32_t columns = some.columns.last - some.columns.first;
    const int32_t words = MCT_PAIR_WORDS * of->pairs; /* of a column */
    const uint32_t offsets = mct_pair(p->x_offset, p->x_offset);
    const uint32_t *values = of->values + words * (some.from - left);
    const int8_t *odd = of->odd != 0 ? of->rows[2 * of->pairs] + some.from * step + c : NULL;
    const uint32_t *const w_pairs = of->scratch + words * some.columns.first;
    const uint32_t *const w_odd =
        of->scratch + words * p->kernel_w + MCT_ODD_WORDS * some.columns.first;
    const mct_requant *const q = of->requants + c;
    const mct_depthwise_sums biases = mct_depthwise_biases(of, c);
    for (const int8_t *end = out + some.count * out_step; out != end; out += out_step) {
        mct_depthwise_sums s = biases;
        const uint32_t *w = w_pairs;
        add_pairs(values, &w, of->pairs * columns, &s);
        values += words * p->stride_w;
        if (odd != NULL) {
            w = w_odd;
            add_row(odd, step, offsets, &w, columns, &s);
            odd += step * p->stride_w;
        }
        if (fast) {
            mct_depthwise_put_fast(s, q, out);
        } else {
            put_any(s, q, p->out_offset, out);
        }
    }
}

/* Makes what is needed of the weights of four channels. */
static void widen(mct_depthwise_layer *of, int32_t c)
{
    of->fast = is_fast(of->requants + c);
    of->is_3x3 = of->fast && of->has_3x3 &&
                 mct_depthwise_can_double(of->b != NULL ? of->b + c : NULL, of->requants + c);
    if (of->is_3x3) {
        widen_3x3(of, c);
    } else {
        widen_weights(of, c);
    }
}

/* The outputs of four channels, whose weights were widened, at some positions. */
static MCT_NOINLINE void put_in_blocks(const mct_depthwise_layer *of, int32_t c, mct_positions at,
                                       int8_t *out, int32_t out_step)
{
    const mct_depthwise_conv2d_params *p = of->p;
    int32_t left = 0, widened = at.first; /* positions whose pairs lie in scratch */
    for (int32_t x = at.first; x < at.last;) {
        const int32_t x_in = x * p->stride_w - p->pad_left;
        if (x == widened) {
            const int32_t wide = p->kernel_h > FEW_ROWS ? POSITIONS : 1;
            const int32_t most =
                of->pairs == 0 ? at.last : wide; /* of one row nothing is widened */
            widened = at.last - x < most ? at.last : x + most;
            left = widen_columns(of, c, x_in, widened - x);
        }
        windows now = {mct_window_columns(x_in, p->kernel_w, p->in_w), 0, 1};
        now.from = x_in + now.columns.first;
        if (x >= of->inside.first && x < of->inside.last) {
            now.count = (of->inside.last < widened ? of->inside.last : widened) - x;
        }
        put_windows(of, c, now, left, of->fast, out, out_step);
        x += now.count;
        out += now.count * out_step;
    }
}

static inline void put(const mct_depthwise_layer *of, int32_t c, mct_positions at, int8_t *out,
                       int32_t out_step)
{
    if (of->is_3x3) {
        mct_depthwise_3x3_dsp(of, c, at, out, out_step);
    } else {
        put_in_blocks(of, c, at, out, out_step);
    }
}

/* So that those which are set next are others. */
static void forget_rows(mct_depthwise_layer *of)
{
    of->first = -1;
    of->pairs = of->odd = 0;
}

static MCT_NOINLINE void set_layer(mct_depthwise_layer *of, const mct_depthwise_conv2d_params *p,
                                   const int8_t *w, const int32_t *b, const int8_t *w_l,
                                   const uint16_t *channel, const int32_t *requant,
                                   uint32_t *scratch)
{
    const int32_t room = p->in_w - p->kernel_w + p->pad_left;
    const int32_t held = p->in_ch % MCT_DEPTHWISE_CHANNELS != 0 ? POSITIONS : 0;
    of->p = p;
    of->inside.first = (p->pad_left + p->stride_w - 1) / p->stride_w;
    of->inside.last = room < 0 ? 0 : room / p->stride_w + 1;
    of->w = w;
    of->w_l = w_l;
    of->channel = channel;
    of->b = b;
    of->requants = mct_requants(requant);
    of->scratch = scratch + held;
    of->values = of->scratch + MCT_ODD_WORDS * p->kernel_h * p->kernel_w;
    forget_rows(of);
}

/* Sets the rows of a window that are not padding: none, or some one after another. Returns whether
 * they are not those that were set before, so that weights must be widened anew. */
static bool set_rows(mct_depthwise_layer *of, const int8_t *const rows[])
{
    mct_columns present = {0, of->p->kernel_h};
    while (present.first < present.last && rows[present.first] == NULL) {
        present.first++;
    }
    while (present.last > present.first && rows[present.last - 1] == NULL) {
        present.last--;
    }
    const int32_t count = present.last - present.first;
    const bool are_others = of->first != present.first || 2 * of->pairs + of->odd != count;
    of->rows = rows + present.first;
    of->first = present.first;
    of->pairs = count / 2;
    of->odd = count % 2;
    of->has_3x3 = of->pairs == 1 && mct_depthwise_is_3x3(of->p);
    return are_others;
}

/* All channels at some positions. Channels that make no four come first: with others that have
 * their turn again, or if those must not be touched yet, into `held` until all others are done. */
static void put_channels(mct_depthwise_layer *of, mct_positions at, int8_t *held, int8_t *out_row)
{
    const int32_t channels = of->p->in_ch;
    const int32_t few = channels % MCT_DEPTHWISE_CHANNELS;
    int8_t *out = out_row + at.first * channels;
    if (few != 0) {
        widen(of, 0);
        put(of, 0, at, held == NULL ? out : held, held == NULL ? channels : MCT_DEPTHWISE_CHANNELS);
    }
    for (int32_t c = few; c < channels; c += MCT_DEPTHWISE_CHANNELS) {
        widen(of, c);
        put(of, c, at, out + c, channels);
    }
    for (int32_t x = at.first; few != 0 && held != NULL && x < at.last; x++) {
        memcpy(out, held, (size_t)few);
        held += MCT_DEPTHWISE_CHANNELS;
        out += channels;
    }
}

/* All channels of a block of positions, then the next block; `held` as above. */
static void put_row(mct_depthwise_layer *of, int32_t block, int8_t *held, int8_t *out_row)
{
    const mct_depthwise_conv2d_params *p = of->p;
    for (mct_positions at = {0, 0}; at.first < p->out_w; at.first = at.last) {
        at.last = p->out_w - at.first < block ? p->out_w : at.first + block;
        put_channels(of, at, held, out_row);
    }
    mct_clamp_outputs(out_row, p->out_w * p->out_ch, p->act_min, p->act_max);
}

void mct_depthwise_conv2d_dsp_s8_row(const mct_depthwise_conv2d_params *p,
                                     const int8_t *const rows[], const int8_t *w, const int32_t *b,
                                     const int8_t *w_l, const uint16_t *channel,
                                     const int32_t *requant, uint32_t *scratch, int8_t *out_row)
{
    mct_depthwise_layer of;
    set_layer(&of, p, w, b, w_l, channel, requant, scratch);
    (void)set_rows(&of, rows);
    put_row(&of, p->out_w, NULL, out_row);
}

/* In which order the outputs of a layer may be written: four channels of all of them, and so on; or
 * all channels of a block of positions, then the next block, and whether channels that make no four
 * are held. */
typedef struct {
    bool is_by_channels;
    int32_t block;
    bool is_held;
} order;

/* Where the outputs lie over what of the input has been read (trainer/ops/overlap.py), channel by
 * channel is safe only if outputs lie over values of their own channel, or within a block over
 * those of one before it, which is done: so a first few channels that are held may lie over the
 * last ones. */
static order order_of(const mct_depthwise_conv2d_params *p, const int8_t *x, const int8_t *out)
{
    const intptr_t distance = (intptr_t)x - (intptr_t)out;
    const int32_t few = p->in_ch % MCT_DEPTHWISE_CHANNELS;
    if (distance >= p->out_h * p->out_w * p->out_ch || -distance >= p->in_h * p->in_w * p->in_ch) {
        return (order){true, p->out_w, false};
    }
    if (few == 0) {
        return distance % p->in_ch == 0 ? (order){true, p->out_w, false} : (order){false, 1, false};
    }
    return (order){false, distance % p->in_ch <= few ? POSITIONS : 1, true};
}

/* Four channels at all positions. Weights are widened anew only where other rows of a window lie in
 * the input: behind a window with all rows, one that has them, too, is only further down. */
static void put_four(mct_depthwise_layer *of, const int8_t *x, int32_t c, int8_t *out)
{
    const mct_depthwise_conv2d_params *p = of->p;
    const mct_positions all = {0, p->out_w};
    const int32_t row = p->in_w * p->in_ch;
    const int32_t kernel_h = p->kernel_h;
    const int8_t *rows[MCT_MAX_KERNEL_H];
    int32_t top = -p->pad_top;
    bool is_whole = false;
    forget_rows(of);
    out += c;
    for (int32_t left = p->out_h; left > 0;
         left--, top += p->stride_h, out += p->out_w * p->in_ch) {
        if (is_whole && top + kernel_h <= p->in_h) {
            for (int32_t ky = 0; ky < kernel_h; ky++) {
                rows[ky] += p->stride_h * row;
            }
        } else {
            mct_window_rows(x, row, p->in_h, top, kernel_h, rows);
            if (set_rows(of, rows)) {
                widen(of, c);
            }
            is_whole = 2 * of->pairs + of->odd == kernel_h;
        }
        put(of, c, all, out, p->in_ch);
    }
}

void mct_depthwise_conv2d_dsp_s8(const mct_depthwise_conv2d_params *p, const int8_t *x,
                                 const int8_t *w, const int32_t *b, const int8_t *w_l,
                                 const uint16_t *channel, const int32_t *requant, uint32_t *scratch,
                                 int8_t *out)
{
    const int8_t *rows[MCT_MAX_KERNEL_H];
    const order in = order_of(p, x, out);
    const int32_t few = p->in_ch % MCT_DEPTHWISE_CHANNELS;
    mct_depthwise_layer of;
    set_layer(&of, p, w, b, w_l, channel, requant, scratch);
    if (in.is_by_channels && p->out_h > 1 && mct_depthwise_is_3x3(p)) { /* others gain nothing */
        /* Channels that make no four come first, with others that have their turn again. */
        for (int32_t c = few == 0 ? 0 : few - MCT_DEPTHWISE_CHANNELS; c < p->in_ch;
             c += MCT_DEPTHWISE_CHANNELS) {
            put_four(&of, x, c < 0 ? 0 : c, out);
        }
        mct_clamp_outputs(out, p->out_h * p->out_w * p->out_ch, p->act_min, p->act_max);
        return;
    }
    for (int32_t y = 0; y < p->out_h; y++, out += p->out_w * p->out_ch) {
        mct_window_rows(x, p->in_w * p->in_ch, p->in_h, y * p->stride_h - p->pad_top, p->kernel_h,
                        rows);
        (void)set_rows(&of, rows);
        put_row(&of, in.block, in.is_held ? (int8_t *)scratch : NULL, out);
    }
}
