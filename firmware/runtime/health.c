/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/health.h"

#include <stddef.h>
#include <string.h>

#include "mct/crc32.h"
#include "mct/port.h"

/* RAM that start-up neither clears nor fills. Linker scripts of the project's own have it, and say
 * so (MCT_HAS_NOINIT); so have the C library of AVRs and the frameworks of these chips. Elsewhere
 * all is forgotten at a reset, and only the chip's registers tell what caused it. */
#if defined MCT_HAS_NOINIT || defined __AVR__ || defined ESP_PLATFORM
#define MCT_NOINIT ".noinit.mct"
#elif defined ARDUINO_ARCH_RP2040 || defined PICO_BOARD
#define MCT_NOINIT ".uninitialized_data.mct"
#endif
#ifdef MCT_NOINIT
#define OUTLIVES __attribute__((section(MCT_NOINIT)))
#else
#define OUTLIVES
#endif

#define MAGIC 0x4d435431u

/* A debugger finds it by its name. */
static OUTLIVES struct {
    uint32_t magic;
    uint32_t fault_at; /* the instruction that failed, in the last fault since power-on */
    uint16_t resets;
    uint8_t unserved; /* failed starts in a row */
    bool has_failed;  /* the fault handler restarts the device */
    uint32_t crc;     /* of all before it */
} mct_health;

static struct {
    mct_reset_cause cause;
    bool is_safe;
} mct_health_start;

__attribute__((weak)) mct_reset_cause mct_port_reset_cause(void)
{
    return MCT_RESET_UNKNOWN;
}

__attribute__((weak)) void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES])
{
    memset(id, 0, MCT_DEVICE_ID_BYTES);
}

__attribute__((weak)) void mct_port_restart(void)
{
}

static uint32_t crc(void)
{
    return mct_crc32(0, &mct_health, offsetof(__typeof__(mct_health), crc));
}

void mct_health_begin(void)
{
    mct_reset_cause cause = mct_port_reset_cause();
    bool is_whole = mct_health.magic == MAGIC && mct_health.crc == crc();
    /* A register may still tell of the power-on where the fault handler began anew by a jump. */
    if (!is_whole || (cause == MCT_RESET_POWER_ON && !mct_health.has_failed)) {
        memset(&mct_health, 0, sizeof mct_health);
        mct_health.magic = MAGIC;
#ifdef MCT_NOINIT
        cause = cause == MCT_RESET_UNKNOWN ? MCT_RESET_POWER_ON : cause;
#endif
    } else if (mct_health.resets < UINT16_MAX) {
        mct_health.resets++;
    }
    if (mct_health.has_failed) { /* it knows more than the register, which tells of a restart */
        cause = MCT_RESET_FAULT;
    }
    if (cause != MCT_RESET_FAULT && cause != MCT_RESET_WATCHDOG) {
        mct_health.unserved = 0;
    } else if (mct_health.unserved < UINT8_MAX) {
        mct_health.unserved++;
    }
    mct_health.has_failed = false;
    mct_health.crc = crc();
    mct_health_start.cause = cause;
    mct_health_start.is_safe = mct_health.unserved >= MCT_SAFE_AFTER;
}

void mct_health_served(void)
{
    if (mct_health.unserved != 0) {
        mct_health.unserved = 0;
        mct_health.crc = crc();
    }
}

mct_reset_cause mct_health_cause(void)
{
    return mct_health_start.cause;
}

uint16_t mct_health_resets(void)
{
    return mct_health.resets;
}

bool mct_health_is_safe(void)
{
    return mct_health_start.is_safe;
}

void mct_health_fault(uint32_t at)
{
    mct_health.fault_at = at;
    mct_health.has_failed = true;
    mct_health.crc = crc();
    mct_port_restart();
    for (;;) { /* it cannot restart: the host sees a device that no longer answers */
    }
}
