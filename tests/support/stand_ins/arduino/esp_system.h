/* SPDX-License-Identifier: Apache-2.0 */
/* Arduino on an ESP32 lies over ESP-IDF. */
#include "../espidf/esp_system.h"
