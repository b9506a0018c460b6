/* SPDX-License-Identifier: Apache-2.0 */
/* ARM MPS3 with AN547: UART 0 as the secure state sees it. */
#define MCT_CMSDK_UART 0x59303000u
#define MCT_CMSDK_UART_IRQ 33
#define MCT_CMSDK_UART_CLOCK 25
#include "ports/cortex_m/cmsdk_uart.h"
