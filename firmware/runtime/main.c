/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/port.h"
#include "runtime/session.h"

int main(void)
{
    mct_session_init();
    mct_port_init();
    for (;;) {
        bool is_idle = !mct_session_work();
        mct_port_receive(is_idle);
    }
}
