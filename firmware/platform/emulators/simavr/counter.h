/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the cycles of named regions of code, and whose they are (runner.c). */
#ifndef MCT_SIMAVR_COUNTER_H
#define MCT_SIMAVR_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

/* NAME:BEGIN:END. Ends the program if it is none, as the next ones do. */
void add_region(const char *text);

/* The file with lines "BEGIN END OWNER". */
void add_owners(const char *path);

/* The file that a line is added to at the end of each run of a region. */
void open_counts(const char *path);

/* Whether there is anything to count. */
bool is_counting(void);

/* The instruction at `address` is the next one, after so many cycles since the start. */
void count_at(uint32_t address, uint64_t cycles);

#endif
