/* SPDX-License-Identifier: Apache-2.0 */
/* Exception handlers of the MPS2 port. */
#ifndef MCT_MPS2_VECTORS_H
#define MCT_MPS2_VECTORS_H

enum { MCT_MPS2_UART_RX_IRQ = 0 };

void mct_mps2_reset(void);
void mct_mps2_fault(void);
void mct_mps2_uart_rx(void);

#endif
