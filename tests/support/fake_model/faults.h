/* SPDX-License-Identifier: Apache-2.0 */
/* A program that fails, on each kind of core, if the build defines FAKE_FAULTS: when classes are
 * set to FAKE_FAULT, and with FAKE_FAULTS_AT_START at each start until one is a safe one. */
#ifndef FAKE_FAULTS_H
#define FAKE_FAULTS_H

#ifdef FAKE_FAULTS

#include "runtime/health.h"

#define FAKE_FAULT 0xdeadu

#ifdef __AVR__
#include <avr/interrupt.h>
#include <avr/io.h>

/* An interrupt that nothing handles: that of timer 0, which runs over. */
static inline void fake_fail(void)
{
    TIMSK0 = _BV(TOIE0);
    TCCR0B = _BV(CS00);
    sei();
    for (;;) {
    }
}
#elif defined FAKE_OVERFLOWS
/* Below the stack there is no RAM. */
extern uint32_t mct_stack_begin[];

static inline void fake_fail(void)
{
#ifdef __arm__
    __asm__ volatile("mov sp, %0\n\tpush {r0}" ::"r"(mct_stack_begin) : "memory");
#else
    __asm__ volatile("la sp, mct_stack_begin\n\tsw zero, -4(sp)" ::: "memory");
#endif
}
#else
/* Nothing lies there. */
static inline void fake_fail(void)
{
    *(volatile uint32_t *)0xf0000000u = 1;
}
#endif

static inline void fake_fail_at(uint32_t classes)
{
    if (classes == FAKE_FAULT) {
        fake_fail();
    }
}

static inline void fake_fail_at_start(void)
{
#ifdef FAKE_FAULTS_AT_START
    if (!mct_health_is_safe()) {
        fake_fail();
    }
#endif
}

#else
#define fake_fail_at(classes) ((void)0)
#define fake_fail_at_start() ((void)0)
#endif

#endif
