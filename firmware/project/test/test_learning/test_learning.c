/* SPDX-License-Identifier: Apache-2.0 */
/* Does the model learn what the sensor shows, and is every bit that of the reference? Runs on this
 * computer: pio test -e native */
#include <stdio.h>

#include "expected.h"
#include "model.h"
#include "sensor.h"

static int8_t sample[MODEL_INPUT_BYTES];

static void check(const char *what, bool is_right, uint32_t found, uint32_t wanted)
{
    printf("%s: %s (found %u, expected %u)\n", is_right ? "PASS" : "FAIL", what, (unsigned)found,
           (unsigned)wanted);
}

/* How many samples are recognised; *as_expected says whether the answers are the reference's. */
static uint32_t count_right(const uint8_t *answers, bool *as_expected)
{
    uint32_t right = 0;
    for (uint32_t n = 0; n < EXPECTED_SAMPLES; n++) {
        sensor_read(sample, n % 2);
        bool is_done = model_push(0, sample, sizeof sample) == MCT_OK && model_infer() == MCT_OK;
        right += is_done && model_predicted() == n % 2;
        *as_expected = *as_expected && is_done && model_predicted() == answers[n];
    }
    return right;
}

/* How many steps leave what the reference's leave, from the first on. */
static uint32_t count_equal_steps(void)
{
    uint32_t step = 0;
    for (; step < EXPECTED_STEPS; step++) {
        sensor_read(sample, step % 2);
        if (model_push(0, sample, sizeof sample) != MCT_OK || model_step(step % 2) != MCT_OK ||
            model_digest() != expected_digests[step]) {
            break;
        }
    }
    return step;
}

int main(void)
{
    bool as_expected = true;
    model_reset(EXPECTED_SEED);
    uint32_t before = count_right(expected_before, &as_expected);
    uint32_t steps = count_equal_steps();
    uint32_t after = count_right(expected_after, &as_expected);
    check("every step is bit for bit the reference's", steps == EXPECTED_STEPS, steps,
          EXPECTED_STEPS);
    check("every answer is the reference's", as_expected, as_expected, 1);
    check("it recognises more than before", after > before, after, EXPECTED_SAMPLES);
    return 0;
}
