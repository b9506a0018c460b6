/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h and the main loop on ESP-IDF: the link is UART 0, or the chip's own USB port where the
 * project has chosen that for its console (CONFIG_ESP_CONSOLE_USB_SERIAL_JTAG). The driver collects
 * what arrives by interrupt. */
#include "mct/port.h"

#include <stddef.h>
#include <string.h>

#include "esp_err.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#include "mct/alive.h"
#include "ports/esp32/reset_cause.h"
#include "runtime/frame.h"
#include "runtime/link.h"
#include "runtime/serve.h"

enum {
    WIRE_BYTES = MCT_FRAME_WIRE_BYTES(MCT_FRAME_RAW_BYTES(MCT_LINK_PAYLOAD)),
    RING_BYTES = 2 * WIRE_BYTES + 128, /* the driver asks for more than its FIFO of 128 */
    /* An idle port returns this often, for the watchdog. */
    SLEEP_MS = 100,
    /* A host that does not read has gone; it asks again for the reply, which the session keeps. */
    GIVE_UP_MS = 1000
};

void app_main(void);

#if CONFIG_ESP_CONSOLE_USB_SERIAL_JTAG

#include "driver/usb_serial_jtag.h"

static void start_driver(void)
{
    usb_serial_jtag_driver_config_t wanted = {.tx_buffer_size = RING_BYTES,
                                              .rx_buffer_size = RING_BYTES};
    ESP_ERROR_CHECK(usb_serial_jtag_driver_install(&wanted));
}

static int take(uint8_t *bytes, uint32_t nbytes, TickType_t wait)
{
    return usb_serial_jtag_read_bytes(bytes, nbytes, wait);
}

static int give(const uint8_t *bytes, uint32_t nbytes)
{
    return usb_serial_jtag_write_bytes(bytes, nbytes, pdMS_TO_TICKS(GIVE_UP_MS));
}

#else

#include "driver/uart.h"

static void start_driver(void)
{
    uart_config_t wanted = {.baud_rate = MCT_LINK_BAUD,
                            .data_bits = UART_DATA_8_BITS,
                            .parity = UART_PARITY_DISABLE,
                            .stop_bits = UART_STOP_BITS_1,
                            .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
                            .source_clk = UART_SCLK_DEFAULT};
    ESP_ERROR_CHECK(uart_driver_install(UART_NUM_0, RING_BYTES, 0, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(UART_NUM_0, &wanted));
}

static int take(uint8_t *bytes, uint32_t nbytes, TickType_t wait)
{
    return uart_read_bytes(UART_NUM_0, bytes, nbytes, wait);
}

static int give(const uint8_t *bytes, uint32_t nbytes)
{
    return uart_write_bytes(UART_NUM_0, bytes, nbytes);
}

#endif

/* A step keeps the idle task from running for as long as it takes, so not that is watched, but this
 * task, which shows that it lives between two kernels and while it waits. */
static void watch_this_task(void)
{
#if CONFIG_ESP_TASK_WDT_INIT
    (void)esp_task_wdt_delete(xTaskGetIdleTaskHandle()); /* of this core; it may not be watched */
    ESP_ERROR_CHECK(esp_task_wdt_add(NULL));
#endif
}

void mct_port_alive(void)
{
#if CONFIG_ESP_TASK_WDT_INIT
    (void)esp_task_wdt_reset();
#endif
}

void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES])
{
    memset(id, 0, MCT_DEVICE_ID_BYTES);
    ESP_ERROR_CHECK(esp_efuse_mac_get_default(id)); /* 6 bytes */
}

mct_reset_cause mct_port_reset_cause(void)
{
    return mct_esp32_reset_cause();
}

void mct_port_restart(void)
{
    esp_restart();
}

void mct_port_init(void)
{
    esp_log_level_set("*", ESP_LOG_NONE); /* its text would stand between frames */
    start_driver();
    watch_this_task();
}

/* Reads again only when all that was read before has been handed on; the rest stays in the driver's
 * ring. */
void mct_port_receive(bool may_sleep)
{
    static uint8_t bytes[128];
    static int end, next;
    if (next >= end) {
        next = 0;
        /* A read of more than one byte waits until all have come. */
        end = take(bytes, 1, may_sleep ? pdMS_TO_TICKS(SLEEP_MS) : 0);
        if (end > 0) {
            int more = take(bytes + 1, sizeof bytes - 1, 0);
            end += more > 0 ? more : 0;
        }
    }
    while (next < end && !mct_link_receive(bytes[next++])) {
    }
}

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    while (nbytes > 0) {
        int taken = give(data, nbytes < RING_BYTES ? nbytes : RING_BYTES);
        if (taken <= 0) {
            return;
        }
        data += taken;
        nbytes -= (uint32_t)taken;
    }
}

void app_main(void)
{
    mct_serve_begin();
    for (;;) {
        mct_serve();
    }
}
