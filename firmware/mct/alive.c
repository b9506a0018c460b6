/* SPDX-License-Identifier: Apache-2.0 */
#include "mct/alive.h"

__attribute__((weak)) void mct_port_alive(void)
{
}
