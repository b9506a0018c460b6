/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ESP_ERR_H
#define ESP_ERR_H

#include "line.h"

typedef int esp_err_t;
#define ESP_OK 0
#define ESP_ERR_NOT_FOUND 0x105
#define ESP_ERROR_CHECK(call)                                                                      \
    do {                                                                                           \
        if ((call) != ESP_OK) {                                                                    \
            line_fault(#call);                                                                     \
        }                                                                                          \
    } while (0)

#endif
