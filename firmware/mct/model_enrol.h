/* SPDX-License-Identifier: Apache-2.0 */
/* The part of mct/model_latents.h, which includes it, that writes rows of the head from the means
 * of kept latents (SPEC 1.11). Twin of trainer/enrolment.py. A model that can be enrolled, and has
 * slots, defines
 *
 *   MCT_API_ENROL_W       the head's weights, a row for each class
 *   MCT_API_ENROL_B       its biases
 *   MCT_API_ENROL_FRAC    the fractions of its weights, if they have any
 *   MCT_API_ENROL_W_SUM, MCT_API_ENROL_B_SUM   sums of steps, if there are any
 *   MCT_API_ENROL_RATE, MCT_API_ENROL_RATE_SHIFT   the rates of its update (SPEC 1.5)
 *   MCT_API_ENROL_OFFSET  minus the zero point of the latent
 *   MCT_API_ENROL_SHIFT   what is added to the rate's shift
 *
 * Nothing is stored but the rows: means are computed again wherever they are read. */
#ifdef MCT_API_ENROL_W

#include "mct/fixedpoint.h"

enum {
    MCT_API(enrol_row) = MCT_API_CONST(LATENT_BYTES),
#ifdef MCT_API_ENROL_FRAC
    MCT_API(enrol_limit) = 127 * 256,
    MCT_API(enrol_fraction_bits) = 8
#else
    MCT_API(enrol_limit) = 127,
    MCT_API(enrol_fraction_bits) = 0
#endif
};

/* round(x / n), ties away from zero; |x| + n / 2 fits int32_t. */
static int32_t MCT_API(quotient)(int32_t x, int32_t n)
{
    int32_t magnitude = (int32_t)((mct_abs(x) + (uint32_t)n / 2u) / (uint32_t)n);
    return x < 0 ? -magnitude : magnitude;
}

/* round(x / 2^shift) within +-limit, ties toward +inf. */
static int64_t MCT_API(halved)(int64_t x, int32_t shift, int32_t limit)
{
    if (shift > 62 || x == 0) {
        return 0;
    }
    if (shift > 0) {
        x = (x >> shift) + ((x >> (shift - 1)) & 1);
    } else {
        /* What is beyond the limit stays so, whatever it is shifted by. */
        for (; shift < 0 && x <= limit && x >= -limit; shift++) {
            x *= 2;
        }
    }
    return x > limit ? limit : x < -limit ? -limit : x;
}

/* The label of a slot; MCT_ALL_CLASSES if it is empty, or its class is not in use. */
static uint32_t MCT_API(label_of)(uint32_t slot)
{
    uint32_t label = MCT_ALL_CLASSES;
#if MCT_API_LATENT_SLOTS > 0
    if (slot < MCT_API_LATENT_SLOTS) {
        label = MCT_API(slots_label)[slot] - 1u;
    }
#endif
#if MCT_API_FLASH_LATENTS > 0
    if (slot - MCT_API_LATENT_SLOTS < MCT_API_FLASH_LATENTS) {
        uint16_t found;
        MCT_COPY_FROM_FLASH(&found, MCT_API(flash_labels),
                            (slot - MCT_API_LATENT_SLOTS) * sizeof found, sizeof found);
        label = found;
    }
#endif
    return label < MCT_API_IN_USE ? label : MCT_ALL_CLASSES;
}

/* Element i of the latent in a slot that is not empty, less the zero point. */
static int32_t MCT_API(kept_value)(uint32_t slot, uint32_t i)
{
    int8_t value = 0;
#if MCT_API_LATENT_SLOTS > 0
    if (slot < MCT_API_LATENT_SLOTS) {
        value = MCT_API(slots)[slot][i];
    }
#endif
#if MCT_API_FLASH_LATENTS > 0
    if (slot - MCT_API_LATENT_SLOTS < MCT_API_FLASH_LATENTS) {
        MCT_COPY_FROM_FLASH(&value, MCT_API(flash_latents),
                            (slot - MCT_API_LATENT_SLOTS) * MCT_API_CONST(LATENT_BYTES) + i, 1);
    }
#endif
    return value + MCT_API_ENROL_OFFSET;
}

/* A: element i of the mean of a class, in 1/256. False if no slot has the class. */
static bool MCT_API(class_mean)(uint32_t label, uint32_t i, int32_t *mean)
{
    int32_t sum = 0, count = 0;
    for (uint32_t slot = 0; slot < MCT_API_LATENT_SLOTS + MCT_API_FLASH_LATENTS; slot++) {
        if (MCT_API(label_of)(slot) == label) {
            sum += MCT_API(kept_value)(slot, i); /* 255 * 32,767 at most */
            count++;
        }
    }
    *mean = count > 0 ? MCT_API(quotient)(sum * 256, count) : 0;
    return count > 0;
}

/* m: element i of the mean of the means; 0 if there is none. */
static int32_t MCT_API(centre)(uint32_t i, int32_t *classes)
{
    int32_t sum = 0, mean;
    *classes = 0;
    for (uint32_t label = 0; label < MCT_API_IN_USE; label++) {
        if (MCT_API(class_mean)(label, i, &mean)) {
            sum += mean; /* 65,280 * 32,767 at most */
            *classes += 1;
        }
    }
    return *classes > 0 ? MCT_API(quotient)(sum, *classes) : 0;
}

/* t, the least with mean(|D|^2) <= 2^t, and the sum of the squares of the centre. */
static int32_t MCT_API(spread)(int64_t *centre_square)
{
    int64_t total = 0;
    int32_t classes = 0, t = 0;
    *centre_square = 0;
    for (uint32_t i = 0; i < MCT_API(enrol_row); i++) {
        int32_t centre = MCT_API(centre)(i, &classes), mean;
        *centre_square += (int64_t)centre * centre;
        for (uint32_t label = 0; label < MCT_API_IN_USE; label++) {
            if (MCT_API(class_mean)(label, i, &mean)) {
                int32_t coarse = mct_near(mean - centre, 4);
                total += coarse * coarse;
            }
        }
    }
    while (total > (int64_t)classes << t) {
        t++;
    }
    return t;
}

/* By how many more bits the rows are shifted, so that none passes its limit. */
static int32_t MCT_API(narrowing)(int32_t base)
{
    int32_t r = 0, classes, mean;
    for (uint32_t i = 0; i < MCT_API(enrol_row); i++) {
        int32_t centre = MCT_API(centre)(i, &classes);
        for (uint32_t label = 0; label < MCT_API_IN_USE; label++) {
            if (!MCT_API(class_mean)(label, i, &mean)) {
                continue;
            }
            int64_t most = (int64_t)mct_abs(mean - centre) * MCT_API_ENROL_RATE[label];
            int32_t shift = base + MCT_API_ENROL_RATE_SHIFT[label];
            while (MCT_API(halved)(most, shift + r, MCT_API(enrol_limit) + 1) >
                   MCT_API(enrol_limit)) {
                r++;
            }
        }
    }
    return r;
}

static void MCT_API(write_weight)(uint32_t index, int32_t m)
{
#ifdef MCT_API_ENROL_FRAC
    MCT_API_ENROL_W[index] = (int8_t)((m + 128) >> 8);
    MCT_API_ENROL_FRAC[index] = (int8_t)m; /* the rest is what the low byte holds */
#else
    MCT_API_ENROL_W[index] = (int8_t)m;
#endif
#ifdef MCT_API_ENROL_W_SUM
    MCT_API_ENROL_W_SUM[index] = 0;
#endif
}

/* The row of a class, and its bias. */
static void MCT_API(write_row)(uint32_t label, int32_t base, int64_t centre_square)
{
    const int32_t rate = MCT_API_ENROL_RATE[label];
    int32_t shift = base + MCT_API_ENROL_RATE_SHIFT[label], classes, mean;
    int64_t squares = -centre_square;
    if (rate == 0) {
        return; /* dead */
    }
    for (uint32_t i = 0; i < MCT_API(enrol_row); i++) {
        int32_t centre = MCT_API(centre)(i, &classes);
        (void)MCT_API(class_mean)(label, i, &mean);
        squares += (int64_t)mean * mean;
        int64_t product = (int64_t)(mean - centre) * rate;
        MCT_API(write_weight)
        (label * MCT_API(enrol_row) + i,
         (int32_t)MCT_API(halved)(product, shift, MCT_API(enrol_limit)));
    }
    shift += 9 + MCT_API(enrol_fraction_bits);
    MCT_API_ENROL_B[label] = (int32_t)-MCT_API(halved)(squares * rate, shift, INT32_C(1) << 30);
#ifdef MCT_API_ENROL_B_SUM
    MCT_API_ENROL_B_SUM[label] = 0;
#endif
#ifdef MCT_API_SEEN
    MCT_API_SEEN[label / 32u] |= UINT32_C(1) << (label % 32u);
#endif
}

/* How many classes the slots have, and whether the class is one of them. */
static int32_t MCT_API(kept_classes)(uint32_t label, bool *has_label)
{
    int32_t classes = 0, mean;
    *has_label = label == MCT_ALL_CLASSES || MCT_API(class_mean)(label, 0u, &mean);
    (void)MCT_API(centre)(0u, &classes);
    return classes;
}

mct_status MCT_API(enrol)(uint32_t label)
{
    bool has_label = false;
    int64_t centre_square = 0;
    int32_t mean;
    if (MCT_API(busy_now)) {
        return MCT_ERR_BUSY;
    }
    if (label != MCT_ALL_CLASSES && label >= MCT_API_IN_USE) {
        return MCT_ERR_LABEL;
    }
    if (MCT_API(kept_classes)(label, &has_label) < 2 || !has_label) {
        return MCT_ERR_SAMPLE;
    }
    int32_t base = MCT_API_ENROL_SHIFT + MCT_API(spread)(&centre_square);
    base += MCT_API(narrowing)(base);
    for (uint32_t c = 0; c < MCT_API_IN_USE; c++) {
        if ((label == MCT_ALL_CLASSES && MCT_API(class_mean)(c, 0u, &mean)) || label == c) {
            MCT_API(write_row)(c, base, centre_square);
        }
    }
    return MCT_OK;
}

#else

mct_status MCT_API(enrol)(uint32_t label)
{
    (void)label;
    return MCT_ERR_RANGE;
}

#endif

#undef MCT_API_ENROL_W
#undef MCT_API_ENROL_B
#undef MCT_API_ENROL_FRAC
#undef MCT_API_ENROL_W_SUM
#undef MCT_API_ENROL_B_SUM
#undef MCT_API_ENROL_RATE
#undef MCT_API_ENROL_RATE_SHIFT
#undef MCT_API_ENROL_OFFSET
#undef MCT_API_ENROL_SHIFT
