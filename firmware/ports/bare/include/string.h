/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels and generated C use of string.h, for a compiler that comes without a C library; the
 * functions are in the compiler's own library. */
#ifndef MCT_BARE_STRING_H
#define MCT_BARE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t nbytes);
void *memmove(void *to, const void *from, size_t nbytes);
void *memset(void *to, int value, size_t nbytes);
int memcmp(const void *one, const void *other, size_t nbytes);

#endif
