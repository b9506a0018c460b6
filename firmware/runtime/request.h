/* SPDX-License-Identifier: Apache-2.0 */
/* A request as it is executed: what a frame holds, or what that holds sealed (runtime/seal.h). */
#ifndef MCT_REQUEST_H
#define MCT_REQUEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const uint8_t *payload;
    uint32_t nbytes;
    uint16_t seq;
    uint8_t type;
} mct_request;

#ifdef __cplusplus
}
#endif

#endif
