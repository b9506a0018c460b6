/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port.h and the main loop on any board that has an Arduino core: the link is Serial, a UART or
 * a USB port of the core's own driver, which collects what arrives by interrupt. */
#include <Arduino.h>
#include <string.h>

#include "mct/port.h"
#include "runtime/frame.h"
#include "runtime/link.h"
#ifndef MCT_OWN_LOOP
#include "runtime/serve.h"
#endif

#ifdef ESP32
#include "ports/esp32/reset_cause.h"
#endif

#ifdef __AVR__
#include <avr/interrupt.h>
#include <avr/sleep.h>
#endif

namespace
{

/* A host that does not read has gone; it asks again for the reply, which the session keeps. */
constexpr unsigned long GIVE_UP_MS = 1000;

constexpr size_t WIRE_BYTES = MCT_FRAME_WIRE_BYTES(MCT_FRAME_RAW_BYTES(MCT_LINK_PAYLOAD));

#ifdef SERIAL_RX_BUFFER_SIZE
/* While kernels run nobody reads, so the core must hold a whole frame. One more is its gap. */
static_assert(SERIAL_RX_BUFFER_SIZE > WIRE_BYTES,
              "the core's buffer is smaller than a frame: define a larger SERIAL_RX_BUFFER_SIZE "
              "for the whole build, or a smaller MCT_LINK_PAYLOAD");
#endif

/* Until something may have arrived: an interrupt, or a millisecond. */
void idle()
{
#if defined(__AVR__)
    /* SEI takes effect after the next instruction, so no byte can come between test and sleep. The
     * mode is idle, as after a reset. */
    cli();
    if (Serial.available() == 0) {
        sleep_enable();
        sei();
        sleep_cpu();
        sleep_disable();
    }
    sei();
#elif defined(TEENSYDUINO)
    /* The core's delay() would spin. SysTick ends the sleep within a millisecond. */
    __asm__ volatile("wfi");
#else
    /* The cores with a kernel beneath (ESP32, mbed) let other threads run, and their idle one,
     * which sleeps and serves the watchdog. */
    delay(1);
#endif
}

} /* namespace */

/* The chips whose number is known where an Arduino core runs; any other has none. */
#if defined(ESP32)
void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES])
{
    uint64_t mac = ESP.getEfuseMac();
    memset(id, 0, MCT_DEVICE_ID_BYTES);
    for (size_t n = 0; n < 6; n++) {
        id[n] = static_cast<uint8_t>(mac >> 8 * n);
    }
}

mct_reset_cause mct_port_reset_cause(void)
{
    return mct_esp32_reset_cause();
}

void mct_port_restart(void)
{
    ESP.restart();
}
#elif defined(NRF52840_XXAA)
/* nRF52840 Product Specification v1.1: FICR.DEVICEID, POWER.RESETREAS, which ones clear. */
void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES])
{
    const volatile uint32_t *number = reinterpret_cast<const volatile uint32_t *>(0x10000060u);
    const uint32_t words[2] = {number[0], number[1]};
    memset(id, 0, MCT_DEVICE_ID_BYTES);
    memcpy(id, words, sizeof words);
}

mct_reset_cause mct_port_reset_cause(void)
{
    volatile uint32_t *reasons = reinterpret_cast<volatile uint32_t *>(0x40000400u);
    uint32_t found = *reasons;
    *reasons = found;
    if ((found & 1u << 1) != 0) {
        return MCT_RESET_WATCHDOG;
    }
    if ((found & 1u << 3) != 0) {
        return MCT_RESET_FAULT; /* a lock-up */
    }
    if ((found & 1u << 2) != 0) {
        return MCT_RESET_SOFTWARE;
    }
    if ((found & 1u << 0) != 0) {
        return MCT_RESET_PIN;
    }
    return found == 0 ? MCT_RESET_POWER_ON : MCT_RESET_UNKNOWN; /* or a brown-out */
}
#elif defined(TEENSYDUINO)
void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES])
{
    const uint32_t words[2] = {HW_OCOTP_CFG0, HW_OCOTP_CFG1}; /* i.MX RT1060 manual, OCOTP */
    memset(id, 0, MCT_DEVICE_ID_BYTES);
    memcpy(id, words, sizeof words);
}
#endif

void mct_port_init(void)
{
#ifdef ESP32
    (void)Serial.setRxBufferSize(2 * WIRE_BYTES); /* before begin, which allocates it */
#if CONFIG_FREERTOS_UNICORE
    /* The only core's idle task is watched, and a step may take longer than that allows. */
    disableCore0WDT();
#endif
#endif
    Serial.begin(MCT_LINK_BAUD);
}

/* Bytes behind a request that waits stay in the core's buffer. */
void mct_port_receive(bool may_sleep)
{
    if (may_sleep && Serial.available() == 0) {
        idle();
    }
    while (Serial.available() > 0 && !mct_link_receive(static_cast<uint8_t>(Serial.read()))) {
    }
}

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    unsigned long progress_ms = millis();
    while (nbytes > 0 && millis() - progress_ms < GIVE_UP_MS) {
        size_t taken = Serial.write(data, static_cast<size_t>(nbytes));
        if (taken == 0) {
            idle();
            continue;
        }
        data += taken;
        nbytes -= static_cast<uint32_t>(taken);
        progress_ms = millis();
    }
#ifdef TEENSYDUINO
    Serial.send_now(); /* a packet that is not full would wait */
#endif
}

/* A firmware with a main loop of its own runs the session there. */
#ifndef MCT_OWN_LOOP
void setup(void)
{
    mct_serve_begin();
}

void loop(void)
{
    mct_serve();
}
#endif
