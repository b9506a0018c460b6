/* SPDX-License-Identifier: Apache-2.0 */
/* Flash of the native port: a model of NOR flash (ports/nor), in RAM, or in the file that the
 * environment variable MCT_FLASH_IMAGE names, where it outlives the process. The file holds the
 * flash's bytes and behind them which bits are weak.
 *
 * MCT_FLASH_CUT=OPERATION,PART ends the process in that operation, as power does that fails, with
 * PART of 256 of it done. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ports/nor/nor.h"

enum { PAGE_BYTES = 4096, PAGES = 512, FLASH_BYTES = PAGE_BYTES * PAGES, UNIT_BYTES = 8 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* FLASH_BYTES of flash and as many of weak bits, from the image if there is one. */
static uint8_t *open_image(const char *path)
{
    struct stat found;
    const int file = open(path, O_RDWR | O_CREAT, 0644);
    if (file < 0 || fstat(file, &found) != 0) {
        fail(path);
    }
    if (found.st_size != 0 && found.st_size != 2 * FLASH_BYTES) {
        (void)fprintf(stderr, "%s: no image of this flash: it has %lld bytes, not %d\n", path,
                      (long long)found.st_size, 2 * FLASH_BYTES);
        exit(1);
    }
    const bool is_new = found.st_size == 0;
    if (is_new && ftruncate(file, 2 * FLASH_BYTES) != 0) {
        fail(path);
    }
    void *image = mmap(NULL, 2 * FLASH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (image == MAP_FAILED) {
        fail(path);
    }
    (void)close(file);
    if (is_new) {
        memset(image, 0xff, FLASH_BYTES);
    }
    return image;
}

void mct_nor_cut(void)
{
    _exit(0);
}

/* Before main, whose session loads what was saved. */
__attribute__((constructor)) static void begin_flash(void)
{
    const char *path = getenv("MCT_FLASH_IMAGE");
    const char *cut = getenv("MCT_FLASH_CUT");
    uint32_t *erases = calloc(PAGES, sizeof *erases);
    uint8_t *image = NULL;
    if (path != NULL) {
        image = open_image(path);
    } else {
        image = calloc(2, FLASH_BYTES);
        if (image != NULL) {
            memset(image, 0xff, FLASH_BYTES);
        }
    }
    if (image == NULL || erases == NULL) {
        fail("flash");
    }
    mct_nor.geometry.page_bytes = PAGE_BYTES;
    mct_nor.geometry.pages = PAGES;
    mct_nor.geometry.unit_bytes = UNIT_BYTES;
    mct_nor.bytes = image;
    mct_nor.weak = image + FLASH_BYTES;
    mct_nor.erases = erases;
    mct_nor.random = (uint32_t)time(NULL) | 1u;
    if (cut != NULL) {
        char *end = NULL;
        mct_nor.cut_at = (uint32_t)strtoul(cut, &end, 10);
        mct_nor.cut_part = *end == ',' ? (uint32_t)strtoul(end + 1, NULL, 10) : 0u;
    }
}
