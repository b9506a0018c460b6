/* SPDX-License-Identifier: Apache-2.0 */
/* An Arduino core as ports/arduino sees it. RX_BYTES is the size of its buffer. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

void setup(void);
void loop(void);

/* The pins are those of the program that is tested, which says what they do. */
enum { LOW = 0, HIGH = 1, INPUT_PULLUP = 2 };
void pinMode(uint8_t pin, uint8_t mode);
int digitalRead(uint8_t pin);

void delay(unsigned long ms);
unsigned long millis(void);

#ifdef ESP32
void disableCore0WDT(void);
#endif

#ifdef ESP32
#include "esp_system.h"

class EspClass
{
  public:
    uint64_t getEfuseMac(void);
    void restart(void);
};

extern EspClass ESP;
#endif

#ifdef TEENSYDUINO
/* Its core's names of registers, where the chip's number lies. */
#define HW_OCOTP_CFG0 0x03020100u
#define HW_OCOTP_CFG1 0x07060504u
#endif

class StandInSerial
{
  public:
    void begin(unsigned long baud);
    int available(void);
    int read(void);
    size_t write(const uint8_t *bytes, size_t nbytes);
#ifdef ESP32
    size_t setRxBufferSize(size_t nbytes);
#endif
#ifdef TEENSYDUINO
    void send_now(void);
#endif
};

extern StandInSerial Serial;

#endif
