/* SPDX-License-Identifier: Apache-2.0 */
/* A pseudo-terminal in the place of a board's line. */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens it, and prints the path for the host on one line of standard output. */
void line_open(void);

/* Whether there is something to read, at the latest after `timeout_ms`; -1 is for ever. */
bool line_is_readable(int timeout_ms);

/* What there is, at most `capacity` bytes; 0 if there is nothing. */
size_t line_read(void *bytes, size_t capacity);

/* All of them. */
void line_write(const void *bytes, size_t nbytes);

/* Ends the process with a line that says what the port does wrong. */
__attribute__((noreturn)) void line_fault(const char *what);

#ifdef __cplusplus
}
#endif

#endif
