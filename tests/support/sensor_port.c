/* SPDX-License-Identifier: Apache-2.0 */
/* The native port with a sensor: sample n holds n, n + 1, ... (modulo 200, less 100). By the
 * environment, SENSOR_READY=N gives N samples in all, SENSOR_EVERY=N one at every Nth question, and
 * SENSOR_LABEL=L says that a button holds class L. */
#include "../../firmware/ports/native/port.c"

#include "mct_selected_model.h"

static uint32_t of_environment(const char *name, uint32_t else_value)
{
    const char *text = getenv(name);
    return text == NULL ? else_value : (uint32_t)strtoul(text, NULL, 10);
}

bool mct_port_sample(int8_t *sample, uint32_t *label)
{
    static uint32_t asked, given;
    asked++;
    if (given == of_environment("SENSOR_READY", 1000000) ||
        asked % of_environment("SENSOR_EVERY", 1) != 0) {
        return false;
    }
    for (uint32_t k = 0; k < (uint32_t)MCT_MODEL_CONST(INPUT_BYTES); k++) {
        sample[k] = (int8_t)((int32_t)((given + k) % 200) - 100);
    }
    *label = of_environment("SENSOR_LABEL", MCT_NO_LABEL);
    given++;
    return true;
}
