/* SPDX-License-Identifier: Apache-2.0 */
/* A chip whose interrupt is a signal: it stops the main loop wherever that is, and a thread raises
 * it. MCT_STM32_BOARD's header says which UART it is of. */
#define _GNU_SOURCE
#define MCT_TEXT(x) #x
#define MCT_PATH(x) MCT_TEXT(x)
#include MCT_PATH(MCT_STM32_BOARD.h)

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "line.h"

/* Of the port. */
void SysTick_Handler(void);
void MCT_STM32_UART_HANDLER(void);

GPIO_TypeDef stand_in_gpio[4];
USART_TypeDef stand_in_usart[4];

static char clocks[256]; /* the names of those that are on */
static pthread_t core;
static sem_t handled;
static bool is_initialised, is_enabled, has_overrun = true; /* as after noise at the start */
static int pins;

static bool is_on(const char *clock)
{
    return strstr(clocks, clock) != NULL;
}

void stand_in_clock(const char *what)
{
    if (strlen(clocks) + strlen(what) + 2 > sizeof clocks) {
        line_fault("too many clocks");
    }
    strcat(strcat(clocks, what), " ");
}

HAL_StatusTypeDef HAL_Init(void)
{
    is_initialised = true;
    return HAL_OK;
}

uint32_t stand_in_reset_flags = RCC_FLAG_IWDGRST | RCC_FLAG_PINRST;

uint32_t HAL_GetUIDw0(void)
{
    return 0x03020100u;
}

uint32_t HAL_GetUIDw1(void)
{
    return 0x07060504u;
}

uint32_t HAL_GetUIDw2(void)
{
    return 0x0b0a0908u;
}

void HAL_IncTick(void)
{
}

void SCB_EnableICache(void);
void SCB_EnableDCache(void);
HAL_StatusTypeDef HAL_PWREx_ConfigSupply(uint32_t source);

void SCB_EnableICache(void)
{
}

void SCB_EnableDCache(void)
{
}

HAL_StatusTypeDef HAL_PWREx_ConfigSupply(uint32_t source)
{
    return source == 0 ? HAL_ERROR : HAL_OK;
}

HAL_StatusTypeDef HAL_RCC_OscConfig(RCC_OscInitTypeDef *wanted)
{
    return is_initialised && wanted->PLL.PLLState == RCC_PLL_ON ? HAL_OK : HAL_ERROR;
}

HAL_StatusTypeDef HAL_RCC_ClockConfig(RCC_ClkInitTypeDef *wanted, uint32_t latency)
{
    return wanted->SYSCLKSource == RCC_SYSCLKSOURCE_PLLCLK && latency > 0 ? HAL_OK : HAL_ERROR;
}

void HAL_GPIO_Init(GPIO_TypeDef *port, GPIO_InitTypeDef *wanted)
{
    const char *names[] = {"GPIOA ", "GPIOB ", "GPIOC ", "GPIOD "};
    if (!is_on(names[port - stand_in_gpio]) || wanted->Alternate != 7 || wanted->Pin == 0) {
        line_fault("a pin without its clock or function");
    }
    pins++;
}

HAL_StatusTypeDef HAL_UART_Init(UART_HandleTypeDef *uart)
{
    const char *names[] = {"", "USART1 ", "USART2 ", "USART3 "};
    if (!is_on(names[uart->Instance - stand_in_usart]) || pins != 2 ||
        uart->Init.BaudRate != MCT_LINK_BAUD) {
        line_fault("a UART without its clock, its pins or its speed");
    }
    return HAL_OK;
}

HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *uart, const uint8_t *bytes, uint16_t nbytes,
                                    uint32_t timeout_ms)
{
    if (uart->Instance != MCT_STM32_UART || timeout_ms != HAL_MAX_DELAY) {
        return HAL_ERROR;
    }
    line_write(bytes, nbytes);
    return HAL_OK;
}

void HAL_NVIC_SetPriority(IRQn_Type irq, uint32_t preempt, uint32_t sub)
{
    if (irq != MCT_STM32_UART_IRQ || preempt > 15 || sub > 15) {
        line_fault("an interrupt that is not the UART's");
    }
}

void HAL_NVIC_EnableIRQ(IRQn_Type irq)
{
    is_enabled = irq == MCT_STM32_UART_IRQ;
}

static void mask(int how)
{
    sigset_t interrupt;
    (void)sigemptyset(&interrupt);
    (void)sigaddset(&interrupt, SIGUSR1);
    (void)pthread_sigmask(how, &interrupt, NULL);
}

void __disable_irq(void)
{
    mask(SIG_BLOCK);
}

void __enable_irq(void)
{
    mask(SIG_UNBLOCK);
}

/* Sleeps until the interrupt is pending, masked or not; so must the port have masked it. */
void __WFI(void)
{
    sigset_t pending;
    do {
        (void)sigpending(&pending);
    } while (!sigismember(&pending, SIGUSR1) && !line_is_readable(-1));
}

/* Looking at RXNE takes the next byte into the data register, where the port reads it. */
bool stand_in_flag(UART_HandleTypeDef *uart, uint32_t flag)
{
    uint8_t byte;
    if (flag == UART_FLAG_ORE) {
        return has_overrun;
    }
    if (flag != UART_FLAG_RXNE || line_read(&byte, 1) == 0) {
        return false;
    }
    uart->Instance->STAND_IN_RECEIVED = byte;
    return true;
}

void stand_in_clear_overrun(void)
{
    has_overrun = false;
}

static void interrupt(int signal_number)
{
    (void)signal_number;
    MCT_STM32_UART_HANDLER();
    if (has_overrun) {
        line_fault("an overrun that is not cleared would interrupt for ever");
    }
    SysTick_Handler();
    (void)sem_post(&handled);
}

static void *raise_interrupts(void *unused)
{
    for (;;) {
        if (line_is_readable(-1)) {
            (void)pthread_kill(core, SIGUSR1);
            (void)sem_wait(&handled);
        }
    }
    return unused;
}

void stand_in_listen(UART_HandleTypeDef *uart)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
    pthread_t thread;
    if (!is_enabled || uart->Instance != MCT_STM32_UART) {
        line_fault("the interrupt is not enabled");
    }
    core = pthread_self();
    line_open();
    mask(SIG_BLOCK); /* in the thread, which inherits that */
    if (sigaction(SIGUSR1, &action, NULL) != 0 || sem_init(&handled, 0, 0) != 0 ||
        pthread_create(&thread, NULL, raise_interrupts, NULL) != 0) {
        line_fault("no interrupts");
    }
    mask(SIG_UNBLOCK);
}
