/* SPDX-License-Identifier: Apache-2.0 */
/* A core whose interrupt is a thread: it fills the buffer, and what finds no room in it is lost. */
#include "Arduino.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "line.h"

StandInSerial Serial;

namespace
{

/* As many looks at an empty buffer as no step has calls, without a delay: the port spins. */
constexpr int SPINNING = 10000;
constexpr size_t TAKEN_AT_ONCE = 100; /* of a write: a USB port has less room than a frame */

std::vector<uint8_t> ring(64); /* the smallest that a core has */
std::atomic<size_t> head, tail;
int looks;
bool is_up;

size_t waiting()
{
    return head.load() - tail.load();
}

void receive()
{
    for (;;) {
        uint8_t byte = 0;
        if (!line_is_readable(-1) || line_read(&byte, 1) == 0) {
            continue;
        }
        if (waiting() < ring.size()) {
            ring[head.load() % ring.size()] = byte;
            head.fetch_add(1);
        }
    }
}

} /* namespace */

void StandInSerial::begin(unsigned long baud)
{
    if (baud != MCT_LINK_BAUD || is_up) {
        line_fault("the speed is wrong, or the link was begun twice");
    }
    is_up = true;
    line_open();
    std::thread(receive).detach();
}

int StandInSerial::available(void)
{
    if (waiting() == 0 && ++looks > SPINNING) {
        line_fault("the port spins");
    }
    return static_cast<int>(waiting());
}

int StandInSerial::read(void)
{
    if (waiting() == 0) {
        return -1;
    }
    looks = 0;
    int byte = ring[tail.load() % ring.size()];
    tail.fetch_add(1);
    return byte;
}

/* Of a build with a host that does not read at first: for how long. */
#ifdef STAND_IN_DEAF_MS
static bool is_deaf()
{
    static const unsigned long since_ms = millis();
    return millis() - since_ms < STAND_IN_DEAF_MS;
}
#else
static bool is_deaf()
{
    return false;
}
#endif

size_t StandInSerial::write(const uint8_t *bytes, size_t nbytes)
{
    if (is_deaf()) {
        return 0;
    }
    static bool was_full;
    was_full = !was_full;
    if (was_full) { /* every other time there is no room at all */
        return 0;
    }
    size_t taken = nbytes < TAKEN_AT_ONCE ? nbytes : TAKEN_AT_ONCE;
    line_write(bytes, taken);
    return taken;
}

#ifdef ESP32
size_t StandInSerial::setRxBufferSize(size_t nbytes)
{
    if (is_up) {
        line_fault("the buffer is there already");
    }
    ring.resize(nbytes);
    return nbytes;
}

void disableCore0WDT(void)
{
}
#endif

void delay(unsigned long ms)
{
    looks = 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

unsigned long millis(void)
{
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<unsigned long>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

int main(void)
{
#ifdef SERIAL_RX_BUFFER_SIZE
    ring.resize(SERIAL_RX_BUFFER_SIZE);
#endif
    setup();
    for (;;) {
        loop();
    }
}

#ifdef ESP32
EspClass ESP;

uint64_t EspClass::getEfuseMac(void)
{
    return 0xa5a4a3a2a1a0u;
}

void EspClass::restart(void)
{
    exit(1);
}

esp_reset_reason_t esp_reset_reason(void)
{
    return ESP_RST_TASK_WDT;
}
#endif
