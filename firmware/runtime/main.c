/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/port.h"
#include "runtime/session.h"

int main(void)
{
    mct_port_init();
    mct_session_init();
    for (;;) {
        uint8_t bytes[32];
        uint32_t nbytes = mct_port_read(bytes, sizeof bytes);
        if (nbytes == 0) {
            mct_port_wait();
        } else {
            mct_session_receive(bytes, nbytes);
        }
    }
}
