/* SPDX-License-Identifier: Apache-2.0 */
/* ARM MPS2 with AN505: UART 0 as the secure state sees it. */
#define MCT_CMSDK_UART 0x50200000u
#define MCT_CMSDK_UART_IRQ 32
#define MCT_CMSDK_UART_CLOCK 20
#include "ports/cortex_m/cmsdk_uart.h"
