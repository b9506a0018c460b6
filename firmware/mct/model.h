/* SPDX-License-Identifier: Apache-2.0 */
/* The types that a generated model offers to the runtime and to other firmware; mct/model_api.h has
 * its functions. */
#ifndef MCT_MODEL_H
#define MCT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mct/status.h"

#ifdef __AVR__
#include <avr/pgmspace.h>
#include <util/atomic.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Bumped when a kernel's parameters or meaning change; generated code checks it. */
#define MCT_KERNEL_ABI 5

/* In place of a label: all classes of which there are latents. */
#define MCT_ALL_CLASSES UINT32_C(0xffffffff)

/* A status that must be looked at. */
#define MCT_CHECKED __attribute__((warn_unused_result))

/* Kernel calls are not copied into every caller of the step; its cases run on by design. */
#define MCT_NOINLINE __attribute__((noinline))
#if defined __clang__ || __GNUC__ >= 7
#define MCT_FALLTHROUGH __attribute__((fallthrough))
#else
#define MCT_FALLTHROUGH ((void)0)
#endif

/* What the loss is made of (SPEC 1.2): logit_scale * distance + ln(sum / 2^15) is cross-entropy. */
typedef struct {
    uint32_t sum;      /* S, the sum of the exponentials in 2^-15; or of squared differences */
    uint32_t distance; /* d_y = max(logits) - logits[label], in logit quanta; or 0 */
} mct_loss;

/* A block of RAM that the host may read, and write while no step is under way. */
typedef struct {
    uint8_t *data;
    uint32_t nbytes;
} mct_region;

/* Those that every model has; behind them the arena's part in each other memory of the chip. */
enum { MCT_REGION_ARENA = 0, MCT_REGION_STATE = 1, MCT_REGION_COUNT = 2 };

/* A static array in a memory of the chip beside its main RAM. A linker script that has no place for
 * .bss.mct_NAME leaves it among .bss; where it has one, nothing sets the array to zero. */
#define MCT_MEMORY(name) __attribute__((section(".bss.mct_" #name)))

#ifdef __AVR__
/* Constants lie in RAM too, where pointers lead, but for arrays that are only copied: these stay in
 * flash, and instructions of their own read them, at any address of it. */
#define MCT_IN_FLASH PROGMEM
#define MCT_COPY_FROM_FLASH(to, array, offset, nbytes)                                             \
    memcpy_PF(to, pgm_get_far_address(array) + (offset), nbytes)
/* What follows happens at once: what an interrupt changes too has more bytes than the processor
 * reads or writes in one instruction. */
#define MCT_AT_ONCE ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
#else
#define MCT_IN_FLASH
#define MCT_COPY_FROM_FLASH(to, array, offset, nbytes)                                             \
    memcpy(to, (const uint8_t *)(array) + (offset), nbytes)
#define MCT_AT_ONCE
#endif

#ifdef __cplusplus
}
#endif

#endif
