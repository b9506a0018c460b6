/* SPDX-License-Identifier: Apache-2.0 */
/* Your sensor. */
#ifndef SENSOR_H
#define SENSOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fills in one sample of MODEL_INPUT_BYTES. `shown` is for the made-up signal alone, which cannot
 * look at the world: the class that it shall show, 0 or 1. */
void sensor_read(int8_t *sample, uint32_t shown);

#ifdef __cplusplus
}
#endif

#endif
