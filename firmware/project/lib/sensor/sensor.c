/* SPDX-License-Identifier: Apache-2.0 */
/* THE FUNCTION TO FILL IN is sensor_read, at the end. Until then it makes a signal up: slow waves
 * for class 0, quick ones for class 1, at a random phase and with noise, as if somebody moved. The
 * model learns to tell them apart at once. test/ holds what comes out, bit for bit: when your own
 * sensor is here, test that instead.
 *
 * mct/quantize.h turns counts of a sensor into the int8 of a sample, without floating point. */
#include "sensor.h"

enum { ROWS = MODEL_ROWS, COLUMNS = MODEL_COLUMNS, CHANNELS = MODEL_CHANNELS }; /* of a sample */

static uint32_t randomness = 1;

static uint32_t random_byte(void)
{
    randomness = randomness * 1664525u + 1013904223u;
    return randomness >> 24;
}

/* A triangle of 256 steps, from -96 to 96. */
static int32_t wave(uint32_t angle)
{
    int32_t step = (int32_t)(angle & 255u);
    int32_t height = step < 128 ? step - 64 : 191 - step;
    return height * 3 / 2;
}

void sensor_read(int8_t *sample, uint32_t shown)
{
    const uint32_t down = shown == 0u ? 2u : 5u, across = shown == 0u ? 0u : 3u; /* waves */
    const uint32_t phase = random_byte();
    for (uint32_t row = 0; row < ROWS; row++) {
        for (uint32_t column = 0; column < COLUMNS; column++) {
            uint32_t angle = phase + row * down * 256u / ROWS + column * across * 256u / COLUMNS;
            for (uint32_t channel = 0; channel < CHANNELS; channel++) {
                int32_t noise = (int32_t)(random_byte() & 31u) - 16;
                *sample++ = (int8_t)(wave(angle + 40u * channel) + noise);
            }
        }
    }
}
