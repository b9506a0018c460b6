/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of the RP2040 that start-up and link use: RP2040 datasheet, the sections beside each.
 */
#ifndef MCT_RP2040_REGISTERS_H
#define MCT_RP2040_REGISTERS_H

#include <stdint.h>

#define MCT_RP2040_REG(address) (*(volatile uint32_t *)(address))

/* 2.14: a peripheral is held in reset until its bit is cleared. */
#define RESETS_RESET_CLEAR MCT_RP2040_REG(0x4000c000u + 0x3000u) /* 2.1.2: clears what is 1 */
#define RESETS_DONE MCT_RP2040_REG(0x4000c008u)

/* 2.15: clocks; a glitchless multiplexer shows its source in SELECTED, one bit each. */
#define CLK_REF_CTRL MCT_RP2040_REG(0x40008030u)
#define CLK_REF_SELECTED MCT_RP2040_REG(0x40008038u)
#define CLK_SYS_CTRL MCT_RP2040_REG(0x4000803cu)
#define CLK_SYS_SELECTED MCT_RP2040_REG(0x40008044u)
#define CLK_PERI_CTRL MCT_RP2040_REG(0x40008048u)

/* 2.16: the crystal oscillator. */
#define XOSC_CTRL MCT_RP2040_REG(0x40024000u)
#define XOSC_STATUS MCT_RP2040_REG(0x40024004u)
#define XOSC_STARTUP MCT_RP2040_REG(0x4002400cu)

/* 2.18: the PLL of the system clock. */
#define PLL_SYS_CS MCT_RP2040_REG(0x40028000u)
#define PLL_SYS_PWR_CLEAR MCT_RP2040_REG(0x40028004u + 0x3000u)
#define PLL_SYS_FBDIV MCT_RP2040_REG(0x40028008u)
#define PLL_SYS_PRIM MCT_RP2040_REG(0x4002800cu)

/* 2.19: what drives a pin. */
#define GPIO_CTRL(pin) MCT_RP2040_REG(0x40014004u + 8u * (pin))

/* 4.2: UART0, a PL011. */
#define UART0_DR MCT_RP2040_REG(0x40034000u)
#define UART0_FR MCT_RP2040_REG(0x40034018u)
#define UART0_IBRD MCT_RP2040_REG(0x40034024u)
#define UART0_FBRD MCT_RP2040_REG(0x40034028u)
#define UART0_LCR_H MCT_RP2040_REG(0x4003402cu)
#define UART0_CR MCT_RP2040_REG(0x40034030u)
#define UART0_IMSC MCT_RP2040_REG(0x40034038u)

/* 4.10: the controller of the flash (SSI). */
#define SSI_CTRLR0 MCT_RP2040_REG(0x18000000u)
#define SSI_CTRLR1 MCT_RP2040_REG(0x18000004u)
#define SSI_ENABLE MCT_RP2040_REG(0x18000008u)
#define SSI_SER MCT_RP2040_REG(0x18000010u)
#define SSI_BAUDR MCT_RP2040_REG(0x18000014u)
#define SSI_SPI_CTRLR0 MCT_RP2040_REG(0x180000f4u)

/* 2.4.8: where the vector table lies. */
#define VTOR MCT_RP2040_REG(0xe000ed08u)

#endif
