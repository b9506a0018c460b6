/* SPDX-License-Identifier: Apache-2.0 */
/* ARM MPS2 boards (mps2-an385, mps2-an386, mps2-an500): UART 0. */
#define MCT_CMSDK_UART 0x40004000u
#define MCT_CMSDK_UART_IRQ 0
#define MCT_CMSDK_UART_CLOCK 25
#include "ports/cortex_m/cmsdk_uart.h"
