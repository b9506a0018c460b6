/* SPDX-License-Identifier: Apache-2.0 */
/* The native port: the firmware as a process whose link is a pseudo-terminal. */
#define _GNU_SOURCE

#include "mct/port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static int port_fd = -1;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* A process has no number of its own: MCT_DEVICE_ID gives it one, up to 24 hexadecimal digits. */
void mct_port_device_id(uint8_t id[MCT_DEVICE_ID_BYTES])
{
    const char *digits = getenv("MCT_DEVICE_ID");
    memset(id, 0, MCT_DEVICE_ID_BYTES);
    for (size_t n = 0; digits != NULL && digits[0] != 0 && digits[1] != 0; n++, digits += 2) {
        const char pair[3] = {digits[0], digits[1], 0};
        char *end = NULL;
        const unsigned long byte = strtoul(pair, &end, 16);
        if (n == MCT_DEVICE_ID_BYTES || *end != 0) {
            (void)fprintf(stderr, "MCT_DEVICE_ID: give up to 24 hexadecimal digits\n");
            exit(1);
        }
        id[n] = (uint8_t)byte;
    }
}

mct_reset_cause mct_port_reset_cause(void)
{
    return MCT_RESET_POWER_ON;
}

/* Prints the path to open on one line of standard output. */
void mct_port_init(void)
{
#ifdef __linux__
    /* An orphan would wait for ever. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
        fail("prctl");
    }
#endif
    port_fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (port_fd < 0 || grantpt(port_fd) != 0 || unlockpt(port_fd) != 0) {
        fail("pseudo-terminal");
    }
    const char *path = ptsname(port_fd);
    /* Kept open: without any open end, reading fails after the host has closed its own. */
    int host_end = open(path, O_RDWR | O_NOCTTY);
    struct termios settings;
    if (host_end < 0 || tcgetattr(host_end, &settings) != 0) {
        fail(path);
    }
    cfmakeraw(&settings);
    if (tcsetattr(host_end, TCSANOW, &settings) != 0) {
        fail(path);
    }
    if (printf("%s\n", path) < 0 || fflush(stdout) != 0) {
        fail("standard output");
    }
}

static bool is_readable(int timeout_ms)
{
    struct pollfd poller = {.fd = port_fd, .events = POLLIN, .revents = 0};
    if (poll(&poller, 1, timeout_ms) < 0 && errno != EINTR) {
        fail("poll");
    }
    return (poller.revents & POLLIN) != 0;
}

/* Reads again only when all that was read before has been handed on. */
void mct_port_receive(bool may_sleep)
{
    static uint8_t bytes[256];
    static ssize_t end, next;
    if (next >= end && is_readable(may_sleep ? -1 : 0)) {
        next = 0;
        end = read(port_fd, bytes, sizeof bytes);
        if (end < 0 && errno != EINTR) {
            fail("read");
        }
    }
    while (next < end && !mct_link_receive(bytes[next++])) {
    }
}

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{
    while (nbytes > 0) {
        ssize_t written = write(port_fd, data, nbytes);
        if (written < 0 && errno != EINTR) {
            fail("write");
        }
        if (written > 0) {
            data += written;
            nbytes -= (uint32_t)written;
        }
    }
}
