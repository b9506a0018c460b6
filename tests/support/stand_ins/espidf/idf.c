/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers over a pseudo-terminal, and a watchdog that is starved by a second wait without a
 * reset between. */
#include "driver/uart.h"
#include "driver/usb_serial_jtag.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_system.h"
#include "esp_task_wdt.h"

#include <stdbool.h>
#include <stdlib.h>

enum { FIFO_BYTES = 128, TAKEN_AT_ONCE = 100 };

void app_main(void);

static bool is_up, is_quiet, is_watched, was_reset;

esp_reset_reason_t esp_reset_reason(void)
{
    return ESP_RST_TASK_WDT;
}

void esp_restart(void)
{
    exit(1);
}

esp_err_t esp_efuse_mac_get_default(uint8_t *mac)
{
    for (uint8_t n = 0; n < 6; n++) {
        mac[n] = (uint8_t)(0xa0 + n);
    }
    return ESP_OK;
}

void esp_log_level_set(const char *tag, esp_log_level_t level)
{
    is_quiet = tag[0] == '*' && level == ESP_LOG_NONE;
}

TaskHandle_t xTaskGetIdleTaskHandle(void)
{
    return NULL;
}

esp_err_t esp_task_wdt_delete(TaskHandle_t task)
{
    return task == NULL ? ESP_ERR_NOT_FOUND : ESP_OK;
}

esp_err_t esp_task_wdt_add(TaskHandle_t task)
{
    is_watched = task == NULL;
    return ESP_OK;
}

esp_err_t esp_task_wdt_reset(void)
{
    was_reset = true;
    return is_watched ? ESP_OK : ESP_ERR_NOT_FOUND;
}

static esp_err_t install(uint32_t rx_bytes)
{
    if (is_up || !is_quiet || rx_bytes <= FIFO_BYTES) {
        line_fault("a second driver, text on the line, or too small a buffer");
    }
    is_up = true;
    line_open();
    return ESP_OK;
}

/* As the drivers do: waits until all bytes are there, or for `wait` in all. */
static int take(uint8_t *bytes, uint32_t nbytes, TickType_t wait)
{
    uint32_t found = 0;
    if (!is_watched || (wait > 0 && !was_reset)) {
        line_fault("the watchdog starves");
    }
    was_reset = was_reset && wait == 0;
    while (found < nbytes && line_is_readable((int)wait * 1000 / configTICK_RATE_HZ)) {
        found += (uint32_t)line_read(bytes + found, nbytes - found);
    }
    return (int)found;
}

static int give(const void *bytes, size_t nbytes)
{
    size_t taken = nbytes < TAKEN_AT_ONCE ? nbytes : TAKEN_AT_ONCE;
    line_write(bytes, taken);
    return (int)taken;
}

esp_err_t uart_driver_install(uart_port_t port, int rx_bytes, int tx_bytes, int queue_size,
                              QueueHandle_t *queue, int intr_alloc_flags)
{
    bool is_right = port == UART_NUM_0 && tx_bytes == 0 && queue_size == 0 && queue == NULL &&
                    intr_alloc_flags == 0;
    return is_right ? install((uint32_t)rx_bytes) : -1;
}

esp_err_t uart_param_config(uart_port_t port, const uart_config_t *wanted)
{
    return port == UART_NUM_0 && wanted->baud_rate == MCT_LINK_BAUD &&
                   wanted->data_bits == UART_DATA_8_BITS
               ? ESP_OK
               : -1;
}

int uart_read_bytes(uart_port_t port, void *bytes, uint32_t nbytes, TickType_t wait)
{
    return port == UART_NUM_0 ? take(bytes, nbytes, wait) : -1;
}

int uart_write_bytes(uart_port_t port, const void *bytes, size_t nbytes)
{
    return port == UART_NUM_0 ? give(bytes, nbytes) : -1;
}

esp_err_t usb_serial_jtag_driver_install(usb_serial_jtag_driver_config_t *wanted)
{
    return wanted->tx_buffer_size > 0 ? install(wanted->rx_buffer_size) : -1;
}

int usb_serial_jtag_read_bytes(void *bytes, uint32_t nbytes, TickType_t wait)
{
    return take(bytes, nbytes, wait);
}

int usb_serial_jtag_write_bytes(const void *bytes, size_t nbytes, TickType_t wait)
{
    return wait > 0 ? give(bytes, nbytes) : -1;
}

int main(void)
{
    app_main();
    return 0;
}
