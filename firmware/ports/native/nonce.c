/* SPDX-License-Identifier: Apache-2.0 */
/* Of the system's generator of random numbers (getentropy, of glibc and the BSDs). */
#define _DEFAULT_SOURCE

#include "mct/port_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void mct_port_nonce(uint8_t *out)
{
    if (getentropy(out, MCT_NONCE_BYTES) != 0) {
        perror("getentropy");
        exit(1);
    }
}
