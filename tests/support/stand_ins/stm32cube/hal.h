/* SPDX-License-Identifier: Apache-2.0 */
/* What the HALs of the three families have in common, as ports/stm32cube sees it. The family's own
 * header comes first. */
#ifndef HAL_H
#define HAL_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { HAL_OK, HAL_ERROR, HAL_BUSY, HAL_TIMEOUT } HAL_StatusTypeDef;

HAL_StatusTypeDef HAL_Init(void);
void HAL_IncTick(void);
#define HAL_MAX_DELAY 0xffffffffu

/* The chip's unique number, and what reset it. */
uint32_t HAL_GetUIDw0(void);
uint32_t HAL_GetUIDw1(void);
uint32_t HAL_GetUIDw2(void);
extern uint32_t stand_in_reset_flags;
enum {
    RCC_FLAG_PORRST = 1,
    RCC_FLAG_BORRST = 2,
    RCC_FLAG_IWDGRST = 4,
    RCC_FLAG_IWDG1RST = 4,
    RCC_FLAG_SFTRST = 8,
    RCC_FLAG_PINRST = 16
};
#define __HAL_RCC_GET_FLAG(flag) ((stand_in_reset_flags & (uint32_t)(flag)) != 0)
#define __HAL_RCC_CLEAR_RESET_FLAGS() (stand_in_reset_flags = 0)

/* CMSIS-Core. */
typedef enum { USART1_IRQn = 37, USART2_IRQn = 38, USART3_IRQn = 39 } IRQn_Type;
void HAL_NVIC_SetPriority(IRQn_Type irq, uint32_t preempt, uint32_t sub);
void HAL_NVIC_EnableIRQ(IRQn_Type irq);
void __disable_irq(void);
void __enable_irq(void);
void __WFI(void);

/* GPIO. */
typedef struct {
    uint32_t which;
} GPIO_TypeDef;
typedef struct {
    uint32_t Pin, Mode, Pull, Speed, Alternate;
} GPIO_InitTypeDef;
extern GPIO_TypeDef stand_in_gpio[4];
#define GPIOA (&stand_in_gpio[0])
#define GPIOB (&stand_in_gpio[1])
#define GPIOD (&stand_in_gpio[3])
#define GPIO_PIN_2 (1u << 2)
#define GPIO_PIN_3 (1u << 3)
#define GPIO_PIN_7 (1u << 7)
#define GPIO_PIN_8 (1u << 8)
#define GPIO_PIN_9 (1u << 9)
#define GPIO_MODE_AF_PP 2u
#define GPIO_PULLUP 1u
#define GPIO_SPEED_FREQ_HIGH 2u
#define GPIO_AF7_USART1 7u
#define GPIO_AF7_USART2 7u
#define GPIO_AF7_USART3 7u
void HAL_GPIO_Init(GPIO_TypeDef *port, GPIO_InitTypeDef *wanted);

/* UART. */
extern USART_TypeDef stand_in_usart[4];
#define USART1 (&stand_in_usart[1])
#define USART2 (&stand_in_usart[2])
#define USART3 (&stand_in_usart[3])
typedef struct {
    uint32_t BaudRate, WordLength, StopBits, Parity, Mode, HwFlowCtl, OverSampling;
} UART_InitTypeDef;
typedef struct {
    USART_TypeDef *Instance;
    UART_InitTypeDef Init;
} UART_HandleTypeDef;
#define UART_WORDLENGTH_8B 0u
#define UART_STOPBITS_1 0u
#define UART_PARITY_NONE 0u
#define UART_MODE_TX_RX 12u
#define UART_HWCONTROL_NONE 0u
#define UART_OVERSAMPLING_16 0u
#define UART_FLAG_RXNE 0x20u
#define UART_FLAG_ORE 0x8u
#define UART_IT_RXNE 0x20u
HAL_StatusTypeDef HAL_UART_Init(UART_HandleTypeDef *uart);
HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *uart, const uint8_t *bytes, uint16_t nbytes,
                                    uint32_t timeout_ms);
bool stand_in_flag(UART_HandleTypeDef *uart, uint32_t flag);
void stand_in_listen(UART_HandleTypeDef *uart);
void stand_in_clear_overrun(void);
#define __HAL_UART_GET_FLAG(uart, flag) stand_in_flag((uart), (flag))
#define __HAL_UART_ENABLE_IT(uart, which) stand_in_listen(uart)
#define __HAL_UART_CLEAR_OREFLAG(uart) stand_in_clear_overrun()

/* Clocks: each is recorded, so that a UART or a pin without one is seen. */
void stand_in_clock(const char *what);
#define __HAL_RCC_PWR_CLK_ENABLE() stand_in_clock("PWR")
#define __HAL_RCC_GPIOA_CLK_ENABLE() stand_in_clock("GPIOA")
#define __HAL_RCC_GPIOB_CLK_ENABLE() stand_in_clock("GPIOB")
#define __HAL_RCC_GPIOD_CLK_ENABLE() stand_in_clock("GPIOD")
#define __HAL_RCC_USART1_CLK_ENABLE() stand_in_clock("USART1")
#define __HAL_RCC_USART2_CLK_ENABLE() stand_in_clock("USART2")
#define __HAL_RCC_USART3_CLK_ENABLE() stand_in_clock("USART3")
#define __HAL_PWR_VOLTAGESCALING_CONFIG(scale) ((void)(scale))
#define PWR_REGULATOR_VOLTAGE_SCALE1 1u

typedef struct {
    uint32_t OscillatorType, HSEState, LSEState, HSIState, HSICalibrationValue, LSIState;
    RCC_PLLInitTypeDef PLL;
} RCC_OscInitTypeDef;
#define RCC_OSCILLATORTYPE_HSI 2u
#define RCC_HSICALIBRATION_DEFAULT 16u
#define RCC_PLL_ON 2u
#define RCC_PLLSOURCE_HSI 0u
#define RCC_CLOCKTYPE_SYSCLK 1u
#define RCC_CLOCKTYPE_HCLK 2u
#define RCC_CLOCKTYPE_PCLK1 4u
#define RCC_CLOCKTYPE_PCLK2 8u
/* Flash. What is programmed is a value, or of the H7 an address: here it has room for either. */
typedef struct {
    uint32_t TypeErase, Banks, Sector, NbSectors, VoltageRange;
} FLASH_EraseInitTypeDef;
#define FLASH_TYPEERASE_SECTORS 0u
#define FLASH_VOLTAGE_RANGE_3 2u
#define FLASH_BANK_1 1u
#define FLASH_BANK_2 2u
#define FLASH_TYPEPROGRAM_WORD 2u
#define FLASH_TYPEPROGRAM_FLASHWORD 1u
HAL_StatusTypeDef HAL_FLASH_Unlock(void);
HAL_StatusTypeDef HAL_FLASH_Lock(void);
HAL_StatusTypeDef HAL_FLASH_Program(uint32_t type, uint32_t address, uintptr_t data);
HAL_StatusTypeDef HAL_FLASHEx_Erase(FLASH_EraseInitTypeDef *wanted, uint32_t *failed);
void SCB_InvalidateDCache_by_Addr(void *address, int32_t nbytes);

HAL_StatusTypeDef HAL_RCC_OscConfig(RCC_OscInitTypeDef *wanted);
HAL_StatusTypeDef HAL_RCC_ClockConfig(RCC_ClkInitTypeDef *wanted, uint32_t latency);

#endif
