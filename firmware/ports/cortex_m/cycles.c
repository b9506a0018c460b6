/* SPDX-License-Identifier: Apache-2.0 */
#include "ports/cortex_m/cycles.h"

#include "mct/port.h"

#if MCT_CORTEX_M_COUNTS_CYCLES
uint32_t mct_port_cycles(void)
{
    return mct_cortex_m_cycles();
}
#endif
