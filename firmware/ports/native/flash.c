/* SPDX-License-Identifier: Apache-2.0 */
/* Flash of the native port: a model of NOR flash (ports/nor), in RAM, or in the image that the
 * environment variable MCT_FLASH_IMAGE names, where it outlives the process. The image is a file of
 * a header, the flash's bytes, and of each of their bits whether it is weak. One process has it at
 * a time.
 *
 * MCT_FLASH_CUT=OPERATION,PART ends the process in that operation, as power does that fails, with
 * PART of 256 of it done. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ports/nor/nor.h"

enum {
    PAGE_BYTES = 4096,
    PAGES = 512,
    FLASH_BYTES = PAGE_BYTES * PAGES,
    UNIT_BYTES = 8,
    HEADER_BYTES = 128, /* one line of text; twin of host/simulation/flash_image.py */
    IMAGE_BYTES = HEADER_BYTES + 2 * FLASH_BYTES
};

/* One line, for whoever started this process. */
static _Noreturn void refuse(const char *path, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n", path, why);
    exit(1);
}

static void put_header(char header[HEADER_BYTES])
{
    memset(header, ' ', HEADER_BYTES);
    const int length =
        snprintf(header, HEADER_BYTES, "mcutrain flash image 1: %d pages of %d bytes, units of %d",
                 PAGES, PAGE_BYTES, UNIT_BYTES);
    header[length] = ' ';
    header[HEADER_BYTES - 1] = '\n';
}

/* Gives a file that is empty all its bytes at once: a disk that is full is seen now, not when a
 * save writes there. */
static void make_image(int file, const char *path)
{
    const int failed = posix_fallocate(file, 0, IMAGE_BYTES);
    if (failed != 0) {
        (void)unlink(path);
        refuse(path, strerror(failed));
    }
}

/* Whether a process was ended while it made this image. */
static bool is_unfinished(int file, off_t nbytes)
{
    char first = 1;
    return nbytes == IMAGE_BYTES && pread(file, &first, 1, 0) == 1 && first == 0;
}

static void check_image(int file, const char *path, const char *expected, off_t nbytes)
{
    char found[HEADER_BYTES + 1] = "";
    char why[2 * HEADER_BYTES + 64];
    const ssize_t came = pread(file, found, HEADER_BYTES, 0);
    if (came >= 16 && memcmp(found, expected, 16) == 0 && strchr(found, '\n') != NULL &&
        memcmp(found, expected, HEADER_BYTES) != 0) {
        for (char *end = strchr(found, '\n'); *end == '\n' || *end == ' '; end--) {
            *end = '\0';
        }
        (void)snprintf(why, sizeof why, "an image of other flash (%.*s): give another file",
                       HEADER_BYTES, found);
        refuse(path, why);
    }
    if (came < HEADER_BYTES || memcmp(found, expected, HEADER_BYTES) != 0) {
        refuse(path, "no image of flash, and left as it is: give another file");
    }
    if (nbytes != IMAGE_BYTES) {
        (void)snprintf(why, sizeof why,
                       "a damaged image of flash: it has %lld bytes of %d, and is left as it is: "
                       "give another file",
                       (long long)nbytes, IMAGE_BYTES);
        refuse(path, why);
    }
}

/* FLASH_BYTES of flash and as many of weak bits, in the image. */
static uint8_t *open_image(const char *path)
{
    struct stat found;
    char header[HEADER_BYTES];
    put_header(header);
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || fstat(file, &found) != 0) {
        refuse(path, strerror(errno));
    }
    if (!S_ISREG(found.st_mode)) {
        refuse(path, "no file: give the name of one for the image of the flash");
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) { /* kept until this process ends */
        refuse(path, "another process uses this image of flash: end it, or give another file");
    }
    bool is_new = found.st_size == 0;
    if (is_new) {
        make_image(file, path);
    } else if (!(is_new = is_unfinished(file, found.st_size))) {
        check_image(file, path, header, found.st_size);
    }
    char *image = mmap(NULL, IMAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (image == MAP_FAILED) {
        refuse(path, strerror(errno));
    }
    if (is_new) { /* the header last: what is cut before has none */
        memset(image + HEADER_BYTES, 0xff, FLASH_BYTES);
        memcpy(image, header, HEADER_BYTES);
    }
    return (uint8_t *)image + HEADER_BYTES;
}

static uint8_t *memory_of_flash(void)
{
    uint8_t *bytes = calloc(2, FLASH_BYTES);
    if (bytes == NULL) {
        refuse("flash", strerror(errno));
    }
    memset(bytes, 0xff, FLASH_BYTES);
    return bytes;
}

void mct_nor_cut(void)
{
    _exit(0);
}

/* Before main, whose session loads what was saved. */
__attribute__((constructor)) static void begin_flash(void)
{
    uint32_t *erases = calloc(PAGES, sizeof *erases);
    const char *path = getenv("MCT_FLASH_IMAGE");
    const char *cut = getenv("MCT_FLASH_CUT");
    if (erases == NULL) {
        refuse("flash", strerror(errno));
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is an error as any other */
    mct_nor.geometry.page_bytes = PAGE_BYTES;
    mct_nor.geometry.pages = PAGES;
    mct_nor.geometry.unit_bytes = UNIT_BYTES;
    mct_nor.bytes = path != NULL ? open_image(path) : memory_of_flash();
    mct_nor.weak = mct_nor.bytes + FLASH_BYTES;
    mct_nor.erases = erases;
    mct_nor.random = (uint32_t)time(NULL) | 1u;
    if (cut != NULL) {
        char *end = NULL;
        mct_nor.cut_at = (uint32_t)strtoul(cut, &end, 10);
        mct_nor.cut_part = *end == ',' ? (uint32_t)strtoul(end + 1, NULL, 10) : 0u;
    }
}
