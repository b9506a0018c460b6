/* SPDX-License-Identifier: Apache-2.0 */
/* NOR flash as it behaves when power fails, for boards that have none: the native port, and boards
 * that are emulated. It gives mct/port_flash.h over `mct_nor`.
 *
 * Programming clears bits, erasing a page sets them. When an operation is cut, each bit of its unit
 * or page that was to change has done so, has not, or is weak: it reads as it likes, each time
 * anew, until its page is erased. Flash with error correction cannot read a unit with such bits. */
#ifndef MCT_PORTS_NOR_H
#define MCT_PORTS_NOR_H

#include "mct/port_flash.h"

typedef struct {
    mct_flash_geometry geometry;
    uint8_t *bytes;      /* its contents, */
    uint8_t *weak;       /* and of each bit whether it is weak; both as large as the flash */
    uint32_t *erases;    /* of each page */
    bool corrects;       /* has error correction: a unit with weak bits cannot be read */
    bool is_off;         /* the power is: nothing works */
    uint32_t worn_after; /* erases after which a page keeps a byte that is 0; 0 for never */
    uint32_t operations; /* units programmed and pages erased so far */
    uint32_t cut_at;     /* the operation in which power fails; 0 for none */
    uint32_t cut_part;   /* how much of it is done by then: 0 nothing, 256 all */
    uint32_t faults;     /* what flash forbids: units programmed that were not erased */
    uint32_t random;     /* not 0 */
} nor_flash;

extern nor_flash mct_nor;

/* Called when power has failed. There is a weak one that does nothing. */
void mct_nor_cut(void);

#endif
